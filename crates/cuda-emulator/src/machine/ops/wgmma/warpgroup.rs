//! What the four warps of a warpgroup have in common: operations and groups of them.
//!
//! An operation is the warpgroup's: its warps issue the same ones in the same order, and all of them read all of B.
//! What has been found of B at the first warp's issue need not be looked for again at the others', nor need what is
//! read of it at the first one's landing.
//!
//! A group, too, is the warpgroup's: it has completed when all four warps' rows have been computed, so a warp that has
//! waited for it may overwrite the matrices. Here each warp's rows land at its own `wait_group`, so the wait ends when
//! all four have come to it.

use std::collections::VecDeque;

use super::shared::Numbers;
use crate::machine::order::Mark;
use crate::numeric::tensor_core::Rows;

/// More groups than there are.
const ENDED: u64 = u64::MAX;

/// What a warp asks, and the others too. (`scale-d` may differ, for all that the manual says.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The instruction.
    pub pc: u32,
    /// A's descriptor, unless A is in registers.
    pub a: u64,
    /// B's descriptor.
    pub b: u64,
}

/// What each of the four warps comes to, in the same order: made by the first, dropped when all have passed.
struct Common<T> {
    passed: [u64; 4],
    open: VecDeque<T>,
}

impl<T> Common<T> {
    fn new() -> Self {
        Self { passed: [0; 4], open: VecDeque::new() }
    }

    fn first_open(&self) -> u64 {
        self.passed.into_iter().min().unwrap_or(0)
    }

    /// The next thing that a warp comes to, if another has come to it before.
    fn next(&self, warp: u32) -> Option<&T> {
        self.open.get((self.passed[warp as usize % 4] - self.first_open()) as usize)
    }

    /// A warp passes a thing; the first one has `made` it. Gives what nobody will come to any more.
    fn pass(&mut self, warp: u32, made: Option<T>) -> Option<T> {
        self.open.extend(made);
        let before = self.first_open();
        self.passed[warp as usize % 4] += 1;
        if self.first_open() > before { self.open.pop_front() } else { None }
    }
}

/// How far each warp has come.
pub struct Warpgroup {
    /// Groups of each warp that have landed; all that there may be of one that has ended, or never was.
    landed: [u64; 4],
    /// Operations issued, and what wrote their B.
    issued: Common<(Asked, Vec<Mark>)>,
    /// Operations that have landed, and their B.
    read: Common<Numbers>,
    /// A of the operation that lands.
    pub rows: Box<Rows>,
    /// To be filled again.
    spare: Vec<Numbers>,
}

impl Warpgroup {
    /// Those of a block with so many warps. A warp that does not exist keeps nobody waiting.
    pub fn of(warps: u32) -> Vec<Self> {
        let landed = |warp: u32| if warp < warps { 0 } else { ENDED };
        let group = |group: u32| Self {
            landed: [0, 1, 2, 3].map(|n| landed(4 * group + n)),
            issued: Common::new(),
            read: Common::new(),
            rows: Box::new(Rows::ZERO),
            spare: Vec::new(),
        };
        (0..warps.div_ceil(4)).map(group).collect()
    }

    /// What others have asked that this warp has not, the first of it, and what wrote B.
    pub fn next(&self, warp: u32) -> Option<(Asked, &[Mark])> {
        self.issued.next(warp).map(|(asked, written)| (*asked, written.as_slice()))
    }

    /// A warp asks; the first one says what wrote B.
    pub fn issue(&mut self, warp: u32, asked: Asked, written: Option<Vec<Mark>>) {
        self.issued.pass(warp, written.map(|written| (asked, written)));
    }

    /// B of the operation that lands next in a warp, if another warp has read it.
    pub fn numbers(&self, warp: u32) -> Option<&Numbers> {
        self.read.next(warp)
    }

    /// Something to read B into.
    pub fn spare(&mut self) -> Numbers {
        self.spare.pop().unwrap_or_default()
    }

    /// A warp is the first to land an operation, of this B.
    pub fn read(&mut self, numbers: Numbers) {
        self.read.open.push_back(numbers);
    }

    /// An operation has landed in a warp.
    pub fn leave(&mut self, warp: u32) {
        self.spare.extend(self.read.pass(warp, None));
    }

    /// Has a warp ended? Which, of the warpgroup?
    pub fn has_ended(&self) -> Option<usize> {
        self.landed.iter().position(|landed| *landed == ENDED)
    }

    /// So many groups of a warp have landed. Is that news?
    pub fn land(&mut self, warp: u32, groups: u64) -> bool {
        std::mem::replace(&mut self.landed[warp as usize % 4], groups) != groups
    }

    /// A warp has ended, and keeps nobody waiting.
    pub fn end(&mut self, warp: u32) {
        self.land(warp, ENDED);
    }

    /// Have so many groups of all warps landed?
    pub fn have_landed(&self, groups: u64) -> bool {
        self.landed.iter().all(|landed| *landed >= groups)
    }

    /// "2 of 4 warps have come to it"
    pub fn progress(&self, groups: u64) -> String {
        let come = self.landed.iter().filter(|landed| **landed >= groups).count();
        format!("{come} of 4 warps have come to it")
    }
}
