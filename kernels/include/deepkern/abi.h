/* What host and device share: layouts, tile sizes and kernel arguments.
 *
 * The kernels include this header, and bindgen turns it into Rust, so nothing in
 * it is written a second time. It is plain C.
 *
 * Words used throughout: `m`, `n`, `k` are the sizes of a GEMM; a matrix `[r, c]`
 * has r rows of c elements; `ld*` is the distance between the starts of two
 * neighbouring rows, in elements. Sizes fit in 31 bits, so that rounding one up
 * to a tile stays within 32; distances and every product of two sizes are 64-bit.
 */
#ifndef DEEPKERN_ABI_H
#define DEEPKERN_ABI_H

#include <stdint.h>

/* What cuTensorMapEncodeTiled writes: a tensor as the copy engine sees it (CUtensorMap). */
typedef struct __attribute__((aligned(64))) TensorMap {
    uint64_t opaque[16];
} TensorMap;

/* ---- FP8 with block scales ------------------------------------------------
 *
 * value = code * scale, code in E4M3 (finite: the largest is 448, no infinity,
 * 0x7f and 0xff are NaN).
 *
 * Activations `[m, k]`: one f32 scale per row and FP8_BLOCK columns, stored with
 * the rows innermost: scale[group * ld_scale + row], group = column / FP8_BLOCK,
 * ld_scale >= m rounded up to FP8_SCALE_ROWS. A column of scales thus starts at a
 * multiple of 16 bytes, which is what TMA asks of a stride.
 *
 * Weights `[n, k]`: one f32 scale per FP8_BLOCK x FP8_BLOCK elements, stored as in
 * the public FP8 checkpoints: scale[(row / FP8_BLOCK) * ld_scale + column / FP8_BLOCK].
 */

/* Elements of k that share a scale, and rows of a weight that do. */
#define FP8_BLOCK 128
/* The rows of an activation's scales are padded to a multiple of this. */
#define FP8_SCALE_ROWS 4
/* The largest finite E4M3 value. */
#define FP8_E4M3_MAX 448

/* The scale is the f32 quotient as it comes. */
#define FP8_SCALE_F32 0
/* The scale is rounded up to a power of two (what UE8M0 can hold). */
#define FP8_SCALE_POW2 1

/* Threads of a block of either quantise kernel; each warp takes one row at a time. */
#define FP8_QUANTIZE_THREADS 256
/* Rows of one group of columns that a block of the activation kernel takes. */
#define FP8_QUANTIZE_ROWS 8

/* fp8_quantize_{bf16,f32}, activations: one scale per row and FP8_BLOCK columns.
 * Grid: (padded rows / FP8_QUANTIZE_ROWS, rounded up) * groups blocks, along x.
 *
 * fp8_quantize_weight_{bf16,f32}: one scale per FP8_BLOCK x FP8_BLOCK.
 * Grid: one block for each scale, along x. */
typedef struct Fp8QuantizeArgs {
    const void *x; /* [rows, columns] bf16 or f32 */
    uint8_t *q;    /* [rows, columns] codes */
    float *scale;
    uint64_t ldx;
    uint64_t ldq;
    uint64_t ld_scale;
    uint32_t rows;
    uint32_t columns;
    uint32_t scale_format; /* FP8_SCALE_* */
} Fp8QuantizeArgs;

/* Threads of a block of the simple GEMM, and the tile of D that it computes:
 * FP8_SIMPLE_TILE_N columns by one of the two heights. */
#define FP8_SIMPLE_THREADS 128
#define FP8_SIMPLE_TILE_N 64
#define FP8_SIMPLE_TILE_M 64
#define FP8_SIMPLE_TILE_M_SMALL 16

/* fp8_gemm_simple_{m64,m16}_{bf16,f32}: D = A B^T (+ C).
 * Grid: ceil(m / tile m) * ceil(n / tile n) blocks, along x. */
typedef struct Fp8GemmArgs {
    const uint8_t *a;     /* [m, k] codes */
    const float *a_scale; /* [ceil(k / 128), lda_scale] */
    const uint8_t *b;     /* [n, k] codes */
    const float *b_scale; /* [ceil(n / 128), ldb_scale] */
    const float *c;       /* [m, n], or null for none */
    void *d;              /* [m, n] bf16 or f32 */
    uint64_t lda;
    uint64_t lda_scale;
    uint64_t ldb;
    uint64_t ldb_scale;
    uint64_t ldc;
    uint64_t ldd;
    uint32_t m;
    uint32_t n;
    uint32_t k;
} Fp8GemmArgs;

/* Dynamic shared memory of a block of either Hopper GEMM: all that there is. The kernels have as many
 * stages as fit. */
#define FP8_HOPPER_SHARED 232448

/* The Hopper GEMM for many rows: a block computes FP8_HOPPER_TILE_M rows of D by the width that the
 * kernel's name ends in; two warpgroups of consumers take half of the rows each, a third one is the
 * producer. */
#define FP8_HOPPER_TILE_M 128
#define FP8_HOPPER_THREADS 384
/* Rows of the boxes in which D is written. Their columns: as many as make 128 bytes; or 64, or 32, where
 * only that divides the tile's width. */
#define FP8_HOPPER_STORE_ROWS 64

/* The Hopper GEMM for few rows: a block computes FP8_DECODE_TILE_N columns of D by as many rows as the
 * kernel's name ends in, or its share of k of them; eight warps are consumers, a ninth is the producer. */
#define FP8_DECODE_TILE_N 128
#define FP8_DECODE_THREADS 288

/* fp8_gemm_hopper_n{16,32,64,96,112,128,160,192,256}_{bf16,f32}, fp8_gemm_decode_m{8,16,32,64}_{bf16,f32}:
 * D = A B^T (+ C), for A, B and A's scales that the copy engine can read: starts and row distances of
 * 16 bytes.
 *
 * Grid: whole clusters, along x, at most one a tile (hopper: a column of as many tiles as the cluster has
 * blocks, 1 or 2; decode: a tile, whose k the cluster's blocks, 1 to 8, share out); each cluster takes every
 * so-many-th. */
typedef struct Fp8HopperGemmArgs {
    TensorMap a_map;       /* codes of A: boxes of a tile's rows by FP8_BLOCK, 128-byte swizzle */
    TensorMap b_map;       /* codes of B: boxes of a tile's columns by FP8_BLOCK, 128-byte swizzle; of half of
                              them for clusters of two (hopper) */
    TensorMap a_scale_map; /* scales of A: boxes of one group by a tile's rows */
    TensorMap d_map;       /* hopper: D, where store_by_copies; the swizzle is as wide as the box */
    Fp8GemmArgs gemm;
    uint32_t cluster;         /* blocks of one */
    uint32_t store_by_copies; /* hopper: whether the copy engine can write D */
} Fp8HopperGemmArgs;

#endif /* DEEPKERN_ABI_H */
