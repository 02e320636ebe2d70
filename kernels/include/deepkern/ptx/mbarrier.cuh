// mbarriers in shared memory: arrivals and bytes, phase by phase.
//
// A phase is named by its parity. A barrier begins in phase 0; waiting for parity 1
// of a fresh barrier passes at once, as if a phase before the first had completed.

#pragma once

#include <stdint.h>

namespace deepkern::ptx {

using Mbarrier = uint64_t;

__device__ inline uint32_t shared_address(const void *p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/// Each phase waits for `arrivals`.
__device__ inline void mbarrier_init(Mbarrier &barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals));
}

/// Initialised barriers become visible to the cluster and to the copy engine.
__device__ inline void mbarrier_fence_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void mbarrier_arrive(Mbarrier &barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}

/// Arrives, and lets the phase wait for `bytes` that the copy engine will bring.
__device__ inline void mbarrier_arrive_expect(Mbarrier &barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
                 "r"(bytes)
                 : "memory");
}

/// Waits until the phase of this parity has completed.
__device__ inline void mbarrier_wait(Mbarrier &barrier, uint32_t parity) {
    uint32_t done;
    do {
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
            "selp.u32 %0, 1, 0, done;\n"
            "}\n"
            : "=r"(done)
            : "r"(shared_address(&barrier)), "r"(parity)
            : "memory");
    } while (!done);
}

}  // namespace deepkern::ptx
