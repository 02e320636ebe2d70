//! `cvt` from and to floating point, over exact fractions: the exact value,
//! rounded once.

use half::{bf16, f16};
use num_bigint::BigInt;
use num_rational::BigRational;

use super::exact::{BF16, F16, F32, F64, Format, Number, Rounding, TF32};
use super::exact::{decode, flush, round, round_whole, saturate};
use super::instruction::{Bits, check, refused, verify};
use super::values::{Values, few, one};

/// A floating-point type of PTX that registers hold.
trait Float: Values {
    const NAME: &'static str;
    const FORMAT: Format;
}

/// An integer type.
trait Integer: Values {
    const NAME: &'static str;
    const RANGE: (i128, i128);
    fn value(self) -> i128;
}

macro_rules! floats {
    ($($ty:ty: $name:literal, $format:ident;)*) => {$(
        impl Float for $ty {
            const NAME: &'static str = $name;
            const FORMAT: Format = $format;
        }
    )*};
}

macro_rules! integers {
    ($($ty:ty: $name:literal;)*) => {$(
        impl Integer for $ty {
            const NAME: &'static str = $name;
            const RANGE: (i128, i128) = (<$ty>::MIN as i128, <$ty>::MAX as i128);
            fn value(self) -> i128 { self.into() }
        }
    )*};
}

floats! {
    f16: "f16", F16;
    bf16: "bf16", BF16;
    f32: "f32", F32;
    f64: "f64", F64;
}

integers! {
    u8: "u8"; u16: "u16"; u32: "u32"; u64: "u64";
    i8: "s8"; i16: "s16"; i32: "s32"; i64: "s64";
}

/// Roundings to whole numbers.
const WHOLE: [(&str, Rounding); 4] =
    [("rni", Rounding::NearestEven), ("rzi", Rounding::Zero), ("rmi", Rounding::Down), ("rpi", Rounding::Up)];

/// `.ftz` where the types have f32 among them, and neither.
fn flushing(any_f32: bool) -> &'static [(&'static str, bool)] {
    if any_f32 { &[("", false), (".ftz", true)] } else { &[("", false)] }
}

/// The NaN that results are, where the manual says or shows which.
fn nan(f: Format) -> u64 {
    f.sign() - 1
}

/// Is a result right? Which NaN a NaN is in f64 is open.
fn is<T: Float>(got: T, expected: u64) -> bool {
    let both_nan = |bits| decode(bits, T::FORMAT) == Number::Nan;
    got.bits() == expected || T::NAME == "f64" && both_nan(got.bits()) && both_nan(expected)
}

/// What a number becomes in a format; NaN becomes the usual one.
fn rounded(number: &Number, f: Format, rounding: Rounding) -> u64 {
    let sign = |negative: bool| if negative { f.sign() } else { 0 };
    match number {
        Number::Nan => nan(f),
        Number::Infinity(negative) => sign(*negative) | f.infinity(),
        Number::Zero(negative) => sign(*negative),
        Number::Finite(x) => round(x, *x < BigRational::from(BigInt::from(0)), f, rounding),
    }
}

/// The integer nearest to the number in the sense of the rounding, within the range.
fn whole(number: &Number, rounding: Rounding, (low, high): (i128, i128)) -> Option<i128> {
    let (low_big, high_big) = (BigInt::from(low), BigInt::from(high));
    match number {
        Number::Nan => None,
        Number::Infinity(negative) => Some(if *negative { low } else { high }),
        Number::Zero(_) => Some(0),
        Number::Finite(x) => {
            let n = round_whole(x, rounding).clamp(low_big, high_big);
            Some(i128::try_from(n).expect("within the range"))
        }
    }
}

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

/// One form of float to float; `rounding` is that of the digits.
fn float_form<D: Float, A: Float>(modifier: &str, rounding: Rounding, inputs: Vec<(A,)>) {
    for (ftz, flushes) in flushing(D::NAME == "f32" || A::NAME == "f32") {
        let saturating = D::NAME != "bf16" && A::NAME != "bf16";
        for sat in if saturating { &["", ".sat"][..] } else { &[""] } {
            let code = format!("cvt{modifier}{ftz}{sat}.{}.{} %d, %a;", D::NAME, A::NAME);
            verify(&code, inputs.clone(), |(a,): (A,), got: D| {
                let bits = match *flushes && A::NAME == "f32" {
                    true => flush(a.bits(), A::FORMAT),
                    false => a.bits(),
                };
                let result = rounded(&decode(bits, A::FORMAT), D::FORMAT, rounding);
                let result = if *flushes && D::NAME == "f32" { flush(result, F32) } else { result };
                is(got, if sat.is_empty() { result } else { saturate(result, D::FORMAT) })
            });
        }
    }
}

fn narrower<D: Float, A: Float>() {
    for (modifier, rounding) in Rounding::ALL {
        float_form::<D, A>(&format!(".{modifier}"), rounding, one());
    }
}

#[test]
fn f64_to_f32() {
    narrower::<f32, f64>();
}

#[test]
fn f64_to_f16_and_bf16() {
    narrower::<f16, f64>();
    narrower::<bf16, f64>();
}

#[test]
fn f32_to_f16_and_bf16() {
    narrower::<f16, f32>();
    narrower::<bf16, f32>();
}

#[test]
fn f16_and_bf16_of_each_other() {
    for (modifier, rounding) in Rounding::ALL {
        float_form::<f16, bf16>(&format!(".{modifier}"), rounding, few());
        float_form::<bf16, f16>(&format!(".{modifier}"), rounding, few());
    }
    // Without a rounding, to nearest.
    float_form::<f16, bf16>("", Rounding::NearestEven, one());
    float_form::<bf16, f16>("", Rounding::NearestEven, one());
}

/// A tie of the short format, moved by less than the middle one can hold: going
/// through f32 would make a tie of it.
#[test]
fn f64_is_rounded_once() {
    let half_ulp = |bits: i32| (1.0 + 0.5f64.powi(bits), 0.5f64.powi(40));
    let (tie16, little) = half_ulp(11);
    let (tie_b, _) = half_ulp(8);
    let inputs: Vec<(f64,)> = [tie16, tie_b, 3.0 * tie16, 0.5f64.powi(20) * tie16]
        .iter()
        .flat_map(|x| [x - little * x, *x, x + little * x])
        .flat_map(|x| [(x,), (-x,)])
        .collect();
    check("cvt.rn.f16.f64 %d, %a;", inputs.clone(), |(a,)| {
        f16::from_bits(rounded(&decode(a.bits(), F64), F16, Rounding::NearestEven) as u16)
    });
    check("cvt.rn.bf16.f64 %d, %a;", inputs, |(a,)| {
        bf16::from_bits(rounded(&decode(a.bits(), F64), BF16, Rounding::NearestEven) as u16)
    });
}

#[test]
fn to_a_wider_format() {
    float_form::<f32, f16>("", Rounding::NearestEven, one());
    float_form::<f64, f16>("", Rounding::NearestEven, one());
    float_form::<f64, f32>("", Rounding::NearestEven, one());
    float_form::<f64, bf16>("", Rounding::NearestEven, one());
    for (modifier, rounding) in Rounding::ALL {
        float_form::<f64, bf16>(&format!(".{modifier}"), rounding, few());
    }
}

/// A bf16 is the upper half of an f32, and stays it: NaNs too, unless `.ftz`
/// takes it through the arithmetic.
#[test]
fn bf16_to_f32() {
    for modifier in ["", ".rn", ".rz", ".rm", ".rp"] {
        check(&format!("cvt{modifier}.f32.bf16 %d, %a;"), one(), |(a,): (bf16,)| {
            u32::from(a.to_bits()) << 16
        });
        check(&format!("cvt{modifier}.ftz.f32.bf16 %d, %a;"), few(), |(a,): (bf16,)| {
            f32::from_bits(rounded(&decode(flush(a.bits(), BF16), BF16), F32, Rounding::NearestEven) as u32)
        });
    }
}

fn same<A: Float>() {
    for (modifier, rounding) in WHOLE {
        for (ftz, flushes) in flushing(A::NAME == "f32") {
            for sat in if A::NAME == "bf16" { &[""][..] } else { &["", ".sat"] } {
                let code = format!("cvt.{modifier}{ftz}{sat}.{0}.{0} %d, %a;", A::NAME);
                verify(&code, few(), |(a,): (A,), got: A| {
                    let bits = if *flushes { flush(a.bits(), A::FORMAT) } else { a.bits() };
                    let negative = bits & A::FORMAT.sign() != 0;
                    let result = match decode(bits, A::FORMAT) {
                        // What rounds to zero keeps its sign.
                        Number::Finite(x) => round(
                            &BigRational::from(round_whole(&x, rounding)),
                            negative,
                            A::FORMAT,
                            rounding,
                        ),
                        other => rounded(&other, A::FORMAT, rounding),
                    };
                    is(got, if sat.is_empty() { result } else { saturate(result, A::FORMAT) })
                });
            }
        }
    }
}

#[test]
fn to_whole_numbers() {
    same::<f16>();
    same::<bf16>();
    same::<f32>();
    same::<f64>();
}

/// Without a rounding: f32 and f64 are copied bit by bit; f16 and bf16 go
/// through the arithmetic, and come out the same but for their NaNs.
#[test]
fn to_the_same_format() {
    check("cvt.f32.f32 %d, %a;", one(), |(a,): (f32,)| a.to_bits());
    check("cvt.f64.f64 %d, %a;", one(), |(a,): (f64,)| a.to_bits());
    check("cvt.ftz.f32.f32 %d, %a;", one(), |(a,): (f32,)| {
        f32::from_bits(rounded(&decode(flush(a.bits(), F32), F32), F32, Rounding::NearestEven) as u32)
    });
    check("cvt.sat.f32.f32 %d, %a;", one(), |(a,): (f32,)| f32::from_bits(saturate(a.bits(), F32) as u32));
    check("cvt.ftz.sat.f32.f32 %d, %a;", one(), |(a,): (f32,)| {
        f32::from_bits(saturate(flush(a.bits(), F32), F32) as u32)
    });
    check("cvt.sat.f64.f64 %d, %a;", one(), |(a,): (f64,)| f64::from_bits(saturate(a.bits(), F64)));
    float_form::<f16, f16>("", Rounding::NearestEven, one());
    float_form::<bf16, bf16>("", Rounding::NearestEven, one());
}

/// What `.relu` and `.satfinite` make of a result.
pub fn limited(bits: u64, f: Format, relu: bool, satfinite: bool) -> u64 {
    match decode(bits, f) {
        Number::Nan => bits,
        Number::Infinity(true) | Number::Zero(true) if relu => 0,
        Number::Finite(x) if relu && x < BigRational::from(BigInt::from(0)) => 0,
        Number::Infinity(negative) if satfinite => f.largest() | if negative { f.sign() } else { 0 },
        _ => bits,
    }
}

#[test]
fn relu_and_satfinite() {
    fn form<D: Float>() {
        for (modifier, rounding) in [("rn", Rounding::NearestEven), ("rz", Rounding::Zero)] {
            for limits in [".relu", ".satfinite", ".relu.satfinite", ".satfinite.relu"] {
                let code = format!("cvt.{modifier}{limits}.{}.f32 %d, %a;", D::NAME);
                check(&code, one(), |(a,): (f32,)| {
                    let result = rounded(&decode(a.bits(), F32), D::FORMAT, rounding);
                    D::from_bits(limited(result, D::FORMAT, limits.contains("relu"), limits.contains("sat")))
                });
            }
        }
    }
    form::<f16>();
    form::<bf16>();
}

/// tf32 lies in the upper 19 bits of a 32-bit register. Which NaN a NaN becomes is open.
#[test]
fn tf32() {
    let forms = [
        ("rna", Rounding::NearestAway),
        ("rna.satfinite", Rounding::NearestAway),
        ("rn", Rounding::NearestEven),
        ("rn.relu", Rounding::NearestEven),
        ("rz", Rounding::Zero),
        ("rz.relu", Rounding::Zero),
    ];
    for (modifiers, rounding) in forms {
        verify(&format!("cvt.{modifiers}.tf32.f32 %d, %a;"), one(), |(a,): (f32,), got: u32| {
            if a.is_nan() {
                return f32::from_bits(got).is_nan();
            }
            let result = rounded(&decode(a.bits(), F32), TF32, rounding);
            let (relu, satfinite) = (modifiers.contains("relu"), modifiers.contains("sat"));
            u64::from(got) == limited(result, TF32, relu, satfinite) << 13
        });
    }
}

/// A register may be wider than its type, but not where bf16 or tf32 are.
#[test]
fn registers_may_be_wider() {
    check("cvt.rn.f16.f32 %d, %a;", few(), |(a,): (f32,)| {
        rounded(&decode(a.bits(), F32), F16, Rounding::NearestEven)
    });
    check("cvt.rn.f32.f64 %d, %a;", few(), |(a,): (f64,)| {
        rounded(&decode(a.bits(), F64), F32, Rounding::NearestEven)
    });
    check("cvt.rzi.s8.f32 %d, %a;", few(), |(a,): (f32,)| {
        i64::from(whole(&decode(a.bits(), F32), Rounding::Zero, (-128, 127)).unwrap_or(0) as i8)
    });
    check("cvt.f32.f16 %d, %a;", few(), |(a,): (u64,)| {
        f32::from_bits(rounded(&decode(a & 0xffff, F16), F32, Rounding::Zero) as u32)
    });
    check("cvt.rn.f32.s8 %d, %a;", few(), |(a,): (u32,)| f32::from(a as i8));
    check("cvt.rmi.s32.f32 %d, %a;", few(), |(a,): (u64,)| {
        let x = f32::from_bits(a as u32);
        whole(&decode(x.bits(), F32), Rounding::Down, (i32::MIN.into(), i32::MAX.into())).unwrap_or(0) as i32
    });
    refused("cvt.rn.bf16.f32 %r0, %r1;");
    refused("cvt.f32.bf16 %r0, %r1;");
    refused("cvt.rzi.u32.bf16 %l0, %h1;");
    refused("cvt.rna.tf32.f32 %l0, %r1;");
    refused("cvt.f32.f64 %r0, %r1;");
}

#[test]
fn of_a_literal() {
    check("cvt.rzi.s32.f32 %d, 0fC0200000;", few(), |(_,): (u32,)| -2i32);
    check("cvt.rpi.s32.f64 %d, 1.5;", few(), |(_,): (u32,)| 2i32);
    check("cvt.rn.f32.s32 %d, -3;", few(), |(_,): (u32,)| -3f32);
    refused("cvt.rzi.s32.f32 %d, 3;");
    refused("cvt.rn.f32.s32 %d, 1.5;");
}

/// Forms that there are not: each is refused, not taken for its neighbour.
#[test]
fn what_is_missing() {
    for form in [
        // Rounding is missing, or of the wrong kind.
        "f32.s32 %d, %r0",
        "s32.f32 %d, %r0",
        "rn.s32.f32 %d, %r0",
        "rni.f32.s32 %d, %r0",
        "f32.f64 %d, %a",
        "rni.f32.f64 %d, %a",
        "rn.f64.f32 %l0, %r0",
        "rn.f32.f32 %d, %r0",
        "rna.f32.f64 %d, %a",
        "rn.rz.f32.f64 %d, %a",
        // A modifier that the types do not have.
        "rn.ftz.f16.f64 %h0, %a",
        "rn.ftz.f64.s32 %l0, %r0",
        "rn.sat.bf16.f32 %h0, %r0",
        "sat.f32.bf16 %d, %h0",
        "rzi.relu.s32.f32 %d, %r0",
        "rm.relu.f16.f32 %h0, %r0",
        "rn.relu.ftz.f16.f32 %h0, %r0",
        "rn.relu.f32.f64 %d, %a",
        "relu.f32.f16 %d, %h0",
        "satfinite.f32.f32 %d, %r0",
        "rna.relu.tf32.f32 %d, %r0",
        "rm.tf32.f32 %d, %r0",
        "rn.tf32.f64 %d, %a",
        "f32.tf32 %d, %r0",
        "rn.e4m3.f32 %h0, %r0",
        // Of later GPUs.
        "rn.satfinite.tf32.f32 %d, %r0",
        "rz.satfinite.relu.tf32.f32 %d, %r0",
    ] {
        refused(&format!("cvt.{form};"));
    }
}
