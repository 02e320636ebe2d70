//! What a profiler would show of a launch, counted exactly.
//!
//! | what | by which rule |
//! | --- | --- |
//! | instructions | one for each time that a warp executes an instruction of the PTX, also where no lane's guard holds; one that waits counts once. By kind, and by role: warps with the same index in their blocks |
//! | failed polls | `mbarrier.test_wait` and `try_wait` that say no. They, and the loop back to them, are counted apart: how many there are is up to the schedule |
//! | tensor cores | multiply-adds, and operations by shape |
//! | global memory | of each warp's loads, stores and atomics: bytes asked for, those that lanes share counted once, and bytes of the 32-byte sectors that these lie in. There are no caches |
//! | asynchronous copies of ranges and boxes | bytes inside the tensor; a multicast reads once and writes as often as it has destinations |
//! | shared memory | wavefronts, see below |
//!
//! Shared memory has 32 banks of 4 bytes and gives 128 bytes at a time, a wavefront. Lanes are served together as long
//! as what they ask for fits: all 32 up to 4 bytes a lane, halves of the warp at 8, quarters at 16 (and each eight rows
//! of `ldmatrix` and `stmatrix`). Lanes that want the same word share it; different words of one bank take a wavefront
//! each. What goes beyond one wavefront for each such group of lanes is a conflict. (Some GPUs pack pairs of lanes that
//! want the same, and so need even fewer.) Lanes of an atomic that meet in a word are counted as if they shared it, and
//! what tensor cores and the copy engine do in shared memory is not counted.
//!
//! The counts depend on the schedule in so far as the program does. Blocks that wait for each other in global memory
//! find different things with every number of host threads: with one ([`set_threads`](crate::set_threads)) a seed's
//! schedule is the same on every machine.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Index, Sub, SubAssign};

use serde::{Deserialize, Serialize};

use crate::code::Kind;

/// A launch that ended well, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLaunch {
    /// The kernel's name.
    pub kernel: String,
    /// What it did.
    pub counters: Counters,
}

/// Counts of one launch, summed over all blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Blocks executed.
    pub blocks: u64,
    /// The first warps of all blocks, the second ones, and so on.
    pub roles: Vec<Role>,
    /// Products that tensor cores made and added.
    pub tensor_multiply_adds: u64,
    /// Operations of tensor cores by shape, such as `wgmma.m64n128k32`, which four warps execute, or `mma.m16n8k16`.
    pub tensor_operations: BTreeMap<String, u64>,
    /// What loads of global memory read.
    pub global_read: Traffic,
    /// What stores and atomics wrote to global memory.
    pub global_written: Traffic,
    /// What bulk copies moved.
    pub copies: Copies,
    /// Accesses of shared memory.
    pub shared: Wavefronts,
    /// The instructions whose accesses had conflicts, in the order of the code.
    pub conflicts: Vec<Conflict>,
}

/// What the warps with one index in their blocks did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Instructions executed, without those below.
    pub instructions: Instructions,
    /// Polls of an mbarrier whose phase was not complete.
    pub failed_polls: u64,
    /// These polls, and instructions that did nothing but lead back to them.
    pub polling: Instructions,
}

/// Warp instructions by [`Kind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions([u64; Kind::COUNT]);

/// Bytes of accesses to global memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Asked for.
    pub asked: u64,
    /// Moved: whole sectors of 32.
    pub moved: u64,
}

/// Bytes of bulk copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Read from global memory.
    pub global_read: u64,
    /// Written to global memory, or combined with what was there.
    pub global_written: u64,
    /// Read from shared memory.
    pub shared_read: u64,
    /// Written to shared memory, with what fills a box beyond its tensor's edge.
    pub shared_written: u64,
}

/// Accesses of warps to shared memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wavefronts {
    /// The fewest that do: without conflicts.
    pub least: u64,
    /// Those that it took.
    pub needed: u64,
}

impl Wavefronts {
    /// Those that conflicts cost.
    pub fn conflicts(self) -> u64 {
        self.needed - self.least
    }
}

/// The bank conflicts of one instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Its line in the PTX.
    pub ptx_line: u32,
    /// File and line of the source, if the PTX says them.
    pub source: Option<(String, u32)>,
    /// Wavefronts beyond the fewest.
    pub conflicts: u64,
}

impl Counters {
    /// Warp instructions of all kinds and roles, without failed polls.
    pub fn total(&self) -> u64 {
        self.roles.iter().map(|role| role.instructions.total()).sum()
    }

    /// Bytes that went from and to global memory: sectors, and what bulk copies moved.
    pub fn global_bytes(&self) -> u64 {
        let ordinary = self.global_read.moved + self.global_written.moved;
        ordinary + self.copies.global_read + self.copies.global_written
    }
}

impl AddAssign<&Role> for Role {
    fn add_assign(&mut self, other: &Role) {
        self.instructions += other.instructions;
        self.failed_polls += other.failed_polls;
        self.polling += other.polling;
    }
}

impl Instructions {
    /// One more.
    #[inline(always)]
    pub(crate) fn count(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// One that will be executed again.
    pub(crate) fn take_back(&mut self, kind: Kind) {
        self.0[kind as usize] -= 1;
    }

    /// All kinds together.
    pub fn total(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self[*kind]).sum()
    }
}

impl Index<Kind> for Instructions {
    type Output = u64;

    fn index(&self, kind: Kind) -> &u64 {
        &self.0[kind as usize]
    }
}

impl AddAssign for Instructions {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum += n);
    }
}

impl SubAssign for Instructions {
    fn sub_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum -= n);
    }
}

impl Sub for Instructions {
    type Output = Self;

    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.asked += other.asked;
        self.moved += other.moved;
    }
}

impl AddAssign for Copies {
    fn add_assign(&mut self, other: Self) {
        self.global_read += other.global_read;
        self.global_written += other.global_written;
        self.shared_read += other.shared_read;
        self.shared_written += other.shared_written;
    }
}

impl AddAssign for Wavefronts {
    fn add_assign(&mut self, other: Self) {
        self.least += other.least;
        self.needed += other.needed;
    }
}
