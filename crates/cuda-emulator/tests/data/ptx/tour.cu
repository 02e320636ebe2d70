// A tour of what nvcc writes: the parser's test data.
//
//   nvcc -ptx -arch=compute_90a -lineinfo tour.cu -o tour.ptx
//   nvcc -ptx -arch=compute_90a -G tour.cu -o tour_debug.ptx
//   nvcc -ptx -arch=compute_100 -DNO_WGMMA tour.cu -o tour_100.ptx   (a newer compiler within nvcc)
//   sed -i '/\.file/s|"/.*/|"|' tour*.ptx                            (paths of one machine)
#include <cstdio>
#include <cassert>
#include <cstdint>
__constant__ int table[4][3] = {{1, 2}, {4}, {7, 8, 9}};
__constant__ float weights[3] = {1.0f, -2.5f, 3e-3f};
__device__ int counter = 7;
__device__ int* where = &counter;
struct __attribute__((packed)) Odd { char c; int* p; };
__device__ Odd odd = {1, &counter};
__device__ const char* text = "hi";
__device__ __noinline__ float mix(float a, float b) { return a * b + 1.0f; }
struct Three { float x, y, z; };
__device__ __noinline__ Three spread(float a) { return {a, a + 1, a + 2}; }
__device__ float twice(float a) { return a + a; }
__device__ float thrice(float a) { return 3 * a; }
typedef float (*Fn)(float);
__device__ Fn fns[2] = {twice, thrice};
extern "C" __global__ void choose(int n, float* out) {
  assert(n >= 0);
  float v = 0;
  switch (n) {
    case 0: v = mix(out[0], 2); break;
    case 1: v = out[1] / 3; break;
    case 2: v = spread(out[2]).z; break;
    case 3: v = __sinf(out[3]); break;
    case 4: v = table[threadIdx.x & 3][n & 1]; break;
    case 5: v = weights[threadIdx.x % 3]; break;
    case 6: v = fns[threadIdx.x & 1](out[6]); break;
    default: printf("n = %d %f %s\n", n, out[7], text); atomicAdd(where, 1);
  }
  out[threadIdx.x] = v;
}
extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(128, 2) transpose(const double* in, double* out) {
  __shared__ double tile[16][17];
  extern __shared__ __align__(1024) unsigned char more[];
  tile[threadIdx.y][threadIdx.x] = in[threadIdx.y * 16 + threadIdx.x];
  __syncthreads();
  more[threadIdx.x] = odd.c;
  out[threadIdx.y * 16 + threadIdx.x] = tile[threadIdx.x][threadIdx.y] + (double)(uintptr_t)odd.p;
}
struct alignas(64) Map { uint64_t words[16]; };
extern "C" __global__ void hopper(const __grid_constant__ Map map, float* out) {
  __shared__ alignas(1024) unsigned char tile[8192];
  __shared__ uint64_t bar;
  uint32_t t = __cvta_generic_to_shared(tile), b = __cvta_generic_to_shared(&bar);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(b));
    asm volatile("fence.mbarrier_init.release.cluster;");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(8192));
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                 ::"r"(t), "l"(&map), "r"(0), "r"(64), "r"(b) : "memory");
  }
  asm volatile("{\n.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra DONE;\nbra WAIT;\nDONE:\n}" ::"r"(b), "r"(0) : "memory");
  float d[4] = {0, 0, 0, 0};
  uint64_t desc = (t >> 4) | (1ull << 62);
#ifndef NO_WGMMA
  asm volatile("wgmma.fence.sync.aligned;");
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\nwgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%0, %1, %2, %3}, %4, %5, p, 1, 1;\n}"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(desc), "l"(desc), "r"(1));
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;");
#endif
  for (int i = 0; i < 4; i++) out[threadIdx.x * 4 + i] = d[i];
}
