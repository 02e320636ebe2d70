//! Execution: a grid of blocks on the host's cores, a block's warps in turn,
//! a warp's 32 lanes as one vector.
//!
//! - `grid`: which block runs next, on which core; fairness; livelock
//! - `block`: a block's warps, shared memory and barriers; deadlock
//! - `warp`: threads that stand at the same place run together (divergence)
//! - `registers`, `lanes`: rows of 32 lanes and functions over them
//! - `access`: an address becomes bytes, or a verdict
//! - `async_copy`: copies that are issued and land later
//! - `stack`: what threads allocate as they run
//! - `ops`: the instructions, one file per family

mod access;
mod async_copy;
mod block;
mod cpu;
mod grid;
pub(crate) mod lanes;
pub mod ops;
pub(crate) mod registers;
mod shared;
mod stack;
mod warp;

/// Streaming multiprocessors of an emulated device (an H100 SXM or H200 has as many).
pub const MULTIPROCESSORS: u32 = 132;

pub use cpu::{Cpu, Flow};
pub use grid::{Launch, run};
