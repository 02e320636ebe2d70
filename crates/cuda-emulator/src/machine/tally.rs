//! What a block counts while it runs, and what is made of it at the end.

use std::collections::BTreeMap;

use super::Cpu;
use super::access::Together;
use super::pattern::{self, Cost, Memory};
use crate::code::{Kernel, Kind, Windowed};
use crate::counters::{Conflict, Copies, Counters, Instructions, Role, Traffic, Wavefronts};
use crate::numeric::tensor_core::{Operation, Unit};
use crate::ptx::ast::Space;
use crate::verdict::Access;

/// Counts of one block or several.
#[derive(Default)]
pub struct Tally {
    blocks: u64,
    /// Steps of all warps.
    pub steps: u64,
    /// What bulk copies moved.
    pub copies: Copies,
    roles: Vec<Role>,
    multiply_adds: u64,
    /// Warp instructions by who asks, columns, and depth.
    operations: BTreeMap<(bool, usize, usize), u64>,
    read: Traffic,
    written: Traffic,
    shared: Wavefronts,
    /// By position in the code, once there was one.
    conflicts: Vec<u64>,
}

impl Tally {
    /// Of a block that starts.
    pub fn of_block() -> Self {
        Self { blocks: 1, ..Self::default() }
    }

    /// Adds what a warp did that has ended.
    pub fn add_role(&mut self, index: u32, role: &Role) {
        let index = index as usize;
        if self.roles.len() <= index {
            self.roles.resize(index + 1, Role::default());
        }
        self.roles[index] += role;
    }

    /// Adds another block's counts.
    pub fn add(&mut self, other: &Tally) {
        self.blocks += other.blocks;
        self.steps += other.steps;
        self.copies += other.copies;
        (0..).zip(&other.roles).for_each(|(index, role)| self.add_role(index, role));
        self.multiply_adds += other.multiply_adds;
        for (shape, count) in &other.operations {
            *self.operations.entry(*shape).or_default() += count;
        }
        self.read += other.read;
        self.written += other.written;
        self.shared += other.shared;
        self.conflicts.resize(self.conflicts.len().max(other.conflicts.len()), 0);
        self.conflicts.iter_mut().zip(&other.conflicts).for_each(|(sum, n)| *sum += n);
    }

    /// As a reader wants them.
    pub fn counters(self, kernel: &Kernel) -> Counters {
        let name = |(warpgroup, n, k)| match warpgroup {
            true => format!("wgmma.m64n{n}k{k}"),
            false => format!("mma.m16n{n}k{k}"),
        };
        // Each of a warpgroup's four warps makes a quarter of its operations.
        let share = |warpgroup| if warpgroup { 4 } else { 1 };
        let operations = self.operations.into_iter().map(|(shape, n)| (name(shape), n / share(shape.0)));
        let conflict = |pc: usize, conflicts: u64| {
            let line = kernel.lines[kernel.code[pc].line as usize];
            let file = kernel.source.files.get(line.file as usize);
            Conflict { ptx_line: line.ptx, source: file.map(|f| (f.clone(), line.line)), conflicts }
        };
        let conflicts = self.conflicts.into_iter().enumerate().filter(|(_, n)| *n > 0);
        Counters {
            blocks: self.blocks,
            roles: self.roles,
            tensor_multiply_adds: self.multiply_adds,
            tensor_operations: operations.collect(),
            global_read: self.read,
            global_written: self.written,
            copies: self.copies,
            shared: self.shared,
            conflicts: conflicts.map(|(pc, n)| conflict(pc, n)).collect(),
        }
    }

    /// A warp's share of an operation of the tensor cores.
    pub fn multiply(&mut self, op: &Operation, rows: usize) {
        self.multiply_adds += (rows * op.n * op.k) as u64;
        *self.operations.entry((op.unit == Unit::Warpgroup, op.n, op.k)).or_default() += 1;
    }

    /// Bytes of global memory.
    #[inline(always)]
    pub fn global(&mut self, access: Access, Cost { least, needed }: Cost) {
        let traffic = match access {
            Access::Read => &mut self.read,
            Access::Write | Access::Atomic => &mut self.written,
        };
        *traffic += Traffic { asked: least.into(), moved: needed.into() };
    }

    /// Wavefronts of shared memory, for an instruction of `kernel`.
    #[inline(always)]
    fn wavefronts(&mut self, kernel: &Kernel, pc: u32, Cost { least, needed }: Cost) {
        self.shared += Wavefronts { least: least.into(), needed: needed.into() };
        if needed > least {
            if self.conflicts.is_empty() {
                self.conflicts = vec![0; kernel.code.len()];
            }
            self.conflicts[pc as usize] += u64::from(needed - least);
        }
    }
}

impl Cpu<'_> {
    /// Counts an access of `size` bytes of each executing lane at places near each other.
    #[inline(always)]
    pub fn count_together(&mut self, space: Space, places: &Together, size: u32, access: Access) {
        let lanes = places.lanes(self.mask, size);
        let memory = match space {
            Space::Global => Memory::Global,
            Space::Shared | Space::Cluster => Memory::Shared,
            Space::Generic => match Windowed::of(lanes.start) {
                Windowed::Global(_) => Memory::Global,
                Windowed::Shared(_) => Memory::Shared,
                _ => return,
            },
            _ => return,
        };
        let cost = self.block.patterns.cost(self.pc, memory, lanes);
        match memory {
            Memory::Global => self.block.tally.global(access, cost),
            Memory::Shared => self.block.tally.wavefronts(self.kernel, self.pc, cost),
        }
    }

    /// The same at any places.
    pub fn count_apart(&mut self, space: Space, addresses: &[u64; 32], size: u32, access: Access) {
        let lanes = |is: fn(Windowed) -> bool| {
            (0..32).filter(|l| is(Windowed::of(addresses[*l]))).fold(0, |lanes, l| lanes | 1u32 << l)
                & self.mask
        };
        let (global, shared) = match space {
            Space::Global => (self.mask, 0),
            Space::Shared | Space::Cluster => (0, self.mask),
            Space::Generic => {
                (lanes(|at| matches!(at, Windowed::Global(_))), lanes(|at| matches!(at, Windowed::Shared(_))))
            }
            _ => (0, 0),
        };
        if global != 0 {
            self.block.tally.global(access, pattern::cost(Memory::Global, addresses, global, size));
        }
        if shared != 0 {
            let cost = pattern::cost(Memory::Shared, addresses, shared, size);
            self.block.tally.wavefronts(self.kernel, self.pc, cost);
        }
    }

    /// Notes how a poll of an mbarrier came out. If it leads back to one that failed, and the warp has done nothing
    /// but poll since, then what it executed since was polling.
    pub fn polled(&mut self, failed: bool) {
        let role = &mut self.warp.role;
        if let Some(poll) = self.poll.take().filter(|poll| poll.pc == self.pc) {
            let since = role.instructions - poll.at;
            let idle = [Kind::Integer, Kind::Control, Kind::Step].map(|kind| since[kind]).iter().sum::<u64>();
            let all = since.total() + since[Kind::Step];
            if all == idle + 1 {
                role.instructions -= since;
                role.polling += since;
            }
        }
        if failed {
            role.failed_polls += 1;
            self.poll = Some(Box::new(Poll { pc: self.pc, at: role.instructions }));
        }
    }
}

/// A poll that failed, until the fragment of the warp polls again.
pub struct Poll {
    pc: u32,
    /// The warp's instructions then; while other fragments run, those since then.
    at: Instructions,
}

impl Poll {
    /// The fragment stops, or goes on: what others execute meanwhile is not its.
    pub fn turned(mut self: Box<Self>, now: Instructions) -> Box<Self> {
        self.at = now - self.at;
        self
    }
}
