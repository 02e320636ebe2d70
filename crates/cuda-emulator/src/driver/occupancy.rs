//! How many blocks of a kernel a multiprocessor can hold, by the arithmetic of
//! compute capability 9.0.

use std::ffi::{c_int, c_uint};

use super::arguments::{In, Out};
use super::device::{
    BLOCKS_PER_SM, MULTIPROCESSORS, REGISTERS_PER_SM, SHARED_PER_BLOCK_OPTIN, SHARED_PER_SM, SHARED_RESERVED,
    THREADS_PER_SM,
};
use super::function::Function;
use super::launch::{Config, Shape};
use super::state::Handle;
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

const WARP: u32 = 32;
/// Registers are handed to warps in units of this.
const REGISTER_UNIT: u32 = 256;
/// Each multiprocessor has four schedulers, with a quarter of the registers each.
const SCHEDULERS: u32 = 4;
/// Shared memory is handed to blocks in units of this.
const SHARED_UNIT: u32 = 128;
/// Multiprocessors of each GPC, in which a cluster has to fit. Which ones a chip has switched off differs from chip to
/// chip; these hold 15 clusters of eight, as an H100 was seen to (accel-sim's gpu-app-collection, pull request 87).
const GPCS: [u32; 8] = [18, 18, 18, 16, 16, 16, 16, 14];

/// Blocks of `threads` threads that fit on one multiprocessor.
pub fn blocks_per_sm(function: &Function, threads: u32, dynamic_shared: u32) -> u32 {
    if threads == 0 || threads > function.max_threads() {
        return 0;
    }
    let shared = function.kernel.shared_bytes(dynamic_shared);
    if shared > SHARED_PER_BLOCK_OPTIN {
        return 0;
    }
    let warps = threads.div_ceil(WARP);
    let registers_per_warp = (function.registers * WARP).next_multiple_of(REGISTER_UNIT).max(REGISTER_UNIT);
    let warps_by_registers = REGISTERS_PER_SM / SCHEDULERS / registers_per_warp * SCHEDULERS;
    let shared_per_block = (shared + SHARED_RESERVED).next_multiple_of(SHARED_UNIT);
    (THREADS_PER_SM / WARP / warps)
        .min(warps_by_registers / warps)
        .min(SHARED_PER_SM / shared_per_block)
        .min(BLOCKS_PER_SM)
}

/// Blocks that the whole device can hold.
pub fn resident_blocks(function: &Function, shape: &Shape) -> u32 {
    clusters(function, shape) * shape.cluster.iter().product::<u32>()
}

/// The function of a handle, and how many bytes a size is for it.
type BytesForBlock = Option<extern "C" fn(c_int) -> usize>;

/// The block size with the most resident threads, and the grid that fills the device.
fn best_block(function: &Function, dynamic: &dyn Fn(u32) -> u32, limit: u32) -> (u32, u32) {
    let most = if limit == 0 { function.max_threads() } else { function.max_threads().min(limit) };
    let sizes = (1..=most / WARP).map(|warps| warps * WARP).chain((most < WARP).then_some(most));
    let scored = sizes.map(|threads| {
        let blocks = blocks_per_sm(function, threads, dynamic(threads));
        (blocks * threads, threads, blocks)
    });
    // Of equals the largest block.
    scored.max().map_or((0, 0), |(_, threads, blocks)| (blocks * MULTIPROCESSORS, threads))
}

/// Clusters, of a size that was checked, that the device can hold.
fn clusters(function: &Function, shape: &Shape) -> u32 {
    let size: u32 = shape.cluster.iter().product();
    let per_sm = blocks_per_sm(function, shape.threads(), shape.dynamic_shared);
    GPCS.iter().map(|multiprocessors| per_sm * multiprocessors / size.max(1)).sum()
}

fn size(bytes: usize) -> Outcome<u32> {
    u32::try_from(bytes).or_else(|_| refuse(Status::InvalidValue, format!("{bytes} bytes of shared memory")))
}

fn threads(count: c_int) -> Outcome<u32> {
    match u32::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => refuse(Status::InvalidValue, format!("a block of {count} threads")),
    }
}

impl Driver {
    /// The grid and block of highest occupancy for a function whose dynamic
    /// shared memory is given, or depends on the block.
    fn best_block(
        &self,
        function: Handle,
        dynamic_for: BytesForBlock,
        dynamic: usize,
        limit: c_int,
    ) -> Outcome<(u32, u32)> {
        let state = self.lock();
        let function = state.functions.get(state.resolve(function)?)?.clone();
        // The program's own function runs without the lock: it may call the API.
        drop(state);
        let fixed = size(dynamic)?;
        let dynamic = |threads: u32| match dynamic_for {
            Some(bytes) => u32::try_from(bytes(threads as c_int)).unwrap_or(u32::MAX),
            None => fixed,
        };
        Ok(best_block(&function, &dynamic, limit.max(0) as u32))
    }
}

export! {
    |driver| fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: Out<c_int>,
        function: Handle,
        block: c_int,
        dynamic: usize,
    ) {
        let state = driver.lock();
        let function = state.functions.get(state.resolve(function)?)?;
        blocks.set(blocks_per_sm(function, threads(block)?, size(dynamic)?) as c_int)
    }

    |driver| fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: Out<c_int>,
        function: Handle,
        block: c_int,
        dynamic: usize,
        flags: c_uint,
    ) {
        require(flags <= 1, Status::InvalidValue, || format!("unknown flags {flags:#x}"))?;
        let state = driver.lock();
        let function = state.functions.get(state.resolve(function)?)?;
        blocks.set(blocks_per_sm(function, threads(block)?, size(dynamic)?) as c_int)
    }

    |driver| fn cuOccupancyAvailableDynamicSMemPerBlock(
        bytes: Out<usize>,
        function: Handle,
        blocks: c_int,
        block: c_int,
    ) {
        let state = driver.lock();
        let function = state.functions.get(state.resolve(function)?)?;
        let (blocks, block) = (threads(blocks)?, threads(block)?);
        let possible = blocks_per_sm(function, block, 0) >= blocks;
        require(possible, Status::InvalidValue, || format!("{blocks} blocks of {block} threads do not fit"))?;
        let share = SHARED_PER_SM / blocks / SHARED_UNIT * SHARED_UNIT - SHARED_RESERVED;
        let share = share.min(SHARED_PER_BLOCK_OPTIN);
        bytes.set(share.saturating_sub(function.before_dynamic_shared()) as usize)
    }

    |driver| fn cuOccupancyMaxPotentialBlockSize(
        grid: Out<c_int>,
        block: Out<c_int>,
        function: Handle,
        dynamic_for: BytesForBlock,
        dynamic: usize,
        limit: c_int,
    ) {
        let (blocks, threads) = driver.best_block(function, dynamic_for, dynamic, limit)?;
        grid.set(blocks as c_int)?;
        block.set(threads as c_int)
    }

    |driver| fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: Out<c_int>,
        block: Out<c_int>,
        function: Handle,
        dynamic_for: BytesForBlock,
        dynamic: usize,
        limit: c_int,
        flags: c_uint,
    ) {
        require(flags <= 1, Status::InvalidValue, || format!("unknown flags {flags:#x}"))?;
        let (blocks, threads) = driver.best_block(function, dynamic_for, dynamic, limit)?;
        grid.set(blocks as c_int)?;
        block.set(threads as c_int)
    }

    |driver| fn cuOccupancyMaxActiveClusters(count: Out<c_int>, function: Handle, config: In<Config>) {
        let state = driver.lock();
        let function = state.functions.get(state.resolve(function)?)?;
        let shape = config.get()?.shape(&function.kernel)?;
        shape.check_cluster_size(function)?;
        count.set(clusters(function, &shape) as c_int)
    }

    |driver| fn cuOccupancyMaxPotentialClusterSize(blocks: Out<c_int>, function: Handle, config: In<Config>) {
        let state = driver.lock();
        let function = state.functions.get(state.resolve(function)?)?;
        let mut shape = config.get()?.shape(&function.kernel)?;
        let largest = if function.large_clusters { 16 } else { 8 };
        let fits = (1..=largest).rev().find(|&blocks| {
            shape.cluster = [blocks, 1, 1];
            clusters(function, &shape) > 0
        });
        blocks.set(fits.unwrap_or(0) as c_int)
    }
}
