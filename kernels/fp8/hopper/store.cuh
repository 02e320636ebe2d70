// How a warpgroup's part of a tile of D, 64 rows, gets from its accumulators to memory.

#pragma once

#include <deepkern/abi.h>
#include <deepkern/bf16.cuh>
#include <deepkern/ptx/stmatrix.cuh>
#include <deepkern/ptx/tma.cuh>
#include <deepkern/ptx/warpgroup.cuh>
#include <deepkern/quad.cuh>
#include <stdint.h>

namespace deepkern::fp8 {

constexpr uint32_t kStoreRows = FP8_HOPPER_STORE_ROWS;
constexpr uint32_t kStoreBytes = kStoreRows * 128;  // of a buffer: rows of at most 128 bytes

/// Two buffers for each warpgroup: one is filled while the copy engine reads the other.
using StoreBuffers = uint8_t[2][kStoreBytes];

/// Rows of this many bytes a slice has: the widest swizzle of which a tile's row is a multiple.
/// (`writable` in `src/fp8/gemm.rs` says the same.)
template <uint32_t kTileN, class Out>
constexpr uint32_t kSliceBytes = kTileN * sizeof(Out) % 128 == 0  ? 128
                                 : kTileN * sizeof(Out) % 64 == 0 ? 64
                                                                  : 32;

/// The copy engine's swizzle of rows of kBytes: bits 4 and up are changed by bits 7 and up.
template <uint32_t kBytes>
__device__ uint32_t swizzle(uint32_t offset) {
    return offset ^ (offset >> 7) % (kBytes / 16) << 4;
}

/// Two rows of a tile that a thread of the warpgroup has, the second 8 below, two columns in eight.
struct Fragment {
    uint32_t lane = threadIdx.x % 32, warp = threadIdx.x % ptx::kWarpgroup / 32;
    uint32_t row = warp * 16 + lane / 4, column = lane % 4 * 2;
};

/// Adds C to columns [first, first + columns) of the accumulators of a tile.
template <uint32_t kCount>
__device__ void add_c(const Fp8GemmArgs &args, uint32_t row, uint32_t column, uint32_t first, uint32_t columns,
                      float (&sum)[kCount]) {
    const Fragment mine;
    for (uint32_t i = first / 2; i < (first + columns) / 2; ++i) {
        const uint32_t r = row + mine.row + i / 2 % 2 * 8, c = column + mine.column + i / 4 * 8 + i % 2;
        if (r < args.m && c < args.n) sum[i] += args.c[r * args.ldc + c];
    }
}

/// Ordinary stores, for a D that the copy engine cannot write.
template <class Out, uint32_t kCount>
__device__ void store_plainly(const Fp8GemmArgs &args, uint32_t row, uint32_t column, const float (&sum)[kCount]) {
    const Fragment mine;
#pragma unroll
    for (uint32_t i = 0; i < kCount; ++i) {
        const uint32_t r = row + mine.row + i / 2 % 2 * 8, c = column + mine.column + i / 4 * 8 + i % 2;
        if (r < args.m && c < args.n) {
            const float more = args.c == nullptr ? 0 : args.c[r * args.ldc + c];
            static_cast<Out *>(args.d)[r * args.ldd + c] = from_float<Out>(sum[i] + more);
        }
    }
}

/// Four neighbouring elements of a row of D, of which the first `count` exist; `c` has what is added, if
/// there is any. At once, where D is aligned for that.
template <class Out>
__device__ void store_four(Out *d, const float *c, const float (&x)[4], uint32_t count) {
    struct alignas(4 * sizeof(Out)) Four {
        Out at[4];
    } y;
    for (uint32_t i = 0; i < 4; ++i) y.at[i] = from_float<Out>(x[i] + (c != nullptr && i < count ? c[i] : 0));
    if (count == 4 && is_aligned(d, sizeof(y))) {
        *reinterpret_cast<Four *>(d) = y;
    } else {
        for (uint32_t i = 0; i < 4; ++i) {
            if (i < count) d[i] = y.at[i];
        }
    }
}

/// Writes columns [first, first + the slice's) of the accumulators into a buffer, swizzled.
template <uint32_t kBytes, uint32_t kCount>
__device__ void fill(uint8_t *buffer, const float (&sum)[kCount], uint32_t first, Bf16) {
    const Fragment mine;
    // Four matrices: 16 rows, 16 columns. Lanes 0 to 15 name the rows of the left two.
    const uint32_t row = mine.warp * 16 + mine.lane % 16, half = mine.lane / 16;
    for (uint32_t i = 0; i < kBytes / 32; ++i) {
        const float *s = sum + (first + i * 16) / 2;
        ptx::stmatrix(buffer + swizzle<kBytes>(row * kBytes + i * 32 + half * 16), bf16_pair(s[0], s[1]),
                      bf16_pair(s[2], s[3]), bf16_pair(s[4], s[5]), bf16_pair(s[6], s[7]));
    }
}

template <uint32_t kBytes, uint32_t kCount>
__device__ void fill(uint8_t *buffer, const float (&sum)[kCount], uint32_t first, float) {
    const Fragment mine;
    for (uint32_t i = 0; i < kBytes / 32; ++i) {
        const float *s = sum + (first + i * 8) / 2;
        for (uint32_t half = 0; half < 2; ++half) {
            const uint32_t offset = (mine.row + half * 8) * kBytes + i * 32 + mine.column * 4;
            *reinterpret_cast<float2 *>(buffer + swizzle<kBytes>(offset)) = {s[half * 2], s[half * 2 + 1]};
        }
    }
}

/// Slice by slice through shared memory: the copy engine writes one while the next is filled. The
/// last two are on their way when this returns. `turn` says whose turn it is of the two buffers, from
/// call to call; `id` names the warpgroup's barrier.
template <uint32_t kTileN, class Out>
__device__ void store_by_copies(const Fp8HopperGemmArgs &args, StoreBuffers &buffers, uint32_t &turn, uint32_t id,
                                uint32_t row, uint32_t column, float (&sum)[kTileN / 2]) {
    constexpr uint32_t kBytes = kSliceBytes<kTileN, Out>, kColumns = kBytes / sizeof(Out);
    const bool leads = threadIdx.x % ptx::kWarpgroup == 0;
#pragma unroll
    for (uint32_t first = 0; first < kTileN; first += kColumns, turn ^= 1) {
        if (args.gemm.c != nullptr) add_c(args.gemm, row, column, first, kColumns, sum);
        if (leads) ptx::tma_wait_read<1>();  // that is, the last copy from this buffer
        ptx::warpgroup_sync(id);
        fill<kBytes>(buffers[turn], sum, first, Out{});
        ptx::tma_fence();
        ptx::warpgroup_sync(id);
        if (leads) {
            ptx::tma_store(args.d_map, buffers[turn], column + first, row);
            ptx::tma_commit();
        }
    }
}

}  // namespace deepkern::fp8
