//! `alloca`, `stacksave`, `stackrestore`.

use crate::code::{DecodeError, Decoder, Inst, Kind};
use crate::machine::lanes::both;
use crate::machine::ops::Modifiers;
use crate::machine::ops::moves::{value_of, write_any};
use crate::machine::stack::STACK_BYTES;
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type};
use crate::verdict::{Use, Verdict};

/// The alignment where none is asked for.
const ALIGN: i64 = 8;
/// The largest that may be asked for.
const MAX_ALIGN: i64 = 1 << 23;

/// dst = the address of `src` bytes, aligned to `aux`.
#[inline(always)]
fn allocate(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Control) {
        return flow;
    }
    let (mask, depth) = (cpu.mask, cpu.depth);
    let mut addresses = [0; 32];
    cpu.warp.stacks.resize_with(32, Default::default);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let size = value_of(cpu, i.src[0], lane);
        let Some(address) = cpu.warp.stacks[lane].allocate(depth, size, i.aux) else {
            let problem = format!("{size} bytes more on a stack of {STACK_BYTES}");
            return cpu.fault(Verdict::Operand { problem }, 1 << lane);
        };
        addresses[lane] = address;
    }
    write_any(cpu, i.dst[0], mask, &addresses, &[0; 32]);
    Flow::Next
}

#[inline(always)]
fn save(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    cpu.warp.stacks.resize_with(32, Default::default);
    let ends: [u64; 32] = std::array::from_fn(|lane| cpu.warp.stacks[lane].save());
    write_any(cpu, i.dst[0], mask, &ends, &[0; 32]);
    Flow::Next
}

#[inline(always)]
fn restore(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let mask = cpu.mask;
    cpu.warp.stacks.resize_with(32, Default::default);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let saved = value_of(cpu, i.src[0], lane);
        if !cpu.warp.stacks[lane].restore(saved) {
            let problem = format!("{saved:#x} is not where the stack ended before");
            return cpu.fault(Verdict::Operand { problem }, 1 << lane);
        }
    }
    Flow::Next
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let ty = m.ty().filter(|ty| m.done() && matches!(ty, Type::U32 | Type::U64));
    let Some(ty) = ty else { return Err(d.unknown(i)) };
    match (i.opcode.as_str(), i.operands.as_slice()) {
        ("alloca", [dst, size, align @ ..]) => {
            let align = match align {
                [] => ALIGN,
                [Operand::Integer(n)] if (1..=MAX_ALIGN).contains(n) && n & (n - 1) == 0 => *n.max(&ALIGN),
                _ => return Err(d.unknown(i)),
            };
            let (dst, size) = (d.dest(dst, ty)?, d.source(size, ty)?);
            d.emit(both!(allocate), Kind::Local, &[dst], &[size]).aux = align as u32;
        }
        ("stacksave", [dst]) => {
            let dst = d.dest(dst, ty)?;
            d.emit(both!(save), Kind::Local, &[dst], &[]);
        }
        ("stackrestore", [saved @ Operand::Name { .. }]) => {
            let saved = d.source(saved, ty)?;
            d.emit(both!(restore), Kind::Local, &[], &[saved]);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
