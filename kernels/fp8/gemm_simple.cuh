// D[m, n] = A[m, k] B[n, k]^T (+ C) on CUDA cores: the portable fallback, and the
// second opinion for every faster kernel.
//
// A block computes a tile of D. It walks k in steps of 32: all threads decode a
// step of A and B into shared memory as f32, then each multiplies its own rows and
// columns. After every 128 of k, where the scales change, the sums of that stretch
// are scaled and added to the result, as a kernel on FP8 tensor cores must do.
//
// Each element is summed in one fixed order that depends on k alone, so neither
// the tile, nor m, nor the schedule changes a bit of it.

#pragma once

#include <deepkern/abi.h>
#include <deepkern/bf16.cuh>
#include <deepkern/e4m3.cuh>
#include <deepkern/quad.cuh>
#include <stdint.h>

namespace deepkern::fp8 {

constexpr uint32_t kStepK = 32;  // k per round of shared memory
constexpr uint32_t kChunk = 16;  // codes that a thread reads at once

struct alignas(kChunk) Chunk {
    uint16_t pair[kChunk / 2];
};

/// Sixteen codes at `p`, of which the first `count` exist; the others are zero.
__device__ inline Chunk load_chunk(const uint8_t *p, uint32_t count) {
    if (count == kChunk && is_aligned(p, sizeof(Chunk))) {
        return *reinterpret_cast<const Chunk *>(p);
    }
    Chunk chunk;
    for (uint32_t i = 0; i < kChunk / 2; ++i) {
        const uint32_t lo = 2 * i < count ? p[2 * i] : 0;
        const uint32_t hi = 2 * i + 1 < count ? p[2 * i + 1] : 0;
        chunk.pair[i] = static_cast<uint16_t>(lo | hi << 8);
    }
    return chunk;
}

/// Decodes rows [first_row, first_row + kRows) and columns [first_k, first_k + kStepK)
/// of a matrix [rows, k] into `tile`, transposed; zero outside of the matrix.
/// Neighbouring lanes take neighbouring rows and so write to different banks.
template <uint32_t kRows>
__device__ void decode_step(float (&tile)[kStepK][kRows], const uint8_t *matrix, uint64_t ld,
                            uint32_t first_row, uint32_t rows, uint32_t first_k, uint32_t k) {
    for (uint32_t i = threadIdx.x; i < kRows * kStepK / kChunk; i += FP8_SIMPLE_THREADS) {
        const uint32_t row = i % kRows, step_k = i / kRows * kChunk;
        const uint32_t chunk_k = first_k + step_k;
        const bool inside = first_row + row < rows && chunk_k < k;
        const uint8_t *p = matrix + (first_row + row) * ld + chunk_k;
        const Chunk chunk = load_chunk(p, inside ? min(k - chunk_k, kChunk) : 0);
        for (uint32_t j = 0; j < kChunk / 2; ++j) {
            const float2 value = decode_e4m3x2(chunk.pair[j]);
            tile[step_k + 2 * j][row] = value.x;
            tile[step_k + 2 * j + 1][row] = value.y;
        }
    }
}

/// A few neighbouring floats, aligned so that they are read with vector loads.
template <uint32_t kCount>
struct alignas(kCount < 4 ? kCount * 4 : 16) Floats {
    float at[kCount];
};

template <uint32_t kTileM, class Out>
__device__ void gemm_simple(const Fp8GemmArgs &args) {
    // ---- This block's tile, and this thread's rows and columns of it.
    constexpr uint32_t kTileN = FP8_SIMPLE_TILE_N;
    constexpr uint32_t kThreadsN = 16, kThreadsM = FP8_SIMPLE_THREADS / kThreadsN;
    constexpr uint32_t kRows = kTileM / kThreadsM, kColumns = kTileN / kThreadsN;
    static_assert(kColumns == 4, "a thread's columns are one quad");
    static_assert(FP8_BLOCK % kTileN == 0, "one weight scale serves the whole tile");
    static_assert(FP8_BLOCK % kStepK == 0, "a step of k has one scale");

    const uint32_t tiles_n = (args.n + kTileN - 1) / kTileN;
    const uint32_t tile_m = blockIdx.x / tiles_n * kTileM;
    const uint32_t tile_n = blockIdx.x % tiles_n * kTileN;
    const uint32_t thread_row = threadIdx.x / kThreadsN * kRows;
    const uint32_t thread_column = threadIdx.x % kThreadsN * kColumns;

    __shared__ alignas(16) float a_step[kStepK][kTileM];
    __shared__ alignas(16) float b_step[kStepK][kTileN];

    float sum[kRows][kColumns] = {};
    for (uint32_t block_k = 0; block_k < args.k; block_k += FP8_BLOCK) {
        // ---- The unscaled sums over this block of k.
        float partial[kRows][kColumns] = {};
        const uint32_t block_end = min(block_k + FP8_BLOCK, args.k);
        for (uint32_t step_k = block_k; step_k < block_end; step_k += kStepK) {
            decode_step(a_step, args.a, args.lda, tile_m, args.m, step_k, args.k);
            decode_step(b_step, args.b, args.ldb, tile_n, args.n, step_k, args.k);
            __syncthreads();

#pragma unroll 8
            for (uint32_t i = 0; i < kStepK; ++i) {
                const auto a = reinterpret_cast<const Floats<kRows> &>(a_step[i][thread_row]);
                const auto b = reinterpret_cast<const Floats<kColumns> &>(b_step[i][thread_column]);
                for (uint32_t r = 0; r < kRows; ++r) {
                    for (uint32_t c = 0; c < kColumns; ++c) {
                        partial[r][c] = fmaf(a.at[r], b.at[c], partial[r][c]);
                    }
                }
            }
            __syncthreads();
        }

        // ---- Promotion: scale them, add them up.
        const uint32_t group = block_k / FP8_BLOCK;
        const float b_scale = args.b_scale[tile_n / FP8_BLOCK * args.ldb_scale + group];
        for (uint32_t r = 0; r < kRows; ++r) {
            const uint32_t row = tile_m + thread_row + r;
            const float a_scale = row < args.m ? args.a_scale[group * args.lda_scale + row] : 0.0f;
            for (uint32_t c = 0; c < kColumns; ++c) {
                sum[r][c] = fmaf(partial[r][c], a_scale * b_scale, sum[r][c]);
            }
        }
    }

    // ---- Epilogue: + C, convert, store.
    const uint32_t column = tile_n + thread_column;
    const uint32_t count = quad_columns(column, args.n);
    for (uint32_t r = 0; r < kRows; ++r) {
        const uint32_t row = tile_m + thread_row + r;
        if (row >= args.m) break;
        Quad<float> c = {};
        if (args.c != nullptr) c = load_quad(args.c + row * args.ldc + column, count);
        Quad<Out> d;
        for (uint32_t i = 0; i < kColumns; ++i) d.at[i] = from_float<Out>(sum[r][i] + c.at[i]);
        store_quad(static_cast<Out *>(args.d) + row * args.ldd + column, d, count);
    }
}

}  // namespace deepkern::fp8

extern "C" __global__ void __launch_bounds__(FP8_SIMPLE_THREADS)
    fp8_gemm_simple_m64_bf16(const __grid_constant__ Fp8GemmArgs args) {
    deepkern::fp8::gemm_simple<FP8_SIMPLE_TILE_M, deepkern::Bf16>(args);
}

extern "C" __global__ void __launch_bounds__(FP8_SIMPLE_THREADS)
    fp8_gemm_simple_m64_f32(const __grid_constant__ Fp8GemmArgs args) {
    deepkern::fp8::gemm_simple<FP8_SIMPLE_TILE_M, float>(args);
}

extern "C" __global__ void __launch_bounds__(FP8_SIMPLE_THREADS)
    fp8_gemm_simple_m16_bf16(const __grid_constant__ Fp8GemmArgs args) {
    deepkern::fp8::gemm_simple<FP8_SIMPLE_TILE_M_SMALL, deepkern::Bf16>(args);
}

extern "C" __global__ void __launch_bounds__(FP8_SIMPLE_THREADS)
    fp8_gemm_simple_m16_f32(const __grid_constant__ Fp8GemmArgs args) {
    deepkern::fp8::gemm_simple<FP8_SIMPLE_TILE_M_SMALL, float>(args);
}
