// A weight's scales along k, read ahead of their use.

#pragma once

#include "ring.cuh"

#include <deepkern/abi.h>
#include <stdint.h>

namespace deepkern::fp8 {

/// The scales of `kRows` rows of blocks of a weight. Each lane of a warp keeps one of the next 32
/// along k, and one of the 32 after those is on its way: no use waits for memory.
template <uint32_t kRows>
class WeightScales {
   public:
    __device__ explicit WeightScales(const Fp8GemmArgs &args)
        : args_(args) {}

    /// Sets out for those of the blocks that hold row `first` of the weight and what follows it, from
    /// `block_k` on. What is on hand already stays until `at` is asked for that.
    __device__ void fetch(uint32_t first, uint32_t block_k) {
        row_ = first / FP8_BLOCK;
        first_ = block_k;
        load(block_k);
    }

    /// The scales at `block_k`: asked for one after the other.
    __device__ void at(uint32_t block_k, float (&scale)[kRows]) {
        const uint32_t place = (block_k - first_) % 32;
        if (place == 0) {
            for (uint32_t i = 0; i < kRows; ++i) now_[i] = next_[i];
            load(block_k + 32);
        }
        for (uint32_t i = 0; i < kRows; ++i) scale[i] = __shfl_sync(0xffffffff, now_[i], place);
    }

   private:
    __device__ void load(uint32_t block_k) {
        const uint32_t mine = block_k + threadIdx.x % 32, last = (args_.n - 1) / FP8_BLOCK;
        for (uint32_t i = 0; i < kRows; ++i) {
            const float *scales = args_.b_scale + min(row_ + i, last) * args_.ldb_scale;
            next_[i] = mine < blocks_of_k(args_.k) ? scales[mine] : 0;
        }
    }

    const Fp8GemmArgs &args_;
    uint32_t row_, first_;
    float now_[kRows], next_[kRows];
};

}  // namespace deepkern::fp8
