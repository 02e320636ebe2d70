//! `cvt` in all its forms, and `cvt.pack`.

mod conversion;
mod form;
mod quick;

use conversion::{Conversion, Values, extend, values_of};
use form::{Form, element};

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Op, Slot, class_of};
use crate::machine::lanes::both;
use crate::machine::ops::moves::value_of;
use crate::machine::ops::{Modifiers, special, wide};
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type};

/// dst = f(lane), undefined where an operand is.
#[inline(always)]
fn map(cpu: &mut Cpu<'_>, i: &Inst, f: impl Fn(&Cpu<'_>, usize) -> u64) -> Flow {
    let value: [u64; 32] = std::array::from_fn(|lane| f(cpu, lane));
    let mask = cpu.mask;
    let operands = i.src.iter().filter(|slot| slot.is_some());
    let undefined = operands.fold(0, |lanes, slot| lanes | cpu.warp.registers.undefined(*slot));
    match i.dst[0].class() {
        Class::R32 => blend(u32::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value.map(|v| v as u32)),
        _ => blend(u64::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value),
    }
    cpu.warp.registers.set_undefined(i.dst[0], mask, undefined);
    Flow::Next
}

/// An integer of one type as one of another, in a register that may be wider:
/// extended as the source's type says, cut to the destination's, extended to the
/// register as that says. `aux` holds the three widths and the two signs.
#[inline(always)]
fn integer(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let (from, from_signed) = (i.aux & 0x7f, i.aux >> 7 & 1 == 1);
    let (to, to_signed) = (i.aux >> 8 & 0x7f, i.aux >> 15 & 1 == 1);
    let register = i.aux >> 16;
    map(cpu, i, |cpu, lane| {
        let value = extend(value_of(cpu, i.src[0], lane), from, from_signed);
        extend(extend(value, to, to_signed), register, false)
    })
}

/// One operand, one result, by `aux`.
#[inline(always)]
fn single(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let c = Conversion::unpack(i.aux);
    map(cpu, i, |cpu, lane| c.apply(value_of(cpu, i.src[0], lane)))
}

/// Two operands, the first becoming the upper half of the result.
#[inline(always)]
fn pair(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let c = Conversion::unpack(i.aux);
    let width = 8 * c.to.bytes();
    map(cpu, i, |cpu, lane| {
        c.apply(value_of(cpu, i.src[0], lane)) << width | c.apply(value_of(cpu, i.src[1], lane))
    })
}

/// Both halves of one operand.
#[inline(always)]
fn halves(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let c = Conversion::unpack(i.aux);
    let (from, to) = (8 * c.from.bytes(), 8 * c.to.bytes());
    map(cpu, i, |cpu, lane| {
        let value = value_of(cpu, i.src[0], lane);
        c.apply(value >> from) << to | c.apply(value)
    })
}

/// `cvt.pack`: two integers cut to the range of `aux` bits, above them what fits
/// of the third operand.
#[inline(always)]
fn pack(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let (bits, signed) = (i.aux & 0x7f, i.aux >> 7 & 1 == 1);
    let (low, high) =
        if signed { (-1 << (bits - 1), (1 << (bits - 1)) - 1) } else { (0, (1i64 << bits) - 1) };
    let part = |cpu: &Cpu<'_>, slot: Slot, lane: usize| {
        let value = i64::from(value_of(cpu, slot, lane) as i32).clamp(low, high);
        extend(value as u64, bits, false)
    };
    map(cpu, i, |cpu, lane| {
        let above = if i.src[2].is_some() { value_of(cpu, i.src[2], lane) << (2 * bits) } else { 0 };
        extend(above | part(cpu, i.src[0], lane) << bits | part(cpu, i.src[1], lane), 32, false)
    })
}

// ---- Decoding --------------------------------------------------------------------------

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    if i.modifiers.first().is_some_and(|word| word == "pack") {
        return decode_pack(d, i);
    }
    let (form, to, from) = Form::of(i).ok_or_else(|| d.unknown(i))?;
    // The formats that came later take registers of their own size only.
    let exact = [to, from]
        .iter()
        .any(|ty| matches!(ty, Type::Bf16 | Type::Bf16x2 | Type::Tf32 | Type::E4m3x2 | Type::E5m2x2));
    let found = match (i.operands.as_slice(), element(to), element(from)) {
        ([_, _], None, None) => form.single(to, from).map(|c| (c, quick::single(c), both!(single))),
        ([_, _, _], Some(to), None) if from == Type::F32 => {
            form.packed(to, from).map(|c| (c, quick::pair(c), both!(pair)))
        }
        ([_, _], Some(to), Some(from)) => {
            form.packed(to, from).map(|c| (c, quick::both_halves(c), both!(halves)))
        }
        _ => None,
    };
    let Some((conversion, quick, slow)) = found else { return Err(d.unknown(i)) };
    let integers = is_integer(to) && is_integer(from);
    let src = i.operands[1..]
        .iter()
        .map(|operand| source(d, i, operand, from, exact, integers))
        .collect::<Result<Vec<_>, _>>()?;
    let dst = destination(d, i, to, exact)?;
    if integers && !conversion.sat {
        emit_integer(d, dst.slot, src[0], from, to, dst.bits);
    } else {
        dst.emit(d, quick.unwrap_or(slow), &src, conversion.pack());
    }
    dst.finish(d);
    Ok(())
}

fn decode_pack(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let saturates = m.take("pack") && m.take("sat");
    let (bits, signed) = match m.advance().filter(|_| saturates) {
        Some("u2") => (2, false),
        Some("s2") => (2, true),
        Some("u4") => (4, false),
        Some("s4") => (4, true),
        Some("u8") => (8, false),
        Some("s8") => (8, true),
        Some("u16") => (16, false),
        Some("s16") => (16, true),
        _ => return Err(d.unknown(i)),
    };
    // Two halves leave no room for a third operand; anything smaller has one.
    let fits = m.take("s32") && (bits == 16 || m.take("b32")) && m.done();
    if !fits {
        return Err(d.unknown(i));
    }
    d.expect_operands(i, if bits == 16 { 3 } else { 4 })?;
    let src = i.operands[1..]
        .iter()
        .map(|operand| source(d, i, operand, Type::S32, false, false))
        .collect::<Result<Vec<_>, _>>()?;
    let dst = destination(d, i, Type::U32, false)?;
    dst.emit(d, both!(pack), &src, bits | u32::from(signed) << 7);
    dst.finish(d);
    Ok(())
}

fn is_integer(ty: Type) -> bool {
    matches!(values_of(ty), Some(Values::Integer { .. }))
}

/// Where a result of type `ty` goes.
struct Destination {
    slot: Slot,
    ty: Type,
    /// Of the register, or of 64 if it has more.
    bits: u32,
    /// The rows of a 128-bit register, which `slot` is then spread over.
    wide: Vec<Slot>,
}

impl Destination {
    /// Emits what makes the result; a wider register has it extended.
    fn emit(&self, d: &mut Decoder<'_>, op: Op, src: &[Slot], aux: u32) {
        let is_wider = self.bits > 8 * self.ty.bytes() as u32;
        let slot = if is_wider { d.temporary(class_of(self.ty)) } else { self.slot };
        d.emit(op, Kind::Convert, &[slot], src).aux = aux;
        if is_wider {
            emit_integer(d, self.slot, slot, self.ty, self.ty, self.bits);
        }
    }

    /// What is left to do once `slot` has the result.
    fn finish(&self, d: &mut Decoder<'_>) {
        wide::emit_extended(d, &self.wide, self.slot, wide::is_signed(self.ty));
    }
}

fn destination(
    d: &mut Decoder<'_>,
    i: &Instruction,
    ty: Type,
    exact: bool,
) -> Result<Destination, DecodeError> {
    let operand = &i.operands[0];
    let register = d.register_type(operand).unwrap_or(ty);
    check_width(d, i, register, ty, exact)?;
    if register == Type::B128 {
        let (slot, rows) = (d.temporary(Class::R64), d.rows(operand).unwrap_or_default());
        return Ok(Destination { slot, ty, bits: 64, wide: rows });
    }
    let slot = d.dest_class(operand, class_of(register))?;
    Ok(Destination { slot, ty, bits: 8 * register.bytes() as u32, wide: Vec::new() })
}

/// A row of the class that the type has, with the operand in its low bits.
/// Special registers become integers only.
fn source(
    d: &mut Decoder<'_>,
    i: &Instruction,
    operand: &Operand,
    ty: Type,
    exact: bool,
    special: bool,
) -> Result<Slot, DecodeError> {
    let named = match operand {
        Operand::Name { name, .. } => special::named(name).filter(|(_, ty)| *ty != Type::Pred),
        _ => None,
    };
    let (slot, register) = match (named, d.register_type(operand), operand) {
        (Some((number, register)), ..) if special => {
            let slot = d.temporary(class_of(register));
            special::emit(d, slot, number);
            (slot, register)
        }
        (None, Some(register), _) => (wide::low_row(d, operand, register)?, register),
        (None, None, Operand::Integer(_)) if is_integer(ty) => (d.source(operand, ty)?, ty),
        (None, None, Operand::Float32(_) | Operand::Float64(_)) if matches!(ty, Type::F32 | Type::F64) => {
            (d.source(operand, ty)?, ty)
        }
        _ => return Err(d.unknown(i)),
    };
    check_width(d, i, register, ty, exact)?;
    if slot.class() == class_of(ty) {
        return Ok(slot);
    }
    let narrow = d.temporary(class_of(ty));
    emit_integer(d, narrow, slot, Type::U64, Type::U32, 32);
    Ok(narrow)
}

/// A register may be wider than the instruction's type, but not narrower.
fn check_width(
    d: &Decoder<'_>,
    i: &Instruction,
    register: Type,
    ty: Type,
    exact: bool,
) -> Result<(), DecodeError> {
    let (has, needs) = (register.bytes(), ty.bytes());
    if has < needs || exact && has != needs {
        let opcode = &i.opcode;
        return Err(
            d.error(format!("a register of type {register:?} does not fit {ty:?} of this `{opcode}`"))
        );
    }
    Ok(())
}

/// `dst` = the low bits of `src`, as many as the type has.
pub fn emit_cut(d: &mut Decoder<'_>, dst: Slot, src: Slot, ty: Type) {
    emit_integer(d, dst, src, ty, ty, 8 * ty.bytes() as u32);
}

/// `dst`, of so many bits, = the integer `src`.
fn emit_integer(d: &mut Decoder<'_>, dst: Slot, src: Slot, from: Type, to: Type, bits: u32) {
    let kind = |ty: Type| {
        let signed = matches!(values_of(ty), Some(Values::Integer { signed: true, .. }));
        (8 * ty.bytes() as u32) | u32::from(signed) << 7
    };
    let aux = kind(from) | kind(to) << 8 | bits << 16;
    let is_plain = bits == 8 * to.bytes() as u32 && src.class() == class_of(from);
    let op = if is_plain { quick::integer(to, from) } else { both!(integer) };
    d.emit(op, Kind::Convert, &[dst], &[src]).aux = aux;
}

#[cfg(test)]
mod tests {
    use crate::code::Program;

    /// What is said of a kernel with this instruction.
    fn refusal(instruction: &str) -> String {
        let ptx = format!(
            ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{{\n.reg .b16 %h<4>;\n.reg .b32 %r<4>;\n{instruction};\nret;\n}}\n"
        );
        Program::load(&ptx, &mut |_| 0).map(drop).expect_err(instruction).to_string()
    }

    #[test]
    fn what_came_with_later_gpus_is_refused_by_name() {
        for (form, operands) in [
            ("cvt.rn.satfinite.e2m1x2.f32", "%h0, %r0, %r1"),
            ("cvt.rn.satfinite.e2m3x2.f32", "%h0, %r0, %r1"),
            ("cvt.rp.ue8m0x2.f32", "%h0, %r0, %r1"),
            ("cvt.rs.f16x2.f32", "%r0, %r1, %r2, %r3"),
            ("cvt.rn.satfinite.tf32.f32", "%r0, %r1"),
        ] {
            let refusal = refusal(&format!("{form} {operands}"));
            assert!(refusal.contains(form) && refusal.contains("line 8"), "{refusal}");
        }
    }

    #[test]
    fn so_are_special_registers_that_count_nothing_here() {
        for name in ["%pm0", "%pm7", "%reserved_smem_offset_0"] {
            for instruction in ["mov.u32 %r0,", "cvt.u16.u32 %h0,"] {
                let refusal = refusal(&format!("{instruction} {name}"));
                assert!(refusal.contains(instruction.split(' ').next().unwrap_or_default()), "{refusal}");
                assert!(refusal.contains(name), "{refusal}");
            }
        }
    }
}
