// D[m, n] = A[m, k] B[n, k]^T (+ C) on Hopper's tensor cores.
//
// A block takes tile after tile of D. One thread of the producer warpgroup has the copy
// engine bring tiles of A and B, 128 of k at a time, through a ring of stages; two warpgroups
// of consumers multiply them, each its half of the rows:
//
//     producer   waits `empty[s]`, expects the bytes on `full[s]`, issues the copies
//     engine     completes the bytes on `full[s]`
//     consumers  wait `full[s]`, multiply, wait for the product, arrive at `empty[s]`
//
// The ring runs on from tile to tile: while the consumers store one, the next is on its way.
//
// The tensor cores keep about 13 fraction bits of a sum. So after every 128 of k, where the
// scales change anyway, the product is scaled and added to sums in f32 (promotion).
//
// An element's sum runs over k in one fixed order: its bits depend neither on m, nor on the
// tile's width, nor on the schedule.

#pragma once

#include <deepkern/abi.h>
#include <deepkern/bf16.cuh>
#include <deepkern/ptx/mbarrier.cuh>
#include <deepkern/ptx/tma.cuh>
#include <deepkern/ptx/warpgroup.cuh>
#include <deepkern/ptx/wgmma.cuh>
#include <stdint.h>

namespace deepkern::fp8 {

/// What a block has in shared memory.
template <uint32_t kTileN, uint32_t kStages>
struct HopperShared {
    uint8_t a[kStages][FP8_HOPPER_TILE_M * FP8_BLOCK];
    uint8_t b[kStages][kTileN * FP8_BLOCK];
    float a_scale[kStages][FP8_HOPPER_TILE_M];
    ptx::Mbarrier full[kStages];
    ptx::Mbarrier empty[kStages];
};

/// A place in the ring of stages, and the parity of the round that it is in.
template <uint32_t kStages>
struct Ring {
    uint32_t stage = 0, parity = 0;

    __device__ void advance() {
        stage = stage + 1 == kStages ? 0 : stage + 1;
        parity ^= stage == 0;
    }
};

/// The tiles of D in the order in which they are taken: bands of eight rows of tiles, so that
/// the blocks that run at a time share tiles of both A and B in the L2 cache.
struct Tiles {
    uint32_t rows, columns;

    struct Tile {
        uint32_t row, column;
    };

    __device__ uint32_t count() const { return rows * columns; }

    __device__ Tile at(uint32_t index) const {
        constexpr uint32_t kBand = 8;
        const uint32_t band = index / (kBand * columns), within = index % (kBand * columns);
        const uint32_t height = min(rows - band * kBand, kBand);
        return {band * kBand + within % height, within / height};
    }
};

template <uint32_t kTileN, uint32_t kStages>
__device__ void produce(const Fp8HopperGemmArgs &args, const Tiles &tiles,
                        HopperShared<kTileN, kStages> &shared) {
    using namespace ptx;
    constexpr uint32_t kBytes =
        sizeof(shared.a[0]) + sizeof(shared.b[0]) + sizeof(shared.a_scale[0]);

    const uint32_t blocks_k = (args.gemm.k + FP8_BLOCK - 1) / FP8_BLOCK;
    Ring<kStages> ring;
    for (uint32_t index = blockIdx.x; index < tiles.count(); index += gridDim.x) {
        const Tiles::Tile tile = tiles.at(index);
        for (uint32_t block_k = 0; block_k < blocks_k; ++block_k, ring.advance()) {
            const uint32_t s = ring.stage;
            mbarrier_wait(shared.empty[s], ring.parity ^ 1);
            mbarrier_arrive_expect(shared.full[s], kBytes);
            const uint32_t row = tile.row * FP8_HOPPER_TILE_M, k = block_k * FP8_BLOCK;
            tma_load(shared.a[s], args.a_map, shared.full[s], k, row);
            tma_load(shared.b[s], args.b_map, shared.full[s], k, tile.column * kTileN);
            tma_load(shared.a_scale[s], args.a_scale_map, shared.full[s], row, block_k);
        }
    }
}

/// Two neighbouring elements of a row of D.
template <class Out>
__device__ void store_pair(Out *d, float first, float second, uint32_t count, bool as_pair) {
    struct alignas(2 * sizeof(Out)) Pair {
        Out at[2];
    };
    if (as_pair && count >= 2) {
        *reinterpret_cast<Pair *>(d) = {from_float<Out>(first), from_float<Out>(second)};
    } else {
        if (count >= 1) d[0] = from_float<Out>(first);
        if (count >= 2) d[1] = from_float<Out>(second);
    }
}

/// Adds C, if there is one, and stores one thread's part of a tile of D: two rows, eight apart.
template <uint32_t kTileN, class Out>
__device__ void store_tile(const Fp8GemmArgs &args, uint32_t first_row, uint32_t first_column,
                           const float (&sum)[kTileN / 2]) {
    Out *d = static_cast<Out *>(args.d);
    const bool pairs = reinterpret_cast<uintptr_t>(d) % (2 * sizeof(Out)) == 0 && args.ldd % 2 == 0;
    for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t row = first_row + half * 8;
        if (row >= args.m) break;
        for (uint32_t j = 0; j < kTileN / 8; ++j) {
            const uint32_t column = first_column + j * 8;
            const uint32_t count = column < args.n ? min(args.n - column, 2u) : 0;
            float first = sum[j * 4 + half * 2], second = sum[j * 4 + half * 2 + 1];
            if (args.c != nullptr) {
                const float *c = args.c + row * args.ldc + column;
                if (count >= 1) first += c[0];
                if (count >= 2) second += c[1];
            }
            store_pair(d + row * args.ldd + column, first, second, count, pairs);
        }
    }
}

template <uint32_t kTileN, uint32_t kStages, class Out>
__device__ void consume(const Fp8HopperGemmArgs &args, const Tiles &tiles,
                        HopperShared<kTileN, kStages> &shared, uint32_t warpgroup) {
    using namespace ptx;
    static_assert(FP8_BLOCK % kTileN == 0, "one scale of B serves the whole tile");
    constexpr uint32_t kRows = 64;       // of a warpgroup's part of the tile
    constexpr uint32_t kStepK = 32;      // of one wgmma
    constexpr uint32_t kAccumulators = kTileN / 2;

    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x % kWarpgroup / 32;
    const uint32_t row = warpgroup * kRows + warp * 16 + lane / 4;  // in the tile; and the one 8 below
    const uint32_t blocks_k = (args.gemm.k + FP8_BLOCK - 1) / FP8_BLOCK;

    Ring<kStages> ring;
    for (uint32_t index = blockIdx.x; index < tiles.count(); index += gridDim.x) {
        const Tiles::Tile tile = tiles.at(index);
        const uint32_t first_column = tile.column * kTileN;
        const float *b_scales = args.gemm.b_scale + first_column / FP8_BLOCK * args.gemm.ldb_scale;

        float sum[kAccumulators] = {};
        for (uint32_t block_k = 0; block_k < blocks_k; ++block_k, ring.advance()) {
            const uint32_t s = ring.stage;
            const float b_scale = b_scales[block_k];

            // ---- Multiply 128 of k.
            float product[kAccumulators];
            mbarrier_wait(shared.full[s], ring.parity);
            wgmma_fence();
            const uint64_t a = wgmma_tile(shared.a[s] + warpgroup * kRows * FP8_BLOCK);
            const uint64_t b = wgmma_tile(shared.b[s]);
#pragma unroll
            for (uint32_t step = 0; step < FP8_BLOCK / kStepK; ++step) {
                const uint32_t offset = step * kStepK / 16;
                wgmma_e4m3<kTileN>(product, a + offset, b + offset, step > 0);
            }
            wgmma_commit();
            const float a_scale[2] = {shared.a_scale[s][row], shared.a_scale[s][row + 8]};
            wgmma_wait(product);

            // ---- The stage may be filled again.
            __syncwarp();
            if (lane == 0) mbarrier_arrive(shared.empty[s]);

            // ---- Promotion: scale the product, add it up.
            const float scale[2] = {a_scale[0] * b_scale, a_scale[1] * b_scale};
#pragma unroll
            for (uint32_t i = 0; i < kAccumulators; ++i) {
                sum[i] = fmaf(product[i], scale[i / 2 % 2], sum[i]);
            }
        }
        store_tile<kTileN, Out>(args.gemm, tile.row * FP8_HOPPER_TILE_M + row, first_column + lane % 4 * 2,
                                sum);
    }
}

template <uint32_t kTileN, uint32_t kStages, uint32_t kSharedBytes, class Out>
__device__ void gemm_hopper(const Fp8HopperGemmArgs &args) {
    using namespace ptx;
    using Shared = HopperShared<kTileN, kStages>;
    static_assert(sizeof(Shared) + FP8_HOPPER_ATOM <= kSharedBytes, "abi.h counts too few bytes");
    constexpr uint32_t kConsumers = 2;
    constexpr uint32_t kWarps = kConsumers * kWarpgroup / 32;
    static_assert(FP8_HOPPER_THREADS == (kConsumers + 1) * kWarpgroup, "consumers and a producer");

    // Tiles with a swizzle start at a multiple of its atom.
    extern __shared__ uint8_t memory[];
    const uint32_t start = shared_address(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory + (FP8_HOPPER_ATOM - start % FP8_HOPPER_ATOM) % FP8_HOPPER_ATOM);

    if (threadIdx.x == 0) {
        for (uint32_t s = 0; s < kStages; ++s) {
            mbarrier_init(shared.full[s], 1);
            mbarrier_init(shared.empty[s], kWarps);
        }
        mbarrier_fence_init();
        tma_prefetch(args.a_map);
        tma_prefetch(args.b_map);
        tma_prefetch(args.a_scale_map);
    }
    __syncthreads();

    const Tiles tiles = {(args.gemm.m + FP8_HOPPER_TILE_M - 1) / FP8_HOPPER_TILE_M,
                         (args.gemm.n + kTileN - 1) / kTileN};
    const uint32_t warpgroup = threadIdx.x / kWarpgroup;
    if (warpgroup == kConsumers) {
        registers_give<40>();
        if (threadIdx.x == kConsumers * kWarpgroup) produce(args, tiles, shared);
    } else {
        registers_take<232>();
        consume<kTileN, kStages, Out>(args, tiles, shared, warpgroup);
    }
}

}  // namespace deepkern::fp8

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define DEEPKERN_GEMM_HOPPER(N, NAME, TYPE)                                                     \
    extern "C" __global__ void __launch_bounds__(FP8_HOPPER_THREADS, 1)                         \
        fp8_gemm_hopper_n##N##_##NAME(const __grid_constant__ Fp8HopperGemmArgs args) {         \
        deepkern::fp8::gemm_hopper<N, FP8_HOPPER_STAGES_N##N, FP8_HOPPER_SHARED_N##N, TYPE>(args); \
    }

DEEPKERN_GEMM_HOPPER(16, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(16, f32, float)
DEEPKERN_GEMM_HOPPER(32, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(32, f32, float)
DEEPKERN_GEMM_HOPPER(64, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(64, f32, float)
DEEPKERN_GEMM_HOPPER(128, bf16, deepkern::Bf16)
DEEPKERN_GEMM_HOPPER(128, f32, float)

#undef DEEPKERN_GEMM_HOPPER
#endif
