//! What the four warps of a warpgroup have in common: operations and groups of them.
//!
//! An operation is the warpgroup's: its warps issue the same ones in the same order. What has been found of B at the
//! first warp's issue need not be looked for again at the others'.
//!
//! A group, too, is the warpgroup's: it has completed when all four warps' rows have been computed, so a warp that has
//! waited for it may overwrite the matrices. Here each warp's rows land at its own `wait_group`, so the wait ends when
//! all four have come to it.

use std::collections::VecDeque;

use crate::machine::order::Mark;

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

/// How far each warp has come.
#[derive(Debug, Clone)]
pub struct Warpgroup {
    /// Groups of each warp that have landed; all that there may be of one that has ended, or never was.
    landed: [u64; 4],
    /// Operations that each warp has issued.
    issued: [u64; 4],
    /// Operations that not all warps have issued, and what wrote B.
    open: VecDeque<(Asked, Vec<Mark>)>,
}

impl Warpgroup {
    /// Those of a block with so many warps. A warp that does not exist keeps nobody waiting.
    pub fn of(warps: u32) -> Vec<Self> {
        let landed = |warp: u32| if warp < warps { 0 } else { ENDED };
        let group = |group: u32| Self {
            landed: [0, 1, 2, 3].map(|n| landed(4 * group + n)),
            issued: [0; 4],
            open: VecDeque::new(),
        };
        (0..warps.div_ceil(4)).map(group).collect()
    }

    fn first_open(&self) -> u64 {
        self.issued.into_iter().min().unwrap_or(0)
    }

    /// What others have asked that this warp has not, the first of it, and what wrote B.
    pub fn next(&self, warp: u32) -> Option<(Asked, &[Mark])> {
        let nth = self.issued[warp as usize % 4] - self.first_open();
        self.open.get(nth as usize).map(|(asked, written)| (*asked, written.as_slice()))
    }

    /// A warp asks; the first one says what wrote B.
    pub fn issue(&mut self, warp: u32, asked: Asked, written: Option<Vec<Mark>>) {
        self.open.extend(written.map(|written| (asked, written)));
        let before = self.first_open();
        self.issued[warp as usize % 4] += 1;
        if self.first_open() > before {
            self.open.pop_front();
        }
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
