//! Integers as whole numbers of any length, and back.

use num_bigint::BigInt;

use super::values::Values;

/// An integer type of an instruction.
pub trait Integer: Values + PartialEq {
    /// Its bits are those of its type suffix: `u32`.
    const NAME: &'static str;
    /// The least and the greatest.
    const RANGE: (Self, Self);
    /// The number.
    fn whole(self) -> BigInt;
}

macro_rules! integers {
    ($($ty:ident: $name:literal;)*) => {$(
        impl Integer for $ty {
            const NAME: &'static str = $name;
            const RANGE: (Self, Self) = (<$ty>::MIN, <$ty>::MAX);
            fn whole(self) -> BigInt {
                self.into()
            }
        }
    )*};
}

integers! {
    u16: "u16";
    i16: "s16";
    u32: "u32";
    i32: "s32";
    u64: "u64";
    i64: "s64";
}

/// The number's lowest bits.
pub fn wrapped<T: Integer>(x: BigInt) -> T {
    let modulus = BigInt::from(1) << (8 * T::BYTES);
    let low: BigInt = ((x % &modulus) + &modulus) % &modulus;
    T::from_bits(u64::try_from(low).expect("less than 2^64"))
}

/// The nearest number that the type has.
pub fn saturated<T: Integer>(x: BigInt) -> T {
    let (least, greatest) = T::RANGE;
    wrapped(x.clamp(least.whole(), greatest.whole()))
}
