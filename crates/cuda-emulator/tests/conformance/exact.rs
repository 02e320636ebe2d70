//! Floating point by its definition: a result is the exact one, rounded. Exact
//! values are fractions of whole numbers of any length.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::instruction::Bits;

/// A binary floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Stored bits of the significand.
    pub mantissa: u32,
    /// Bits of the exponent.
    pub exponent: u32,
    /// The codes above the largest finite number.
    pub top: Top,
}

/// What a format has above its largest finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// Infinity, then NaNs (IEEE 754).
    Infinity,
    /// One NaN, all ones (E4M3).
    OneNan,
}

pub const F16: Format = Format { mantissa: 10, exponent: 5, top: Top::Infinity };
pub const BF16: Format = Format { mantissa: 7, exponent: 8, top: Top::Infinity };
pub const TF32: Format = Format { mantissa: 10, exponent: 8, top: Top::Infinity };
pub const F32: Format = Format { mantissa: 23, exponent: 8, top: Top::Infinity };
pub const F64: Format = Format { mantissa: 52, exponent: 11, top: Top::Infinity };
pub const E4M3: Format = Format { mantissa: 3, exponent: 4, top: Top::OneNan };
pub const E5M2: Format = Format { mantissa: 2, exponent: 5, top: Top::Infinity };

impl Format {
    /// Exponent of the smallest normal number.
    fn least(self) -> i64 {
        2 - (1 << (self.exponent - 1))
    }

    /// The sign bit.
    pub fn sign(self) -> u64 {
        1 << (self.mantissa + self.exponent)
    }

    /// The code of infinity, or for a format without, of its NaN.
    pub fn infinity(self) -> u64 {
        match self.top {
            Top::Infinity => ((1 << self.exponent) - 1) << self.mantissa,
            Top::OneNan => self.sign() - 1,
        }
    }

    /// The code of the largest finite number.
    pub fn largest(self) -> u64 {
        self.infinity() - 1
    }
}

/// What a code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Number {
    Nan,
    /// Negative?
    Infinity(bool),
    /// Negative?
    Zero(bool),
    Finite(BigRational),
}

/// How an exact value becomes one of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    NearestEven,
    /// Ties away from zero.
    NearestAway,
    Zero,
    Down,
    Up,
}

impl Rounding {
    /// By the letter after the `r` of a modifier.
    pub const ALL: [(&str, Rounding); 4] =
        [("rn", Self::NearestEven), ("rz", Self::Zero), ("rm", Self::Down), ("rp", Self::Up)];
}

/// 2^e
pub fn power(e: i64) -> BigRational {
    let whole = BigInt::one() << e.unsigned_abs();
    if e < 0 { BigRational::new_raw(BigInt::one(), whole) } else { BigRational::from(whole) }
}

/// x * 2^e, without the search for common divisors that a product begins with.
pub fn scale(x: &BigRational, e: i64) -> BigRational {
    let (numerator, denominator) = (x.numer(), x.denom());
    match e < 0 {
        true => BigRational::new_raw(numerator.clone(), denominator << e.unsigned_abs()),
        false => BigRational::new_raw(numerator << e.unsigned_abs(), denominator.clone()),
    }
}

/// The number that a code stands for.
pub fn decode(bits: u64, f: Format) -> Number {
    let negative = bits & f.sign() != 0;
    let magnitude = bits & (f.sign() - 1);
    match magnitude {
        0 => return Number::Zero(negative),
        m if m == f.infinity() && f.top == Top::Infinity => return Number::Infinity(negative),
        m if m >= f.infinity() => return Number::Nan,
        _ => {}
    }
    let (exponent, fraction) = (magnitude >> f.mantissa, magnitude & ((1 << f.mantissa) - 1));
    let (significand, e) = match exponent {
        0 => (fraction, f.least()),
        _ => (fraction | 1 << f.mantissa, exponent as i64 - 1 + f.least()),
    };
    // An odd numerator has nothing in common with a power of two.
    let twos = significand.trailing_zeros();
    let odd = BigRational::from(BigInt::from(significand >> twos));
    let value = scale(&odd, e - i64::from(f.mantissa) + i64::from(twos));
    Number::Finite(if negative { -value } else { value })
}

/// The exact value of a number that is finite; 0 for zero.
pub fn value(number: &Number) -> Option<BigRational> {
    match number {
        Number::Zero(_) => Some(BigRational::zero()),
        Number::Finite(x) => Some(x.clone()),
        _ => None,
    }
}

/// The exact value of a finite float.
pub fn exactly<T: Bits>(x: T, f: Format) -> BigRational {
    value(&decode(x.bits(), f)).expect("finite")
}

/// The whole number that `x` rounds to.
pub fn round_whole(x: &BigRational, rounding: Rounding) -> BigInt {
    let below = x.floor().to_integer();
    let over = x - BigRational::from(below.clone());
    let half = power(-1);
    let up = match rounding {
        Rounding::Down => false,
        Rounding::Up => !over.is_zero(),
        Rounding::Zero => x.is_negative() && !over.is_zero(),
        Rounding::NearestAway => over > half || over == half && !x.is_negative(),
        Rounding::NearestEven => over > half || over == half && (&below % 2) != BigInt::zero(),
    };
    if up { below + 1 } else { below }
}

/// The largest e with 2^e <= |x|, x not zero.
fn log2(x: &BigRational) -> i64 {
    let x = x.abs();
    let mut e = x.numer().bits() as i64 - x.denom().bits() as i64;
    while power(e) > x {
        e -= 1;
    }
    while power(e + 1) <= x {
        e += 1;
    }
    e
}

/// The code that an exact value rounds to. A value of zero has the sign given;
/// one too large becomes infinity, or the largest finite number where the
/// rounding is towards it; in a format without infinity, its NaN.
pub fn round(x: &BigRational, negative_zero: bool, f: Format, rounding: Rounding) -> u64 {
    if x.is_zero() {
        return if negative_zero { f.sign() } else { 0 };
    }
    // The spacing of the format's numbers around x.
    let e = log2(x).max(f.least());
    let steps = round_whole(&scale(x, i64::from(f.mantissa) - e), rounding);
    let sign = if x.is_negative() { f.sign() } else { 0 };
    let steps = u64::try_from(steps.abs()).expect("at most twice the significand");
    // Steps carry into the exponent by themselves.
    let code = ((e - f.least()) as u64) * (1 << f.mantissa) + steps;
    let towards_zero = match rounding {
        Rounding::Zero => true,
        Rounding::Down => !x.is_negative(),
        Rounding::Up => x.is_negative(),
        _ => false,
    };
    match code {
        c if c <= f.largest() => sign | c,
        _ if towards_zero => sign | f.largest(),
        _ => sign | f.infinity(),
    }
}

/// A sum, product or fused product-sum in format `f`: `a * b + c` exactly, then
/// rounded; `nan` is the code of a NaN result.
pub fn fma(a: u64, b: u64, c: u64, f: Format, rounding: Rounding, nan: u64) -> u64 {
    let infinite = |negative: bool| if negative { f.sign() | f.infinity() } else { f.infinity() };
    let sign = |bits: u64| bits & f.sign() != 0;
    let product_negative = sign(a) != sign(b);
    let (a, b, c) = (decode(a, f), decode(b, f), decode(c, f));
    match (&a, &b, &c) {
        (Number::Nan, ..) | (_, Number::Nan, _) | (_, _, Number::Nan) => nan,
        (Number::Infinity(_), Number::Zero(_), _) | (Number::Zero(_), Number::Infinity(_), _) => nan,
        (Number::Infinity(_), ..) | (_, Number::Infinity(_), _) => match c {
            Number::Infinity(negative) if negative != product_negative => nan,
            _ => infinite(product_negative),
        },
        (_, _, Number::Infinity(negative)) => infinite(*negative),
        _ => {
            let get = |n: &Number| value(n).expect("finite");
            let product = get(&a) * get(&b);
            let sum = &product + get(&c);
            // Zero: the sign of both parts where they agree, else +0, or -0 when rounding down.
            let c_negative = matches!(c, Number::Zero(true)) || get(&c).is_negative();
            let negative_zero = match product_negative == c_negative {
                true => c_negative,
                false => rounding == Rounding::Down,
            };
            round(&sum, negative_zero, f, rounding)
        }
    }
}

/// `a + b`.
pub fn add(a: u64, b: u64, f: Format, rounding: Rounding, nan: u64) -> u64 {
    let one = ((1 << (f.exponent - 1)) - 1) << f.mantissa;
    fma(a, one, b, f, rounding, nan)
}

/// `a * b`.
pub fn mul(a: u64, b: u64, f: Format, rounding: Rounding, nan: u64) -> u64 {
    // Minus zero changes no product; where the product is zero the signs agree or it is +0 that is added.
    let zero = if (a ^ b) & f.sign() != 0 { f.sign() } else { 0 };
    fma(a, b, zero, f, rounding, nan)
}

/// `a / b`.
pub fn div(a: u64, b: u64, f: Format, rounding: Rounding, nan: u64) -> u64 {
    let negative = (a ^ b) & f.sign() != 0;
    let signed = |code: u64| if negative { f.sign() | code } else { code };
    match (decode(a, f), decode(b, f)) {
        (Number::Nan, _) | (_, Number::Nan) => nan,
        (Number::Infinity(_), Number::Infinity(_)) | (Number::Zero(_), Number::Zero(_)) => nan,
        (Number::Infinity(_), _) | (_, Number::Zero(_)) => signed(f.infinity()),
        (Number::Zero(_), _) | (_, Number::Infinity(_)) => signed(0),
        (Number::Finite(a), Number::Finite(b)) => round(&(a / b), negative, f, rounding),
    }
}

/// The square root: between which two numbers of the format it lies is decided by squares.
pub fn sqrt(a: u64, f: Format, rounding: Rounding, nan: u64) -> u64 {
    let x = match decode(a, f) {
        Number::Nan | Number::Infinity(true) => return nan,
        Number::Infinity(false) | Number::Zero(_) => return a,
        Number::Finite(x) if x.is_negative() => return nan,
        Number::Finite(x) => x,
    };
    // The largest code whose square is not above x.
    let (mut low, mut high) = (0, f.infinity());
    let square = |code: u64| {
        let v = value(&decode(code, f)).expect("finite");
        &v * &v
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if square(middle) <= x { low = middle } else { high = middle }
    }
    if square(low) == x {
        return low;
    }
    let between =
        (value(&decode(low, f)).expect("finite") + value(&decode(low + 1, f)).expect("finite")) * power(-1);
    let up = match rounding {
        Rounding::Up => true,
        Rounding::Down | Rounding::Zero => false,
        // A root is never halfway between two numbers.
        Rounding::NearestEven | Rounding::NearestAway => &between * &between < x,
    };
    low + u64::from(up)
}

/// A subnormal as zero of its sign (`.ftz`).
pub fn flush(bits: u64, f: Format) -> u64 {
    let exponent = bits >> f.mantissa & ((1 << f.exponent) - 1);
    if exponent == 0 { bits & f.sign() } else { bits }
}

/// Into [0, 1], NaN and -0 becoming +0 (`.sat`).
pub fn saturate(bits: u64, f: Format) -> u64 {
    let one = ((1 << (f.exponent - 1)) - 1) << f.mantissa;
    match decode(bits, f) {
        Number::Nan | Number::Zero(_) | Number::Infinity(true) => 0,
        Number::Infinity(false) => one,
        Number::Finite(x) if x.is_negative() => 0,
        Number::Finite(x) if x > BigRational::one() => one,
        Number::Finite(_) => bits,
    }
}

/// Minus zero and what is below it become +0; NaN stays (`.relu`).
pub fn rectify(bits: u64, f: Format) -> u64 {
    match decode(bits, f) {
        Number::Zero(_) | Number::Infinity(true) => 0,
        Number::Finite(x) if x.is_negative() => 0,
        _ => bits,
    }
}

/// All modifiers that `min` and `max` can have, each with those given.
pub fn extreme_forms(others: &[&str]) -> Vec<String> {
    let with = |forms: Vec<String>, suffixes: &[&str]| -> Vec<String> {
        forms.iter().flat_map(|form| suffixes.iter().map(move |suffix| format!("{form}{suffix}"))).collect()
    };
    with(with(with(vec![String::new()], others), &["", ".NaN"]), &["", ".xorsign.abs"])
}

/// How two numbers stand to each other; `None` where one is NaN. -0 is 0.
pub fn order(a: u64, b: u64, f: Format) -> Option<Ordering> {
    // Infinity as a number beyond all of the format's.
    let beyond = power(1 << f.exponent);
    let value = |bits| match decode(bits, f) {
        Number::Nan => None,
        Number::Infinity(false) => Some(beyond.clone()),
        Number::Infinity(true) => Some(-beyond.clone()),
        number => value(&number),
    };
    Some(value(a)?.cmp(&value(b)?))
}

/// `min` or `max`, but for `.ftz`: -0 is below +0.
pub fn extreme(opcode: &str, form: &str, a: u64, b: u64, f: Format, nan: u64) -> u64 {
    let is_nan = |bits| decode(bits, f) == Number::Nan;
    let (x, y) = if form.contains(".xorsign.abs") { (a & !f.sign(), b & !f.sign()) } else { (a, b) };
    let chosen = match (is_nan(x), is_nan(y)) {
        (true, true) => return nan,
        (true, _) | (_, true) if form.contains(".NaN") => return nan,
        (true, false) => y,
        (false, true) => x,
        (false, false) => {
            let negative = |bits: u64| bits & f.sign() != 0;
            let x_is_less = match order(x, y, f).expect("no NaN") {
                Ordering::Equal => negative(x),
                order => order.is_lt(),
            };
            if x_is_less == (opcode == "min") { x } else { y }
        }
    };
    if form.contains(".xorsign.abs") { chosen | (a ^ b) & f.sign() } else { chosen }
}

/// The properties that `testp` asks for.
pub const PROPERTIES: [&str; 6] = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"];

/// Has a number the property? Zeros count as normal.
pub fn has(property: &str, bits: u64, f: Format) -> bool {
    let smallest_normal = power(f.least());
    match (property, decode(bits, f)) {
        ("notanumber", number) => number == Number::Nan,
        ("number", number) => number != Number::Nan,
        (_, Number::Nan) => false,
        ("infinite", number) => matches!(number, Number::Infinity(_)),
        (_, Number::Infinity(_)) => false,
        ("finite", _) => true,
        ("normal", Number::Finite(x)) => x.abs() >= smallest_normal,
        ("normal", _) => true,
        ("subnormal", Number::Finite(x)) => x.abs() < smallest_normal,
        _ => false,
    }
}

/// The definitions themselves, held against the host's arithmetic.
#[test]
fn the_definitions_agree_with_the_hosts_rounding_to_nearest() {
    use super::values::{one, three, two};
    let nan = f64::NAN.to_bits();
    let same = |got: u64, host: f64| f64::from_bits(got).is_nan() && host.is_nan() || got == host.to_bits();
    let nearest = Rounding::NearestEven;
    for (a, b) in two::<f64, f64>() {
        assert!(same(add(a.to_bits(), b.to_bits(), F64, nearest, nan), a + b), "{a:e} + {b:e}");
        assert!(same(mul(a.to_bits(), b.to_bits(), F64, nearest, nan), a * b), "{a:e} * {b:e}");
        assert!(same(div(a.to_bits(), b.to_bits(), F64, nearest, nan), a / b), "{a:e} / {b:e}");
    }
    for (a, b, c) in three::<f64, f64, f64>() {
        let got = fma(a.to_bits(), b.to_bits(), c.to_bits(), F64, nearest, nan);
        assert!(same(got, a.mul_add(b, c)), "{a:e} * {b:e} + {c:e}");
    }
    for (a,) in one::<f64>() {
        assert!(same(sqrt(a.to_bits(), F64, nearest, nan), a.sqrt()), "sqrt {a:e}");
    }
}
