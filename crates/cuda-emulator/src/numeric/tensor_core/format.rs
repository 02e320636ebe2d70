//! Codes of the factors' formats, and the numbers they stand for.

/// What A and B hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 8 bits, 4 of them exponent; finite, with one NaN.
    E4m3,
    /// 8 bits, 5 of them exponent.
    E5m2,
    /// IEEE binary16.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// An f32 whose 13 lowest bits are not looked at.
    Tf32,
    /// Signed bytes.
    S8,
    /// Unsigned bytes.
    U8,
}

impl Format {
    /// Bytes of a code.
    pub const fn bytes(self) -> usize {
        match self {
            Self::E4m3 | Self::E5m2 | Self::S8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::Tf32 => 4,
        }
    }

    /// Is it one of the two 8-bit floating-point formats?
    pub const fn is_fp8(self) -> bool {
        matches!(self, Self::E4m3 | Self::E5m2)
    }

    /// The exponent of its smallest normal number. Those below it are written
    /// with this exponent too, and a significand below 1.
    pub const fn least_exponent(self) -> i16 {
        match self {
            Self::E4m3 => -6,
            Self::E5m2 | Self::F16 => -14,
            _ => -126,
        }
    }
}

/// The number of an E4M3.
#[inline(always)]
pub const fn e4m3(code: u8) -> f32 {
    let (sign, magnitude) = (code as u32 & 0x80, code as u32 & 0x7f);
    let number = match magnitude {
        0x7f => f32::NAN,
        // Subnormal numbers are counted, not scaled: subnormal numbers of an f32 are slow on some hosts.
        0..8 => magnitude as f32 / 512.0,
        _ => f32::from_bits((magnitude << 20) + ((127 - 7) << 23)),
    };
    f32::from_bits(sign << 24 | number.to_bits())
}

/// The number of an E5M2: it is the upper half of an f16.
#[inline(always)]
pub const fn e5m2(code: u8) -> f32 {
    let (sign, magnitude) = (code as u32 & 0x80, code as u32 & 0x7f);
    let number = match magnitude {
        0x7c.. => f32::from_bits(0xff << 23 | magnitude << 21),
        0..4 => magnitude as f32 / 65536.0,
        _ => f32::from_bits((magnitude << 21) + ((127 - 15) << 23)),
    };
    f32::from_bits(sign << 24 | number.to_bits())
}

/// The number of an f16's bits.
#[inline(always)]
pub const fn f16(bits: u16) -> f32 {
    let (sign, magnitude) = ((bits as u32 & 0x8000) << 16, bits as u32 & 0x7fff);
    // The fields lie as in an f32, whose exponents are 112 higher. Read as an f32, subnormal numbers are
    // subnormal too, and the product is exact.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
    let finite = scaled.to_bits();
    let special = 0x7f80_0000 | magnitude << 13;
    f32::from_bits(sign | if magnitude < 0x7c00 { finite } else { special })
}

/// The number of a bf16's bits.
#[inline(always)]
pub const fn bf16(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// The number of a register that is read as tf32.
#[inline(always)]
pub const fn tf32(bits: u32) -> f32 {
    f32::from_bits(bits & !0x1fff)
}

#[cfg(test)]
mod tests {
    use super::{e4m3, e5m2, f16};

    /// A number by its definition.
    fn number(code: u32, exponent: u32, mantissa: u32) -> f64 {
        let bias = (1 << (exponent - 1)) - 1;
        let (field, fraction) = (code >> mantissa & ((1 << exponent) - 1), code & ((1 << mantissa) - 1));
        let fraction = f64::from(fraction) / f64::from(1u32 << mantissa);
        let magnitude = match field {
            0 => fraction * 2f64.powi(1 - bias),
            _ => (1.0 + fraction) * 2f64.powi(field as i32 - bias),
        };
        if code >> (mantissa + exponent) & 1 == 1 { -magnitude } else { magnitude }
    }

    #[test]
    fn numbers_are_those_of_their_codes() {
        for code in 0..256u32 {
            let (e4m3, e5m2) = (f64::from(e4m3(code as u8)), f64::from(e5m2(code as u8)));
            match code & 0x7f {
                0x7f => assert!(e4m3.is_nan() && e5m2.is_nan()),
                0x7d | 0x7e => assert!(e4m3 == number(code, 4, 3) && e5m2.is_nan()),
                0x7c => {
                    assert!(e4m3 == number(code, 4, 3) && e5m2 == f64::INFINITY.copysign(number(code, 4, 3)))
                }
                _ => assert!(e4m3 == number(code, 4, 3) && e5m2 == number(code, 5, 2)),
            }
        }
        for code in 0..=0xffffu16 {
            let got = f64::from(f16(code));
            match code & 0x7fff {
                0x7c00 => assert!(got.is_infinite() && got.is_sign_negative() == (code >> 15 == 1)),
                0x7c01.. => assert!(got.is_nan()),
                _ => assert!(got == number(code.into(), 5, 10), "{code:#x}"),
            }
        }
    }
}
