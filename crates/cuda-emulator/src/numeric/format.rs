//! Binary floating-point formats: how a code is divided, and what its ends mean.

/// A format: a sign, `exponent` bits, `mantissa` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Stored bits of the significand.
    pub mantissa: u32,
    /// Bits of the exponent.
    pub exponent: u32,
    /// The code of the largest finite number.
    pub largest: u64,
    /// The code of infinity, where there is one.
    pub infinity: Option<u64>,
    /// The code of the NaN that conversions give: all ones but the sign, as
    /// GPUs make it.
    pub nan: u64,
}

impl Format {
    /// As IEEE 754 has it: the highest exponent is for infinity and NaNs.
    const fn ieee(mantissa: u32, exponent: u32) -> Self {
        let infinity = ((1 << exponent) - 1) << mantissa;
        let nan = (1 << (mantissa + exponent)) - 1;
        Self { mantissa, exponent, largest: infinity - 1, infinity: Some(infinity), nan }
    }

    /// IEEE 754 binary16.
    pub const F16: Self = Self::ieee(10, 5);
    /// The upper half of an f32.
    pub const BF16: Self = Self::ieee(7, 8);
    /// The upper 19 bits of an f32.
    pub const TF32: Self = Self::ieee(10, 8);
    /// IEEE 754 binary32.
    pub const F32: Self = Self::ieee(23, 8);
    /// IEEE 754 binary64.
    pub const F64: Self = Self::ieee(52, 11);
    /// The upper half of an f16.
    pub const E5M2: Self = Self::ieee(2, 5);
    /// Finite up to 448, one NaN (OCP 8-bit floating point).
    pub const E4M3: Self = Self { mantissa: 3, exponent: 4, largest: 0x7e, infinity: None, nan: 0x7f };

    /// The sign bit.
    pub const fn sign(self) -> u64 {
        1 << (self.mantissa + self.exponent)
    }

    /// The code of 1.
    pub const fn one(self) -> u64 {
        ((1 << (self.exponent - 1)) - 1) << self.mantissa
    }

    /// The exponent of the smallest normal number.
    pub const fn least(self) -> i32 {
        2 - (1 << (self.exponent - 1))
    }

    /// The code with a subnormal number made zero of its sign.
    pub const fn flush(self, code: u64) -> u64 {
        let exponent = (self.sign() - 1) & !((1 << self.mantissa) - 1);
        if code & exponent == 0 { code & self.sign() } else { code }
    }
}
