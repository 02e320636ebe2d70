// D[m, n] = A[m, k] B[n, k]^T (+ C) on Hopper's tensor cores, for many rows of A.
//
// A block takes tile after tile of D. One thread of the producer warpgroup has the copy
// engine bring tiles of A and B, 128 of k at a time, through a ring of stages; two warpgroups
// of consumers multiply them, each its half of the rows:
//
//     producer   waits `empty[s]`, expects the bytes on `full[s]`, issues the copies
//     engine     completes the bytes on `full[s]`
//     consumers  wait `full[s]`, multiply, wait for the product, arrive at `empty[s]`
//
// The ring runs on from tile to tile: while the consumers store one, the next is on its way,
// and while they multiply the next, the copy engine writes the last.
//
// Two blocks may be a cluster. Their tiles lie one above the other and have the same B: each
// brings half of it, to both. So a stage is empty when the consumers of both have left it.
//
// The tensor cores keep about 13 fraction bits of a sum. So after every 128 of k, where the
// scales change anyway, the product is scaled and added to sums in f32 (promotion).
//
// An element's sum runs over k in one fixed order: its bits depend neither on m, nor on the
// tile's width, nor on the schedule.

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

constexpr uint32_t kConsumers = 2;  // warpgroups, each with half of a tile's rows

/// What a block has in shared memory. Tiles that the copy engine swizzles start at multiples of 1024.
template <uint32_t kTileN>
struct HopperShared {
    static constexpr uint32_t kStageBytes = (FP8_HOPPER_TILE_M + kTileN) * FP8_BLOCK + FP8_HOPPER_TILE_M * 4;
    static constexpr uint32_t kStages = stages_that_fit(kStageBytes, kConsumers * sizeof(StoreBuffers));

    uint8_t a[kStages][FP8_HOPPER_TILE_M * FP8_BLOCK];
    uint8_t b[kStages][kTileN * FP8_BLOCK];
    StoreBuffers store[kConsumers];
    float a_scale[kStages][FP8_HOPPER_TILE_M];
    ptx::Mbarrier full[kStages];
    ptx::Mbarrier empty[kStages];
};

/// The tiles of D that a block takes, in order: bands of eight rows of tiles, so that the blocks
/// that run at a time share tiles of both A and B in the L2 cache. A cluster takes as many rows of
/// tiles at a time as it has blocks. (Nothing is kept that the arguments say: registers are scarce.)
template <uint32_t kTileN>
struct Tiles {
    struct Tile {
        uint32_t row, column;  // of its first element
    };

    const Fp8HopperGemmArgs &args;

    __device__ uint32_t rows() const {
        return (args.gemm.m + args.cluster * FP8_HOPPER_TILE_M - 1) / (args.cluster * FP8_HOPPER_TILE_M);
    }
    __device__ uint32_t columns() const { return (args.gemm.n + kTileN - 1) / kTileN; }
    __device__ uint32_t count() const { return rows() * columns(); }
    __device__ uint32_t first() const { return blockIdx.x / args.cluster; }
    __device__ uint32_t step() const { return gridDim.x / args.cluster; }

    __device__ Tile at(uint32_t index) const {
        constexpr uint32_t kBand = 8;
        const uint32_t band = index / (kBand * columns()), within = index % (kBand * columns());
        const uint32_t height = min(rows() - band * kBand, kBand);
        const uint32_t row = (band * kBand + within % height) * args.cluster + ptx::cluster_rank();
        return {row * FP8_HOPPER_TILE_M, within / height * kTileN};
    }
};

template <uint32_t kTileN>
__device__ void produce(const Fp8HopperGemmArgs &args, const Tiles<kTileN> &tiles, HopperShared<kTileN> &shared) {
    using namespace ptx;
    constexpr uint32_t kBytes = HopperShared<kTileN>::kStageBytes;
    constexpr uint32_t kHalf = kTileN / 2;

    const uint32_t blocks_k = blocks_of_k(args.gemm.k);
    Ring<HopperShared<kTileN>::kStages> ring;
    for (uint32_t index = tiles.first(); index < tiles.count(); index += tiles.step()) {
        const auto tile = tiles.at(index);
        for (uint32_t block_k = 0; block_k < blocks_k; ++block_k, ring.advance()) {
            const uint32_t s = ring.stage, k = block_k * FP8_BLOCK;
            mbarrier_wait(shared.empty[s], ring.parity ^ 1);
            mbarrier_arrive_expect(shared.full[s], kBytes);
            tma_load(shared.a[s], args.a_map, shared.full[s], k, tile.row);
            tma_load(shared.a_scale[s], args.a_scale_map, shared.full[s], tile.row, block_k);
            if (args.cluster == 1) {
                tma_load(shared.b[s], args.b_map, shared.full[s], k, tile.column);
            } else {
                const uint32_t half = cluster_rank() * kHalf;
                tma_load_multicast(shared.b[s] + half * FP8_BLOCK, args.b_map, shared.full[s], k,
                                   tile.column + half, 0b11);
            }
        }
    }
}

template <uint32_t kTileN, class Out>
__device__ void consume(const Fp8HopperGemmArgs &args, const Tiles<kTileN> &tiles, HopperShared<kTileN> &shared,
                        uint32_t warpgroup) {
    using namespace ptx;
    // A tile lies in one row of B's blocks, or begins in one and ends in the next.
    constexpr uint32_t kScales = FP8_BLOCK % kTileN == 0 ? 1 : 2;
    // So many columns at least are of the first: tiles begin at multiples of kTileN, and blocks of 128.
    constexpr uint32_t kFactor = kTileN & (0 - kTileN), kLeast = kFactor < FP8_BLOCK ? kFactor : FP8_BLOCK;
    // Registers hold the sums of all of a tile's columns, and products of 192 at most.
    constexpr uint32_t kParts = kTileN > 192 ? 2 : 1;
    constexpr uint32_t kColumns = kTileN / kParts;

    const Fragment mine;
    const uint32_t first_row = warpgroup * kStoreRows;  // in the tile
    const uint32_t blocks_k = blocks_of_k(args.gemm.k);

    Ring<HopperShared<kTileN>::kStages> ring;
    WeightScales<kScales> b_scales(args.gemm);
    uint32_t turn = 0;
    b_scales.fetch(tiles.at(tiles.first()).column, 0);
    for (uint32_t index = tiles.first(); index < tiles.count(); index += tiles.step()) {
        const auto tile = tiles.at(index);
        const uint32_t boundary = FP8_BLOCK - tile.column % FP8_BLOCK;  // the column where the second scale begins

        float sum[kTileN / 2] = {};
        for (uint32_t block_k = 0; block_k < blocks_k; ++block_k, ring.advance()) {
            const uint32_t s = ring.stage;
            mbarrier_wait(shared.full[s], ring.parity);
            float a_scale[2], b_scale[kScales];
#pragma unroll
            for (uint32_t part = 0; part < kParts; ++part) {
                const uint32_t first = part * kColumns;
                float product[kColumns / 2];
                multiply<kColumns>(product, shared.a[s] + first_row * FP8_BLOCK, shared.b[s] + first * FP8_BLOCK);
                if (part == 0) {
                    for (uint32_t half = 0; half < 2; ++half) {
                        a_scale[half] = shared.a_scale[s][first_row + mine.row + half * 8];
                    }
                    b_scales.at(block_k, b_scale);
                }
                wgmma_wait(product);

                // ---- The stage may be filled again.
                if (part + 1 == kParts) {
                    __syncwarp();
                    if (mine.lane < args.cluster) mbarrier_arrive_at(shared.empty[s], mine.lane);
                }

                // ---- Promotion: scale the product, add it up.
#pragma unroll
                for (uint32_t i = 0; i < kColumns / 2; ++i) {
                    const uint32_t half = i / 2 % 2, column = first + i / 4 * 8;
                    const bool is_first = column < kLeast || (column < FP8_BLOCK && column < boundary);
                    const float b = is_first ? b_scale[0] : b_scale[kScales - 1];
                    sum[first / 2 + i] = fmaf(product[i], a_scale[half] * b, sum[first / 2 + i]);
                }
            }
        }

        const uint32_t next = index + tiles.step();
        if (next < tiles.count()) b_scales.fetch(tiles.at(next).column, 0);
        const uint32_t row = tile.row + first_row;
        if (args.store_by_copies) {
            store_by_copies<kTileN, Out>(args, shared.store[warpgroup], turn, 1 + warpgroup, row, tile.column,
                                         sum);
        } else {
            store_plainly<Out>(args.gemm, row, tile.column, sum);
        }
    }
    tma_wait_read<0>();
}

template <uint32_t kTileN, class Out>
__device__ void gemm_hopper(const Fp8HopperGemmArgs &args) {
    using namespace ptx;
    using Shared = HopperShared<kTileN>;
    constexpr uint32_t kWarps = kConsumers * kWarpgroup / 32;
    static_assert(sizeof(Shared) <= FP8_HOPPER_SHARED, "a stage too many");
    static_assert(kTileN % 16 == 0, "half of B's tile is whole atoms of its swizzle, of eight rows");
    static_assert(FP8_HOPPER_THREADS == (kConsumers + 1) * kWarpgroup, "consumers and a producer");

    extern __shared__ __align__(1024) uint8_t memory[];
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    const Tiles<kTileN> tiles{args};

    if (threadIdx.x == 0) {
        for (uint32_t s = 0; s < Shared::kStages; ++s) {
            mbarrier_init(shared.full[s], 1);
            mbarrier_init(shared.empty[s], kWarps * args.cluster);
        }
        mbarrier_fence_init();
        tma_prefetch(args.a_map);
        tma_prefetch(args.b_map);
        tma_prefetch(args.a_scale_map);
        if (args.store_by_copies) tma_prefetch(args.d_map);
    }
    cluster_start();
    grid_wait();

    const uint32_t warpgroup = threadIdx.x / kWarpgroup;
    if (warpgroup == kConsumers) {
        registers_give<40>();
        if (threadIdx.x == kConsumers * kWarpgroup) {
            produce<kTileN>(args, tiles, shared);
            grid_release();
        }
        __syncwarp();
    } else {
        registers_take<232>();
        consume<kTileN, Out>(args, tiles, shared, warpgroup);
    }
    // A block's shared memory is there until the other one has arrived at its barriers for the last time.
    if (args.cluster > 1) cluster_sync();
}

}  // namespace deepkern::fp8

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define DEEPKERN_GEMM_HOPPER(N, NAME, TYPE)                                                   \
    extern "C" __global__ void __launch_bounds__(FP8_HOPPER_THREADS, 1)                       \
        fp8_gemm_hopper_n##N##_##NAME(const __grid_constant__ Fp8HopperGemmArgs args) {       \
        deepkern::fp8::gemm_hopper<N, TYPE>(args);                                            \
    }

DEEPKERN_GEMM_HOPPER(16, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(16, f32, float)
DEEPKERN_GEMM_HOPPER(32, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(32, f32, float)
DEEPKERN_GEMM_HOPPER(64, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(64, f32, float)
DEEPKERN_GEMM_HOPPER(96, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(96, f32, float)
DEEPKERN_GEMM_HOPPER(112, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(112, f32, float)
DEEPKERN_GEMM_HOPPER(128, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(128, f32, float)
DEEPKERN_GEMM_HOPPER(160, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(160, f32, float)
DEEPKERN_GEMM_HOPPER(192, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(192, f32, float)
DEEPKERN_GEMM_HOPPER(256, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(256, f32, float)

#undef DEEPKERN_GEMM_HOPPER
#endif
