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

/// A register that operations use, or may. While some will write it, it is undefined until the
/// last of them has landed; what it would be without them is kept here.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// Operations in flight that write it.
    operations: u32,
    /// Operations in flight that read it, as a part of A.
    readers: u32,
    /// The instruction of the last operation that uses it.
    user: u32,
    undefined: Halves,
    /// Fences, one more, when another instruction touched it last; 0 for never.
    touched: u32,
    /// That instruction.
    toucher: u32,
}

/// What is wrong with a use of a register, and the other instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// An operation in flight will write it.
    Written(u32),
    /// An operation in flight reads it.
    Read(u32),
    /// It was touched since the last fence.
    Unfenced(u32),
}

/// What is in flight, in the order of issue.
#[derive(Debug, Default)]
pub struct Pending {
    operations: VecDeque<Multiply>,
    committed: u64,
    /// Fences so far.
    fences: u32,
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
    #[inline(always)]
    pub fn hold(&mut self, row: usize, pc: u32, undefined: impl FnOnce() -> Halves) {
        let held = self.row(row);
        held.user = pc;
        if held.operations == 0 {
            held.undefined = undefined();
        }
        held.operations += 1;
    }

    /// An operation that is being issued reads a row.
    pub fn read(&mut self, row: usize, pc: u32) {
        let held = self.row(row);
        held.readers += 1;
        held.user = pc;
    }

    /// An operation that read a row has landed.
    pub fn end_read(&mut self, row: usize) {
        let held = self.row(row);
        held.readers = held.readers.saturating_sub(1);
    }

    /// `wgmma.fence`.
    pub fn fence(&mut self) {
        self.fences += 1;
    }

    /// Was there a fence?
    pub fn has_fenced(&self) -> bool {
        self.fences > 0
    }

    /// An instruction of no operation touches a row.
    #[inline(always)]
    pub fn touch(&mut self, row: usize, pc: u32) -> Option<Misuse> {
        let now = self.fences + 1;
        let held = self.row(row);
        (held.touched, held.toucher) = (now, pc);
        match (held.operations, held.readers) {
            (0, 0) => None,
            (0, _) => Some(Misuse::Read(held.user)),
            _ => Some(Misuse::Written(held.user)),
        }
    }

    /// May an operation use a row: as D, or as a part of A?
    #[inline(always)]
    pub fn may_use(&mut self, row: usize, as_d: bool) -> Option<Misuse> {
        let now = self.fences + 1;
        let held = self.row(row);
        if held.touched == now {
            return Some(Misuse::Unfenced(held.toucher));
        }
        match (held.operations, held.readers) {
            (1.., _) if !as_d => Some(Misuse::Written(held.user)),
            (_, 1..) if as_d => Some(Misuse::Read(held.user)),
            _ => None,
        }
    }

    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut Held {
        if self.held.len() <= row {
            self.grow(row + 1);
        }
        &mut self.held[row]
    }

    #[cold]
    fn grow(&mut self, rows: usize) {
        self.held.resize(rows, Held::default());
    }

    /// An operation in flight that was issued at this depth of calls or deeper.
    pub fn first(&self, depth: u32) -> Option<&Multiply> {
        self.operations.iter().find(|multiply| multiply.depth >= depth)
    }

    /// How undefined a row is, operations that have not landed left aside.
    #[inline(always)]
    pub fn held(&self, row: usize) -> Halves {
        self.held[row].undefined
    }

    /// An operation that wrote a row has landed and left it as said. Was it the last one?
    #[inline(always)]
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

    /// The function whose registers begin with a row returns: they are others from now on.
    pub fn forget(&mut self, first_row: usize) {
        self.held.truncate(first_row);
    }
}
