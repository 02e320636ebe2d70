//! What a profiler would show of a launch: exact and repeatable.

use serde::{Deserialize, Serialize};

use crate::code::Kind;

/// A launch that ended well, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLaunch {
    /// The kernel's name.
    pub kernel: String,
    /// What it did.
    pub counters: Counters,
}

/// Counts of one launch, summed over all blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Warp instructions by [`Kind`].
    pub instructions: Vec<u64>,
    /// Bytes that loads asked of global memory, summed over lanes.
    pub global_read_bytes: u64,
    /// Bytes that stores and atomics wrote to global memory, summed over lanes.
    pub global_written_bytes: u64,
    /// Products that tensor cores made and added.
    pub tensor_multiply_adds: u64,
    /// Blocks executed.
    pub blocks: u64,
}

impl Counters {
    /// All zero.
    pub fn new() -> Self {
        Self { instructions: vec![0; Kind::COUNT], ..Self::default() }
    }

    /// Warp instructions of all kinds.
    pub fn total(&self) -> u64 {
        self.instructions.iter().sum()
    }

    /// Adds another block's counts.
    pub fn add(&mut self, other: &Counters) {
        self.instructions.resize(Kind::COUNT, 0);
        for (sum, n) in self.instructions.iter_mut().zip(&other.instructions) {
            *sum += n;
        }
        self.global_read_bytes += other.global_read_bytes;
        self.global_written_bytes += other.global_written_bytes;
        self.tensor_multiply_adds += other.tensor_multiply_adds;
        self.blocks += other.blocks;
    }
}
