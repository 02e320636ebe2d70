//! Bulk copies: `cp.async.bulk` and `cp.reduce.async.bulk` of plain ranges, and
//! the groups in which a thread waits for them.
//!
//! Every executing lane issues a copy of its own; usually one does.

use std::collections::VecDeque;

use crate::code::{DecodeError, Decoder, Inst, Kind, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::ops::address::address;
use crate::machine::ops::memory::space_of;
use crate::machine::registers::Raw;
use crate::machine::tensor_map::Reduction;
use crate::machine::transfer::{Completion, Memory, Transfer, Work};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use, Verdict};

/// Sizes and addresses are multiples of this.
const GRAIN: u32 = 16;

/// A thread's bulk groups.
#[derive(Debug, Default, Clone)]
pub struct BulkGroups {
    /// Copies that are in no group yet.
    open: Vec<u64>,
    /// Committed groups, the oldest first.
    committed: VecDeque<Vec<u64>>,
    /// How many of them are known to have read their sources.
    read: usize,
}

impl BulkGroups {
    /// All copies that have not been waited for to their end.
    pub fn copies(&self) -> impl Iterator<Item = u64> {
        self.open.iter().chain(self.committed.iter().flatten()).copied()
    }

    /// A copy that the next group will hold.
    pub fn push(&mut self, id: u64) {
        self.open.push(id);
    }
}

const TO_SHARED: u32 = 1;
const FROM_SHARED: u32 = 2;
const MULTICAST: u32 = 4;
const PREFETCH: u32 = 8;

/// A reduction by its number in `aux` above these bits.
const REDUCE: u32 = 8;
/// The number of no reduction.
const COPY: usize = 255;

/// The reductions that ptxas takes, and whether they exist into the shared memory of a cluster too.
const REDUCTIONS: &[(&str, Type, bool)] = &[
    ("add", Type::U32, true),
    ("add", Type::S32, true),
    ("add", Type::U64, true),
    ("add", Type::F16, false),
    ("add", Type::Bf16, false),
    ("add", Type::F32, false),
    ("add", Type::F64, false),
    ("min", Type::U32, true),
    ("min", Type::S32, true),
    ("min", Type::U64, false),
    ("min", Type::S64, false),
    ("min", Type::F16, false),
    ("min", Type::Bf16, false),
    ("max", Type::U32, true),
    ("max", Type::S32, true),
    ("max", Type::U64, false),
    ("max", Type::S64, false),
    ("max", Type::F16, false),
    ("max", Type::Bf16, false),
    ("inc", Type::U32, true),
    ("dec", Type::U32, true),
    ("and", Type::B32, true),
    ("and", Type::B64, false),
    ("or", Type::B32, true),
    ("or", Type::B64, false),
    ("xor", Type::B32, true),
    ("xor", Type::B64, false),
];

/// src: destination, source, bytes, mbarrier or none. list: the mask of a multicast.
#[inline(never)]
fn copy(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    for slot in [i.src[0], i.src[1], i.src[3]] {
        if slot.is_some()
            && let Err(flow) = cpu.require_defined(slot, Use::Address)
        {
            return flow;
        }
    }
    if let Err(flow) = cpu.require_defined(i.src[2], Use::Control) {
        return flow;
    }
    let sizes = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[2]);
    let [to, from] = [0, 1].map(|n| if i.src[n].is_some() { cpu.addresses_at(i.src[n], 0) } else { [0; 32] });
    let barriers = if i.src[3].is_some() { cpu.addresses_at(i.src[3], 0) } else { [0; 32] };
    let masks = match cpu.operands(i).first().copied() {
        Some(mask) => {
            if let Err(flow) = cpu.require_defined(mask, Use::Control) {
                return flow;
            }
            cpu.addresses_at(mask, 0)
        }
        None => [0; 32],
    };
    let mask = cpu.mask;
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let each = Each { to: to[lane], from: from[lane], len: sizes[lane], barrier: barriers[lane] };
        if let Err(verdict) = issue(cpu, i, lane, each, masks[lane] as u32) {
            return cpu.fault(verdict, 1 << lane);
        }
    }
    cpu.block.events += 1;
    Flow::Next
}

/// One lane's operands.
struct Each {
    to: u64,
    from: u64,
    len: u32,
    barrier: u64,
}

fn issue(cpu: &mut Cpu<'_>, i: &Inst, lane: usize, each: Each, multicast: u32) -> Result<(), Verdict> {
    let Each { to, from, len, barrier } = each;
    if len % GRAIN != 0 {
        return Err(Verdict::Operand {
            problem: format!("a bulk copy of {len} bytes, which is no multiple of {GRAIN}"),
        });
    }
    let source = match i.aux & FROM_SHARED {
        0 => Memory::Global(cpu.global_target(from, len, GRAIN, Access::Read)?),
        _ => {
            let (rank, address) = cpu.shared_target(Space::Shared, from, len, GRAIN, Access::Read)?;
            Memory::Shared(rank, address)
        }
    };
    if i.aux & PREFETCH != 0 {
        return Ok(());
    }
    if let Memory::Global(from) = source {
        cpu.copies_in_turn(from, Access::Read)?;
    }
    let copies = &mut cpu.block.tally.copies;
    let read = if i.aux & FROM_SHARED == 0 { &mut copies.global_read } else { &mut copies.shared_read };
    *read += u64::from(len);
    let reduction =
        REDUCTIONS.get((i.aux >> REDUCE) as usize).and_then(|(name, ty, _)| Reduction::of(name, *ty));
    let origin = cpu.origin(1 << lane);
    if i.aux & TO_SHARED == 0 {
        let to = Memory::Global(cpu.global_target(to, len, GRAIN, Access::Write)?);
        cpu.copies_in_turn(each.to, Access::Write)?;
        cpu.block.tally.copies.global_written += u64::from(len);
        let work = Work::Range { from: source, to, len };
        let transfer = Transfer::new(work, reduction, Completion::Group, origin);
        let id = cpu.issue(transfer)?;
        cpu.warp.bulk_groups[lane].push(id);
        return Ok(());
    }
    let (rank, address) = cpu.shared_target(Space::Cluster, to, len, GRAIN, Access::Write)?;
    let (barrier_rank, barrier) = cpu.shared_target(Space::Cluster, barrier, 8, 8, Access::Atomic)?;
    if barrier_rank != rank {
        return Err(Verdict::Operand { problem: other_block(rank, barrier_rank) });
    }
    for rank in destinations(cpu, i.aux & MULTICAST != 0, multicast, rank)? {
        check_mbarrier(cpu, rank, barrier)?;
        cpu.block.tally.copies.shared_written += u64::from(len);
        let work = Work::Range { from: source, to: Memory::Shared(rank, address), len };
        let completion = Completion::Mbarrier(rank, barrier, len);
        cpu.issue(Transfer::new(work, reduction, completion, origin))?;
    }
    Ok(())
}

/// What is wrong where the destination and its mbarrier are in two blocks.
pub fn other_block(rank: u32, barrier: u32) -> String {
    format!("the copy goes to block {rank} of the cluster, its mbarrier is in block {barrier}")
}

/// A copy completes on an mbarrier that is there.
pub fn check_mbarrier(cpu: &Cpu<'_>, rank: u32, address: u32) -> Result<(), Verdict> {
    match cpu.cluster.mbarriers[rank as usize].get(address) {
        Some(barrier) if barrier.is_visible => cpu.comes_behind_init((rank, address)),
        Some(_) => {
            let problem =
                "a copy completes here, and no `fence.mbarrier_init` or `fence.proxy.async` has made its \
                           initialisation visible to copies"
                    .to_owned();
            Err(Verdict::Mbarrier { address, problem })
        }
        None => {
            let problem =
                format!("a copy completes here, and block {rank} of the cluster has no mbarrier here");
            Err(Verdict::Mbarrier { address, problem })
        }
    }
}

/// The ranks of the blocks that a copy goes to: the one named, or those of a multicast's mask.
pub fn destinations(cpu: &Cpu<'_>, multicast: bool, mask: u32, rank: u32) -> Result<Vec<u32>, Verdict> {
    let blocks = cpu.cluster.shared.len() as u32;
    match multicast {
        false => Ok(vec![rank]),
        true if mask != 0 && mask >> blocks == 0 => Ok((0..blocks).filter(|r| mask >> r & 1 == 1).collect()),
        true => {
            let problem = format!("a multicast to the blocks {mask:#b} of a cluster of {blocks}");
            Err(Verdict::Operand { problem })
        }
    }
}

// ---- Groups ----------------------------------------------------------------------------

#[inline(never)]
fn commit(cpu: &mut Cpu<'_>, _: &Inst) -> Flow {
    for lane in (0..32).filter(|l| cpu.mask >> l & 1 == 1) {
        let groups = &mut cpu.warp.bulk_groups[lane];
        let group = std::mem::take(&mut groups.open);
        groups.committed.push_back(group);
    }
    Flow::Next
}

const READ: u32 = 1;

/// All but the `imm` latest groups have ended; with `READ`, have read their sources.
#[inline(never)]
fn wait_group(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    for lane in (0..32).filter(|l| cpu.mask >> l & 1 == 1) {
        let groups = &mut cpu.warp.bulk_groups[lane];
        let ended = groups.committed.len().saturating_sub(i.imm as usize);
        if i.aux & READ != 0 {
            for id in groups.committed.iter().take(ended).skip(groups.read).flatten() {
                cpu.cluster.release(*id, cpu.launch);
                cpu.cluster.end_reading(*id, |mark| mark.over(&cpu.warp.clock));
            }
            groups.read = groups.read.max(ended);
            continue;
        }
        groups.read = groups.read.saturating_sub(ended);
        for id in groups.committed.drain(..ended).flatten() {
            cpu.cluster.end_reading(id, |mark| mark.over(&cpu.warp.clock));
            cpu.cluster.end_writing(id, cpu.launch, |mark| mark.over(&cpu.warp.clock));
            if let Err(finding) = cpu.cluster.land(id, cpu.launch) {
                cpu.fault = Some(finding);
                return Flow::Fault;
            }
        }
    }
    Flow::Next
}

// ---- Decoding --------------------------------------------------------------------------

/// Decodes `cp.async.bulk` and `cp.reduce.async.bulk` but for tensors.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let reduces = m.take("reduce");
    if !m.take("async") || !m.take("bulk") {
        return Err(d.unknown(i));
    }
    match m.peek() {
        Some("commit_group") => {
            m.advance();
            d.expect_operands(i, 0)?;
            if !m.done() || reduces {
                return Err(d.unknown(i));
            }
            d.emit(both!(commit), Kind::Copy, &[], &[]);
            return Ok(());
        }
        Some("wait_group") => {
            m.advance();
            let read = if m.take("read") { READ } else { 0 };
            let ([Operand::Integer(n @ 0..)], true) = (i.operands.as_slice(), m.done() && !reduces) else {
                return Err(d.unknown(i));
            };
            let inst = d.emit(both!(wait_group), Kind::Copy, &[], &[]);
            (inst.imm, inst.aux) = (*n, read);
            return Ok(());
        }
        Some("prefetch") => return decode_prefetch(d, i, m),
        _ => {}
    }
    let (to, from) = (m.take_if(space_of), m.take_if(space_of));
    let mut aux = match (to, from) {
        (Some(Space::Cluster | Space::Shared), Some(Space::Global)) if !reduces => TO_SHARED,
        (Some(Space::Cluster), Some(Space::Shared)) => TO_SHARED | FROM_SHARED,
        (Some(Space::Global), Some(Space::Shared)) => FROM_SHARED,
        _ => return Err(d.unknown(i)),
    };
    let completion = if aux & TO_SHARED != 0 { "mbarrier::complete_tx::bytes" } else { "bulk_group" };
    if !m.take(completion) {
        return Err(d.unknown(i));
    }
    if m.take("multicast::cluster") {
        if aux & (TO_SHARED | FROM_SHARED) != TO_SHARED {
            return Err(d.unknown(i));
        }
        aux |= MULTICAST;
    }
    let hint = m.take("L2::cache_hint");
    let mut number = COPY;
    if reduces {
        let operation = m.advance();
        let noftz = m.take("noftz");
        let ty = m.ty();
        // Sums of f16 and bf16 keep subnormals, which must be said.
        let says_so = operation == Some("add") && matches!(ty, Some(Type::F16 | Type::Bf16));
        let known = |(name, t, shared): &(&str, Type, bool)| {
            Some(*name) == operation
                && Some(*t) == ty
                && noftz == says_so
                && (*shared || aux & TO_SHARED == 0)
        };
        number = REDUCTIONS.iter().position(known).ok_or_else(|| d.unknown(i))?;
    }
    aux |= (number as u32) << REDUCE;
    if !m.done() {
        return Err(d.unknown(i));
    }
    let operands = match (i.operands.as_slice(), hint) {
        (all, false) => all,
        // The hint for the cache says nothing about values.
        ([rest @ .., _], true) => rest,
        _ => return Err(d.unknown(i)),
    };
    let (to_space, from_space) =
        (if aux & TO_SHARED != 0 { Space::Cluster } else { Space::Global }, from.unwrap_or(Space::Global));
    let (parts, mask) = match (operands, aux & MULTICAST) {
        ([parts @ .., mask], MULTICAST) => (parts, Some(d.source(mask, Type::B16)?)),
        (parts, _) => (parts, None),
    };
    let (to, from, size, barrier) = match parts {
        [to, from, size] if aux & TO_SHARED == 0 => (to, from, size, Slot::NONE),
        [to, from, size, barrier] if aux & TO_SHARED != 0 => {
            (to, from, size, address(d, barrier, Space::Cluster)?)
        }
        _ => return Err(d.unknown(i)),
    };
    let (to, from) = (address(d, to, to_space)?, address(d, from, from_space)?);
    let size = d.source(size, Type::U32)?;
    let list = mask.map(|mask| d.list(&[], &[mask]));
    let inst = d.emit(both!(copy), Kind::Copy, &[], &[to, from, size, barrier]);
    inst.aux = aux;
    if let Some(list) = list {
        inst.list = list;
    }
    Ok(())
}

/// `cp.async.bulk.prefetch.L2.global`: the range must be one that may be read.
fn decode_prefetch(d: &mut Decoder<'_>, i: &Instruction, mut m: Modifiers<'_>) -> Result<(), DecodeError> {
    if !(m.take("prefetch") && m.take("L2") && m.take("global")) {
        return Err(d.unknown(i));
    }
    let hint = usize::from(m.take("L2::cache_hint"));
    let (true, [from, size, rest @ ..]) = (m.done(), i.operands.as_slice()) else { return Err(d.unknown(i)) };
    if rest.len() != hint {
        return Err(d.unknown(i));
    }
    let (from, size) = (address(d, from, Space::Global)?, d.source(size, Type::U32)?);
    let inst = d.emit(both!(copy), Kind::Copy, &[], &[Slot::NONE, from, size, Slot::NONE]);
    inst.aux = PREFETCH | (COPY as u32) << REDUCE;
    Ok(())
}
