// The bulk copy engine: tiles of tensors between global and shared memory.

#pragma once

#include "mbarrier.cuh"

#include <deepkern/abi.h>

namespace deepkern::ptx {

/// Brings the description of a tensor closer.
__device__ inline void tma_prefetch(const TensorMap &map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/// The box of `map` at column `x`, row `y` goes to `to`; its bytes complete on `barrier`.
/// What lies outside of the tensor arrives as zero.
__device__ inline void tma_load(void *to, const TensorMap &map, Mbarrier &barrier, uint32_t x, uint32_t y) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(&barrier)), "r"(x), "r"(y)
        : "memory");
}

}  // namespace deepkern::ptx
