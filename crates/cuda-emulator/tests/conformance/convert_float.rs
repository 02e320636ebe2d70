//! `cvt` between integers and floating point: the exact value, rounded once.

use half::{bf16, f16};
use num_bigint::BigInt;
use num_rational::BigRational;

use super::exact::{BF16, F16, F32, Rounding, decode, flush, round, saturate};
use super::instruction::check;
use super::numbers::{Float, Integer, WHOLE, flushing, whole};
use super::values::few;

/// All types of a list, each with each of another.
macro_rules! each {
    ($f:ident: [$($d:ty),*] $sources:tt) => { $(each!(@ $f: $d, $sources);)* };
    (@ $f:ident: $d:ty, [$($a:ty),*]) => { $($f::<$d, $a>();)* };
}

fn to_integer<D: Integer, A: Float>() {
    for (modifier, rounding) in WHOLE {
        for (ftz, flushes) in flushing(A::NAME == "f32") {
            for sat in if A::NAME == "bf16" { &[""][..] } else { &["", ".sat"] } {
                let code = format!("cvt.{modifier}{ftz}{sat}.{}.{} %d, %a;", D::NAME, A::NAME);
                // 8-bit registers are the only ones that bf16 and 8-bit integers share.
                let code = match (A::NAME, D::BYTES) {
                    ("bf16", 1) => format!(".reg .b8 %x;\n{}\ncvt.u16.u8 %d, %x;", code.replace("%d", "%x")),
                    _ => code,
                };
                check(&code, few(), |(a,): (A,)| {
                    let bits = if *flushes { flush(a.bits(), A::FORMAT) } else { a.bits() };
                    // NaN: 0 where neither side has 64 bits, else the highest bit alone.
                    let wide = A::NAME == "f64" || D::BYTES == 8;
                    let not_a_number = if wide { 1i128 << (8 * D::BYTES - 1) } else { 0 };
                    let n = whole(&decode(bits, A::FORMAT), rounding, D::RANGE).unwrap_or(not_a_number);
                    D::from_bits(n as u64)
                });
            }
        }
    }
}

#[test]
fn f16_to_integer() {
    each!(to_integer: [u8, u16, u32, u64, i8, i16, i32, i64] [f16]);
}

#[test]
fn bf16_to_integer() {
    each!(to_integer: [u8, u16, u32, u64, i8, i16, i32, i64] [bf16]);
}

#[test]
fn f32_to_integer() {
    each!(to_integer: [u8, u16, u32, u64, i8, i16, i32, i64] [f32]);
}

#[test]
fn f64_to_integer() {
    each!(to_integer: [u8, u16, u32, u64, i8, i16, i32, i64] [f64]);
}

fn from_integer<D: Float, A: Integer>() {
    for (modifier, rounding) in Rounding::ALL {
        for (ftz, _) in flushing(D::NAME == "f32") {
            for sat in if D::NAME == "bf16" { &[""][..] } else { &["", ".sat"] } {
                let code = format!("cvt.{modifier}{ftz}{sat}.{}.{} %d, %a;", D::NAME, A::NAME);
                let code = match (D::NAME, A::BYTES) {
                    ("bf16", 1) => {
                        format!(".reg .b8 %x;\ncvt.u8.u16 %x, %a;\n{}", code.replace("%a", "%x"))
                    }
                    _ => code,
                };
                check(&code, few(), |(a,): (A,)| {
                    let bits = round(&BigRational::from(BigInt::from(a.value())), false, D::FORMAT, rounding);
                    D::from_bits(if sat.is_empty() { bits } else { saturate(bits, D::FORMAT) })
                });
            }
        }
    }
}

#[test]
fn integer_to_f16() {
    each!(from_integer: [f16] [u8, u16, u32, u64, i8, i16, i32, i64]);
}

#[test]
fn integer_to_bf16() {
    each!(from_integer: [bf16] [u8, u16, u32, u64, i8, i16, i32, i64]);
}

#[test]
fn integer_to_f32() {
    each!(from_integer: [f32] [u8, u16, u32, u64, i8, i16, i32, i64]);
}

#[test]
fn integer_to_f64() {
    each!(from_integer: [f64] [u8, u16, u32, u64, i8, i16, i32, i64]);
}

/// Halfway between neighbours, and just beside: where rounding twice would show.
#[test]
fn integers_near_ties() {
    let ties: Vec<(u64,)> = (12..64)
        .flat_map(|e| {
            let (top, ulp) = (1u64 << e, 1u64 << (e - 10));
            [(ulp >> 1), (ulp >> 1) + 1, (ulp >> 1).wrapping_sub(1), ulp + (ulp >> 1)]
                .map(|below| (top + below,))
        })
        .collect();
    let exact = |a: u64| BigRational::from(BigInt::from(a));
    check("cvt.rn.f16.u64 %d, %a;", ties.clone(), |(a,)| {
        f16::from_bits(round(&exact(a), false, F16, Rounding::NearestEven) as u16)
    });
    check("cvt.rn.f32.u64 %d, %a;", ties.clone(), |(a,)| {
        f32::from_bits(round(&exact(a), false, F32, Rounding::NearestEven) as u32)
    });
    check("cvt.rn.bf16.u64 %d, %a;", ties, |(a,)| {
        bf16::from_bits(round(&exact(a), false, BF16, Rounding::NearestEven) as u16)
    });
}
