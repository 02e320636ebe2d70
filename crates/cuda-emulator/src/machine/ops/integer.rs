//! Integer arithmetic and logic.

use crate::code::{DecodeError, Decoder, Kind, Op};
use crate::machine::lanes::lane_op;
use crate::machine::ops::{Modifiers, predicate};
use crate::ptx::ast::{Instruction, Type};

/// The same scalar function for 16, 32 and 64 bits, unsigned: for operations
/// that do not care about the sign.
macro_rules! by_width {
    ($ty:expr, |$a:ident, $b:ident| $e:expr) => {
        match $ty.bytes() {
            2 => lane_op!(|$a: u16, $b: u16| -> u16 { $e }),
            4 => lane_op!(|$a: u32, $b: u32| -> u32 { $e }),
            _ => lane_op!(|$a: u64, $b: u64| -> u64 { $e }),
        }
    };
}

/// The same scalar function for all integer types.
macro_rules! by_type {
    ($ty:expr, |$a:ident, $b:ident| $e:expr) => {
        match $ty {
            Type::S16 => lane_op!(|$a: i16, $b: i16| -> i16 { $e }),
            Type::S32 => lane_op!(|$a: i32, $b: i32| -> i32 { $e }),
            Type::S64 => lane_op!(|$a: i64, $b: i64| -> i64 { $e }),
            _ => by_width!($ty, |$a, $b| $e),
        }
    };
}

fn is_integer(ty: Type) -> bool {
    use Type::{S16, S32, S64, U16, U32, U64};
    matches!(ty, U16 | U32 | U64 | S16 | S32 | S64)
}

/// Two operands of the type, one result of it.
fn binary(opcode: &str, ty: Type) -> Option<Op> {
    Some(match opcode {
        "add" => by_width!(ty, |a, b| a.wrapping_add(b)),
        "sub" => by_width!(ty, |a, b| a.wrapping_sub(b)),
        "min" => by_type!(ty, |a, b| a.min(b)),
        "max" => by_type!(ty, |a, b| a.max(b)),
        // The manual leaves division by zero open; all ones is what GPUs give.
        "div" => by_type!(ty, |a, b| if b == 0 { !0 } else { a.wrapping_div(b) }),
        "rem" => by_type!(ty, |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
        _ => return None,
    })
}

fn logic(opcode: &str, ty: Type) -> Option<Op> {
    Some(match opcode {
        "and" => by_width!(ty, |a, b| a & b),
        "or" => by_width!(ty, |a, b| a | b),
        "xor" => by_width!(ty, |a, b| a ^ b),
        _ => return None,
    })
}

/// Shift amounts are 32 bits; those above the width clamp to it.
fn shift(opcode: &str, ty: Type) -> Option<Op> {
    use Type::{B16, B32, B64, S16, S32, S64, U16, U32, U64};
    Some(match (opcode, ty) {
        ("shl", B16) => lane_op!(|a: u16, n: u32| -> u16 { if n < 16 { a << n } else { 0 } }),
        ("shl", B32) => lane_op!(|a: u32, n: u32| -> u32 { if n < 32 { a << n } else { 0 } }),
        ("shl", B64) => lane_op!(|a: u64, n: u32| -> u64 { if n < 64 { a << n } else { 0 } }),
        ("shr", B16 | U16) => lane_op!(|a: u16, n: u32| -> u16 { if n < 16 { a >> n } else { 0 } }),
        ("shr", B32 | U32) => lane_op!(|a: u32, n: u32| -> u32 { if n < 32 { a >> n } else { 0 } }),
        ("shr", B64 | U64) => lane_op!(|a: u64, n: u32| -> u64 { if n < 64 { a >> n } else { 0 } }),
        ("shr", S16) => lane_op!(|a: i16, n: u32| -> i16 { a >> n.min(15) }),
        ("shr", S32) => lane_op!(|a: i32, n: u32| -> i32 { a >> n.min(31) }),
        ("shr", S64) => lane_op!(|a: i64, n: u32| -> i64 { a >> n.min(63) }),
        _ => return None,
    })
}

fn low_product(ty: Type) -> Op {
    by_width!(ty, |a, b| a.wrapping_mul(b))
}

fn high_product(ty: Type) -> Option<Op> {
    Some(match ty {
        Type::U16 => lane_op!(|a: u16, b: u16| -> u16 { ((u32::from(a) * u32::from(b)) >> 16) as u16 }),
        Type::S16 => lane_op!(|a: i16, b: i16| -> i16 { ((i32::from(a) * i32::from(b)) >> 16) as i16 }),
        Type::U32 => lane_op!(|a: u32, b: u32| -> u32 { ((u64::from(a) * u64::from(b)) >> 32) as u32 }),
        Type::S32 => lane_op!(|a: i32, b: i32| -> i32 { ((i64::from(a) * i64::from(b)) >> 32) as i32 }),
        Type::U64 => lane_op!(|a: u64, b: u64| -> u64 { ((u128::from(a) * u128::from(b)) >> 64) as u64 }),
        Type::S64 => lane_op!(|a: i64, b: i64| -> i64 { ((i128::from(a) * i128::from(b)) >> 64) as i64 }),
        _ => return None,
    })
}

/// The product at twice the width: the operation and the type of its result.
fn wide_product(ty: Type) -> Option<(Op, Type)> {
    Some(match ty {
        Type::U16 => (lane_op!(|a: u16, b: u16| -> u32 { u32::from(a) * u32::from(b) }), Type::U32),
        Type::S16 => (lane_op!(|a: i16, b: i16| -> i32 { i32::from(a) * i32::from(b) }), Type::S32),
        Type::U32 => (lane_op!(|a: u32, b: u32| -> u64 { u64::from(a) * u64::from(b) }), Type::U64),
        Type::S32 => (lane_op!(|a: i32, b: i32| -> i64 { i64::from(a) * i64::from(b) }), Type::S64),
        _ => return None,
    })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let opcode = i.opcode.as_str();
    match (opcode, i.operands.as_slice()) {
        ("mul" | "mad", operands) => {
            let Some(half) = m.advance() else { return Err(d.unknown(i)) };
            let Some(ty) = m.ty().filter(|t| m.done() && is_integer(*t)) else { return Err(d.unknown(i)) };
            let (op, result) = match half {
                "lo" => (low_product(ty), ty),
                "hi" => (high_product(ty).ok_or_else(|| d.unknown(i))?, ty),
                "wide" => wide_product(ty).ok_or_else(|| d.unknown(i))?,
                _ => return Err(d.unknown(i)),
            };
            let [dst, a, b, rest @ ..] = operands else { return Err(d.unknown(i)) };
            d.expect_operands(i, if opcode == "mul" { 3 } else { 4 })?;
            let (dst, a, b) = (d.dest(dst, result)?, d.source(a, ty)?, d.source(b, ty)?);
            let [c] = rest else {
                d.emit(op, Kind::Integer, &[dst], &[a, b]);
                return Ok(());
            };
            let c = d.source(c, result)?;
            let product = d.temporary(dst.class());
            d.emit(op, Kind::Integer, &[product], &[a, b]);
            d.emit(by_width!(result, |a, b| a.wrapping_add(b)), Kind::Integer, &[dst], &[product, c]);
        }
        ("and" | "or" | "xor" | "not", [dst, operands @ ..]) => {
            d.expect_operands(i, if opcode == "not" { 2 } else { 3 })?;
            let Some(ty) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
            let dst = d.dest(dst, ty)?;
            let mut src = operands.iter().map(|o| d.source(o, ty)).collect::<Result<Vec<_>, _>>()?;
            match (ty, opcode) {
                (Type::Pred, _) => {
                    predicate::emit_logic(d, opcode, dst, &src).ok_or_else(|| d.unknown(i))?;
                }
                (Type::B16 | Type::B32 | Type::B64, "not") => {
                    src.push(d.source(&crate::ptx::ast::Operand::Integer(-1), ty)?);
                    d.emit(by_width!(ty, |a, b| a ^ b), Kind::Integer, &[dst], &src);
                }
                (Type::B16 | Type::B32 | Type::B64, _) => {
                    let op = logic(opcode, ty).ok_or_else(|| d.unknown(i))?;
                    d.emit(op, Kind::Integer, &[dst], &src);
                }
                _ => return Err(d.unknown(i)),
            }
        }
        ("shl" | "shr", [dst, a, n]) => {
            let Some(ty) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
            let op = shift(opcode, ty).ok_or_else(|| d.unknown(i))?;
            let (dst, a, n) = (d.dest(dst, ty)?, d.source(a, ty)?, d.source(n, Type::U32)?);
            d.emit(op, Kind::Integer, &[dst], &[a, n]);
        }
        ("abs" | "neg", [dst, a]) => {
            let Some(ty) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
            let op = match (opcode, ty) {
                ("abs", Type::S16) => lane_op!(|a: i16| -> i16 { a.wrapping_abs() }),
                ("abs", Type::S32) => lane_op!(|a: i32| -> i32 { a.wrapping_abs() }),
                ("abs", Type::S64) => lane_op!(|a: i64| -> i64 { a.wrapping_abs() }),
                ("neg", Type::S16) => lane_op!(|a: i16| -> i16 { a.wrapping_neg() }),
                ("neg", Type::S32) => lane_op!(|a: i32| -> i32 { a.wrapping_neg() }),
                ("neg", Type::S64) => lane_op!(|a: i64| -> i64 { a.wrapping_neg() }),
                _ => return Err(d.unknown(i)),
            };
            let (dst, a) = (d.dest(dst, ty)?, d.source(a, ty)?);
            d.emit(op, Kind::Integer, &[dst], &[a]);
        }
        (_, [dst, a, b]) => {
            let Some(ty) = m.ty().filter(|t| m.done() && is_integer(*t)) else { return Err(d.unknown(i)) };
            let op = binary(opcode, ty).ok_or_else(|| d.unknown(i))?;
            let (dst, a, b) = (d.dest(dst, ty)?, d.source(a, ty)?, d.source(b, ty)?);
            d.emit(op, Kind::Integer, &[dst], &[a, b]);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
