// The ring of stages between the copy engine and the consumers.

#pragma once

#include <deepkern/abi.h>
#include <stdint.h>

namespace deepkern::fp8 {

/// A place in a ring of stages, and the parity of the round that it is in.
template <uint32_t kStages>
struct Ring {
    uint32_t stage = 0, parity = 0;

    __device__ void advance() {
        stage = stage + 1 == kStages ? 0 : stage + 1;
        parity ^= stage == 0;
    }
};

/// As many stages of `bytes` each as shared memory has room for beside `beside` bytes. Mbarriers take 256 bytes:
/// two a stage, of which there are fewer than 16, and some for other uses.
constexpr uint32_t stages_that_fit(uint32_t bytes, uint32_t beside) {
    return (FP8_HOPPER_SHARED - 256 - beside) / bytes;
}

__device__ inline uint32_t blocks_of_k(uint32_t k) { return (k + FP8_BLOCK - 1) / FP8_BLOCK; }

}  // namespace deepkern::fp8
