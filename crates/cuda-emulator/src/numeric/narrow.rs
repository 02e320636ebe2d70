//! The formats that a 32-bit register holds, by their codes: f32, f16 and bf16.

/// A format. Its parameters are constants wherever it is used, so that code
/// which is generic over it compiles as if written for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Narrow {
    /// Stored bits of the significand.
    mantissa: u32,
    /// Bits of the exponent.
    exponent: u32,
}

/// f32.
pub const F32: Narrow = Narrow { mantissa: 23, exponent: 8 };
/// f16.
pub const F16: Narrow = Narrow { mantissa: 10, exponent: 5 };
/// bf16.
pub const BF16: Narrow = Narrow { mantissa: 7, exponent: 8 };

impl Narrow {
    /// The sign bit.
    #[inline(always)]
    pub const fn sign(self) -> u32 {
        1 << (self.mantissa + self.exponent)
    }

    /// The code of infinity.
    #[inline(always)]
    pub const fn infinity(self) -> u32 {
        ((1 << self.exponent) - 1) << self.mantissa
    }

    /// The NaN that arithmetic gives, whatever the operands' payloads.
    #[inline(always)]
    pub const fn nan(self) -> u32 {
        self.sign() - 1
    }

    /// The code of 1.
    #[inline(always)]
    pub const fn one(self) -> u32 {
        (self.bias() as u32) << self.mantissa
    }

    /// The code of the smallest normal number.
    #[inline(always)]
    pub const fn smallest_normal(self) -> u32 {
        1 << self.mantissa
    }

    #[inline(always)]
    const fn bias(self) -> u64 {
        (1 << (self.exponent - 1)) - 1
    }

    /// The code without its sign.
    #[inline(always)]
    pub const fn magnitude(self, code: u32) -> u32 {
        code & (self.sign() - 1)
    }

    /// Is it the code of a NaN?
    #[inline(always)]
    pub const fn is_nan(self, code: u32) -> bool {
        self.magnitude(code) > self.infinity()
    }

    /// NaN as arithmetic gives it, all else as it is.
    #[inline(always)]
    pub const fn canonical(self, code: u32) -> u32 {
        if self.is_nan(code) { self.nan() } else { code }
    }

    /// A subnormal number as zero of its sign.
    #[inline(always)]
    pub const fn flush(self, code: u32) -> u32 {
        if self.magnitude(code) < self.smallest_normal() { code & self.sign() } else { code }
    }

    /// The nearest number in [0, 1]; +0 for -0 and NaN.
    #[inline(always)]
    pub const fn saturate(self, code: u32) -> u32 {
        if code & self.sign() != 0 || self.is_nan(code) {
            0
        } else if code > self.one() {
            self.one()
        } else {
            code
        }
    }

    /// +0 for what has a minus sign. NaN stays NaN.
    #[inline(always)]
    pub const fn rectify(self, code: u32) -> u32 {
        if self.is_nan(code) {
            self.nan()
        } else if code & self.sign() != 0 {
            0
        } else {
            code
        }
    }

    /// A number that orders codes as their values are, -0 below +0. Not for NaN.
    #[inline(always)]
    const fn rank(self, code: u32) -> i32 {
        let magnitude = self.magnitude(code) as i32;
        if code & self.sign() != 0 { !magnitude } else { magnitude }
    }

    /// The smaller one; the other where one is NaN.
    #[inline(always)]
    pub const fn min(self, a: u32, b: u32) -> u32 {
        let smaller = if self.rank(a) < self.rank(b) { a } else { b };
        self.unless_nan(a, b, smaller)
    }

    /// The larger one; the other where one is NaN.
    #[inline(always)]
    pub const fn max(self, a: u32, b: u32) -> u32 {
        let larger = if self.rank(a) > self.rank(b) { a } else { b };
        self.unless_nan(a, b, larger)
    }

    #[inline(always)]
    const fn unless_nan(self, a: u32, b: u32, chosen: u32) -> u32 {
        if self.is_nan(a) {
            self.canonical(b)
        } else if self.is_nan(b) {
            a
        } else {
            chosen
        }
    }

    /// A number that compares with others of the format as the value of the code does.
    #[inline(always)]
    pub fn comparable(self, code: u32) -> f32 {
        let magnitude = self.magnitude(code) << (23 - self.mantissa);
        let sign = (code & self.sign()) << (31 - self.mantissa - self.exponent);
        if self.is_nan(code) { f32::NAN } else { f32::from_bits(sign | magnitude) }
    }

    /// The value of a code.
    #[inline(always)]
    pub fn widen(self, code: u32) -> f64 {
        let magnitude = u64::from(self.magnitude(code));
        let sign = u64::from(code & self.sign()) << (63 - self.mantissa - self.exponent);
        // The same digits under f64's exponent; a power of two then makes up for its greater bias.
        let digits = f64::from_bits(magnitude << (52 - self.mantissa));
        let scale = f64::from_bits((2 * 1023 - self.bias()) << 52);
        let value = match magnitude {
            m if m > u64::from(self.infinity()) => f64::NAN,
            m if m == u64::from(self.infinity()) => f64::INFINITY,
            _ => digits * scale,
        };
        f64::from_bits(value.to_bits() | sign)
    }

    /// The code nearest to a value, ties to even.
    #[inline(always)]
    pub fn narrow(self, value: f64) -> u32 {
        let least = 1024 - self.bias();
        let power = |exponent: u64| f64::from_bits(exponent << 52);
        // All that is too large rounds as the power of two after the largest number.
        let magnitude = value.abs().min(power(1024 + self.bias()));
        // Numbers have a common spacing within a binade, subnormal ones that of the smallest normal.
        let binade = magnitude.max(power(least)).to_bits() >> 52;
        // Next to the power of two where f64's own spacing is that, an addition rounds to it.
        let anchor = power(binade.wrapping_add(52 - u64::from(self.mantissa)));
        let steps = (anchor + magnitude).to_bits().wrapping_sub(anchor.to_bits());
        // Normal numbers' steps have the hidden bit, which carries into the exponent, as does rounding up.
        let code = (binade.wrapping_sub(least) << self.mantissa).wrapping_add(steps);
        let sign = (value.to_bits() >> 63 << (self.mantissa + self.exponent)) as u32;
        if value.is_nan() { self.nan() } else { sign | code as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::{BF16, F16};
    use half::{bf16, f16};

    #[test]
    fn every_code_survives() {
        for code in 0..=0xffffu32 {
            let canonical = |is_nan: bool| if is_nan { 0x7fff } else { code };
            let (h, b) = (f16::from_bits(code as u16), bf16::from_bits(code as u16));
            assert_eq!(F16.narrow(F16.widen(code)), canonical(h.is_nan()));
            assert_eq!(BF16.narrow(BF16.widen(code)), canonical(b.is_nan()));
        }
    }
}
