//! The conversions that kernels are full of, as operations on whole rows.

use half::{bf16, f16};

use super::conversion::Conversion;
use crate::code::Op;
use crate::machine::lanes::lane_op;
use crate::machine::ops::float::NAN;
use crate::numeric::number::Rounding;
use crate::numeric::{e4m3, e5m2};
use crate::ptx::ast::Type;

/// The NaN that conversions to f16 and bf16 give.
const HALF_NAN: u16 = 0x7fff;

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

#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

#[inline(always)]
fn halves(codes: u16, decode: impl Fn(u8) -> f32) -> u32 {
    u32::from(to_f16(decode(codes as u8))) | u32::from(to_f16(decode((codes >> 8) as u8))) << 16
}

/// An integer of one type as one of another, in registers of their classes.
pub fn integer(to: Type, from: Type) -> Op {
    macro_rules! to_width {
        ($from:ty) => {
            match to.bytes() {
                1 => lane_op!(|a: $from| -> u8 { a as u8 }),
                2 => lane_op!(|a: $from| -> u16 { a as u16 }),
                4 => lane_op!(|a: $from| -> u32 { a as u32 }),
                _ => lane_op!(|a: $from| -> u64 { a as u64 }),
            }
        };
    }
    // Types that are no integers are cut as bits.
    match (from, from.bytes()) {
        (Type::S8, _) => to_width!(i8),
        (Type::S16, _) => to_width!(i16),
        (Type::S32, _) => to_width!(i32),
        (_, 1) => to_width!(u8),
        (_, 2) => to_width!(u16),
        (_, 4) => to_width!(u32),
        _ => to_width!(u64),
    }
}

/// A conversion of one operand to one result.
pub fn single(c: Conversion) -> Option<Op> {
    use Type::{Bf16, F16, F32, F64, S32, S64, U32, U64};
    let plain = c.is_plain();
    let nearest = c.rounding == Rounding::NearestEven;
    let truncates = c.whole && c.rounding == Rounding::Zero && Conversion { whole: false, ..c }.is_plain();
    Some(match (c.to, c.from) {
        // Between equals nothing is done, not even to a NaN; a bf16 is the upper
        // half of an f32, so its NaNs are kept too.
        (F32, F32) if plain => lane_op!(|a: u32| -> u32 { a }),
        (F64, F64) if plain => lane_op!(|a: u64| -> u64 { a }),
        (F32, Bf16) if plain => lane_op!(|a: u16| -> u32 { u32::from(a) << 16 }),
        (F32, F16) if plain => lane_op!(|a: u16| -> f32 { number(f16::from_bits(a).to_f32()) }),
        // The manual does not say what NaN becomes in f64: here it keeps its payload.
        (F64, F32) if plain => lane_op!(|a: f32| -> f64 { f64::from(a) }),
        (F64, F32) if c.ftz && Conversion { ftz: false, ..c }.is_plain() => {
            lane_op!(|a: f32| -> f64 { f64::from(flush(a)) })
        }
        (F64, F16) if plain => lane_op!(|a: u16| -> f64 { f64::from(f16::from_bits(a).to_f32()) }),
        (F64, Bf16) if plain => lane_op!(|a: u16| -> f64 { f64::from(f32::from_bits(u32::from(a) << 16)) }),
        (F16, F32) if plain && nearest => lane_op!(|a: f32| -> u16 { to_f16(a) }),
        (Bf16, F32) if plain && nearest => lane_op!(|a: f32| -> u16 { to_bf16(a) }),
        (F32, F64) if plain && nearest => lane_op!(|a: f64| -> f32 { number(a as f32) }),
        (F32, U32) if plain && nearest => lane_op!(|a: u32| -> f32 { a as f32 }),
        (F32, S32) if plain && nearest => lane_op!(|a: i32| -> f32 { a as f32 }),
        (F32, U64) if plain && nearest => lane_op!(|a: u64| -> f32 { a as f32 }),
        (F32, S64) if plain && nearest => lane_op!(|a: i64| -> f32 { a as f32 }),
        (F64, U32) if plain => lane_op!(|a: u32| -> f64 { f64::from(a) }),
        (F64, S32) if plain => lane_op!(|a: i32| -> f64 { f64::from(a) }),
        // NaN becomes 0; what does not fit, the nearest that does.
        (U32, F32) if truncates => lane_op!(|a: f32| -> u32 { a as u32 }),
        (S32, F32) if truncates => lane_op!(|a: f32| -> i32 { a as i32 }),
        _ => return None,
    })
}

/// A conversion of two f32 into one pair: the first becomes the upper half.
pub fn pair(c: Conversion) -> Option<Op> {
    use Type::{Bf16, E4m3, E5m2, F16, F32};
    let saturates = c.satfinite && Conversion { satfinite: false, ..c }.is_plain();
    Some(match (c.to, c.from, c.rounding) {
        (F16, F32, Rounding::NearestEven) if c.is_plain() => {
            lane_op!(|a: f32, b: f32| -> u32 { u32::from(to_f16(a)) << 16 | u32::from(to_f16(b)) })
        }
        (Bf16, F32, Rounding::NearestEven) if c.is_plain() => {
            lane_op!(|a: f32, b: f32| -> u32 { u32::from(to_bf16(a)) << 16 | u32::from(to_bf16(b)) })
        }
        (E4m3, F32, _) if saturates => {
            lane_op!(|a: f32, b: f32| -> u16 { u16::from(e4m3::encode(a)) << 8 | u16::from(e4m3::encode(b)) })
        }
        (E5m2, F32, _) if saturates => {
            lane_op!(|a: f32, b: f32| -> u16 { u16::from(e5m2::encode(a)) << 8 | u16::from(e5m2::encode(b)) })
        }
        _ => return None,
    })
}

/// A conversion of both halves of a pair.
pub fn both_halves(c: Conversion) -> Option<Op> {
    Some(match (c.to, c.from) {
        (Type::F16, Type::E4m3) if c.is_plain() => {
            lane_op!(|a: u16| -> u32 { halves(a, e4m3::decode) })
        }
        (Type::F16, Type::E5m2) if c.is_plain() => {
            lane_op!(|a: u16| -> u32 { halves(a, |code| e5m2::decode(code).to_f32()) })
        }
        _ => return None,
    })
}
