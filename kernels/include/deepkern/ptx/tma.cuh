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

/// The same into each block of the cluster whose rank is a bit of `blocks`: to the same place in
/// its shared memory, and completing on its own barrier.
__device__ inline void tma_load_multicast(void *to, const TensorMap &map, Mbarrier &barrier, uint32_t x,
                                          uint32_t y, uint16_t blocks) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(&barrier)), "r"(x), "r"(y), "h"(blocks)
        : "memory");
}

/// What threads wrote to shared memory becomes visible to the copy engine.
__device__ inline void tma_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// `from` goes to the box of `map` at column `x`, row `y`, but for what lies outside of the tensor.
__device__ inline void tma_store(const TensorMap &map, const void *from, uint32_t x, uint32_t y) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
                 "r"(shared_address(from)), "r"(x), "r"(y)
                 : "memory");
}

/// Closes the group of the stores that this thread has issued.
__device__ inline void tma_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

/// Waits until all but the last `kPending` groups of this thread have read their source.
template <uint32_t kPending>
__device__ inline void tma_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

}  // namespace deepkern::ptx
