//! Types by their names in PTX, and conversions by their definition.

use half::{bf16, f16};
use num_bigint::BigInt;
use num_rational::BigRational;

use super::exact::{BF16, F16, F32, F64, Format, Number, Rounding};
use super::exact::{decode, round, round_whole};
use super::values::Values;

/// A floating-point type of PTX that registers hold.
pub trait Float: Values {
    const NAME: &'static str;
    const FORMAT: Format;
}

/// An integer type of PTX.
pub trait Integer: Values {
    const NAME: &'static str;
    const RANGE: (i128, i128);
    fn value(self) -> i128;
    /// The lowest bits of a number.
    fn cut(number: i128) -> Self;
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
            fn cut(number: i128) -> Self { number as $ty }
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
pub const WHOLE: [(&str, Rounding); 4] =
    [("rni", Rounding::NearestEven), ("rzi", Rounding::Zero), ("rmi", Rounding::Down), ("rpi", Rounding::Up)];

/// `.ftz` where the types have f32 among them, and neither.
pub fn flushing(any_f32: bool) -> &'static [(&'static str, bool)] {
    if any_f32 { &[("", false), (".ftz", true)] } else { &[("", false)] }
}

/// The NaN that results are, where the manual says or shows which.
fn nan(f: Format) -> u64 {
    f.sign() - 1
}

/// Is a result right? Which NaN a NaN is in f64 is open.
pub fn is<T: Float>(got: T, expected: u64) -> bool {
    let both_nan = |bits| decode(bits, T::FORMAT) == Number::Nan;
    got.bits() == expected || T::NAME == "f64" && both_nan(got.bits()) && both_nan(expected)
}

/// What a number becomes in a format; NaN becomes the usual one.
pub fn rounded(number: &Number, f: Format, rounding: Rounding) -> u64 {
    let sign = |negative: bool| if negative { f.sign() } else { 0 };
    match number {
        Number::Nan => nan(f),
        Number::Infinity(negative) => sign(*negative) | f.infinity(),
        Number::Zero(negative) => sign(*negative),
        Number::Finite(x) => round(x, *x < BigRational::from(BigInt::from(0)), f, rounding),
    }
}

/// The integer nearest to the number in the sense of the rounding, within the range.
pub fn whole(number: &Number, rounding: Rounding, (low, high): (i128, i128)) -> Option<i128> {
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
