// Kernels that ptxas complains about, each in its way, and one that it does not. What it says of them is in
// slow.ptxas: nvcc -cubin -arch=sm_90a -O3 -lineinfo -Xptxas -v slow.cu 2> slow.ptxas
#include <cstdint>

// Accumulators are touched while wgmma is in flight.
extern "C" __global__ void serialized(float *out, uint64_t a, uint64_t b, int steps) {
    float d[4] = {};
    for (int i = 0; i < steps; i++) {
        asm volatile("wgmma.fence.sync.aligned;");
        asm volatile("wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%0, %1, %2, %3}, %4, %5, 1, 1, 1;"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "l"(a), "l"(b));
        asm volatile("wgmma.commit_group.sync.aligned;");
        d[0] += 1.0f;
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;");
    out[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}

// No launch bounds: the register count at entry is unknown.
extern "C" __global__ void ignored_setmaxnreg(float *out) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    out[threadIdx.x] = 1.0f;
}

// An array with a computed index.
extern "C" __global__ void local_array(float *out, int i) {
    float a[32];
    for (int j = 0; j < 32; j++) a[j] = out[j];
    a[i] = 3.0f;
    for (int j = 0; j < 32; j++) out[j] = a[(j * i) & 31];
}

// Twice as many values alive as there are registers.
extern "C" __global__ void __launch_bounds__(1024, 2) spill(float *x) {
    float a[64];
#pragma unroll
    for (int i = 0; i < 64; i++) a[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 3; j++) a[i] = a[i] * a[(i + 7 * j) % 64] + 1.0f;
#pragma unroll
    for (int i = 0; i < 64; i++) x[i * 1024 + threadIdx.x] = a[i];
}

extern "C" __global__ void clean(float *x) { x[threadIdx.x] *= 2.0f; }
