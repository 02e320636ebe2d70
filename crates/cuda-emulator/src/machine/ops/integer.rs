//! Integer arithmetic: sums and differences, quotients, the lesser and the greater.

use crate::code::{DecodeError, Decoder, Op};
use crate::machine::lanes::lane_op;
use crate::machine::ops::{Modifiers, emit};
use crate::ptx::ast::{Instruction, Type, Type::*};

/// The same scalar function for 16, 32 and 64 bits, unsigned: for operations
/// that do not care about the sign.
macro_rules! by_width {
    ($ty:expr, |$($a:ident),+| $e:expr) => {
        match $ty.bytes() {
            2 => lane_op!(|$($a: u16),+| -> u16 { $e }),
            4 => lane_op!(|$($a: u32),+| -> u32 { $e }),
            _ => lane_op!(|$($a: u64),+| -> u64 { $e }),
        }
    };
}

/// The same scalar function for all integer types.
macro_rules! by_type {
    ($ty:expr, |$($a:ident),+| $e:expr) => {
        match $ty {
            S16 => lane_op!(|$($a: i16),+| -> i16 { $e }),
            S32 => lane_op!(|$($a: i32),+| -> i32 { $e }),
            S64 => lane_op!(|$($a: i64),+| -> i64 { $e }),
            _ => by_width!($ty, |$($a),+| $e),
        }
    };
}

/// A function of the two 16-bit halves of a word, one by one.
macro_rules! by_halves {
    ($half:ty, |$a:ident, $b:ident| $e:expr) => {
        lane_op!(|x: u32, y: u32| -> u32 {
            let half = |$a: $half, $b: $half| -> u32 { u32::from(($e) as u16) };
            half(x as $half, y as $half) | half((x >> 16) as $half, (y >> 16) as $half) << 16
        })
    };
}

pub(super) use by_width;

/// A type of plain numbers, 16 to 64 bits.
pub fn is_integer(ty: Type) -> bool {
    matches!(ty, U16 | U32 | U64 | S16 | S32 | S64)
}

fn is_signed(ty: Type) -> bool {
    matches!(ty, S16 | S32 | S64)
}

/// What an instruction may say beside its type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// The nearest number that fits, instead of wrapping.
    Saturated,
    /// Zero instead of what is negative.
    Relu,
}

/// The operation, and how many operands of the type it takes.
fn operation(opcode: &str, form: Form, ty: Type) -> Option<(Op, usize)> {
    let binary = match (opcode, form, ty) {
        ("add", Form::Saturated, S32) => lane_op!(|a: i32, b: i32| -> i32 { a.saturating_add(b) }),
        ("sub", Form::Saturated, S32) => lane_op!(|a: i32, b: i32| -> i32 { a.saturating_sub(b) }),
        ("min", Form::Relu, S32) => lane_op!(|a: i32, b: i32| -> i32 { a.min(b).max(0) }),
        ("max", Form::Relu, S32) => lane_op!(|a: i32, b: i32| -> i32 { a.max(b).max(0) }),
        ("min", Form::Relu, S16x2) => by_halves!(i16, |a, b| a.min(b).max(0)),
        ("max", Form::Relu, S16x2) => by_halves!(i16, |a, b| a.max(b).max(0)),
        (_, Form::Saturated | Form::Relu, _) => return None,
        ("add", _, U16x2 | S16x2) => by_halves!(u16, |a, b| a.wrapping_add(b)),
        ("min", _, U16x2) => by_halves!(u16, |a, b| a.min(b)),
        ("max", _, U16x2) => by_halves!(u16, |a, b| a.max(b)),
        ("min", _, S16x2) => by_halves!(i16, |a, b| a.min(b)),
        ("max", _, S16x2) => by_halves!(i16, |a, b| a.max(b)),
        _ if !is_integer(ty) => return None,
        ("add", ..) => by_width!(ty, |a, b| a.wrapping_add(b)),
        ("sub", ..) => by_width!(ty, |a, b| a.wrapping_sub(b)),
        ("min", ..) => by_type!(ty, |a, b| a.min(b)),
        ("max", ..) => by_type!(ty, |a, b| a.max(b)),
        // The manual leaves division by zero open; both give all ones on GPUs.
        ("div", ..) => by_type!(ty, |a, b| if b == 0 { !0 } else { a.wrapping_div(b) }),
        ("rem", ..) => by_type!(ty, |a, b| if b == 0 { !0 } else { a.wrapping_rem(b) }),
        ("sad", ..) => {
            let distance = by_type!(ty, |a, b, c| {
                c.wrapping_add(if a < b { b.wrapping_sub(a) } else { a.wrapping_sub(b) })
            });
            return Some((distance, 3));
        }
        ("abs", ..) if is_signed(ty) => return Some((absolute(ty), 1)),
        ("neg", ..) if is_signed(ty) => {
            return Some((by_width!(ty, |a| (!a).wrapping_add(1)), 1));
        }
        _ => return None,
    };
    Some((binary, 2))
}

/// The least number has no opposite, and stays.
fn absolute(ty: Type) -> Op {
    match ty {
        S16 => lane_op!(|a: i16| -> i16 { a.wrapping_abs() }),
        S32 => lane_op!(|a: i32| -> i32 { a.wrapping_abs() }),
        _ => lane_op!(|a: i64| -> i64 { a.wrapping_abs() }),
    }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let form = match (m.flag("sat"), m.flag("relu")) {
        (false, false) => Form::Plain,
        (true, false) => Form::Saturated,
        (false, true) => Form::Relu,
        (true, true) => return Err(d.unknown(i)),
    };
    let Some(ty) = m.last_ty() else { return Err(d.unknown(i)) };
    let (op, operands) = operation(&i.opcode, form, ty).ok_or_else(|| d.unknown(i))?;
    emit(d, i, op, ty, &[ty; 3][..operands])
}
