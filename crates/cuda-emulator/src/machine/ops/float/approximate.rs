//! The approximate f32 instructions. They give the correctly rounded result, or
//! within a hair of it, which their error bounds allow; what the manual says of
//! special values and of subnormal ones holds exactly.

use super::Operation;
use super::form::{FTZ, Form, Precision, mode_op};
use crate::code::{Kind, Op};
use crate::numeric::narrow::F32;

/// A function of one operand, over f64.
macro_rules! function {
    (|$x:ident| $value:expr) => {
        mode_op!(map1, |mode, x: u32| -> u32 {
            let $x = f64::from(f32::from_bits(mode.operand(F32, x)));
            mode.result(F32, ($value as f32).to_bits())
        })
    };
}

/// A function of two operands.
macro_rules! quotient {
    (|$a:ident, $b:ident| $value:expr) => {
        mode_op!(map2, |mode, a: u32, b: u32| -> u32 {
            let [$a, $b] = [a, b].map(|code| f32::from_bits(mode.operand(F32, code)));
            mode.result(F32, f32::to_bits($value))
        })
    };
}

/// `a` times the reciprocal of `b`, which is zero where it would be subnormal.
#[inline(always)]
fn times_reciprocal(a: f32, b: f32) -> f32 {
    const LARGEST: f32 = 1.0 / f32::MIN_POSITIVE;
    if b.abs() > LARGEST { a * 0f32.copysign(b) } else { a / b }
}

fn function(opcode: &str) -> Option<Op> {
    Some(match opcode {
        "rcp" => function!(|x| 1.0 / x),
        "sqrt" => function!(|x| x.sqrt()),
        "rsqrt" => function!(|x| 1.0 / x.sqrt()),
        "sin" => function!(|x| x.sin()),
        "cos" => function!(|x| x.cos()),
        "lg2" => function!(|x| x.log2()),
        "ex2" => function!(|x| x.exp2()),
        "tanh" => function!(|x| x.tanh()),
        _ => return None,
    })
}

/// The operation of a form.
pub fn operation(opcode: &str, form: &Form) -> Option<Operation> {
    let (op, kind, operands) = match (opcode, form.precision) {
        ("div", Precision::Full) => (quotient!(|a, b| a / b), Kind::Float32, 2),
        ("div", Precision::Approx) => (quotient!(|a, b| times_reciprocal(a, b)), Kind::Float32, 2),
        (_, Precision::Approx) => (function(opcode)?, Kind::Special, 1),
        _ => return None,
    };
    // `tanh` keeps subnormal numbers.
    let has_ftz = opcode != "tanh";
    (form.flags == Default::default() || has_ftz && form.within(FTZ)).then_some(Operation {
        op,
        kind,
        operands,
    })
}
