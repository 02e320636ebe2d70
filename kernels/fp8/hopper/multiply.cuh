// A warpgroup multiplies what one stage holds.

#pragma once

#include <deepkern/abi.h>
#include <deepkern/ptx/wgmma.cuh>
#include <stdint.h>

namespace deepkern::fp8 {

/// 64 rows of a tile times the kTileN rows of another, 128 of k. Until `wgmma_wait` nobody may touch `product`.
template <uint32_t kTileN>
__device__ void multiply(float (&product)[kTileN / 2], const uint8_t *a, const uint8_t *b) {
    constexpr uint32_t kStepK = 32;  // of one wgmma
    const uint64_t a_tile = ptx::wgmma_tile(a), b_tile = ptx::wgmma_tile(b);
    ptx::wgmma_fence();
#pragma unroll
    for (uint32_t step = 0; step < FP8_BLOCK / kStepK; ++step) {
        const uint32_t offset = step * kStepK / 16;
        ptx::wgmma_e4m3<kTileN>(product, a_tile + offset, b_tile + offset, step > 0);
    }
    ptx::wgmma_commit();
}

}  // namespace deepkern::fp8
