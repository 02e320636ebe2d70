//! What is left of an operation of a stream once it has run: who its clusters were, by their numbers.

use std::ops::Range;
use std::sync::Arc;

use super::cpu::place;
use super::order::Mark;
use crate::code::Kernel;
use crate::verdict::Place;

/// A range of global memory that a copy or fill touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub address: u64,
    /// How many.
    pub len: u64,
    /// Does it write them?
    pub writes: bool,
}

/// How a launch is divided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Blocks of a cluster.
    pub cluster: [u32; 3],
}

impl Extent {
    /// How many clusters there are in each direction. The grid is whole clusters.
    pub fn clusters(&self) -> [u32; 3] {
        [0, 1, 2].map(|axis| self.grid[axis] / self.cluster[axis].max(1))
    }

    /// Warps of a block.
    pub fn warps(&self) -> usize {
        self.block.iter().product::<u32>().div_ceil(32) as usize
    }

    /// The index of the first block of the cluster of some number.
    pub fn first_block(&self, number: u64) -> [u32; 3] {
        let place = index_in(self.clusters(), number);
        [0, 1, 2].map(|axis| place[axis] * self.cluster[axis])
    }

    /// The index of the block of some rank in the cluster of some number.
    pub fn block_of(&self, number: u64, rank: u32) -> [u32; 3] {
        let (first, within) = (self.first_block(number), index_in(self.cluster, rank.into()));
        [0, 1, 2].map(|axis| first[axis] + within[axis])
    }
}

/// The nth place of a box, x running first.
pub fn index_in([x, y, _]: [u32; 3], nth: u64) -> [u32; 3] {
    let (x, y) = (u64::from(x).max(1), u64::from(y).max(1));
    [(nth % x) as u32, (nth / x % y) as u32, (nth / x / y) as u32]
}

/// An operation of a stream that has touched memory.
#[derive(Clone, Default)]
pub struct Footprint {
    /// The numbers of its clusters.
    pub clusters: Range<u32>,
    /// What it was, if no kernel.
    pub name: String,
    /// What ran.
    pub kernel: Option<Arc<Kernel>>,
    /// How it was divided.
    pub extent: Extent,
}

impl Footprint {
    /// Where one of its warps did something.
    pub fn place(&self, mark: Mark) -> Place {
        let Some(kernel) = &self.kernel else {
            return Place { kernel: self.name.clone(), ..Place::default() };
        };
        let (number, warps) = (mark.cluster - self.clusters.start, self.extent.warps().max(1));
        let (rank, warp) = (usize::from(mark.warp) / warps, usize::from(mark.warp) % warps);
        let block = self.extent.block_of(number.into(), rank as u32);
        place(kernel, mark.pc, block, warp as u32, u32::MAX)
    }
}
