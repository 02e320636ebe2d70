//! Clusters: `mapa`, `getctarank`, `barrier.cluster`.

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, SHARED_SIZE, SHARED_WINDOW, Windowed};
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::ops::moves::write_any;
use crate::machine::order::Scope;
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow, Wait};
use crate::ptx::ast::{Instruction, Type};
use crate::verdict::{Use, Verdict};

/// Addresses are generic, not of the cluster's window.
const GENERIC: u32 = 1;

const ALIGNED: u32 = 1;
/// The arrival orders nothing but what a fence before it does.
const RELAXED: u32 = 2;

/// dst: the address that `src[0]` has in the block with rank `src[1]`.
#[inline(never)]
fn map(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[1], Use::Control) {
        return flow;
    }
    let addresses = cpu.addresses_at(i.src[0], 0);
    let ranks = *u32::row(&cpu.warp.registers, cpu.kernel, i.src[1]);
    let (mask, blocks) = (cpu.mask, cpu.cluster.shared.len() as u32);
    let mut mapped = [0u64; 32];
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        if ranks[lane] >= blocks {
            let problem = format!("there is no block {} in a cluster of {blocks}", ranks[lane]);
            return cpu.fault(Verdict::Operand { problem }, 1 << lane);
        }
        let within = match (i.aux & GENERIC, Windowed::of(addresses[lane])) {
            (0, _) => addresses[lane],
            (_, Windowed::Shared(at)) => at,
            _ => {
                let problem = format!("{:#x} is no address of shared memory", addresses[lane]);
                return cpu.fault(Verdict::Operand { problem }, 1 << lane);
            }
        } % u64::from(SHARED_SIZE);
        let window = if i.aux & GENERIC != 0 { SHARED_WINDOW } else { 0 };
        mapped[lane] = window + u64::from(ranks[lane] + 1) * u64::from(SHARED_SIZE) + within;
    }
    let undefined = std::array::from_fn(|lane| cpu.warp.registers.undefined_bytes(i.src[0], lane));
    write_any(cpu, i.dst[0], mask, &mapped, &undefined);
    Flow::Next
}

/// dst: the rank of the block whose shared memory an address lies in.
#[inline(never)]
fn rank_of(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let addresses = cpu.addresses_at(i.src[0], 0);
    let mask = cpu.mask;
    let mut ranks = [0u64; 32];
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let place = match (i.aux & GENERIC, Windowed::of(addresses[lane])) {
            (0, _) => cpu.shared_place(addresses[lane]),
            (_, Windowed::Shared(at)) => cpu.shared_place(at),
            _ => None,
        };
        let Some((rank, _)) = place else {
            let problem = format!("{:#x} is no address of the cluster's shared memory", addresses[lane]);
            return cpu.fault(Verdict::Operand { problem }, 1 << lane);
        };
        ranks[lane] = rank.into();
    }
    write_any(cpu, i.dst[0], mask, &ranks, &[0; 32]);
    Flow::Next
}

#[inline(never)]
fn arrive(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    if i.aux & ALIGNED != 0 && mask != cpu.warp.live {
        return Flow::Park(cpu.warp.live);
    }
    let again =
        cpu.warp.cluster_arrivals.iter().enumerate().filter(|(l, a)| mask >> l & 1 == 1 && a.is_some());
    if let Some((lane, _)) = again.clone().next() {
        let problem = "a thread arrives at the cluster's barrier twice without a wait between".to_owned();
        return cpu.fault(Verdict::Operand { problem }, 1 << lane);
    }
    let arriving = &mut cpu.cluster.barrier.gate.arriving;
    match i.aux & RELAXED {
        0 => cpu.warp.clock.release(arriving),
        _ => cpu.warp.clock.release_relaxed(arriving, Scope::Cluster),
    }
    let phase = cpu.cluster.arrive(mask.count_ones());
    cpu.block.events += 1;
    for (lane, arrival) in cpu.warp.cluster_arrivals.iter_mut().enumerate() {
        if mask >> lane & 1 == 1 {
            *arrival = Some(phase);
        }
    }
    Flow::Next
}

#[inline(never)]
fn wait(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    if i.aux & ALIGNED != 0 && mask != cpu.warp.live {
        return Flow::Park(cpu.warp.live);
    }
    let running = cpu.cluster.barrier.generation;
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        match cpu.warp.cluster_arrivals[lane] {
            Some(phase) if phase == running => return Flow::Wait(Wait::Cluster(running)),
            Some(_) => {}
            None => {
                let problem = "a thread waits at the cluster's barrier without having arrived".to_owned();
                return cpu.fault(Verdict::Operand { problem }, 1 << lane);
            }
        }
    }
    cpu.warp.clock.acquire(&cpu.cluster.barrier.gate.passed);
    for (lane, arrival) in cpu.warp.cluster_arrivals.iter_mut().enumerate() {
        if mask >> lane & 1 == 1 {
            *arrival = None;
        }
    }
    Flow::Next
}

/// Decodes `mapa` and `getctarank`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let aux = if m.take("shared::cluster") { 0 } else { GENERIC };
    let Some(ty @ (Type::U32 | Type::U64)) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
    match (i.opcode.as_str(), i.operands.as_slice()) {
        ("mapa", [dst, a, rank]) => {
            let (dst, a, rank) = (d.dest(dst, ty)?, d.source(a, ty)?, d.source(rank, Type::U32)?);
            d.emit(both!(map), Kind::Integer, &[dst], &[a, rank]).aux = aux;
        }
        ("getctarank", [dst, a]) => {
            let ty = if d.register_type(a).is_some_and(|t| crate::code::class_of(t) == Class::R64) {
                Type::U64
            } else {
                ty
            };
            let (dst, a) = (d.dest(dst, Type::U32)?, d.source(a, ty)?);
            d.emit(both!(rank_of), Kind::Integer, &[dst], &[a]).aux = aux;
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}

/// Decodes `barrier.cluster`, from behind these words on.
pub fn decode_barrier(d: &mut Decoder<'_>, i: &Instruction, mut m: Modifiers<'_>) -> Result<(), DecodeError> {
    let operation = m.advance();
    let arrives = operation == Some("arrive");
    let relaxed = arrives && m.take("relaxed");
    if !relaxed {
        // What is so even where it is not said.
        m.take(if arrives { "release" } else { "acquire" });
    }
    let aligned = m.take("aligned");
    let aux = if relaxed { RELAXED } else { 0 } | if aligned { ALIGNED } else { 0 };
    if !m.done() {
        return Err(d.unknown(i));
    }
    d.expect_operands(i, 0)?;
    let op = match operation {
        Some("arrive") => both!(arrive),
        Some("wait") => both!(wait),
        _ => return Err(d.unknown(i)),
    };
    d.emit(op, Kind::Barrier, &[], &[]).aux = aux;
    Ok(())
}
