// Activations [m, k] to E4M3 with one scale per row and 128 columns.
//
// A warp takes one row of one group: four elements a lane, amax by one warp-wide
// maximum, one scale. A block's warps take neighbouring rows of the same group,
// so that the scales, which have rows innermost, are written side by side.
//
// The rows of padding in `scale` (m up to the next multiple of 4) are written
// zero: whoever reads whole vectors of four scales meets numbers, never garbage.

#pragma once

#include "scale.cuh"

namespace deepkern::fp8 {

template <class T>
__device__ void quantize(const Fp8QuantizeArgs &args) {
    // ---- This warp's row and group.
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t padded_rows =
        (args.rows + FP8_SCALE_ROWS - 1) / FP8_SCALE_ROWS * FP8_SCALE_ROWS;
    const uint32_t row_blocks = (padded_rows + FP8_QUANTIZE_ROWS - 1) / FP8_QUANTIZE_ROWS;
    const uint32_t row = blockIdx.x % row_blocks * FP8_QUANTIZE_ROWS + warp;
    const uint32_t group = blockIdx.x / row_blocks;
    float *scale_out = args.scale + group * args.ld_scale + row;

    if (row >= args.rows) {
        if (row < padded_rows && lane == 0) *scale_out = 0.0f;
        return;
    }

    // ---- Read, find the scale, write.
    const uint32_t column = group * FP8_BLOCK + lane * 4;
    const uint32_t count = quad_columns(column, args.columns);
    const T *x = static_cast<const T *>(args.x) + row * args.ldx + column;
    const Quad<float> values = load_quad(x, count);

    const uint32_t amax = __reduce_max_sync(0xffffffff, amax_bits(values));
    const float scale = scale_from_amax(amax, args.scale_format);

    store_quad(args.q + row * args.ldq + column, quantize_quad(values, scale), count);
    if (lane == 0) *scale_out = scale;
}

static_assert(FP8_BLOCK == 32 * 4, "a lane holds four elements of the group");
static_assert(FP8_QUANTIZE_ROWS * 32 == FP8_QUANTIZE_THREADS, "a warp takes one row");

}  // namespace deepkern::fp8

extern "C" __global__ void __launch_bounds__(FP8_QUANTIZE_THREADS)
    fp8_quantize_bf16(const __grid_constant__ Fp8QuantizeArgs args) {
    deepkern::fp8::quantize<deepkern::Bf16>(args);
}

extern "C" __global__ void __launch_bounds__(FP8_QUANTIZE_THREADS)
    fp8_quantize_f32(const __grid_constant__ Fp8QuantizeArgs args) {
    deepkern::fp8::quantize<float>(args);
}
