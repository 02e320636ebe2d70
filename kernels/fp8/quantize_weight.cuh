// Weights [n, k] to E4M3 with one scale per 128x128 elements.
//
// A block takes one 128x128 piece and reads it twice: for the amax, then for the
// codes. (The second time it comes from the cache. Weights are quantised once, so
// this kernel is short rather than quick.)

#pragma once

#include "scale.cuh"

namespace deepkern::fp8 {

template <class T>
__device__ void quantize_weight(const Fp8QuantizeArgs &args) {
    // ---- This block's piece, and this lane's four columns of it.
    constexpr uint32_t kWarps = FP8_QUANTIZE_THREADS / 32;
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t column_blocks = (args.columns + FP8_BLOCK - 1) / FP8_BLOCK;
    const uint32_t block_row = blockIdx.x / column_blocks;
    const uint32_t block_column = blockIdx.x % column_blocks;

    const uint32_t first_row = block_row * FP8_BLOCK;
    const uint32_t end_row = min(first_row + FP8_BLOCK, args.rows);
    const uint32_t column = block_column * FP8_BLOCK + lane * 4;
    const uint32_t count = quad_columns(column, args.columns);
    const T *x = static_cast<const T *>(args.x) + column;

    // ---- amax: over the lane's elements, the warp, the block.
    uint32_t amax = 0;
    for (uint32_t row = first_row + warp; row < end_row; row += kWarps) {
        amax = max(amax, amax_bits(load_quad(x + row * args.ldx, count)));
    }
    __shared__ uint32_t warp_amax[kWarps];
    amax = __reduce_max_sync(0xffffffff, amax);
    if (lane == 0) warp_amax[warp] = amax;
    __syncthreads();
    for (uint32_t i = 0; i < kWarps; ++i) amax = max(amax, warp_amax[i]);

    // ---- The scale and the codes.
    const float scale = scale_from_amax(amax, args.scale_format);
    for (uint32_t row = first_row + warp; row < end_row; row += kWarps) {
        const Quad<float> values = load_quad(x + row * args.ldx, count);
        store_quad(args.q + row * args.ldq + column, quantize_quad(values, scale), count);
    }
    if (threadIdx.x == 0) args.scale[block_row * args.ld_scale + block_column] = scale;
}

}  // namespace deepkern::fp8

extern "C" __global__ void __launch_bounds__(FP8_QUANTIZE_THREADS)
    fp8_quantize_weight_bf16(const __grid_constant__ Fp8QuantizeArgs args) {
    deepkern::fp8::quantize_weight<deepkern::Bf16>(args);
}

extern "C" __global__ void __launch_bounds__(FP8_QUANTIZE_THREADS)
    fp8_quantize_weight_f32(const __grid_constant__ Fp8QuantizeArgs args) {
    deepkern::fp8::quantize_weight<float>(args);
}
