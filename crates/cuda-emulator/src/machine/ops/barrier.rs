//! `bar`, `barrier` and fences.

use crate::code::{DecodeError, Decoder, Inst, Kind, Slot};
use crate::machine::lanes::both;
use crate::machine::ops::memory::scope_of;
use crate::machine::ops::{Modifiers, cluster, warp};
use crate::machine::order::{Scope, Side};
use crate::machine::registers::Raw;
use crate::machine::{Cpu, Flow, Wait};
use crate::ptx::ast::{Instruction, Operand, Type};
use crate::verdict::{Use, Verdict};

const ALIGNED: u32 = 1;
const ARRIVE: u32 = 2;
const POPC: u32 = 4;
const AND: u32 = 8;
const OR: u32 = 16;
const NEGATED: u32 = 32;

/// src: barrier number, thread count or none, predicate of a reduction.
#[inline(always)]
fn barrier(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if cpu.resumed {
        return finish(cpu, i);
    }
    // All lanes of the warp that have not ended come together.
    if i.aux & ALIGNED != 0 && cpu.mask != cpu.warp.live {
        return Flow::Park(cpu.warp.live);
    }
    let (number, count) = match (uniform(cpu, i.src[0]), uniform(cpu, i.src[1])) {
        (Ok(number), Ok(count)) => (number.unwrap_or(0), count),
        (Err(flow), _) | (_, Err(flow)) => return flow,
    };
    let mask = cpu.mask;
    if number > 15 {
        let problem = format!("barrier number {number} is above 15");
        return cpu.fault(Verdict::Operand { problem }, mask);
    }
    if let Some(count) = count.filter(|c| *c == 0 || c % 32 != 0) {
        let problem = format!("a count of {count} threads is no positive multiple of the warp size");
        return cpu.fault(Verdict::Barrier { barrier: number, problem }, mask);
    }
    let mut holds = 0;
    if i.src[2].is_some() {
        if let Err(flow) = cpu.require_defined(i.src[2], Use::Control) {
            return flow;
        }
        let flip = if i.aux & NEGATED != 0 { u32::MAX } else { 0 };
        holds = (cpu.warp.registers.pred(cpu.kernel, i.src[2]) ^ flip) & mask;
    }
    cpu.warp.clock.release(&mut cpu.block.barriers[number as usize].gate.arriving);
    let by_warp = if mask == cpu.warp.live { 32 } else { mask.count_ones() };
    match cpu.block.arrive(number, count, mask.count_ones(), by_warp, holds.count_ones()) {
        Ok(_) if i.aux & ARRIVE != 0 => Flow::Next,
        Ok(generation) => Flow::Wait(Wait::Barrier(number, generation)),
        Err(verdict) => cpu.fault(verdict, mask),
    }
}

/// The barrier has completed: what came before it has, and the result of a reduction is there.
#[inline(always)]
fn finish(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let number = match uniform(cpu, i.src[0]) {
        Ok(number) => number.unwrap_or(0),
        Err(flow) => return flow,
    };
    cpu.warp.clock.acquire(&cpu.block.barriers[number as usize].gate.passed);
    if !i.dst[0].is_some() {
        return Flow::Next;
    }
    let (holds, threads) = cpu.block.barriers[number as usize].result;
    let mask = cpu.mask;
    if i.aux & POPC != 0 {
        cpu.broadcast(i.dst[0], holds);
    } else {
        let all = if i.aux & AND != 0 { holds == threads } else { holds > 0 };
        cpu.warp.registers.set_pred(i.dst[0], mask, if all { u32::MAX } else { 0 }, 0);
    }
    Flow::Next
}

/// An operand that must be the same in all executing lanes.
#[inline(always)]
fn uniform(cpu: &mut Cpu<'_>, slot: Slot) -> Result<Option<u32>, Flow> {
    if !slot.is_some() {
        return Ok(None);
    }
    cpu.require_defined(slot, Use::Control)?;
    let row = *u32::row(&cpu.warp.registers, cpu.kernel, slot);
    let mask = cpu.mask;
    let first = row[mask.trailing_zeros() as usize];
    match (0..32).all(|l| mask >> l & 1 == 0 || row[l as usize] == first) {
        true => Ok(Some(first)),
        false => {
            let problem = "the lanes of a warp name different barriers or counts".to_owned();
            Err(cpu.fault(Verdict::Operand { problem }, mask))
        }
    }
}

/// A fence between the generic and the async proxy, for shared memory,
const SHARED_PROXIES: u32 = 1;
/// for global memory, or both.
const GLOBAL_PROXIES: u32 = 2;
/// A fence between other proxies.
const OTHER_PROXIES: u32 = 4;
/// Initialised mbarriers become visible.
const MBARRIERS: u32 = 5;
/// From here on: a fence between threads, by its scope.
const THREADS: u32 = 6;

#[inline(never)]
fn fence(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    // A full fence of the host, which is at least what any of these ask.
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    match i.aux {
        OTHER_PROXIES => {}
        MBARRIERS => cpu.fence_mbarriers(),
        THREADS => cpu.fence(Scope::Cta),
        aux if aux < OTHER_PROXIES => {
            if aux & SHARED_PROXIES != 0 {
                cpu.fence_proxies(Side::Shared);
            }
            if aux & GLOBAL_PROXIES != 0 {
                cpu.fence_proxies(Side::Global);
            }
        }
        aux if aux == THREADS + Scope::Cluster as u32 => cpu.fence(Scope::Cluster),
        _ => cpu.fence(Scope::Gpu),
    }
    Flow::Next
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    match i.opcode.as_str() {
        "bar" | "barrier" => decode_barrier(d, i),
        _ => {
            let known = |w: &String| {
                matches!(
                    w.as_str(),
                    "cta"
                        | "gl"
                        | "sys"
                        | "gpu"
                        | "cluster"
                        | "acq_rel"
                        | "sc"
                        | "acquire"
                        | "release"
                        | "mbarrier_init"
                        | "proxy"
                        | "async"
                        | "async::generic"
                        | "alias"
                        | "global"
                        | "shared::cta"
                        | "shared::cluster"
                        | "sync_restrict::shared::cta"
                        | "sync_restrict::shared::cluster"
                )
            };
            if !i.modifiers.iter().all(known) {
                return Err(d.unknown(i));
            }
            let says = |word: &str| i.modifiers.iter().any(|m| m == word);
            let is_async = says("async") || says("async::generic");
            let of_shared = ["shared::cta", "shared::cluster"].into_iter().any(says)
                || i.modifiers.iter().any(|m| m.starts_with("sync_restrict"));
            let proxies = match (of_shared, says("global")) {
                (true, false) => SHARED_PROXIES,
                (false, true) => GLOBAL_PROXIES,
                _ => SHARED_PROXIES | GLOBAL_PROXIES,
            };
            let scope = i.modifiers.iter().find_map(|m| scope_of(m)).unwrap_or(Scope::Gpu);
            d.emit(both!(fence), Kind::Barrier, &[], &[]).aux = match says("proxy") {
                true if is_async => proxies,
                true => OTHER_PROXIES,
                false if says("mbarrier_init") => MBARRIERS,
                false => THREADS + scope as u32,
            };
            Ok(())
        }
    }
}

fn decode_barrier(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    if m.take("warp") {
        return match m.take("sync") && m.done() {
            true => warp::decode_barrier(d, i),
            false => Err(d.unknown(i)),
        };
    }
    if m.take("cluster") {
        return cluster::decode_barrier(d, i, m);
    }
    m.take("cta");
    let mut aux = if i.opcode == "bar" { ALIGNED } else { 0 };
    let operation = m.advance();
    let reduction = match operation {
        Some("red") => m.take_if(|w| match w {
            "popc" => Some(POPC),
            "and" => Some(AND),
            "or" => Some(OR),
            _ => None,
        }),
        _ => None,
    };
    if m.take("aligned") {
        aux |= ALIGNED;
    }
    let ty = m.ty();
    let mut operands = i.operands.as_slice();
    let mut dst = Slot::NONE;
    let mut predicate = Slot::NONE;
    match (operation, reduction) {
        (Some("sync"), None) => {}
        (Some("arrive"), None) => aux |= ARRIVE,
        (Some("red"), Some(kind)) if ty == Some(if kind == POPC { Type::U32 } else { Type::Pred }) => {
            aux |= kind;
            let [result, between @ .., p] = operands else { return Err(d.unknown(i)) };
            dst = d.dest(result, if kind == POPC { Type::U32 } else { Type::Pred })?;
            predicate = match p {
                Operand::Not(name) => {
                    aux |= NEGATED;
                    d.source(&Operand::Name { name: name.clone(), offset: 0 }, Type::Pred)?
                }
                p => d.source(p, Type::Pred)?,
            };
            operands = between;
        }
        _ => return Err(d.unknown(i)),
    }
    if !m.done() {
        return Err(d.unknown(i));
    }
    let (number, count) = match operands {
        [number] => (d.source(number, Type::U32)?, Slot::NONE),
        [number, count] => (d.source(number, Type::U32)?, d.source(count, Type::U32)?),
        _ => return Err(d.unknown(i)),
    };
    if aux & ARRIVE != 0 && count == Slot::NONE {
        return Err(d.error("`bar.arrive` needs a thread count"));
    }
    d.emit(both!(barrier), Kind::Barrier, &[dst, Slot::NONE], &[number, count, predicate]).aux = aux;
    Ok(())
}
