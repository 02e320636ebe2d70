//! A number taken out of its format, exactly, and put into another, rounded once.

use super::format::Format;

/// What a code or an integer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Not a number.
    Nan,
    /// Beyond every number.
    Infinity {
        /// Minus infinity?
        negative: bool,
    },
    /// `significand` times 2 to the `exponent`; zero has a sign.
    Finite {
        /// Below zero, or -0.
        negative: bool,
        /// The magnitude's digits.
        significand: u64,
        /// What they are multiplied by.
        exponent: i32,
    },
}

/// How a number that lies between two of a format becomes one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, of two the even one (`.rn`, `.rni`).
    NearestEven,
    /// To the nearest, of two the larger magnitude (`.rna`).
    NearestAway,
    /// Towards zero (`.rz`, `.rzi`).
    Zero,
    /// Towards minus infinity (`.rm`, `.rmi`).
    Down,
    /// Towards infinity (`.rp`, `.rpi`).
    Up,
}

impl Rounding {
    /// In the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::NearestEven, Self::NearestAway, Self::Zero, Self::Down, Self::Up];

    /// Does what is too large for the format become its largest number, not infinity?
    fn keeps_finite(self, negative: bool) -> bool {
        match self {
            Self::Zero => true,
            Self::Down => !negative,
            Self::Up => negative,
            Self::NearestEven | Self::NearestAway => false,
        }
    }

    /// `significand` divided by 2 to the `shift`, rounded to a whole number.
    fn divide(self, significand: u64, shift: u32, negative: bool) -> u64 {
        const HALF: u64 = 1 << 63;
        // 66 places down even the largest significand is below a quarter, as it is further down.
        let shift = shift.min(66);
        let fixed = (u128::from(significand) << 64) >> shift;
        let whole = (fixed >> 64) as u64;
        // What the shift has dropped still counts as something.
        let rest = fixed as u64 | u64::from(shift > 64 && significand != 0);
        let up = match self {
            Self::NearestEven => rest > HALF || rest == HALF && whole & 1 == 1,
            Self::NearestAway => rest >= HALF,
            Self::Zero => false,
            Self::Down => negative && rest != 0,
            Self::Up => !negative && rest != 0,
        };
        whole + u64::from(up)
    }
}

impl Number {
    /// A signed or unsigned integer, extended to 64 bits.
    pub fn integer(bits: u64, signed: bool) -> Self {
        let negative = signed && (bits as i64) < 0;
        let significand = if negative { bits.wrapping_neg() } else { bits };
        Self::Finite { negative, significand, exponent: 0 }
    }

    /// What a code of a format stands for.
    pub fn decode(code: u64, f: Format) -> Self {
        let negative = code & f.sign() != 0;
        let magnitude = code & (f.sign() - 1);
        if Some(magnitude) == f.infinity {
            return Self::Infinity { negative };
        }
        if magnitude > f.largest {
            return Self::Nan;
        }
        let fraction = magnitude & ((1 << f.mantissa) - 1);
        let lowest = f.least() - f.mantissa as i32;
        match (magnitude >> f.mantissa) as i32 {
            0 => Self::Finite { negative, significand: fraction, exponent: lowest },
            e => Self::Finite { negative, significand: fraction | 1 << f.mantissa, exponent: lowest + e - 1 },
        }
    }

    /// The code of a format nearest to the number in the sense of `rounding`.
    /// What is too large for a format without infinity becomes its largest number.
    pub fn encode(self, f: Format, rounding: Rounding) -> u64 {
        let signed = |negative: bool, magnitude: u64| if negative { f.sign() | magnitude } else { magnitude };
        let (negative, significand, exponent) = match self {
            Self::Nan => return f.nan,
            Self::Infinity { negative } => return signed(negative, f.infinity.unwrap_or(f.largest)),
            Self::Finite { negative, significand: 0, .. } => return signed(negative, 0),
            Self::Finite { negative, significand, exponent } => (negative, significand, exponent),
        };
        // The format's numbers around this one are multiples of 2 to the `spacing`.
        let top = exponent + significand.ilog2() as i32;
        let binade = top.max(f.least());
        let spacing = binade - f.mantissa as i32;
        let steps = match u32::try_from(spacing - exponent) {
            Ok(shift) => rounding.divide(significand, shift, negative),
            Err(_) => significand << (exponent - spacing),
        };
        // Normal numbers have a step for the hidden bit, which counts the
        // exponent up by one; so does rounding up into the next binade.
        let magnitude = ((binade - f.least()) as u64) << f.mantissa;
        match magnitude + steps {
            magnitude if magnitude <= f.largest => signed(negative, magnitude),
            _ if rounding.keeps_finite(negative) => signed(negative, f.largest),
            _ => signed(negative, f.infinity.unwrap_or(f.largest)),
        }
    }

    /// Rounded to a whole number; zero keeps the sign.
    pub fn whole(self, rounding: Rounding) -> Self {
        match self {
            Self::Finite { negative, significand, exponent } if exponent < 0 => {
                let significand = rounding.divide(significand, exponent.unsigned_abs(), negative);
                Self::Finite { negative, significand, exponent: 0 }
            }
            other => other,
        }
    }

    /// Rounded to an integer of so many bits, the nearest one where it does not
    /// fit; `None` for NaN.
    pub fn to_integer(self, bits: u32, signed: bool, rounding: Rounding) -> Option<u64> {
        let (negative, magnitude) = match self.whole(rounding) {
            Self::Nan => return None,
            Self::Infinity { negative } => (negative, u128::MAX),
            Self::Finite { negative, significand, exponent } => {
                (negative, u128::from(significand) << exponent.clamp(0, 64))
            }
        };
        let limit = match (signed, negative) {
            (false, false) => (1 << bits) - 1,
            (false, true) => 0,
            (true, false) => (1 << (bits - 1)) - 1,
            (true, true) => 1 << (bits - 1),
        };
        let magnitude = magnitude.min(limit) as u64;
        Some(if negative { magnitude.wrapping_neg() } else { magnitude })
    }
}
