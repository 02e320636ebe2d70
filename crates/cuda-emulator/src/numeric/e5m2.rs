//! E5M2: 1 sign, 5 exponent bits, 2 mantissa bits: the upper half of an f16,
//! with its infinities and NaNs (OCP 8-bit floating point, as in PTX).

use half::f16;

use super::fp8;

/// The largest finite magnitude.
const MAX: f32 = 57344.0;
/// The code of NaN that conversions give.
pub const NAN: u8 = 0x7f;

/// To the nearest code, ties to even; magnitudes above 57344, infinity too,
/// become 57344 (`.satfinite`), NaN becomes 0x7f.
#[inline(always)]
pub fn encode(x: f32) -> u8 {
    if x.is_nan() { NAN } else { fp8::nearest::<2, -14>(x, MAX) }
}

/// The value of a code.
#[inline(always)]
pub fn decode(code: u8) -> f16 {
    f16::from_bits(u16::from(code) << 8)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::numeric::format::Format;
    use crate::numeric::number::{Number, Rounding};

    #[test]
    fn agrees_with_the_rounding_of_any_format() {
        let near = (0..0x7c00u32).map(|half| half::f16::from_bits(half as u16).to_f32());
        let cases =
            near.flat_map(|x| [x, f32::from_bits(x.to_bits() + 1), f32::from_bits(x.to_bits().max(1) - 1)]);
        for x in cases.chain([f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-40]) {
            let expected =
                Number::decode(x.to_bits().into(), Format::F32).encode(Format::E5M2, Rounding::NearestEven);
            let expected = expected.min(Format::E5M2.largest) as u8;
            assert_eq!((encode(x), encode(-x)), (expected, expected | 0x80), "{x:e}");
        }
        assert_eq!(encode(f32::NAN), 0x7f);
    }

    #[test]
    fn every_finite_code_survives() {
        for code in (0..0x7c).chain(0x80..0xfc) {
            assert_eq!(encode(decode(code).to_f32()), code);
        }
    }
}
