//! E4M3: 1 sign, 4 exponent bits (bias 7), 3 mantissa bits; finite up to 448,
//! no infinity, NaN is 0x7f or 0xff (OCP 8-bit floating point, as in PTX).

use super::fp8;

/// The largest finite magnitude.
const MAX: f32 = 448.0;
/// The code of NaN that conversions give.
pub const NAN: u8 = 0x7f;

/// To the nearest code, ties to even; magnitudes above 448 become 448
/// (`.satfinite`), NaN becomes 0x7f.
#[inline(always)]
pub fn encode(x: f32) -> u8 {
    if x.is_nan() { NAN } else { fp8::nearest::<3, -6>(x, MAX) }
}

/// The value of a code as f32 bits' number; NaN for 0x7f and 0xff.
#[inline(always)]
pub fn decode(code: u8) -> f32 {
    let sign = if code & 0x80 != 0 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (u32::from(code >> 3 & 15), f32::from(code & 7));
    match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => sign * mantissa * f32::from_bits((127 - 9) << 23),
        _ => sign * (8.0 + mantissa) * f32::from_bits((exponent + 127 - 10) << 23),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    /// The finite codes by value: what "nearest" means, without any bit tricks.
    fn nearest(x: f32) -> u8 {
        if x.is_nan() {
            return 0x7f;
        }
        let target = f64::from(x.abs().min(448.0));
        let best = (0u8..0x7f)
            .min_by(|a, b| {
                let distance = |c: &u8| (f64::from(decode(*c)) - target).abs();
                distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1)))
            })
            .unwrap();
        best | if x.is_sign_negative() { 0x80 } else { 0 }
    }

    #[test]
    fn every_code_survives() {
        for code in 0..=255u8 {
            let back = encode(decode(code));
            assert_eq!(back, if code & 0x7f == 0x7f { 0x7f } else { code });
        }
    }

    #[test]
    fn rounds_to_nearest_even_and_saturates() {
        let mut cases = vec![0.0, f32::INFINITY, f32::NAN, 464.0, 465.0, 1e30, 1e-40, f32::MIN_POSITIVE];
        for code in 0..0x7eu8 {
            let middle = (decode(code) + decode(code + 1)) / 2.0;
            let up = f32::from_bits(middle.to_bits() + 1);
            let down = f32::from_bits(middle.to_bits() - 1);
            cases.extend([middle, up, down]);
        }
        let mut bits = 0x2545_f491u32;
        for _ in 0..20_000 {
            bits ^= bits << 13;
            bits ^= bits >> 17;
            bits ^= bits << 5;
            // Exponents around E4M3's, and everything else now and then.
            cases.push(f32::from_bits(bits & 0x007f_ffff | (110 + bits % 32) << 23));
            cases.push(f32::from_bits(bits));
        }
        for x in cases {
            for x in [x, -x] {
                assert_eq!(encode(x), nearest(x), "{x:e} ({:#x})", x.to_bits());
            }
        }
    }
}
