//! The approximate instructions: within the manual's error bounds, and exact
//! where it says what special values give.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::exact::{self, BF16, F16, F32, F64, Format, Number, decode, power};
use super::half::Half;
use super::instruction::{Bits, check, run, verify};
use super::series;
use super::values::{one, random_bits, two};
use half::{bf16, f16};

const NAN: u32 = 0x7fff_ffff;

/// What a result may be: one of a special value's, or a number near an exact one.
enum Allowed {
    /// This code.
    Code(u64),
    /// This far from the exact value, at most.
    Near(BigRational, BigRational),
}

use Allowed::{Code, Near};

/// Is `got` allowed, in a format whose largest numbers may round up to infinity?
fn allows(allowed: &Allowed, got: u64, f: Format) -> bool {
    match allowed {
        Code(code) => got == *code,
        Near(exact, error) => match decode(got, f) {
            Number::Nan => false,
            // As far as the number that infinity would be if the format went on.
            Number::Infinity(negative) => {
                let largest = exact::value(&decode(f.largest(), f)).expect("finite");
                !(negative ^ exact.is_negative()) && exact.abs() + error >= largest
            }
            number => (exact::value(&number).expect("finite") - exact).abs() <= *error,
        },
    }
}

fn rational(n: i64) -> BigRational {
    BigRational::from(BigInt::from(n))
}

/// The spacing of a format's numbers around a value.
fn ulp(x: &BigRational, f: Format) -> BigRational {
    let code = exact::round(&x.abs(), false, f, exact::Rounding::Zero).min(f.largest() - 1);
    let value = |code| exact::value(&decode(code, f)).expect("finite");
    value(code + 1) - value(code)
}

/// Checks a function of f32, with and without `.ftz`, against one of a code,
/// which with `.ftz` is no subnormal's; so a result is flushed.
fn function(name: &str, inputs: &[f32], define: impl Fn(Number) -> Allowed) {
    for ftz in ["", ".ftz"] {
        let inputs = inputs.iter().map(|x| (*x,));
        verify(&format!("{name}.approx{ftz}.f32 %d, %a;"), inputs, |(a,): (f32,), got: f32| {
            let flush = |code| if ftz.is_empty() { code } else { exact::flush(code, F32) };
            let allowed = define(decode(flush(a.bits()), F32));
            let flushed = got.bits() == flush(got.bits());
            // A result that is subnormal may have been flushed to zero.
            let zero = matches!(&allowed, Near(x, _) if !ftz.is_empty() && x.abs() <= power(-126));
            flushed && (allows(&allowed, got.bits(), F32) || zero && got == 0.0)
        });
    }
}

fn all() -> Vec<f32> {
    one().into_iter().map(|(x,)| x).collect()
}

/// Zero, infinity or NaN as a code.
fn code(x: f32) -> Allowed {
    Code(if x.is_nan() { NAN.into() } else { x.bits() })
}

fn signed(x: f32, negative: bool) -> Allowed {
    code(if negative { -x } else { x })
}

const INF: f32 = f32::INFINITY;

#[test]
fn rcp() {
    function("rcp", &all(), |x| match x {
        Number::Nan => code(f32::NAN),
        Number::Infinity(negative) => signed(0.0, negative),
        Number::Zero(negative) => signed(INF, negative),
        Number::Finite(x) => {
            let exact = x.recip();
            let error = ulp(&exact, F32);
            Near(exact, error)
        }
    });
}

/// The square root and its reciprocal: how far the square of a result is off.
fn roots(
    name: &str,
    define: impl Fn(&BigRational, &BigRational) -> bool,
    special: impl Fn(Number) -> Option<f32>,
) {
    for ftz in ["", ".ftz"] {
        verify(&format!("{name}.approx{ftz}.f32 %d, %a;"), one(), |(a,): (f32,), got: f32| {
            let flush = |code| if ftz.is_empty() { code } else { exact::flush(code, F32) };
            let x = decode(flush(a.bits()), F32);
            match special(x.clone()) {
                Some(expected) => allows(&code(expected), got.bits(), F32),
                None => match (exact::value(&x), exact::value(&decode(got.bits(), F32))) {
                    (Some(x), Some(root)) => root.is_positive() && define(&x, &root),
                    _ => false,
                },
            }
        });
    }
}

/// 2^-22.9 and a little less.
fn relative() -> BigRational {
    rational(107) / rational(100) * power(-23)
}

#[test]
fn sqrt() {
    // An error of e in the root is one of 2e and a little in the square.
    let near = |x: &BigRational, root: &BigRational| {
        let bound = power(-22) * x;
        (root * root - x).abs() <= bound
    };
    roots("sqrt", near, |x| match x {
        Number::Nan | Number::Infinity(true) => Some(f32::NAN),
        Number::Infinity(false) => Some(INF),
        Number::Zero(negative) => Some(if negative { -0.0 } else { 0.0 }),
        Number::Finite(x) => x.is_negative().then_some(f32::NAN),
    });
}

#[test]
fn rsqrt() {
    let near = |x: &BigRational, root: &BigRational| {
        (root * root * x - BigRational::one()).abs() <= relative() * power(1)
    };
    roots("rsqrt", near, |x| match x {
        Number::Nan | Number::Infinity(true) => Some(f32::NAN),
        Number::Infinity(false) => Some(0.0),
        Number::Zero(negative) => Some(if negative { -INF } else { INF }),
        Number::Finite(x) => x.is_negative().then_some(f32::NAN),
    });
}

/// Numbers of all sizes up to `limit`.
fn up_to(limit: f32) -> Vec<f32> {
    let random = random_bits(20).take(3000).map(|n| (n as u32 as f32 / u32::MAX as f32 * 2.0 - 1.0) * limit);
    random.chain(all().into_iter().filter(|x| x.abs() <= limit || !x.is_finite())).collect()
}

/// The bound of sin and cos: 2^-20.5 within a turn, 2^-14.7 within fifty, or a little less.
fn circular_bound(x: &BigRational) -> BigRational {
    let near = x.abs() <= series::pi() * power(1);
    if near { rational(70) / rational(99) * power(-20) } else { rational(6) / rational(10) * power(-14) }
}

#[test]
fn sin() {
    function("sin", &up_to(314.0), |x| match x {
        Number::Nan | Number::Infinity(_) => code(f32::NAN),
        Number::Zero(negative) => signed(0.0, negative),
        Number::Finite(x) => Near(series::sin(&x), circular_bound(&x)),
    });
}

#[test]
fn cos() {
    function("cos", &up_to(314.0), |x| match x {
        Number::Nan | Number::Infinity(_) => code(f32::NAN),
        Number::Zero(_) => code(1.0),
        Number::Finite(x) => Near(series::cos(&x), circular_bound(&x)),
    });
}

/// Further out nothing is said but that a sine is one.
#[test]
fn sin_cos_far_out() {
    for name in ["sin", "cos"] {
        verify(&format!("{name}.approx.f32 %d, %a;"), one(), |(a,): (f32,), got: f32| {
            got.abs() <= 1.0 || !a.is_finite()
        });
    }
}

#[test]
fn lg2() {
    let near_one = (rational(1) / rational(2), rational(2));
    let mut inputs = all();
    inputs.extend(random_bits(21).take(2000).map(|n| 0.5 + n as u32 as f32 / u32::MAX as f32 * 1.5));
    function("lg2", &inputs, |x| match x {
        Number::Nan | Number::Infinity(true) => code(f32::NAN),
        Number::Infinity(false) => code(INF),
        Number::Zero(_) => code(-INF),
        Number::Finite(x) if x.is_negative() => code(f32::NAN),
        Number::Finite(x) => {
            let exact = series::log2(&x);
            let error = if x > near_one.0 && x < near_one.1 { power(-22) } else { exact.abs() * power(-22) };
            Near(exact, error)
        }
    });
}

#[test]
fn ex2() {
    let mut inputs = up_to(160.0);
    inputs.extend(up_to(2.0));
    function("ex2", &inputs, |x| match x {
        Number::Nan => code(f32::NAN),
        Number::Infinity(negative) => code(if negative { 0.0 } else { INF }),
        Number::Zero(_) => code(1.0),
        Number::Finite(x) => {
            let exact = series::exp2(&x);
            let error = ulp(&exact, F32) * power(1);
            Near(exact, error)
        }
    });
}

/// Far beyond the range: zero and infinity.
#[test]
fn ex2_out_of_range() {
    let inputs = all().into_iter().filter(|x| x.abs() > 200.0).map(|x| (x,));
    check("ex2.approx.f32 %d, %a;", inputs, |(a,): (f32,)| if a > 0.0 { INF } else { 0.0 });
}

#[test]
fn tanh() {
    verify("tanh.approx.f32 %d, %a;", one(), |(a,): (f32,), got: f32| {
        let allowed = match decode(a.bits(), F32) {
            Number::Nan => code(f32::NAN),
            Number::Infinity(negative) => signed(1.0, negative),
            Number::Zero(negative) => signed(0.0, negative),
            Number::Finite(x) => {
                let exact = series::tanh(&x);
                // Relative; a subnormal result has no more digits than it has.
                let error = exact.abs() * power(-11) + power(-150);
                Near(exact, error)
            }
        };
        allows(&allowed, got.bits(), F32) && (got.abs() <= 1.0 || a.is_nan())
    });
}

/// Checks a function of f16 or bf16 of all codes, and that of a pair to be the function of each half.
fn halves<H: Half>(form: &str, define: impl Fn(Number) -> Allowed) {
    let (name, f) = (H::NAME, H::FORMAT);
    let codes: Vec<(H,)> = one();
    let results = run::<(H,), H>(&format!("{form}.{name} %d, %a;"), &codes);
    for ((x,), got) in codes.iter().zip(&results) {
        assert!(allows(&define(decode(x.bits(), f)), got.bits(), f), "{form}.{name} of {x:?} gives {got:?}");
    }
    let pairs = (0..1u32 << 16).map(|code| (code | code.rotate_left(20) & 0xffff_0000,));
    check(&format!("{form}.{name}x2 %d, %a;"), pairs, |(pair,): (u32,)| {
        let of = |code: u32| results[code as usize & 0xffff].bits() as u32;
        of(pair) | of(pair >> 16) << 16
    });
}

/// A special value's result, in a format.
fn half_code(x: f64, f: Format) -> Allowed {
    Code(match x {
        x if x.is_nan() => 0x7fff,
        x if x.is_infinite() => f.infinity(),
        x => exact::round(
            &BigRational::from_float(x).expect("finite"),
            x.is_sign_negative(),
            f,
            exact::Rounding::NearestEven,
        ),
    })
}

#[test]
fn ex2_of_halves() {
    fn define(x: Number, f: Format, relative: BigRational) -> Allowed {
        match x {
            Number::Nan => half_code(f64::NAN, f),
            Number::Infinity(negative) => half_code(if negative { 0.0 } else { f64::INFINITY }, f),
            Number::Zero(_) => half_code(1.0, f),
            Number::Finite(x) if x > rational(200) => half_code(f64::INFINITY, f),
            Number::Finite(x) if x < rational(-200) => half_code(0.0, f),
            Number::Finite(x) => {
                let exact = series::exp2(&x);
                let error = &exact * relative;
                Near(exact, error)
            }
        }
    }
    // 2^-9.9, or a little less; a subnormal result has no more digits than it has.
    halves::<f16>("ex2.approx", |x| match define(x, F16, rational(107) / rational(100) * power(-10)) {
        Near(exact, error) => Near(exact, error.max(power(-25))),
        allowed => allowed,
    });
    halves::<bf16>("ex2.approx.ftz", |x| match define(x, BF16, power(-7)) {
        Near(exact, _) if exact < power(-126) - power(-135) => half_code(0.0, BF16),
        allowed => allowed,
    });
}

#[test]
fn tanh_of_halves() {
    fn define(x: Number, f: Format, absolute: BigRational) -> Allowed {
        match x {
            Number::Nan => half_code(f64::NAN, f),
            Number::Infinity(negative) => half_code(if negative { -1.0 } else { 1.0 }, f),
            Number::Zero(negative) => half_code(if negative { -0.0 } else { 0.0 }, f),
            Number::Finite(x) => Near(series::tanh(&x), absolute),
        }
    }
    // 2^-10.987, or a little less.
    halves::<f16>("tanh.approx", |x| define(x, F16, rational(1009) / rational(1000) * power(-11)));
    halves::<bf16>("tanh.approx", |x| define(x, BF16, power(-8)));
}

/// `div.full`: two units in the last place.
#[test]
fn div_full() {
    quotient("div.full", |a, b| Near(a / b, ulp(&(a / b), F32) * power(1)));
}

/// `div.approx`: as far out, but for the largest divisors.
#[test]
fn div_approx() {
    quotient("div.approx", |a, b| match b.abs() > power(126) {
        true => signed(0.0, a.is_negative() != b.is_negative()),
        false => Near(a / b, ulp(&(a / b), F32) * power(1)),
    });
    // Infinity over a large divisor is infinity times zero.
    let large = [f32::MAX, -f32::MAX, 1e38, 2f32.powi(127)];
    check("div.approx.f32 %d, %a, %b;", large.map(|b| (INF, b)), |(_, _): (f32, f32)| NAN);
}

fn quotient(name: &str, define: impl Fn(&BigRational, &BigRational) -> Allowed) {
    for ftz in ["", ".ftz"] {
        verify(&format!("{name}{ftz}.f32 %d, %a, %b;"), two(), |(a, b): (f32, f32), got: f32| {
            let flush = |code| if ftz.is_empty() { code } else { exact::flush(code, F32) };
            let (a, b) = (flush(a.bits()), flush(b.bits()));
            let allowed = match (decode(a, F32), decode(b, F32)) {
                (Number::Infinity(_), Number::Finite(b)) if name == "div.approx" && b.abs() > power(126) => {
                    Code(NAN.into())
                }
                (Number::Finite(a), Number::Finite(b)) => define(&a, &b),
                // IEEE 754's.
                _ => Code(exact::div(a, b, F32, exact::Rounding::NearestEven, NAN.into())),
            };
            let zero = matches!(&allowed, Near(x, _) if !ftz.is_empty() && x.abs() <= power(-126));
            got.bits() == flush(got.bits()) && (allows(&allowed, got.bits(), F32) || zero && got == 0.0)
        });
    }
}

/// The gross approximations of f64 see the upper word, and give one.
fn gross(
    name: &str,
    define: impl Fn(Number) -> Option<f64>,
    near: impl Fn(&BigRational, &BigRational) -> bool,
) {
    verify(&format!("{name}.approx.ftz.f64 %d, %a;"), one(), |(a,): (f64,), got: f64| {
        let x = decode(exact::flush(a.bits() >> 32 << 32, F64), F64);
        // Whether such a NaN is one, with nothing in its upper word, the manual leaves open.
        if a.is_nan() && x != Number::Nan {
            return true;
        }
        let value = exact::value(&x);
        match (define(x), value) {
            (Some(expected), _) if expected.is_nan() => got.bits() == 0x7fff_ffff_0000_0000,
            (Some(expected), _) => got.bits() == expected.bits(),
            (None, Some(value)) => {
                let result = decode(got.bits(), F64);
                // What would be subnormal is zero.
                let ok =
                    exact::value(&result).is_some_and(|result| result.is_zero() || near(&value, &result));
                ok && got.bits() & 0xffff_ffff == 0 && !got.is_subnormal()
            }
            _ => false,
        }
    });
}

#[test]
fn rcp_of_f64() {
    let define = |x| match x {
        Number::Nan => Some(f64::NAN),
        Number::Infinity(negative) => Some(if negative { -0.0 } else { 0.0 }),
        Number::Zero(negative) => Some(if negative { -f64::INFINITY } else { f64::INFINITY }),
        Number::Finite(x) if x.abs() > power(1022) => Some(if x.is_negative() { -0.0 } else { 0.0 }),
        Number::Finite(_) => None,
    };
    gross("rcp", define, |x, result| (x * result - BigRational::one()).abs() < power(-20));
}

fn inverse_root(x: Number) -> Option<f64> {
    match x {
        Number::Nan | Number::Infinity(true) => Some(f64::NAN),
        Number::Infinity(false) => Some(0.0),
        Number::Zero(negative) => Some(if negative { -f64::INFINITY } else { f64::INFINITY }),
        Number::Finite(x) => x.is_negative().then_some(f64::NAN),
    }
}

#[test]
fn rsqrt_of_f64() {
    gross("rsqrt", inverse_root, |x, root| (root * root * x - BigRational::one()).abs() < power(-19));
    verify("rsqrt.approx.f64 %d, %a;", one(), |(a,): (f64,), got: f64| {
        let x = decode(a.bits(), F64);
        match (inverse_root(x.clone()), exact::value(&x)) {
            (Some(expected), _) => got == expected || got.is_nan() && expected.is_nan(),
            (None, Some(x)) => {
                let root = exact::exactly(got, F64);
                (&root * &root * x - BigRational::one()).abs() <= relative() * power(1)
            }
            _ => false,
        }
    });
}
