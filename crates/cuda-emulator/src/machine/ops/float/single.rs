//! f32.

use super::Operation;
use super::form::{EXTREMES, FTZ, Flags, Form, Precision, SAT, mode_op};
use crate::code::{Kind, Op};
use crate::machine::lanes::lane_op;
use crate::numeric::narrow::F32;
use crate::numeric::rounding::{self, Rounding};

#[inline(always)]
fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(F32.nan()) } else { x }
}

/// The compiler counts one NaN as good as another, and leaves out the test of a
/// root that a negative operand decides; a test of the code it must keep.
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    f32::from_bits(F32.canonical(x.sqrt().to_bits()))
}

/// An operation three ways: rounded to nearest by the host alone, which is what
/// most programs want and must be quick; the same with the other modifiers; and
/// in other directions, over f64.
macro_rules! arithmetic {
    ($form:expr, $map:ident, |$($x:ident),+| $nearest:expr, |$rounding:ident| $odd:expr) => {{
        let form: &Form = $form;
        match (form.rounding_or_nearest()?, form.flags) {
            (Rounding::NearestEven, Flags::NONE) => lane_op!(|$($x: f32),+| -> f32 { canonical($nearest) }),
            (Rounding::NearestEven, _) => mode_op!($map, |mode, $($x: u32),+| -> u32 {
                $(let $x = f32::from_bits(mode.operand(F32, $x));)+
                mode.result(F32, f32::to_bits($nearest))
            }),
            _ => mode_op!($map, |mode, $($x: u32),+| -> u32 {
                let $rounding = mode.rounding;
                $(let $x = f64::from(f32::from_bits(mode.operand(F32, $x)));)+
                mode.result(F32, rounding::to_f32($odd, $rounding).to_bits())
            }),
        }
    }};
}

/// What may be rounded in any direction.
fn rounded(opcode: &str, form: &Form) -> Option<(Op, usize)> {
    // Leaving the rounding out means to nearest, but only where the manual says so.
    if form.precision == Precision::Unsaid && !matches!(opcode, "add" | "sub" | "mul") {
        return None;
    }
    let saturates = matches!(opcode, "add" | "sub" | "mul" | "fma" | "mad");
    if !form.within(if saturates { FTZ.or(SAT) } else { FTZ }) {
        return None;
    }
    Some(match opcode {
        "add" => (arithmetic!(form, map2, |a, b| a + b, |r| rounding::add(a, b, r)), 2),
        "sub" => (arithmetic!(form, map2, |a, b| a - b, |r| rounding::add(a, -b, r)), 2),
        // f64 holds the product exactly.
        "mul" => (arithmetic!(form, map2, |a, b| a * b, |_r| a * b), 2),
        "fma" | "mad" => {
            (arithmetic!(form, map3, |a, b, c| a.mul_add(b, c), |r| rounding::mul_add(a, b, c, r)), 3)
        }
        "div" => (arithmetic!(form, map2, |a, b| a / b, |_r| rounding::div(a, b)), 2),
        "rcp" => (arithmetic!(form, map1, |a| 1.0 / a, |_r| rounding::div(1.0, a)), 1),
        "sqrt" => (arithmetic!(form, map1, |a| sqrt(a), |_r| rounding::sqrt(a)), 1),
        _ => return None,
    })
}

/// What is never rounded.
fn exact(opcode: &str, form: &Form) -> Option<(Op, usize)> {
    let plain = form.flags == Flags::NONE;
    let (op, operands, allowed) = match opcode {
        "min" if plain => (lane_op!(|a: u32, b: u32| -> u32 { F32.min(a, b) }), 2, Flags::NONE),
        "max" if plain => (lane_op!(|a: u32, b: u32| -> u32 { F32.max(a, b) }), 2, Flags::NONE),
        "min" => (mode_op!(map2, |m, a: u32, b: u32| -> u32 { m.min(F32, a, b) }), 2, EXTREMES),
        "max" => (mode_op!(map2, |m, a: u32, b: u32| -> u32 { m.max(F32, a, b) }), 2, EXTREMES),
        "abs" if plain => (lane_op!(|a: f32| -> f32 { canonical(a.abs()) }), 1, Flags::NONE),
        "neg" if plain => (lane_op!(|a: f32| -> f32 { canonical(-a) }), 1, Flags::NONE),
        "abs" => (mode_op!(map1, |m, a: u32| -> u32 { m.result(F32, F32.magnitude(a)) }), 1, FTZ),
        "neg" => (mode_op!(map1, |m, a: u32| -> u32 { m.result(F32, a ^ F32.sign()) }), 1, FTZ),
        "copysign" => {
            (lane_op!(|a: u32, b: u32| -> u32 { F32.magnitude(b) | a & F32.sign() }), 2, Flags::NONE)
        }
        _ => return None,
    };
    (form.precision == Precision::Unsaid && form.within(allowed)).then_some((op, operands))
}

/// The operation of a form.
pub fn operation(opcode: &str, form: &Form) -> Option<Operation> {
    let (op, operands) = rounded(opcode, form).or_else(|| exact(opcode, form))?;
    let kind = match opcode {
        "rcp" | "sqrt" => Kind::Special,
        "copysign" => Kind::Integer,
        _ => Kind::Float32,
    };
    Some(Operation { op, kind, operands })
}
