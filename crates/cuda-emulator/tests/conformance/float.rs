//! f32 arithmetic: exact fractions, rounded once.

use super::exact::{self, F32, Number, Rounding, decode};
use super::instruction::{Bits, check};
use super::values::{one, three, two};

const NAN: u64 = 0x7fff_ffff;

/// A function of codes, its operands and result flushed and the result saturated where the form says so.
fn modified<const N: usize>(form: &str, operands: [u64; N], definition: impl Fn([u64; N]) -> u64) -> f32 {
    let flush = |code| if form.contains(".ftz") { exact::flush(code, F32) } else { code };
    let result = flush(definition(operands.map(flush)));
    f32::from_bits(if form.contains(".sat") { exact::saturate(result, F32) } else { result } as u32)
}

/// Each rounding's modifier with the rounding, and each with `modifiers`.
fn roundings(modifiers: &[&'static str]) -> impl Iterator<Item = (String, Rounding)> {
    modifiers.iter().flat_map(|m| Rounding::ALL.map(|(name, rounding)| (format!(".{name}{m}.f32"), rounding)))
}

const FTZ_SAT: &[&str] = &["", ".ftz", ".sat", ".ftz.sat"];
const FTZ: &[&str] = &["", ".ftz"];

#[test]
fn add() {
    for (form, rounding) in roundings(FTZ_SAT) {
        check(&format!("add{form} %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
            modified(&form, [a.bits(), b.bits()], |[a, b]| exact::add(a, b, F32, rounding, NAN))
        });
    }
}

#[test]
fn sub() {
    for (form, rounding) in roundings(FTZ_SAT) {
        check(&format!("sub{form} %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
            modified(&form, [a.bits(), b.bits()], |[a, b]| exact::add(a, b ^ F32.sign(), F32, rounding, NAN))
        });
    }
}

#[test]
fn mul() {
    for (form, rounding) in roundings(FTZ_SAT) {
        check(&format!("mul{form} %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
            modified(&form, [a.bits(), b.bits()], |[a, b]| exact::mul(a, b, F32, rounding, NAN))
        });
    }
}

/// Without a rounding it is to nearest even.
#[test]
fn rounding_left_out() {
    let nearest = Rounding::NearestEven;
    for modifiers in FTZ_SAT {
        let form = format!("{modifiers}.f32");
        check(&format!("add{form} %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
            modified(&form, [a.bits(), b.bits()], |[a, b]| exact::add(a, b, F32, nearest, NAN))
        });
        check(&format!("mul{form} %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
            modified(&form, [a.bits(), b.bits()], |[a, b]| exact::mul(a, b, F32, nearest, NAN))
        });
    }
}

#[test]
fn fma_mad() {
    for (form, rounding) in roundings(FTZ_SAT) {
        for opcode in ["fma", "mad"] {
            check(&format!("{opcode}{form} %d, %a, %b, %c;"), three(), |(a, b, c): (f32, f32, f32)| {
                modified(&form, [a.bits(), b.bits(), c.bits()], |[a, b, c]| {
                    exact::fma(a, b, c, F32, rounding, NAN)
                })
            });
        }
    }
}

#[test]
fn div() {
    for (form, rounding) in roundings(FTZ) {
        check(&format!("div{form} %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
            modified(&form, [a.bits(), b.bits()], |[a, b]| exact::div(a, b, F32, rounding, NAN))
        });
    }
}

#[test]
fn rcp() {
    let one_code = 1f32.bits();
    for (form, rounding) in roundings(FTZ) {
        check(&format!("rcp{form} %d, %a;"), one(), |(a,): (f32,)| {
            modified(&form, [a.bits()], |[a]| exact::div(one_code, a, F32, rounding, NAN))
        });
    }
}

#[test]
fn sqrt() {
    for (form, rounding) in roundings(FTZ) {
        check(&format!("sqrt{form} %d, %a;"), one(), |(a,): (f32,)| {
            modified(&form, [a.bits()], |[a]| exact::sqrt(a, F32, rounding, NAN))
        });
    }
}

/// A NaN comes out as the NaN that arithmetic gives.
#[test]
fn abs_neg() {
    let canonical = |code: u64| if decode(code, F32) == Number::Nan { NAN } else { code };
    for modifiers in FTZ {
        let form = format!("{modifiers}.f32");
        check(&format!("abs{form} %d, %a;"), one(), |(a,): (f32,)| {
            modified(&form, [a.bits()], |[a]| canonical(a & !F32.sign()))
        });
        check(&format!("neg{form} %d, %a;"), one(), |(a,): (f32,)| {
            modified(&form, [a.bits()], |[a]| canonical(a ^ F32.sign()))
        });
    }
}

#[test]
fn copysign() {
    check("copysign.f32 %d, %a, %b;", two(), |(a, b): (f32, f32)| {
        (b.to_bits() & 0x7fff_ffff) | (a.to_bits() & 0x8000_0000)
    });
}

#[test]
fn min_max() {
    for form in exact::extreme_forms(&["", ".ftz"]) {
        for opcode in ["min", "max"] {
            check(&format!("{opcode}{form}.f32 %d, %a, %b;"), two(), |(a, b): (f32, f32)| {
                modified(&form, [a.bits(), b.bits()], |[a, b]| exact::extreme(opcode, &form, a, b, F32, NAN))
                    .bits() as u32
            });
        }
    }
}

#[test]
fn testp() {
    for property in exact::PROPERTIES {
        let code = format!("testp.{property}.f32 %p, %a;\nselp.u32 %d, 1, 0, %p;");
        check(&code, one(), |(a,): (f32,)| exact::has(property, a.bits(), F32));
    }
}
