// D[m, n] = A[m, k] B[n, k]^T (+ C) on Hopper's tensor cores, for few rows of A: as in decoding,
// where a token a sequence is multiplied with all the weights, and reading those is what takes time.
//
// So the operands change sides. wgmma multiplies 64 rows with 8 to 256 columns: the weight gives the
// rows, and the tokens, few as they are, the columns. Nothing is padded but tokens to 8, and nearly
// all of shared memory holds weights on their way.
//
// A tile is 128 rows of the weight and all tokens, or some. Where there are fewer tiles than
// multiprocessors, a cluster of blocks shares a tile's k out, and adds the parts up: each block puts
// its part into its shared memory, and sums its share of the tile's tokens over all blocks, in the
// order of their ranks. Who waits for whom, beside the ring of `gemm_hopper.cuh`:
//
//     all consumers of the cluster   wait `taken`, write their parts, arrive at every block's `ready`
//                                    wait `ready`, sum and store, arrive at every block's `taken`
//
// An element is summed over the blocks of k of each part in order, then over the parts in order: its bits
// depend on k and the number of parts alone, and with one part are those of `gemm_hopper.cuh`.

#pragma once

#include "hopper/multiply.cuh"
#include "hopper/ring.cuh"
#include "hopper/store.cuh"
#include "hopper/weight_scales.cuh"

#include <deepkern/abi.h>
#include <deepkern/bf16.cuh>
#include <deepkern/ptx/cluster.cuh>
#include <deepkern/ptx/grid.cuh>
#include <deepkern/ptx/mbarrier.cuh>
#include <deepkern/ptx/tma.cuh>
#include <deepkern/ptx/warpgroup.cuh>
#include <stdint.h>

namespace deepkern::fp8 {

constexpr uint32_t kDecodeWarps = 8;  // of consumers: two warpgroups, each with half of a tile's rows

/// What a block has in shared memory. Tiles that the copy engine swizzles start at multiples of 1024.
template <uint32_t kTokens>
struct DecodeShared {
    // Four more than a tile has rows: threads that write one row of different tokens meet no bank twice.
    static constexpr uint32_t kPitch = FP8_DECODE_TILE_N + 4;
    // The copy engine writes to multiples of 128 bytes.
    static constexpr uint32_t kScales = kTokens < 32 ? 32 : kTokens;
    static constexpr uint32_t kStages = stages_that_fit(
        (FP8_DECODE_TILE_N + kTokens) * FP8_BLOCK + kScales * 4, kTokens * kPitch * 4);

    uint8_t b[kStages][FP8_DECODE_TILE_N * FP8_BLOCK];
    uint8_t a[kStages][kTokens * FP8_BLOCK];
    float a_scale[kStages][kScales];
    float part[kTokens][kPitch];  // of the tile, transposed: this block's share of k
    ptx::Mbarrier full[kStages];
    ptx::Mbarrier empty[kStages];
    ptx::Mbarrier ready, taken;
};

/// The tiles that a cluster takes, and the share of k that this block of it has.
struct Shares {
    struct Tile {
        uint32_t token, row;  // of A, of the weight: its first
    };

    uint32_t split, rank = ptx::cluster_rank();
    uint32_t tokens, groups, rows, begin_k, end_k;

    __device__ Shares(const Fp8HopperGemmArgs &args, uint32_t tokens)
        : split(args.cluster), tokens(tokens) {
        groups = (args.gemm.m + tokens - 1) / tokens;
        rows = (args.gemm.n + FP8_DECODE_TILE_N - 1) / FP8_DECODE_TILE_N;
        const uint32_t blocks_k = blocks_of_k(args.gemm.k), each = (blocks_k + split - 1) / split;
        begin_k = min(rank * each, blocks_k);
        end_k = min(begin_k + each, blocks_k);
    }

    __device__ uint32_t first() const { return blockIdx.x / split; }
    __device__ uint32_t step() const { return gridDim.x / split; }
    __device__ uint32_t count() const { return groups * rows; }
    /// Groups of tokens first: they read the same weights.
    __device__ Tile at(uint32_t index) const {
        return {index % groups * tokens, index / groups * FP8_DECODE_TILE_N};
    }
};

template <uint32_t kTokens>
__device__ void produce(const Fp8HopperGemmArgs &args, const Shares &shares, DecodeShared<kTokens> &shared) {
    using namespace ptx;
    constexpr uint32_t kBytes = (FP8_DECODE_TILE_N + kTokens) * FP8_BLOCK + kTokens * 4;

    Ring<DecodeShared<kTokens>::kStages> ring;
    for (uint32_t index = shares.first(); index < shares.count(); index += shares.step()) {
        const Shares::Tile tile = shares.at(index);
        for (uint32_t block_k = shares.begin_k; block_k < shares.end_k; ++block_k, ring.advance()) {
            const uint32_t s = ring.stage, k = block_k * FP8_BLOCK;
            mbarrier_wait(shared.empty[s], ring.parity ^ 1);
            mbarrier_arrive_expect(shared.full[s], kBytes);
            tma_load(shared.b[s], args.b_map, shared.full[s], k, tile.row);
            tma_load(shared.a[s], args.a_map, shared.full[s], k, tile.token);
            tma_load(shared.a_scale[s], args.a_scale_map, shared.full[s], tile.token, block_k);
        }
    }
}

/// Sums the parts of the tokens that fall to this warp, adds C, and stores them.
template <uint32_t kTokens, class Out>
__device__ void reduce(const Fp8GemmArgs &args, const Shares &shares, const Shares::Tile &tile,
                       const DecodeShared<kTokens> &shared) {
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t tokens = min(args.m - tile.token, kTokens);
    const uint32_t column = tile.row + lane * 4;
    // Token by token to the blocks in turn, then to their warps.
    for (uint32_t t = warp * shares.split + shares.rank; t < tokens; t += kDecodeWarps * shares.split) {
        const float4 *part = reinterpret_cast<const float4 *>(shared.part[t]) + lane;
        float4 sum = ptx::cluster_load(part, 0);
        for (uint32_t rank = 1; rank < shares.split; ++rank) {
            const float4 more = ptx::cluster_load(part, rank);
            sum = {sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w};
        }
        const uint32_t row = tile.token + t, count = column < args.n ? min(args.n - column, 4u) : 0;
        const float x[4] = {sum.x, sum.y, sum.z, sum.w};
        const float *c = args.c == nullptr ? nullptr : args.c + row * args.ldc + column;
        store_four(static_cast<Out *>(args.d) + row * args.ldd + column, c, x, count);
    }
}

template <uint32_t kTokens, class Out>
__device__ void consume(const Fp8HopperGemmArgs &args, const Shares &shares, DecodeShared<kTokens> &shared) {
    using namespace ptx;
    constexpr uint32_t kAccumulators = kTokens / 2;

    const Fragment mine;  // rows of the weight, columns of tokens
    const uint32_t first_row = threadIdx.x / kWarpgroup * 64;

    Ring<DecodeShared<kTokens>::kStages> ring;
    WeightScales<1> b_scales(args.gemm);
    uint32_t turn = 0;
    b_scales.fetch(shares.at(shares.first()).row, shares.begin_k);
    for (uint32_t index = shares.first(); index < shares.count(); index += shares.step(), turn ^= 1) {
        const Shares::Tile tile = shares.at(index);

        float sum[kAccumulators] = {};
        for (uint32_t block_k = shares.begin_k; block_k < shares.end_k; ++block_k, ring.advance()) {
            const uint32_t s = ring.stage;
            float product[kAccumulators];
            mbarrier_wait(shared.full[s], ring.parity);
            multiply<kTokens>(product, shared.b[s] + first_row * FP8_BLOCK, shared.a[s]);
            float2 a_scale[kTokens / 8];
            for (uint32_t j = 0; j < kTokens / 8; ++j) {
                a_scale[j] = *reinterpret_cast<const float2 *>(&shared.a_scale[s][j * 8 + mine.column]);
            }
            float b_scale[1];
            b_scales.at(block_k, b_scale);
            wgmma_wait(product);

            // ---- The stage may be filled again.
            __syncwarp();
            if (mine.lane == 0) mbarrier_arrive(shared.empty[s]);

            // ---- Promotion: scale the product, add it up.
#pragma unroll
            for (uint32_t i = 0; i < kAccumulators; ++i) {
                const float a = i % 2 == 0 ? a_scale[i / 4].x : a_scale[i / 4].y;
                sum[i] = fmaf(product[i], a * b_scale[0], sum[i]);
            }
        }

        const uint32_t next = index + shares.step();
        if (next < shares.count()) b_scales.fetch(shares.at(next).row, shares.begin_k);

        // ---- Add up the parts.
        mbarrier_wait(shared.taken, turn ^ 1);
#pragma unroll
        for (uint32_t i = 0; i < kAccumulators; ++i) {
            const uint32_t token = i / 4 * 8 + mine.column + i % 2;
            shared.part[token][first_row + mine.row + i / 2 % 2 * 8] = sum[i];
        }
        __syncwarp();
        if (mine.lane < shares.split) mbarrier_arrive_release(shared.ready, mine.lane);
        mbarrier_wait_acquire(shared.ready, turn);
        reduce<kTokens, Out>(args.gemm, shares, tile, shared);
        __syncwarp();
        if (mine.lane < shares.split) mbarrier_arrive_at(shared.taken, mine.lane);
    }
    // A block's shared memory is there until the others have read its last part.
    mbarrier_wait(shared.taken, turn ^ 1);
}

template <uint32_t kTokens, class Out>
__device__ void gemm_decode(const Fp8HopperGemmArgs &args) {
    using namespace ptx;
    using Shared = DecodeShared<kTokens>;
    static_assert(sizeof(Shared) <= FP8_HOPPER_SHARED, "a stage too many");
    static_assert(FP8_DECODE_THREADS == (kDecodeWarps + 1) * 32, "consumers and a producer");

    extern __shared__ __align__(1024) uint8_t memory[];
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    const Shares shares(args, kTokens);

    if (threadIdx.x == 0) {
        for (uint32_t s = 0; s < Shared::kStages; ++s) {
            mbarrier_init(shared.full[s], 1);
            mbarrier_init(shared.empty[s], kDecodeWarps);
        }
        mbarrier_init(shared.ready, kDecodeWarps * shares.split);
        mbarrier_init(shared.taken, kDecodeWarps * shares.split);
        mbarrier_fence_init();
        tma_prefetch(args.a_map);
        tma_prefetch(args.b_map);
        tma_prefetch(args.a_scale_map);
    }
    cluster_start();
    grid_wait();

    if (threadIdx.x < kDecodeWarps * 32) {
        consume<kTokens, Out>(args, shares, shared);
    } else if (threadIdx.x == kDecodeWarps * 32) {
        produce<kTokens>(args, shares, shared);
        grid_release();
    }
}

}  // namespace deepkern::fp8

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define DEEPKERN_GEMM_DECODE(M, NAME, TYPE)                                                   \
    extern "C" __global__ void __launch_bounds__(FP8_DECODE_THREADS, 1)                       \
        fp8_gemm_decode_m##M##_##NAME(const __grid_constant__ Fp8HopperGemmArgs args) {       \
        deepkern::fp8::gemm_decode<M, TYPE>(args);                                            \
    }

DEEPKERN_GEMM_DECODE(8, bf16, deepkern::Bf16)
DEEPKERN_GEMM_DECODE(8, f32, float)
DEEPKERN_GEMM_DECODE(16, bf16, deepkern::Bf16)
DEEPKERN_GEMM_DECODE(16, f32, float)
DEEPKERN_GEMM_DECODE(32, bf16, deepkern::Bf16)
DEEPKERN_GEMM_DECODE(32, f32, float)
DEEPKERN_GEMM_DECODE(64, bf16, deepkern::Bf16)
DEEPKERN_GEMM_DECODE(64, f32, float)

#undef DEEPKERN_GEMM_DECODE
#endif
