//! `mov` in all its forms.

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Slot, class_of};
use crate::machine::lanes::both;
use crate::machine::ops::{Modifiers, convert, predicate, special, wide};
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type};

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

// ---- Decoding --------------------------------------------------------------------------

/// Decodes `mov`.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    use Type::*;
    let mut m = Modifiers::of(i);
    let [dst, src] = i.operands.as_slice() else { return Err(d.unknown(i)) };
    let elements = m.take_if(|w| match w {
        "v2" => Some(2),
        "v4" => Some(4),
        _ => None,
    });
    let ty = m.ty().filter(|_| m.done());
    let Some(ty) = ty.filter(|ty| {
        matches!(ty, Pred | B16 | B32 | B64 | B128 | U16 | U32 | U64 | S16 | S32 | S64 | F32 | F64)
    }) else {
        return Err(d.unknown(i));
    };
    let is_bits = matches!(ty, B16 | B32 | B64 | B128);
    match (elements, dst, src) {
        (None, Operand::Sink, _) => Err(d.unknown(i)),
        (Some(n), ..) => vector(d, i, n, dst, src, ty),
        (None, dst, Operand::Vector(parts)) if is_bits => decode_pack(d, i, dst, parts, ty),
        (None, Operand::Vector(parts), src) if is_bits => decode_unpack(d, i, parts, src, ty),
        _ if ty == B128 => {
            let (to, from) = (halves(d, i, dst)?, wide_value(d, i, src)?);
            copy_all(d, &to, &from);
            Ok(())
        }
        _ => {
            let src = value(d, i, src, ty)?;
            check_width(d, dst, ty)?;
            let dst = d.dest(dst, ty)?;
            emit_copy(d, dst, src);
            Ok(())
        }
    }
}

/// A register must have the width that the instruction gives it.
fn check_width(d: &Decoder<'_>, operand: &Operand, ty: Type) -> Result<(), DecodeError> {
    match d.register_type(operand) {
        Some(register) if register.bytes() != ty.bytes() => {
            Err(d.error(format!("a register of type {register:?} where {ty:?} is moved")))
        }
        _ => Ok(()),
    }
}

/// A source: a register, a literal, an address or a special register.
fn value(d: &mut Decoder<'_>, i: &Instruction, operand: &Operand, ty: Type) -> Result<Slot, DecodeError> {
    let special = match operand {
        Operand::Name { name, .. } => special::named(name),
        _ => None,
    };
    let Some((number, register)) = special else {
        check_width(d, operand, ty)?;
        // An address is a number.
        let is_address = matches!(operand, Operand::Name { .. }) && d.register_type(operand).is_none();
        let is_number = !matches!(ty, Type::F32 | Type::F64 | Type::Pred);
        if is_address && !is_number || !wide::takes_literal(ty, operand) {
            return Err(d.unknown(i));
        }
        return d.source(operand, ty);
    };
    let is_same = register.bytes() == ty.bytes() && !matches!(ty, Type::F32 | Type::F64);
    let is_short = register.bytes() > ty.bytes() && ty != Type::Pred && special::has_short_form(number);
    if !is_same && !is_short {
        return Err(d.unknown(i));
    }
    let whole = d.temporary(class_of(register));
    special::emit(d, whole, number);
    if is_same {
        return Ok(whole);
    }
    let cut = d.temporary(class_of(ty));
    convert::emit_cut(d, cut, whole, ty);
    Ok(cut)
}

/// The two rows of a 128-bit register.
fn halves(d: &Decoder<'_>, i: &Instruction, operand: &Operand) -> Result<Vec<Slot>, DecodeError> {
    let is_wide = d.register_type(operand) == Some(Type::B128);
    d.rows(operand).filter(|rows| is_wide && rows.len() == 2).ok_or_else(|| d.unknown(i))
}

/// A 128-bit value: a register, or an integer, whose sign does not go beyond its 64 bits.
fn wide_value(d: &mut Decoder<'_>, i: &Instruction, operand: &Operand) -> Result<Vec<Slot>, DecodeError> {
    match operand {
        Operand::Integer(low) => Ok(vec![d.constant64(*low as u64), d.constant64(0)]),
        register => halves(d, i, register),
    }
}

/// Copies through temporaries: the same register may be on both sides.
fn copy_all(d: &mut Decoder<'_>, to: &[Slot], from: &[Slot]) {
    let kept: Vec<Slot> = from.iter().map(|slot| d.temporary(slot.class())).collect();
    for (kept, from) in kept.iter().zip(from) {
        emit_copy(d, *kept, *from);
    }
    for (to, kept) in to.iter().zip(&kept) {
        emit_copy(d, *to, *kept);
    }
}

/// `mov.v2`, `mov.v4`: element by element. ptxas has it, the manual does not say so.
fn vector(
    d: &mut Decoder<'_>,
    i: &Instruction,
    n: usize,
    dst: &Operand,
    src: &Operand,
    ty: Type,
) -> Result<(), DecodeError> {
    let parts = |operand: &Operand| match operand {
        Operand::Vector(parts) => parts.clone(),
        // Special registers are vectors of four.
        Operand::Name { name, .. } if d.rows(operand).map_or(4, |rows| rows.len()) == n => {
            let part = |part| Operand::Name { name: format!("{name}.{part}"), offset: 0 };
            ["x", "y", "z", "w"][..n].iter().map(part).collect()
        }
        _ => Vec::new(),
    };
    let (to, from) = (parts(dst), parts(src));
    if to.len() != n || from.len() != n || ty == Type::B128 || ty == Type::Pred {
        return Err(d.unknown(i));
    }
    let from = from.iter().map(|part| value(d, i, part, ty)).collect::<Result<Vec<_>, _>>()?;
    let to = to.iter().map(|part| {
        check_width(d, part, ty)?;
        d.dest(part, ty)
    });
    let to = to.collect::<Result<Vec<_>, _>>()?;
    copy_all(d, &to, &from);
    Ok(())
}

/// The type of the parts of a packed value: two or four of 8 to 64 bits.
fn part_type(d: &Decoder<'_>, i: &Instruction, ty: Type, parts: usize) -> Result<Type, DecodeError> {
    let part = match (parts, ty.bytes() / parts.max(1) as u64) {
        (2 | 4, 1) => Type::B8,
        (2 | 4, 2) => Type::B16,
        (2 | 4, 4) => Type::B32,
        (2, 8) => Type::B64,
        _ => return Err(d.unknown(i)),
    };
    Ok(part)
}

/// `{a, b}` or `{a, b, c, d}` into one register; 128 bits half by half.
fn decode_pack(
    d: &mut Decoder<'_>,
    i: &Instruction,
    dst: &Operand,
    parts: &[Operand],
    ty: Type,
) -> Result<(), DecodeError> {
    let part = part_type(d, i, ty, parts.len())?;
    let from = parts.iter().map(|p| value(d, i, p, part)).collect::<Result<Vec<_>, _>>()?;
    let to = match ty {
        Type::B128 => halves(d, i, dst)?,
        _ => {
            check_width(d, dst, ty)?;
            vec![d.dest(dst, ty)?]
        }
    };
    if part == Type::B64 {
        copy_all(d, &to, &from);
        return Ok(());
    }
    for (to, from) in to.iter().zip(from.chunks(from.len() / to.len())) {
        let list = d.list(&[], from);
        let inst = d.emit(both!(pack), Kind::Integer, &[*to], &[]);
        inst.aux = part.bytes() as u32;
        inst.list = list;
    }
    Ok(())
}

/// One register into `{a, b}` or `{a, b, c, d}`, each a register or `_`.
fn decode_unpack(
    d: &mut Decoder<'_>,
    i: &Instruction,
    parts: &[Operand],
    src: &Operand,
    ty: Type,
) -> Result<(), DecodeError> {
    let part = part_type(d, i, ty, parts.len())?;
    let from = match ty {
        Type::B128 => wide_value(d, i, src)?,
        _ => vec![value(d, i, src, ty)?],
    };
    let to = parts.iter().map(|p| {
        check_width(d, p, part)?;
        d.dest(p, part)
    });
    let to = to.collect::<Result<Vec<_>, _>>()?;
    if part == Type::B64 {
        copy_all(d, &to, &from);
        return Ok(());
    }
    for (from, to) in from.iter().zip(to.chunks(to.len() / from.len())) {
        let list = d.list(to, &[]);
        let inst = d.emit(both!(unpack), Kind::Integer, &[], &[*from]);
        inst.aux = part.bytes() as u32;
        inst.list = list;
    }
    Ok(())
}
