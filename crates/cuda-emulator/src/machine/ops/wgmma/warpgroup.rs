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

/// The most operations whose B is kept for the other warps. A group may have any number of them.
const MOST_SHARED: usize = 64;

/// How far each warp has come, and what the four need of each other.
pub struct Warpgroup {
    /// Groups of each warp that have landed; all that there may be of one that has ended, or never was.
    landed: [u64; 4],
    /// Operations issued, and what wrote their B.
    issued: Common<(Asked, Vec<Mark>)>,
    /// Operations that have landed in some warps, and their B.
    read: Common<Option<Numbers>>,
    /// To be filled again.
    spare: Vec<Numbers>,
    /// A of the operation that lands, and B where it is not shared.
    rows: Option<Box<Rows>>,
    own: Numbers,
}

impl Warpgroup {
    /// Those of a block with so many warps. A warp that does not exist keeps nobody waiting.
    pub fn of(warps: u32) -> Vec<Self> {
        let landed = |warp: u32| if warp < warps { 0 } else { ENDED };
        let group = |group: u32| Self {
            landed: [0, 1, 2, 3].map(|n| landed(4 * group + n)),
            issued: Common::new(),
            read: Common::new(),
            spare: Vec::new(),
            rows: None,
            own: Numbers::default(),
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

    /// Is B of the operation that lands next in a warp still to be read, for all or for this one?
    pub fn is_unread(&self, warp: u32) -> bool {
        self.read.next(warp).is_none_or(Option::is_none)
    }

    /// Something to read B into.
    pub fn spare(&mut self) -> Numbers {
        self.spare.pop().unwrap_or_default()
    }

    /// A warp has read B of the operation that lands next in it: the first one for all, unless too much is shared.
    pub fn share(&mut self, warp: u32, numbers: Numbers) {
        let first = self.read.next(warp).is_none();
        if first && self.read.open.len() < MOST_SHARED {
            return self.read.open.push_back(Some(numbers));
        }
        if first {
            self.read.open.push_back(None);
        }
        self.spare.push(std::mem::replace(&mut self.own, numbers));
    }

    /// A of the operation that lands, to be set, and B.
    pub fn operands(&mut self, warp: u32) -> (&mut Rows, &Numbers) {
        let rows = self.rows.get_or_insert_with(|| Box::new(Rows::ZERO));
        (rows, self.read.next(warp).and_then(Option::as_ref).unwrap_or(&self.own))
    }

    /// An operation has landed in a warp.
    pub fn pass(&mut self, warp: u32) {
        let done = self.read.pass(warp, None).flatten();
        self.spare.extend(done);
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
