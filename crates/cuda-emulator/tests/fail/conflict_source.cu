// Doubles 32 words, which a bulk copy brings to shared memory. The message shows lines of this file: it was compiled here,
// in the crate's folder, by `nvcc -arch=sm_90a -lineinfo -ptx` (CUDA 13.0), and its path made relative.
//@ block: 32
//@ buffer: 128 bytes
//@ buffer: 32 words of 5
#include <cstdint>

extern "C" __global__ void k(unsigned *out, const unsigned *in)
{
    __shared__ alignas(16) unsigned tile[32];
    __shared__ alignas(8) std::uint64_t full;
    const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(tile));
    const auto barrier = static_cast<std::uint32_t>(__cvta_generic_to_shared(&full));
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(barrier) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 128;" :: "r"(barrier) : "memory");
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 128, [%2];" :: "r"(to), "l"(in), "r"(barrier) : "memory");
    }
    __syncthreads();
    out[threadIdx.x] = 2 * tile[threadIdx.x];
}
