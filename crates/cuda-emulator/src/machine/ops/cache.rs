//! What is said to the caches: `applypriority`, `discard`, `createpolicy`. There are none here, so that most of it does
//! nothing; but what is discarded is lost.

use crate::code::{DecodeError, Decoder, Inst, Kind};
use crate::machine::lanes::both;
use crate::machine::ops::memory::write;
use crate::machine::ops::{Modifiers, moves};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};
use crate::verdict::{Access, Use, Verdict};

/// Bytes that `applypriority` and `discard` are about.
const LINE: u32 = 128;
/// Bytes of it that are looked at together.
const PIECE: u32 = 32;

/// A policy of the cache: opaque to programs.
const POLICY: u64 = 0x1000_0000_0000_0000;

/// A line of global memory gets another priority: it must be there.
#[inline(always)]
fn apply_priority(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    lines(cpu, i, Access::Read)
}

/// A line of global memory holds anything from here on.
#[inline(always)]
fn discard(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    cpu.block.events += 1;
    lines(cpu, i, Access::Write)
}

fn lines(cpu: &mut Cpu<'_>, i: &Inst, access: Access) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let (mask, addresses) = (cpu.mask, cpu.addresses(i, i.src[0]));
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        if let Err(verdict) = line(cpu, lane, addresses[lane], access) {
            return cpu.fault(verdict, 1 << lane);
        }
    }
    Flow::Next
}

fn line(cpu: &mut Cpu<'_>, lane: usize, address: u64, access: Access) -> Result<(), Verdict> {
    if address & u64::from(LINE - 1) != 0 {
        return Err(Verdict::Misaligned { access, space: "global".to_owned(), address, align: LINE });
    }
    for offset in (0..LINE).step_by(PIECE as usize) {
        let span = cpu.span(Space::Global, lane, address + u64::from(offset), PIECE, access)?;
        for at in (0..PIECE as usize).step_by(8).filter(|_| access == Access::Write) {
            // SAFETY: the span holds `PIECE` bytes, aligned to them.
            unsafe { write(span.shadow.add(at), 8, 0) };
        }
    }
    Ok(())
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    match (i.opcode.as_str(), i.operands.as_slice()) {
        ("applypriority" | "discard", [memory, Operand::Integer(128)]) => {
            m.take("global");
            let discards = i.opcode == "discard";
            if !m.take(if discards { "L2" } else { "L2::evict_normal" }) || !m.done() {
                return Err(d.unknown(i));
            }
            let reference = d.reference(memory, Space::Global)?;
            let op = if discards { both!(discard) } else { both!(apply_priority) };
            d.emit(op, Kind::Global, &[], &[reference.base]).imm = reference.offset;
        }
        ("createpolicy", [policy, operands @ ..]) => {
            check_policy(d, i, &mut m, operands)?;
            let (dst, value) = (d.dest(policy, Type::B64)?, d.constant64(POLICY));
            moves::emit_copy(d, dst, value);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}

/// A policy's parts are looked at, and forgotten.
fn check_policy(
    d: &mut Decoder<'_>,
    i: &Instruction,
    m: &mut Modifiers<'_>,
    operands: &[Operand],
) -> Result<(), DecodeError> {
    let kind = m.advance().unwrap_or_default();
    if kind == "range" {
        m.take("global");
    }
    let level = match kind {
        "cvt" => m.take("L2"),
        _ => {
            let priority = ["L2::evict_last", "L2::evict_normal", "L2::evict_first", "L2::evict_unchanged"];
            let primary = m.take_if(|w| priority.contains(&w).then_some(())).is_some();
            let _secondary = m.take("L2::evict_first") || m.take("L2::evict_unchanged");
            primary
        }
    };
    if !level || !m.take("b64") || !m.done() {
        return Err(d.unknown(i));
    }
    match (kind, operands) {
        ("fractional", []) => {}
        ("fractional", [literal @ (Operand::Float32(_) | Operand::Float64(_))]) => {
            let fraction = match literal {
                Operand::Float32(bits) => f32::from_bits(*bits).into(),
                Operand::Float64(bits) => f64::from_bits(*bits),
                _ => 0.0,
            };
            if !(fraction > 0.0 && fraction <= 1.0) {
                return Err(d.error("a fraction is above 0 and at most 1"));
            }
        }
        ("fractional", [fraction]) => drop(d.source(fraction, Type::F32)?),
        ("range", [memory, primary, total]) => {
            d.reference(memory, Space::Global)?;
            d.source(primary, Type::U32)?;
            d.source(total, Type::U32)?;
        }
        ("cvt", [property]) => drop(d.source(property, Type::U64)?),
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
