//! f64.

use super::Operation;
use super::form::{FTZ, Flags, Form, Precision, mode_op};
use crate::code::{Kind, Op};
use crate::machine::lanes::lane_op;
use crate::numeric::directed;
use crate::numeric::rounding::Rounding;

const SIGN: u64 = 1 << 63;

/// An operation by the host where it is rounded to nearest, and in software otherwise.
macro_rules! arithmetic {
    ($form:expr, $map:ident, |$($x:ident),+| $nearest:expr, |$rounding:ident| $directed:expr) => {
        match $form.rounding_or_nearest()? {
            Rounding::NearestEven => lane_op!(|$($x: f64),+| -> f64 { $nearest }),
            _ => mode_op!($map, |mode, $($x: f64),+| -> f64 {
                let $rounding = mode.rounding;
                $directed
            }),
        }
    };
}

/// What is rounded, in any direction.
fn rounded(opcode: &str, form: &Form) -> Option<(Op, usize)> {
    if form.precision == Precision::Unsaid && !matches!(opcode, "add" | "sub" | "mul") {
        return None;
    }
    Some(match opcode {
        "add" => (arithmetic!(form, map2, |a, b| a + b, |r| directed::add(a, b, r)), 2),
        "sub" => (arithmetic!(form, map2, |a, b| a - b, |r| directed::add(a, -b, r)), 2),
        "mul" => (arithmetic!(form, map2, |a, b| a * b, |r| directed::mul(a, b, r)), 2),
        "fma" | "mad" => {
            (arithmetic!(form, map3, |a, b, c| a.mul_add(b, c), |r| directed::mul_add(a, b, c, r)), 3)
        }
        "div" => (arithmetic!(form, map2, |a, b| a / b, |r| directed::div(a, b, r)), 2),
        "rcp" => (arithmetic!(form, map1, |a| 1.0 / a, |r| directed::div(1.0, a, r)), 1),
        "sqrt" => (arithmetic!(form, map1, |a| a.sqrt(), |r| directed::sqrt(a, r)), 1),
        _ => return None,
    })
}

/// The number where one operand is NaN; -0 is below +0.
#[inline(always)]
fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() {
        b
    } else if b.is_nan() || a < b {
        a
    } else if b < a {
        b
    } else {
        f64::from_bits(a.to_bits() | b.to_bits())
    }
}

#[inline(always)]
fn maximum(a: f64, b: f64) -> f64 {
    -minimum(-a, -b)
}

fn exact(opcode: &str) -> Option<(Op, usize)> {
    Some(match opcode {
        "min" => (lane_op!(|a: f64, b: f64| -> f64 { minimum(a, b) }), 2),
        "max" => (lane_op!(|a: f64, b: f64| -> f64 { maximum(a, b) }), 2),
        "abs" => (lane_op!(|a: u64| -> u64 { a & !SIGN }), 1),
        "neg" => (lane_op!(|a: u64| -> u64 { a ^ SIGN }), 1),
        "copysign" => (lane_op!(|a: u64, b: u64| -> u64 { a & SIGN | b & !SIGN }), 2),
        _ => return None,
    })
}

/// The upper word of a number: all that the gross approximations see, and give.
/// A NaN whose payload is in the lower word looks like infinity to them.
#[inline(always)]
fn upper(bits: u64) -> u64 {
    bits & !0xffff_ffff
}

#[inline(always)]
fn flush(x: f64) -> f64 {
    if x.is_subnormal() { 0f64.copysign(x) } else { x }
}

/// A function of the upper word, rounded to it.
#[inline(always)]
fn gross(bits: u64, f: impl Fn(f64) -> f64) -> u64 {
    const HALF: u64 = 1 << 31;
    let value = flush(f(flush(f64::from_bits(upper(bits)))));
    if value.is_nan() { 0x7fff_ffff_0000_0000 } else { upper(value.to_bits() + HALF) }
}

fn approximate(opcode: &str, flags: Flags) -> Option<Op> {
    Some(match (opcode, flags) {
        ("rcp", FTZ) => lane_op!(|a: u64| -> u64 { gross(a, |x| 1.0 / x) }),
        ("rsqrt", FTZ) => lane_op!(|a: u64| -> u64 { gross(a, |x| 1.0 / x.sqrt()) }),
        ("rsqrt", Flags::NONE) => lane_op!(|a: f64| -> f64 { 1.0 / a.sqrt() }),
        _ => return None,
    })
}

/// The operation of a form.
pub fn operation(opcode: &str, form: &Form) -> Option<Operation> {
    let (op, operands) = match (form.precision, form.flags) {
        (Precision::Approx, flags) => (approximate(opcode, flags)?, 1),
        (Precision::Unsaid, Flags::NONE) => rounded(opcode, form).or_else(|| exact(opcode))?,
        (Precision::Rounded(_), Flags::NONE) => rounded(opcode, form)?,
        _ => return None,
    };
    let kind = match (opcode, form.precision) {
        (_, Precision::Approx) => Kind::Special,
        ("copysign", _) => Kind::Integer,
        _ => Kind::Float64,
    };
    Some(Operation { op, kind, operands })
}
