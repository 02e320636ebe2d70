//! f16 accumulators: f64 to f16, once rounded.

/// The f16 nearest to `x`, ties to even, as an f32; too large a number becomes infinity.
#[inline(always)]
pub fn round(x: f64) -> f32 {
    const LEAST: i32 = -14;
    const MANTISSA: i32 = 10;
    let exponent = ((x.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(LEAST);
    let spacing = power(exponent - MANTISSA);
    let rounded = ((x / spacing).round_ties_even() * spacing) as f32;
    if rounded.abs() >= 65536.0 { f32::INFINITY.copysign(rounded) } else { rounded }
}

/// The bits of an f16 that is given as an f32.
#[inline(always)]
pub fn bits(x: f32) -> u32 {
    let (sign, magnitude) = (x.to_bits() >> 16 & 0x8000, x.abs());
    // Read in the f16's own scale, its subnormal numbers are an f32's.
    let scaled = (magnitude * f32::from_bits((127 - 112) << 23)).to_bits() >> 13;
    match magnitude {
        m if m.is_nan() => 0x7fff,
        m if m.is_infinite() => sign | 0x7c00,
        _ => sign | scaled,
    }
}

/// 2^e, for exponents of normal numbers.
#[inline(always)]
pub fn power(e: i32) -> f64 {
    f64::from_bits((e.wrapping_add(1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::super::format::f16;
    use super::{bits, round};

    #[test]
    fn bits_are_the_inverse_of_numbers() {
        for code in 0..=0xffffu16 {
            let expected = if code & 0x7fff > 0x7c00 { 0x7fff } else { code };
            assert_eq!(bits(f16(code)), u32::from(expected));
        }
    }

    #[test]
    fn rounds_to_the_nearest_even() {
        for code in 0..0x7bffu16 {
            let (low, high) = (f64::from(f16(code)), f64::from(f16(code + 1)));
            let (middle, little) = ((low + high) / 2.0, (high - low) * 2f64.powi(-40));
            let even = if code % 2 == 0 { low } else { high };
            for (x, expected) in [(low, low), (middle - little, low), (middle, even), (middle + little, high)]
            {
                assert_eq!(f64::from(round(x)), expected);
                assert_eq!(f64::from(round(-x)), -expected);
            }
        }
        assert_eq!(round(65519.999), 65504.0);
        assert_eq!(round(65520.0), f32::INFINITY);
        assert_eq!(round(-1e300), f32::NEG_INFINITY);
    }
}
