//! Execution: a grid of blocks on the host's cores, a block's warps in turn,
//! a warp's 32 lanes as one vector.
//!
//! - `grid`: which cluster runs next, on which core; fairness; livelock
//! - `cluster`: the blocks of a cluster, and what they share; deadlock
//! - `block`: a block's warps and barriers
//! - `warp`: threads that stand at the same place run together (divergence)
//! - `registers`, `lanes`: rows of 32 lanes and functions over them
//! - `mbarrier`: arrivals and transaction bytes
//! - `transfer`: asynchronous copies, from issue to landing
//! - `order`: what comes before what; `flags`: order that is handed on through values
//! - `history`, `past`: who touched memory last; `watch`: shared memory; `ledger`: global memory
//! - `footprint`: what is left of launches that have run
//! - `judge`: the two together: accesses that meet; `witness`: random programs, by which they are held to a plain graph
//! - `access`: an address becomes bytes, or a verdict
//! - `tensor_map`: a box of a tensor becomes runs of bytes
//! - `matrix`: where the elements of matrices lie
//! - `async_copy`: copies that are issued and land later
//! - `stack`: what threads allocate as they run
//! - `tally`, `pattern`: what is counted, and what an access costs
//! - `ops`: the instructions, one file per family

mod access;
mod async_copy;
mod block;
mod cluster;
mod cpu;
mod ending;
mod flags;
mod footprint;
mod grid;
mod history;
mod judge;
pub(crate) mod lanes;
mod ledger;
pub(crate) mod matrix;
mod mbarrier;
pub mod ops;
mod order;
mod past;
mod pattern;
pub(crate) mod registers;
mod shared;
mod stack;
mod tally;
pub mod tensor_map;
mod transfer;
mod warp;
mod watch;
#[cfg(test)]
mod witness;

/// Streaming multiprocessors of an emulated device (an H100 SXM or H200 has as many).
pub const MULTIPROCESSORS: u32 = 132;

pub use cpu::{Cpu, Flow, Wait};
pub use footprint::{Extent, Footprint, Span};
pub use grid::{Launch, run};
pub use ledger::Ledger;
pub use order::Earlier;
