//! f64 arithmetic: exact fractions, rounded once. A NaN may be any.

use super::exact::{self, F64, Number, Rounding, decode};
use super::instruction::{Bits, check, verify};
use super::values::{one, three, two};

const NAN: u64 = 0x7fff_ffff_ffff_ffff;

fn is_nan(code: u64) -> bool {
    decode(code, F64) == Number::Nan
}

/// The result that the definition gives, or any NaN.
fn agrees(got: f64, definition: u64) -> bool {
    got.bits() == definition || is_nan(got.bits()) && is_nan(definition)
}

#[test]
fn add_sub_mul() {
    let said = Rounding::ALL.map(|(name, rounding)| (format!(".{name}"), rounding));
    for (form, rounding) in said.into_iter().chain([(String::new(), Rounding::NearestEven)]) {
        verify(&format!("add{form}.f64 %d, %a, %b;"), two(), |(a, b): (f64, f64), got: f64| {
            agrees(got, exact::add(a.bits(), b.bits(), F64, rounding, NAN))
        });
        verify(&format!("sub{form}.f64 %d, %a, %b;"), two(), |(a, b): (f64, f64), got: f64| {
            agrees(got, exact::add(a.bits(), b.bits() ^ F64.sign(), F64, rounding, NAN))
        });
        verify(&format!("mul{form}.f64 %d, %a, %b;"), two(), |(a, b): (f64, f64), got: f64| {
            agrees(got, exact::mul(a.bits(), b.bits(), F64, rounding, NAN))
        });
    }
}

#[test]
fn fma_mad() {
    for (name, rounding) in Rounding::ALL {
        for opcode in ["fma", "mad"] {
            let code = format!("{opcode}.{name}.f64 %d, %a, %b, %c;");
            verify(&code, three(), |(a, b, c): (f64, f64, f64), got: f64| {
                agrees(got, exact::fma(a.bits(), b.bits(), c.bits(), F64, rounding, NAN))
            });
        }
    }
}

/// Sums that nearly cancel, where the product's lower half is all that is left.
#[test]
fn fma_of_what_nearly_cancels() {
    for (name, rounding) in Rounding::ALL {
        let inputs = two().into_iter().enumerate().map(|(n, (a, b)): (usize, (f64, f64))| {
            (a, b, f64::from_bits((-(a * b)).to_bits().wrapping_add(n as u64 % 3).wrapping_sub(1)))
        });
        let code = format!("fma.{name}.f64 %d, %a, %b, %c;");
        verify(&code, inputs, |(a, b, c): (f64, f64, f64), got: f64| {
            agrees(got, exact::fma(a.bits(), b.bits(), c.bits(), F64, rounding, NAN))
        });
    }
}

#[test]
fn div_rcp_sqrt() {
    let one_code = 1f64.bits();
    for (name, rounding) in Rounding::ALL {
        verify(&format!("div.{name}.f64 %d, %a, %b;"), two(), |(a, b): (f64, f64), got: f64| {
            agrees(got, exact::div(a.bits(), b.bits(), F64, rounding, NAN))
        });
        verify(&format!("rcp.{name}.f64 %d, %a;"), one(), |(a,): (f64,), got: f64| {
            agrees(got, exact::div(one_code, a.bits(), F64, rounding, NAN))
        });
        verify(&format!("sqrt.{name}.f64 %d, %a;"), one(), |(a,): (f64,), got: f64| {
            agrees(got, exact::sqrt(a.bits(), F64, rounding, NAN))
        });
    }
}

#[test]
fn abs_neg_copysign() {
    verify("abs.f64 %d, %a;", one(), |(a,): (f64,), got: f64| agrees(got, a.bits() & !F64.sign()));
    verify("neg.f64 %d, %a;", one(), |(a,): (f64,), got: f64| agrees(got, a.bits() ^ F64.sign()));
    check("copysign.f64 %d, %a, %b;", two(), |(a, b): (f64, f64)| {
        b.bits() & !F64.sign() | a.bits() & F64.sign()
    });
}

#[test]
fn min_max() {
    for opcode in ["min", "max"] {
        verify(&format!("{opcode}.f64 %d, %a, %b;"), two(), |(a, b): (f64, f64), got: f64| {
            agrees(got, exact::extreme(opcode, "", a.bits(), b.bits(), F64, NAN))
        });
    }
}

#[test]
fn testp() {
    for property in exact::PROPERTIES {
        let code = format!("testp.{property}.f64 %p, %a;\nselp.u32 %d, 1, 0, %p;");
        check(&code, one(), |(a,): (f64,)| exact::has(property, a.bits(), F64));
    }
}
