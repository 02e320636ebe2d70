//! What one instruction sees while it executes.

use super::block::BlockState;
use super::cluster::ClusterState;
use super::flags::Semantics;
use super::grid::Launch;
use super::registers::{Raw, blend};
use super::tally::Poll;
use super::transfer::Origin;
use super::warp::Warp;
use crate::code::{Class, Inst, Kernel, Slot};
use crate::verdict::{Finding, Place, Use, Verdict};

/// The view of the machine that an executing instruction has.
pub struct Cpu<'a> {
    /// The warp it runs in.
    pub warp: &'a mut Warp,
    /// Its block, without the warps.
    pub block: &'a mut BlockState,
    /// The block's cluster, without the blocks.
    pub cluster: &'a mut ClusterState,
    /// Its kernel.
    pub kernel: &'a Kernel,
    /// The launch.
    pub launch: &'a Launch,
    /// The lanes that execute: those that stand here and whose guard holds.
    pub mask: u32,
    /// The lanes that stand here.
    pub standing: u32,
    /// Position in the code.
    pub pc: u32,
    /// Nesting of calls.
    pub depth: u32,
    /// Where calls return to, innermost last.
    pub calls: Vec<u32>,
    /// The instruction had returned `Flow::Wait` and the wait is over.
    pub resumed: bool,
    /// What the running access does to order, unless it is weak.
    pub semantics: Option<Semantics>,
    /// Its last poll, if that failed.
    pub poll: Option<Box<Poll>>,
    /// Set with `Flow::Fault`.
    pub fault: Option<Box<Finding>>,
    /// Set with `Flow::Scatter`: new position and lanes.
    pub scatter: Vec<(u32, u32)>,
}

/// What happens after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next instruction.
    Next,
    /// These lanes go to `aux`, the others to the next instruction.
    Jump(u32),
    /// The lanes go where `Cpu::scatter` says; lanes not named there go on.
    Scatter,
    /// The executing lanes enter the function at this position.
    Call(u32),
    /// The executing lanes return from the function.
    Return,
    /// The executing lanes end.
    Exit,
    /// The instruction needs these lanes of the warp, and not all are here yet; it is tried again when more are.
    Park(u32),
    /// Wait; then the instruction runs again with `resumed` set.
    Wait(Wait),
    /// Done, and let others run (`nanosleep`, a failed poll).
    Yield,
    /// `Cpu::fault` says what is wrong.
    Fault,
}

/// What a fragment waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A barrier of the block: its number, and the phase that must complete.
    Barrier(u32, u64),
    /// The cluster's barrier: the phase that must complete.
    Cluster(u64),
    /// An mbarrier of the block by its address, and the phase that must complete; or until polls may look again
    /// (`ClusterState::polls` is another).
    Mbarrier(u32, u64, u64),
    /// The other warps of a warpgroup: its number, and how many of their groups of operations must land.
    Warpgroup(u32, u64),
}

impl Wait {
    /// Is it over?
    #[inline]
    pub fn is_over(self, block: &BlockState, cluster: &ClusterState) -> bool {
        match self {
            Wait::Barrier(number, phase) => block.barriers[number as usize].generation != phase,
            Wait::Cluster(phase) => cluster.barrier.generation != phase,
            Wait::Mbarrier(address, phase, polls) => {
                let barrier = cluster.mbarriers[block.rank as usize].get(address);
                cluster.polls != polls || barrier.is_none_or(|b| b.phase() != phase)
            }
            Wait::Warpgroup(number, groups) => block.warpgroups[number as usize].have_landed(groups),
        }
    }

    /// "barrier 0 (64 of 128 threads arrived)"
    pub fn describe(self, block: &BlockState, cluster: &ClusterState) -> String {
        match self {
            Wait::Barrier(number, _) => {
                format!("barrier {number} ({})", block.barriers[number as usize].progress(block))
            }
            Wait::Cluster(_) => format!("the cluster's barrier ({})", cluster.progress()),
            Wait::Mbarrier(address, ..) => {
                let barrier = cluster.mbarriers[block.rank as usize].get(address);
                let progress = barrier.map_or_else(|| "gone".to_owned(), |b| b.progress());
                format!("mbarrier {address:#x} ({progress})")
            }
            Wait::Warpgroup(number, groups) => {
                let progress = block.warpgroups[number as usize].progress(groups);
                format!("the other warps of its warpgroup at wgmma.wait_group ({progress})")
            }
        }
    }
}

impl Cpu<'_> {
    /// Reports a verdict about `lanes`.
    #[cold]
    pub fn fault(&mut self, verdict: Verdict, lanes: u32) -> Flow {
        self.fault = Some(Box::new(Finding { verdict, place: self.place(self.pc, lanes) }));
        Flow::Fault
    }

    /// The place of the instruction at `pc`.
    pub fn place(&self, pc: u32, lanes: u32) -> Place {
        place(self.kernel, pc, self.block.index, self.warp.index, lanes)
    }

    /// Who executes this instruction, for what ends later.
    pub fn origin(&self, lanes: u32) -> Origin {
        Origin { pc: self.pc, block: self.block.index, warp: self.warp.index, lanes }
    }

    /// Reports that an operand is undefined for some executing lane, if it is.
    #[inline]
    pub fn require_defined(&mut self, slot: Slot, used_as: Use) -> Result<(), Flow> {
        let undefined = self.warp.registers.undefined(slot) & self.mask;
        if undefined == 0 {
            return Ok(());
        }
        let register = self.operand_name(used_as);
        Err(self.fault(Verdict::Undefined { used_as, register }, undefined))
    }

    /// The text of the operand that an undefined value came through.
    fn operand_name(&self, used_as: Use) -> String {
        let text = self.place(self.pc, 0).ptx;
        let found = match used_as {
            Use::Branch => {
                text.strip_prefix('@').and_then(|t| t.split_whitespace().next()).map(str::to_owned)
            }
            Use::Address => {
                text.split_once('[').and_then(|(_, t)| t.split_once(']')).map(|(inside, _)| inside.to_owned())
            }
            Use::Control => text.split_whitespace().last().map(|t| t.trim_end_matches(';').to_owned()),
        };
        found.unwrap_or(text)
    }

    /// Writes one value to all executing lanes of a register.
    #[inline(always)]
    pub fn broadcast<T: Raw>(&mut self, slot: Slot, value: T) {
        let mask = self.mask;
        blend(T::row_mut(&mut self.warp.registers, slot), mask, &[value; 32]);
        self.warp.registers.set_undefined(slot, mask, 0);
    }

    /// The address row plus offset of a memory operand, as 64-bit lanes.
    #[inline(always)]
    pub fn addresses(&self, i: &Inst, slot: Slot) -> [u64; 32] {
        self.addresses_at(slot, i.imm)
    }

    /// A row plus an offset, as 64-bit lanes.
    #[inline(always)]
    pub fn addresses_at(&self, slot: Slot, offset: i64) -> [u64; 32] {
        let mut out = [0u64; 32];
        match slot.class() {
            Class::R64 => {
                let row = u64::row(&self.warp.registers, self.kernel, slot);
                for l in 0..32 {
                    out[l] = row[l].wrapping_add_signed(offset);
                }
            }
            _ => {
                let row = u32::row(&self.warp.registers, self.kernel, slot);
                for l in 0..32 {
                    out[l] = u64::from(row[l].wrapping_add(offset as u32));
                }
            }
        }
        out
    }
}

/// Describes an instruction of a kernel.
pub fn place(kernel: &Kernel, pc: u32, block: [u32; 3], warp: u32, lanes: u32) -> Place {
    let line = kernel.code.get(pc as usize).map(|i| kernel.lines[i.line as usize]).unwrap_or_default();
    let text = kernel.source.text.get(line.ptx.wrapping_sub(1) as usize);
    Place {
        kernel: kernel.name.clone(),
        ptx_line: line.ptx,
        ptx: text.map(|t| t.trim().to_owned()).unwrap_or_default(),
        source: kernel.source.files.get(line.file as usize).map(|f| (f.clone(), line.line)),
        block,
        warp,
        lanes,
    }
}
