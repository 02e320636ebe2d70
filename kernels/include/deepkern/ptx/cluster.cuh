// Clusters: blocks that run together, and reach each other's shared memory.

#pragma once

#include "mbarrier.cuh"

namespace deepkern::ptx {

__device__ inline uint32_t cluster_rank() {
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/// All threads of the cluster meet; what each did before is visible to all after.
__device__ inline void cluster_sync() {
    asm volatile(
        "barrier.cluster.arrive.release.aligned;\n"
        "barrier.cluster.wait.acquire.aligned;" ::
            : "memory");
}

/// All threads of the cluster meet. After it mbarriers may be used that `mbarrier_fence_init` came behind; nothing else
/// that was written before is visible for it, which would cost a fence of the whole GPU.
__device__ inline void cluster_start() {
    asm volatile(
        "barrier.cluster.arrive.relaxed.aligned;\n"
        "barrier.cluster.wait.acquire.aligned;" ::
            : "memory");
}

/// Where the block of this rank has what `p` is in this one.
__device__ inline uint32_t cluster_address(const void *p, uint32_t rank) {
    uint32_t address;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(p)), "r"(rank));
    return address;
}

__device__ inline float4 cluster_load(const float4 *p, uint32_t rank) {
    float4 x;
    asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "r"(cluster_address(p, rank))
                 : "memory");
    return x;
}

/// Arrives at the barrier of the block of this rank. What this thread wrote before need not be visible
/// there: that is for readers who say that they have read.
__device__ inline void mbarrier_arrive_at(Mbarrier &barrier, uint32_t rank) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(cluster_address(&barrier, rank)) : "memory");
}

/// The same, and what this thread and those that it has synchronised with wrote before is visible to those
/// who wait. (It costs a fence of the whole GPU: not for a main loop.)
__device__ inline void mbarrier_arrive_release(Mbarrier &barrier, uint32_t rank) {
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                     cluster_address(&barrier, rank))
                 : "memory");
}

/// Waits for a phase that other blocks of the cluster have arrived at; sees what they did before.
__device__ inline void mbarrier_wait_acquire(Mbarrier &barrier, uint32_t parity) {
    uint32_t done;
    do {
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%1], %2;\n"
            "selp.u32 %0, 1, 0, done;\n"
            "}\n"
            : "=r"(done)
            : "r"(shared_address(&barrier)), "r"(parity)
            : "memory");
    } while (!done);
}

}  // namespace deepkern::ptx
