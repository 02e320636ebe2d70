// stmatrix: a warp stores four 8x8 matrices of 16-bit elements.

#pragma once

#include "mbarrier.cuh"

namespace deepkern::ptx {

/// Lane t gives, of each matrix, row t / 4, columns t % 4 * 2 (and 1 more). Row r of matrix i goes to
/// the 16 bytes that lane 8 i + r names.
__device__ inline void stmatrix(void *row, uint32_t m0, uint32_t m1, uint32_t m2, uint32_t m3) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)),
                 "r"(m0), "r"(m1), "r"(m2), "r"(m3)
                 : "memory");
}

}  // namespace deepkern::ptx
