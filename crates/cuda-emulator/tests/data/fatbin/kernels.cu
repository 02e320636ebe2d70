// What the fatbins beside this file hold:
//
//   for mode in none default speed; do
//     nvcc -fatbin -gencode arch=compute_90a,code=compute_90a -compress-mode=$mode \
//          -Xptxas -O2 kernels.cu -o ptx_$mode.fatbin
//   done
//   nvcc -fatbin -gencode arch=compute_90a,code=[sm_90a,compute_90a] -compress-mode=size kernels.cu -o with_elf.fatbin
//   nvcc -fatbin -gencode arch=compute_80,code=compute_80 -gencode arch=compute_90,code=compute_90 \
//        -gencode arch=compute_90a,code=compute_90a -gencode arch=compute_100f,code=compute_100f \
//        -compress-mode=size kernels.cu -o many.fatbin
extern "C" __global__ void scale(float* x, float s) { x[threadIdx.x] *= s; }
extern "C" __global__ void shuffle(float* x, int n) {
  float local[64];
#pragma unroll 1
  for (int i = 0; i < 64; i++) local[i * n & 63] = x[i];
  x[threadIdx.x] = local[n & 63];
}
