//! f32 arithmetic, rounded to nearest even. A NaN result is 0x7fffffff, as on
//! GPUs, whatever the operands' payloads.

use crate::code::{DecodeError, Decoder, Kind, Op};
use crate::machine::lanes::lane_op;
use crate::machine::ops::Modifiers;
use crate::ptx::ast::{Instruction, Type};

/// The NaN that f32 arithmetic gives.
pub const NAN: u32 = 0x7fff_ffff;

#[inline(always)]
fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(NAN) } else { x }
}

/// The number where one operand is NaN; -0 is below +0.
#[inline(always)]
fn minimum(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        canonical(b)
    } else if b.is_nan() || a < b {
        a
    } else if b < a {
        b
    } else {
        f32::from_bits(a.to_bits() | b.to_bits())
    }
}

#[inline(always)]
fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        canonical(b)
    } else if b.is_nan() || a > b {
        a
    } else if b > a {
        b
    } else {
        f32::from_bits(a.to_bits() & b.to_bits())
    }
}

/// The operation, and how many operands it takes. The approximate forms are
/// given the correctly rounded result, which their error bounds allow.
fn operation(opcode: &str, rounding: Option<&str>) -> Option<(Op, usize)> {
    Some(match (opcode, rounding) {
        ("add", None | Some("rn")) => (lane_op!(|a: f32, b: f32| -> f32 { canonical(a + b) }), 2),
        ("sub", None | Some("rn")) => (lane_op!(|a: f32, b: f32| -> f32 { canonical(a - b) }), 2),
        ("mul", None | Some("rn")) => (lane_op!(|a: f32, b: f32| -> f32 { canonical(a * b) }), 2),
        // Not `div.approx`: for divisors above 2^126 it is defined to give 0.
        ("div", Some("rn" | "full")) => (lane_op!(|a: f32, b: f32| -> f32 { canonical(a / b) }), 2),
        ("fma" | "mad", Some("rn")) => {
            (lane_op!(|a: f32, b: f32, c: f32| -> f32 { canonical(a.mul_add(b, c)) }), 3)
        }
        ("rcp", Some("rn" | "approx")) => (lane_op!(|a: f32| -> f32 { canonical(1.0 / a) }), 1),
        ("sqrt", Some("rn" | "approx")) => (lane_op!(|a: f32| -> f32 { canonical(a.sqrt()) }), 1),
        ("min", None) => (lane_op!(|a: f32, b: f32| -> f32 { minimum(a, b) }), 2),
        ("max", None) => (lane_op!(|a: f32, b: f32| -> f32 { maximum(a, b) }), 2),
        ("abs", None) => (lane_op!(|a: u32| -> u32 { a & 0x7fff_ffff }), 1),
        ("neg", None) => (lane_op!(|a: u32| -> u32 { a ^ 0x8000_0000 }), 1),
        _ => return None,
    })
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let rounding = m.take_if(|w| matches!(w, "rn" | "full" | "approx").then(|| w.to_owned()));
    if m.ty() != Some(Type::F32) || !m.done() {
        return Err(d.unknown(i));
    }
    let (op, operands) = operation(&i.opcode, rounding.as_deref()).ok_or_else(|| d.unknown(i))?;
    d.expect_operands(i, operands + 1)?;
    let src = i.operands[1..].iter().map(|o| d.source(o, Type::F32)).collect::<Result<Vec<_>, _>>()?;
    let dst = d.dest(&i.operands[0], Type::F32)?;
    let kind = if matches!(i.opcode.as_str(), "rcp" | "sqrt") { Kind::Special } else { Kind::Float32 };
    d.emit(op, kind, &[dst], &src);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::code::Program;

    fn load(instruction: &str) -> Result<(), String> {
        let ptx = format!(
            ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{{\n.reg .f32 %f<4>;\n{instruction}\nret;\n}}\n"
        );
        Program::load(&ptx, &mut |_| 0).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_form_of_its_own_meaning_is_not_taken_for_another() {
        load("div.rn.f32 %f1, %f2, %f3;").unwrap();
        for instruction in ["div.approx.f32", "div.rz.f32", "add.rz.f32", "add.ftz.f32", "fma.rn.sat.f32"] {
            let error = load(&format!("{instruction} %f1, %f2, %f3;")).unwrap_err();
            assert!(error.contains(instruction) && error.contains("line 7"), "{error}");
        }
    }
}
