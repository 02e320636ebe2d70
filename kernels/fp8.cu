// The FP8 family: E4M3 with block scales. One translation unit, one fatbin.
//
//   quantize.cuh         activations, one scale per 1x128
//   quantize_weight.cuh  weights, one scale per 128x128
//   gemm_simple.cuh      D = A B^T (+ C) on CUDA cores
//   gemm_hopper.cuh      the same on Hopper's tensor cores, for many rows of A
//   gemm_decode.cuh      the same for few
//
// All but the last two also run as PTX for compute_80, on any GPU since Ampere.

#include "fp8/gemm_decode.cuh"
#include "fp8/gemm_hopper.cuh"
#include "fp8/gemm_simple.cuh"
#include "fp8/quantize.cuh"
#include "fp8/quantize_weight.cuh"
