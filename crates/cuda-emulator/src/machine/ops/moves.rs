//! `mov` in all its forms, `cvta`, `isspacep`.

use crate::code::{
    Class, DecodeError, Decoder, Inst, Kind, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, Slot, Windowed,
    class_of,
};
use crate::machine::lanes::{both, lane_op};
use crate::machine::ops::memory::space_of;
use crate::machine::ops::{Modifiers, predicate, special};
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Space, Type};

/// A copy keeps the definedness of every byte.
#[inline(always)]
fn copy<T: Raw>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    let (dst, src) = (i.dst[0], i.src[0]);
    let value = *T::row(&cpu.warp.registers, cpu.kernel, src);
    blend(T::row_mut(&mut cpu.warp.registers, dst), mask, &value);
    copy_definedness(cpu, dst, src);
    Flow::Next
}

/// Gives `dst` the definedness of `src`, byte by byte.
#[inline(always)]
pub fn copy_definedness(cpu: &mut Cpu<'_>, dst: Slot, src: Slot) {
    let mask = cpu.mask;
    let undefined = cpu.warp.registers.undefined(src) & mask;
    if undefined == 0 {
        return cpu.warp.registers.set_undefined(dst, mask, 0);
    }
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        let bytes = cpu.warp.registers.undefined_bytes(src, lane);
        cpu.warp.registers.set_undefined_bytes(dst, lane, bytes);
    }
}

#[inline(always)]
fn copy32(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    copy::<u32>(cpu, i)
}

#[inline(always)]
fn copy64(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    copy::<u64>(cpu, i)
}

/// `dst = src`, any class.
pub fn emit_copy(d: &mut Decoder<'_>, dst: Slot, src: Slot) {
    match dst.class() {
        Class::R32 => {
            d.emit(both!(copy32), Kind::Integer, &[dst], &[src]);
        }
        Class::R64 => {
            d.emit(both!(copy64), Kind::Integer, &[dst], &[src]);
        }
        Class::Pred => predicate::emit_copy(d, dst, src),
    };
}

/// `mov.b64 %rd, {%r1, %r2}`: operands of `aux` bytes each make one value, the first lowest.
#[inline(always)]
fn pack(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let (mask, width) = (cpu.mask, i.aux as usize);
    let parts = cpu.operands(i);
    let mut value = [0u64; 32];
    let mut undefined = [0u8; 32];
    for (k, part) in parts.iter().enumerate() {
        for lane in 0..32 {
            value[lane] |= value_of(cpu, *part, lane) << (8 * width * k);
            undefined[lane] |= cpu.warp.registers.undefined_bytes(*part, lane) << (width * k);
        }
    }
    write_any(cpu, i.dst[0], mask, &value, &undefined);
    Flow::Next
}

/// `mov.b64 {%r1, %r2}, %rd`: the parts of `aux` bytes each of one value.
#[inline(always)]
fn unpack(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let (mask, width) = (cpu.mask, i.aux as usize);
    let source = i.src[0];
    let value: [u64; 32] = std::array::from_fn(|lane| value_of(cpu, source, lane));
    let undefined: [u8; 32] = std::array::from_fn(|lane| cpu.warp.registers.undefined_bytes(source, lane));
    let bits = u64::MAX >> (64 - 8 * width);
    for (k, dst) in cpu.results(i).iter().enumerate() {
        let part = value.map(|v| v >> (8 * width * k) & bits);
        let bytes = undefined.map(|u| u >> (width * k) & ((1u16 << width) - 1) as u8);
        write_any(cpu, *dst, mask, &part, &bytes);
    }
    Flow::Next
}

/// One lane of a row of any class.
#[inline(always)]
pub fn value_of(cpu: &Cpu<'_>, slot: Slot, lane: usize) -> u64 {
    match slot.class() {
        Class::R32 => u64::from(u32::row(&cpu.warp.registers, cpu.kernel, slot)[lane]),
        Class::R64 => u64::row(&cpu.warp.registers, cpu.kernel, slot)[lane],
        Class::Pred => u64::from(cpu.warp.registers.pred(cpu.kernel, slot) >> lane & 1),
    }
}

/// Writes the executing lanes of a 32 or 64-bit row, with their undefined bytes.
pub fn write_any(cpu: &mut Cpu<'_>, dst: Slot, mask: u32, value: &[u64; 32], undefined: &[u8; 32]) {
    match dst.class() {
        Class::R32 => blend(u32::row_mut(&mut cpu.warp.registers, dst), mask, &value.map(|v| v as u32)),
        _ => blend(u64::row_mut(&mut cpu.warp.registers, dst), mask, value),
    }
    cpu.warp.registers.set_undefined(dst, mask, 0);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1 && undefined[*l] != 0) {
        cpu.warp.registers.set_undefined_bytes(dst, lane, undefined[lane]);
    }
}

// ---- Address spaces --------------------------------------------------------------------

/// `isspacep`: does a generic address lie in the space of `aux`?
#[inline(always)]
fn in_space(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let addresses = cpu.addresses(i, i.src[0]);
    let holds = addresses.iter().enumerate().fold(0u32, |lanes, (l, a)| {
        let inside = match Windowed::of(*a) {
            Windowed::Global(_) => i.aux == Space::Global as u32,
            Windowed::Shared(_) => i.aux == Space::Shared as u32,
            Windowed::Local(_) => i.aux == Space::Local as u32,
            Windowed::Param(_) => i.aux == Space::Param as u32,
        };
        lanes | u32::from(inside) << l
    });
    let mask = cpu.mask;
    let undefined = cpu.warp.registers.undefined(i.src[0]);
    cpu.warp.registers.set_pred(i.dst[0], mask, holds, undefined);
    Flow::Next
}

/// The window that a space's generic addresses lie in; 0 for global and constant.
fn window(space: Space) -> u64 {
    match space {
        Space::Shared => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => PARAM_WINDOW,
        Space::Generic | Space::Global | Space::Const => 0,
    }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    match (i.opcode.as_str(), i.operands.as_slice()) {
        ("mov", [dst, src]) => decode_mov(d, i, dst, src),
        ("isspacep", [dst, src]) => {
            let Some(space) = m.advance().and_then(space_of).filter(|_| m.done()) else {
                return Err(d.unknown(i));
            };
            let (dst, src) = (d.dest(dst, Type::Pred)?, d.source(src, Type::U64)?);
            d.emit(both!(in_space), Kind::Integer, &[dst], &[src]).aux = space as u32;
            Ok(())
        }
        ("cvta", [dst, src]) => {
            let to = m.take("to");
            let Some(space) = m.advance().and_then(space_of) else { return Err(d.unknown(i)) };
            if !m.take("u64") || !m.done() {
                return Err(d.unknown(i));
            }
            let (dst, src) = (d.dest(dst, Type::U64)?, d.source(src, Type::U64)?);
            match window(space) {
                0 => emit_copy(d, dst, src),
                w => {
                    let w = d.constant64(w);
                    let op = match to {
                        true => lane_op!(|a: u64, w: u64| -> u64 { a.wrapping_sub(w) }),
                        false => lane_op!(|a: u64, w: u64| -> u64 { a.wrapping_add(w) }),
                    };
                    d.emit(op, Kind::Integer, &[dst], &[src, w]);
                }
            }
            Ok(())
        }
        _ => Err(d.unknown(i)),
    }
}

fn decode_mov(d: &mut Decoder<'_>, i: &Instruction, dst: &Operand, src: &Operand) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let Some(ty) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
    if let Operand::Name { name, .. } = src
        && let Some((register, _)) = special::named(name)
    {
        let dst = d.dest(dst, ty)?;
        special::emit(d, dst, register);
        return Ok(());
    }
    let width = |parts: usize| (ty.bytes() as usize / parts) as u32;
    match (dst, src) {
        (dst, Operand::Vector(parts)) if ty != Type::B128 => {
            let part_ty = part_type(width(parts.len())).ok_or_else(|| d.unknown(i))?;
            let slots = parts.iter().map(|p| d.source(p, part_ty)).collect::<Result<Vec<_>, _>>()?;
            let dst = d.dest(dst, ty)?;
            let list = d.list(&[], &slots);
            let inst = d.emit(both!(pack), Kind::Integer, &[dst], &[]);
            inst.aux = width(parts.len());
            inst.list = list;
        }
        (Operand::Vector(parts), src) if ty != Type::B128 => {
            let part_ty = part_type(width(parts.len())).ok_or_else(|| d.unknown(i))?;
            let src = d.source(src, ty)?;
            let slots = parts.iter().map(|p| d.dest(p, part_ty)).collect::<Result<Vec<_>, _>>()?;
            let list = d.list(&slots, &[]);
            let inst = d.emit(both!(unpack), Kind::Integer, &[], &[src]);
            inst.aux = width(parts.len());
            inst.list = list;
        }
        // A 128-bit value is two 64-bit rows.
        (dst, src) if ty == Type::B128 => {
            let halves = |d: &mut Decoder<'_>, o: &Operand| match o {
                Operand::Vector(parts) => {
                    parts.iter().filter_map(|p| d.rows(p)).flatten().collect::<Vec<_>>()
                }
                one => d.rows(one).unwrap_or_default(),
            };
            let (to, from) = (halves(d, dst), halves(d, src));
            if to.len() != 2 || from.len() != 2 {
                return Err(d.unknown(i));
            }
            // Through temporaries: the halves may be the same registers.
            let kept = [d.temporary(Class::R64), d.temporary(Class::R64)];
            (0..2).for_each(|k| emit_copy(d, kept[k], from[k]));
            (0..2).for_each(|k| emit_copy(d, to[k], kept[k]));
        }
        (dst, src) => {
            let (dst, src) = (d.dest_class(dst, class_of(ty))?, d.source(src, ty)?);
            emit_copy(d, dst, src);
        }
    }
    Ok(())
}

/// The type of a part of so many bytes.
fn part_type(bytes: u32) -> Option<Type> {
    Some(match bytes {
        1 => Type::B8,
        2 => Type::B16,
        4 => Type::B32,
        8 => Type::B64,
        _ => return None,
    })
}
