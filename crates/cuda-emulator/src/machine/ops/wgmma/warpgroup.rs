//! What the four warps of a warpgroup have in common: groups of operations.
//!
//! A group is the warpgroup's, not a warp's: it has completed when all four warps' rows have been computed, so a warp
//! that has waited for it may overwrite the matrices. Here each warp's rows land at its own `wait_group`, so the wait
//! ends when all four have come to it.

/// How many groups of each warp have landed.
#[derive(Debug, Clone)]
pub struct Warpgroup([u64; 4]);

impl Warpgroup {
    /// Those of a block with so many warps. A warp that does not exist keeps nobody waiting.
    pub fn of(warps: u32) -> Vec<Self> {
        let landed = |warp: u32| if warp < warps { 0 } else { u64::MAX };
        (0..warps.div_ceil(4)).map(|group| Self([0, 1, 2, 3].map(|n| landed(4 * group + n)))).collect()
    }

    /// So many groups of a warp have landed. Is that news?
    pub fn land(&mut self, warp: u32, groups: u64) -> bool {
        std::mem::replace(&mut self.0[warp as usize % 4], groups) != groups
    }

    /// A warp has ended, and keeps nobody waiting.
    pub fn end(&mut self, warp: u32) {
        self.land(warp, u64::MAX);
    }

    /// Have so many groups of all warps landed?
    pub fn have_landed(&self, groups: u64) -> bool {
        self.0.iter().all(|landed| *landed >= groups)
    }

    /// "2 of 4 warps have come to it"
    pub fn progress(&self, groups: u64) -> String {
        let come = self.0.iter().filter(|landed| **landed >= groups).count();
        format!("{come} of 4 warps have come to it")
    }
}
