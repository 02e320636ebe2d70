// With full debug information, which the parser skips:
//
//   cd / && nvcc -ptx -arch=compute_90a -G debug.cu -o debug.ptx
__device__ int twice(int x) { return x + x; }
extern "C" __global__ void debugged(int* x) { *x = twice(*x); }
