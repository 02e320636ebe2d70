//! Elementary functions by their series, in whole multiples of 2^-192: far more
//! exact than any result that is compared with them.

use std::sync::LazyLock;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::exact::{power, scale};

const UNIT: u32 = 192;

/// A multiple of the unit.
type Fixed = BigInt;

fn one() -> Fixed {
    BigInt::one() << UNIT
}

fn fixed(x: &BigRational) -> Fixed {
    (x.numer() << UNIT) / x.denom()
}

fn fraction(x: Fixed) -> BigRational {
    BigRational::new_raw(x, one())
}

fn product(a: &Fixed, b: &Fixed) -> Fixed {
    (a * b) >> UNIT
}

/// The sum of `first` and of all terms after it, each made of the one before, until they are nothing.
fn sum(first: Fixed, mut next: impl FnMut(&Fixed, u32) -> Fixed) -> Fixed {
    let (mut total, mut term) = (first.clone(), first);
    for n in 1.. {
        term = next(&term, n);
        if term.abs() <= BigInt::one() {
            break;
        }
        total += &term;
    }
    total
}

/// The sum of sign^n t^(2n+1) / (2n+1): the inverse tangent where the sign is -1, the hyperbolic one where it is 1.
fn odd_powers(t: &Fixed, sign: i32) -> Fixed {
    let square = product(t, t);
    let mut power = t.clone();
    sum(t.clone(), |_, n| {
        power = product(&power, &square) * sign;
        &power / (2 * n + 1)
    })
}

/// The natural logarithm of a number in [1, 2].
fn ln(x: &BigRational) -> Fixed {
    let t = (x - BigRational::one()) / (x + BigRational::one());
    odd_powers(&fixed(&t), 1) * 2
}

static LN_2: LazyLock<Fixed> = LazyLock::new(|| ln(&BigRational::from(BigInt::from(2))));

/// Machin's formula.
static PI: LazyLock<Fixed> =
    LazyLock::new(|| odd_powers(&(one() / 5), -1) * 16 - odd_powers(&(one() / 239), -1) * 4);

/// pi
pub fn pi() -> BigRational {
    fraction(PI.clone())
}

/// e^x of a small x.
fn exp(x: &Fixed) -> Fixed {
    sum(one(), |term, n| product(term, x) / n)
}

/// 2^x
pub fn exp2(x: &BigRational) -> BigRational {
    let whole = x.floor();
    let part = exp(&product(&fixed(&(x - &whole)), &LN_2));
    scale(&fraction(part), i64::try_from(whole.to_integer()).expect("a result that a float can hold"))
}

/// The binary logarithm of a positive number.
pub fn log2(x: &BigRational) -> BigRational {
    let mut whole = x.numer().bits() as i64 - x.denom().bits() as i64;
    if power(whole) > *x {
        whole -= 1;
    }
    let part = BigRational::new(ln(&(x * power(-whole))), LN_2.clone());
    BigRational::from(BigInt::from(whole)) + part
}

/// The sum of (-1)^n y^(2n+k) / (2n+k)!: the cosine for k = 0, the sine for k = 1.
fn circular(x: &BigRational, k: u32) -> BigRational {
    let y = fixed(x) % (&*PI * 2);
    let square = product(&y, &y);
    let first = if k == 0 { one() } else { y };
    fraction(sum(first, |term, n| -product(term, &square) / ((2 * n + k) * (2 * n + k - 1))))
}

/// sin x
pub fn sin(x: &BigRational) -> BigRational {
    circular(x, 1)
}

/// cos x
pub fn cos(x: &BigRational) -> BigRational {
    circular(x, 0)
}

/// The hyperbolic tangent.
pub fn tanh(x: &BigRational) -> BigRational {
    // Of 64 and more it is 1 but for what no float can hold.
    let twice = fixed(&x.abs().min(BigRational::from(BigInt::from(64)))) * 2;
    // e^-2x, by halving as often as ln 2 goes into the exponent.
    let halvings = u32::try_from(&twice / &*LN_2).expect("few");
    let e = ((one() << UNIT) / exp(&(twice % &*LN_2))) >> halvings;
    let value = fraction(((one() - &e) << UNIT) / (one() + e));
    if x.is_negative() { -value } else { value }
}

/// The functions, held against the host's.
#[test]
fn the_series_agree_with_the_host() {
    let close = |got: BigRational, host: f64| {
        let host = BigRational::from_float(host).expect("finite");
        let error = (&got - &host).abs();
        assert!(error.is_zero() || error < host.abs() * power(-48) + power(-60), "{got} is not {host}");
    };
    for n in -60..60 {
        let x = f64::from(n) / 7.0;
        let exact = BigRational::from_float(x).expect("finite");
        close(exp2(&exact), x.exp2());
        close(sin(&exact), x.sin());
        close(cos(&exact), x.cos());
        close(tanh(&exact), x.tanh());
        if n > 0 {
            close(log2(&exact), x.log2());
        }
    }
    close(pi(), std::f64::consts::PI);
}
