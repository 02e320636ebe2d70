//! A block's shared memory under watch: the history of its bytes, and who may still reach it.

use super::history::History;
use super::order::{Mark, Side};

/// A block's shared memory under watch.
pub struct Watch {
    /// Who touched it.
    pub history: History,
    /// By warp of the cluster: its last access from another block.
    pub remote: Vec<Mark>,
    /// All threads of the block have ended.
    pub ended: bool,
}

impl Watch {
    /// So many bytes that nobody has touched, in a cluster of so many warps.
    pub fn new(bytes: u32, warps: usize) -> Self {
        Self {
            history: History::new(bytes, Side::Shared),
            remote: vec![Mark::default(); warps],
            ended: false,
        }
    }
}
