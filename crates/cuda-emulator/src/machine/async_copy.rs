//! Copies that a thread has started and not yet waited for (`cp.async`).
//!
//! Issue and landing are apart: an issued copy has read its source, and writes
//! its destination when the thread waits for it, the latest moment that PTX
//! allows. Until then the destination is undefined. A copy that is never waited
//! for never lands: nothing tells other threads that it has.

use std::collections::VecDeque;

/// One copy on its way.
pub struct AsyncCopy {
    /// Where it goes: bytes from the start of the block's shared memory.
    pub to: u32,
    /// Bytes: 4, 8 or 16.
    pub size: u32,
    /// What it brings.
    pub data: [u64; 2],
    /// What is defined of that.
    pub shadow: [u64; 2],
}

/// The copies of one thread, oldest first.
#[derive(Default)]
pub struct AsyncCopies {
    /// Those of no group yet.
    open: Vec<AsyncCopy>,
    groups: VecDeque<Vec<AsyncCopy>>,
}

impl AsyncCopies {
    /// A copy is on its way.
    pub fn issue(&mut self, copy: AsyncCopy) {
        self.open.push(copy);
    }

    /// What was issued since the last group is a group, even if it is nothing.
    pub fn commit_group(&mut self) {
        self.groups.push_back(std::mem::take(&mut self.open));
    }

    /// The copies that land when at most the `pending` latest groups may stay on their way.
    pub fn wait_group(&mut self, pending: usize) -> impl Iterator<Item = AsyncCopy> {
        let landing = self.groups.len().saturating_sub(pending);
        self.groups.drain(..landing).flatten()
    }

    /// The copies that land when none may stay on its way, of a group or not.
    pub fn wait_all(&mut self) -> impl Iterator<Item = AsyncCopy> {
        self.groups.drain(..).flatten().chain(self.open.drain(..))
    }
}
