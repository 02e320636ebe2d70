//! `cvt`: between integers, and between f32, f16, bf16 and E4M3.

use half::{bf16, f16};

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Op, class_of};
use crate::machine::lanes::{both, lane_op};
use crate::machine::ops::Modifiers;
use crate::machine::ops::float::NAN;
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::numeric::e4m3;
use crate::ptx::ast::{Instruction, Type};

/// The NaN that conversions to f16 and bf16 give.
const HALF_NAN: u16 = 0x7fff;

/// Integer to integer: extended as the source's type says, cut to the
/// destination's. `aux` holds the two types' widths and signs.
#[inline(always)]
fn integer(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let (from, from_signed) = (i.aux & 0xff, i.aux >> 8 & 1 == 1);
    let (to, to_signed) = (i.aux >> 16 & 0xff, i.aux >> 24 & 1 == 1);
    let mask = cpu.mask;
    let src = i.src[0];
    let mut value = [0u64; 32];
    for (lane, v) in value.iter_mut().enumerate() {
        let raw = match src.class() {
            Class::R32 => u64::from(u32::row(&cpu.warp.registers, cpu.kernel, src)[lane]),
            _ => u64::row(&cpu.warp.registers, cpu.kernel, src)[lane],
        };
        *v = extend(extend(raw, from, from_signed), to, to_signed);
    }
    match i.dst[0].class() {
        Class::R32 => blend(u32::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value.map(|v| v as u32)),
        _ => blend(u64::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value),
    }
    let undefined = cpu.warp.registers.undefined(src);
    cpu.warp.registers.set_undefined(i.dst[0], mask, undefined);
    Flow::Next
}

#[inline(always)]
fn extend(value: u64, bits: u32, signed: bool) -> u64 {
    let shift = 64 - bits;
    if signed { ((value << shift) as i64 >> shift) as u64 } else { value << shift >> shift }
}

fn is_integer(ty: Type) -> Option<bool> {
    use Type::{S8, S16, S32, S64, U8, U16, U32, U64};
    match ty {
        U8 | U16 | U32 | U64 => Some(false),
        S8 | S16 | S32 | S64 => Some(true),
        _ => None,
    }
}

#[inline(always)]
fn to_f16(x: f32) -> u16 {
    if x.is_nan() { HALF_NAN } else { f16::from_f32(x).to_bits() }
}

#[inline(always)]
fn to_bf16(x: f32) -> u16 {
    if x.is_nan() { HALF_NAN } else { bf16::from_f32(x).to_bits() }
}

#[inline(always)]
fn number(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(NAN) } else { x }
}

/// Conversions of one operand.
fn single(rounding: &[&str], to: Type, from: Type) -> Option<Op> {
    use Type::{Bf16, E4m3x2, F16, F16x2, F32, S32, U32};
    Some(match (rounding, to, from) {
        (["rn"], Bf16, F32) => lane_op!(|a: f32| -> u16 { to_bf16(a) }),
        (["rn"], F16, F32) => lane_op!(|a: f32| -> u16 { to_f16(a) }),
        ([], F32, Bf16) => lane_op!(|a: u16| -> f32 { number(bf16::from_bits(a).to_f32()) }),
        ([], F32, F16) => lane_op!(|a: u16| -> f32 { number(f16::from_bits(a).to_f32()) }),
        (["rn"], F16x2, E4m3x2) => lane_op!(|a: u16| -> u32 {
            let half = |code: u16| u32::from(to_f16(e4m3::decode(code as u8)));
            half(a & 0xff) | half(a >> 8) << 16
        }),
        (["rn"], F32, U32) => lane_op!(|a: u32| -> f32 { a as f32 }),
        (["rn"], F32, S32) => lane_op!(|a: i32| -> f32 { a as f32 }),
        // NaN becomes 0; what does not fit, the nearest that does.
        (["rzi"], U32, F32) => lane_op!(|a: f32| -> u32 { a as u32 }),
        (["rzi"], S32, F32) => lane_op!(|a: f32| -> i32 { a as i32 }),
        _ => return None,
    })
}

/// Conversions of two operands into one packed result: the first becomes the upper half.
fn packed(rounding: &[&str], to: Type, from: Type) -> Option<Op> {
    use Type::{Bf16x2, E4m3x2, F16x2, F32};
    Some(match (rounding, to, from) {
        (["rn", "satfinite"], E4m3x2, F32) => {
            lane_op!(|a: f32, b: f32| -> u16 { u16::from(e4m3::encode(a)) << 8 | u16::from(e4m3::encode(b)) })
        }
        (["rn"], Bf16x2, F32) => {
            lane_op!(|a: f32, b: f32| -> u32 { u32::from(to_bf16(a)) << 16 | u32::from(to_bf16(b)) })
        }
        (["rn"], F16x2, F32) => {
            lane_op!(|a: f32, b: f32| -> u32 { u32::from(to_f16(a)) << 16 | u32::from(to_f16(b)) })
        }
        _ => return None,
    })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let mut rounding = Vec::new();
    while let Some(word) = m.peek().filter(|w| matches!(*w, "rn" | "rzi" | "satfinite")) {
        rounding.push(word);
        m.advance();
    }
    let (Some(to), Some(from), true) = (m.ty(), m.ty(), m.done()) else { return Err(d.unknown(i)) };
    match i.operands.as_slice() {
        [dst, a] => {
            if let (Some(from_signed), Some(to_signed), true) =
                (is_integer(from), is_integer(to), rounding.is_empty())
            {
                // Registers may be wider than the types; a narrow value is extended to its register.
                let width = |ty: Option<Type>, least: Type| ty.map_or(class_of(least), class_of);
                let dst = d.dest_class(dst, width(d.register_type(dst), to))?;
                let a = match d.register_type(a) {
                    Some(ty) => d.source(a, ty)?,
                    None => d.source(a, from)?,
                };
                let inst = d.emit(both!(integer), Kind::Convert, &[dst], &[a]);
                inst.aux = (8 * from.bytes() as u32)
                    | (u32::from(from_signed) << 8)
                    | ((8 * to.bytes() as u32) << 16)
                    | (u32::from(to_signed) << 24);
                return Ok(());
            }
            let op = single(&rounding, to, from).ok_or_else(|| d.unknown(i))?;
            let (dst, a) = (d.dest(dst, to)?, d.source(a, from)?);
            d.emit(op, Kind::Convert, &[dst], &[a]);
        }
        [dst, a, b] => {
            let op = packed(&rounding, to, from).ok_or_else(|| d.unknown(i))?;
            let (dst, a, b) = (d.dest(dst, to)?, d.source(a, from)?, d.source(b, from)?);
            d.emit(op, Kind::Convert, &[dst], &[a, b]);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
