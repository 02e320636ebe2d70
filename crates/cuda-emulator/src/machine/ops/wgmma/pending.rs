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
    /// It goes on with the accumulators of the operation before it, which has not landed, and nothing else touches them.
    pub continues: bool,
    /// Groups that had been committed when it was issued.
    group: u64,
}

impl Multiply {
    /// An operation about to be issued.
    pub fn new(pc: u32, depth: u32, a: u64, b: u64, accumulate: bool) -> Self {
        Self { pc, depth, a, b, accumulate, continues: false, group: 0 }
    }
}

/// A register that operations use, or may. While some will write it, it is undefined until the
/// last of them has landed; what it would be without them is kept here.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// Operations in flight that write it; those that one continues are one with it.
    operations: u32,
    /// Operations in flight that read it, as a part of A.
    readers: u32,
    /// The instruction of the last operation that uses it, others that continue it left aside.
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
///
/// Operations that one after the other go on with the same accumulators are one as far as registers are concerned: the
/// first one holds them, those that follow hand them on, the last to land lets them go.
#[derive(Debug, Default)]
pub struct Pending {
    operations: VecDeque<Multiply>,
    committed: u64,
    /// Fences so far.
    fences: u32,
    /// Registers read by operations in flight.
    readers: u32,
    /// Has an instruction of no operation touched a register since the last was issued?
    touched: bool,
    /// Groups of which something has landed, and those before them.
    landed: u64,
    /// By row.
    held: Vec<Held>,
}

impl Pending {
    /// Takes an operation in.
    pub fn issue(&mut self, multiply: Multiply) {
        self.touched = false;
        self.operations.push_back(Multiply { group: self.committed, ..multiply });
    }

    /// The operation issued last, if another with the same accumulators that reads no registers now continues it.
    pub fn to_continue(&self) -> Option<&Multiply> {
        self.operations.back().filter(|_| !self.touched && self.readers == 0)
    }

    /// Does the next to land continue the one that lands now?
    pub fn is_continued(&self) -> bool {
        self.operations.front().is_some_and(|next| next.continues)
    }

    /// The last of those that continue the operation of this instruction.
    #[cold]
    fn last_of(&self, user: u32) -> u32 {
        let from = self.operations.iter().rposition(|m| m.pc == user && !m.continues);
        let later = self.operations.iter().skip(from.map_or(0, |nth| nth + 1));
        later.take_while(|m| m.continues).last().map_or(user, |last| last.pc)
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
        self.readers += 1;
    }

    /// An operation that read a row has landed.
    pub fn end_read(&mut self, row: usize) {
        let held = self.row(row);
        held.readers = held.readers.saturating_sub(1);
        self.readers = self.readers.saturating_sub(1);
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
        let (operations, readers, user) = (held.operations, held.readers, held.user);
        self.touched = true;
        match (operations, readers) {
            (0, 0) => None,
            (0, _) => Some(Misuse::Read(user)),
            _ => Some(Misuse::Written(self.last_of(user))),
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
        let (operations, readers, user) = (held.operations, held.readers, held.user);
        match (operations, readers) {
            (1.., _) if !as_d => Some(Misuse::Written(self.last_of(user))),
            (_, 1..) if as_d => Some(Misuse::Read(user)),
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

    /// The same, but another continues it.
    #[inline(always)]
    pub fn hand_on(&mut self, row: usize, undefined: Halves) {
        self.held[row].undefined = undefined;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two operations with the accumulator in row 3, the second one behind the first.
    fn two() -> Pending {
        let mut pending = Pending::default();
        pending.fence();
        pending.hold(3, 10, || [0; 2]);
        pending.issue(Multiply::new(10, 0, 0, 0, true));
        assert_eq!(pending.to_continue().map(|last| last.pc), Some(10));
        pending.issue(Multiply { continues: true, ..Multiply::new(11, 0, 0, 0, true) });
        pending.commit();
        pending
    }

    #[test]
    fn the_last_of_those_that_continue_is_the_one_to_wait_for() {
        let mut pending = two();
        assert_eq!(pending.touch(3, 12), Some(Misuse::Written(11)));
        assert_eq!(pending.may_use(3, false), Some(Misuse::Unfenced(12)));
        // What was touched is looked at again.
        assert!(pending.to_continue().is_none());
        pending.fence();
        assert_eq!(pending.may_use(3, false), Some(Misuse::Written(11)));
        assert_eq!(pending.may_use(3, true), None);
    }

    #[test]
    fn an_accumulator_is_free_when_the_last_has_landed() {
        let mut pending = two();
        assert_eq!(pending.due(0).map(|multiply| multiply.pc), Some(10));
        assert!(pending.is_continued());
        pending.hand_on(3, [1, 0]);
        assert_eq!(pending.held(3), [1, 0]);
        assert_eq!(pending.due(0).map(|multiply| multiply.pc), Some(11));
        assert!(!pending.is_continued() && pending.release(3, [1, 0]));
        assert_eq!((pending.due(0).map(|multiply| multiply.pc), pending.touch(3, 12)), (None, None));
    }

    #[test]
    fn registers_of_a_are_looked_at() {
        let mut pending = two();
        pending.read(5, 13);
        pending.issue(Multiply::new(13, 0, 0, 0, true));
        assert!(pending.to_continue().is_none());
        assert_eq!(pending.may_use(5, true), Some(Misuse::Read(13)));
    }
}
