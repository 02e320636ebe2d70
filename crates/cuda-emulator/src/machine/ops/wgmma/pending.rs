//! `wgmma` operations of a warp that have been issued and not waited for.

use std::collections::VecDeque;

use crate::machine::ops::tensor::Halves;

/// An operation in flight. Its registers are those that its instruction names.
#[derive(Debug, Clone, Copy)]
pub struct Multiply {
    /// Its instruction.
    pub pc: u32,
    /// Nesting of calls where it was issued.
    pub depth: u32,
    /// A's descriptor, unless A is in registers.
    pub a: u64,
    /// B's descriptor.
    pub b: u64,
    /// D keeps what it holds (`scale-d`).
    pub accumulate: bool,
    /// Groups that had been committed when it was issued.
    group: u64,
}

impl Multiply {
    /// An operation about to be issued.
    pub fn new(pc: u32, depth: u32, a: u64, b: u64, accumulate: bool) -> Self {
        Self { pc, depth, a, b, accumulate, group: 0 }
    }
}

/// A register that operations in flight will write. Until the last of them has
/// landed it is undefined; what it would be without them is kept here.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    operations: u32,
    undefined: Halves,
}

/// What is in flight, in the order of issue.
#[derive(Debug, Default)]
pub struct Pending {
    operations: VecDeque<Multiply>,
    committed: u64,
    /// Groups of which something has landed, and those before them.
    landed: u64,
    /// By row.
    held: Vec<Held>,
}

impl Pending {
    /// Takes an operation in.
    pub fn issue(&mut self, multiply: Multiply) {
        self.operations.push_back(Multiply { group: self.committed, ..multiply });
    }

    /// An operation that is being issued will write a row. If it is the first one in
    /// flight that does, `undefined` says how undefined the row is.
    pub fn hold(&mut self, row: usize, undefined: impl FnOnce() -> Halves) {
        if self.held.len() <= row {
            self.held.resize(row + 1, Held::default());
        }
        let held = &mut self.held[row];
        if held.operations == 0 {
            held.undefined = undefined();
        }
        held.operations += 1;
    }

    /// How undefined a row is, operations that have not landed left aside.
    pub fn held(&self, row: usize) -> Halves {
        self.held[row].undefined
    }

    /// An operation that wrote a row has landed and left it as said. Was it the last one?
    pub fn release(&mut self, row: usize, undefined: Halves) -> bool {
        let held = &mut self.held[row];
        held.undefined = undefined;
        held.operations -= 1;
        held.operations == 0
    }

    /// What was issued since the last time becomes a group.
    pub fn commit(&mut self) {
        self.committed += 1;
    }

    /// The next operation that has to land so that at most the `allowed` last groups are in flight.
    pub fn due(&mut self, allowed: u64) -> Option<Multiply> {
        let group = self.operations.front()?.group;
        if group + allowed >= self.committed {
            return None;
        }
        self.landed = group + 1;
        self.operations.pop_front()
    }

    /// How many groups have landed, up to the last with an operation.
    pub fn landed(&self) -> u64 {
        self.landed
    }

    /// The function at this depth, whose registers begin with a row, returns or
    /// ends. What it has not waited for is lost without a word: nobody can read the
    /// accumulators any more. (A finding about that belongs here.)
    pub fn abandon(&mut self, depth: u32, first_row: usize) {
        if !self.operations.is_empty() {
            self.operations.retain(|multiply| multiply.depth < depth);
            self.held.truncate(first_row);
        }
    }
}
