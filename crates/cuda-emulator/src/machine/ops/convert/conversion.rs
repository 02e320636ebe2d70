//! One value from any type to any other, rounded once: what every form of `cvt`
//! means. The usual ones have operations of their own (`quick`), which give the
//! same results.

use crate::numeric::format::Format;
use crate::numeric::number::{Number, Rounding};
use crate::ptx::ast::Type;

/// What a type's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers of so many bits.
    Integer {
        /// Their width.
        bits: u32,
        /// In two's complement?
        signed: bool,
    },
    /// Floating-point numbers.
    Float(Format),
}

/// The types that values are converted between.
const TYPES: [Type; 15] = {
    use Type::*;
    [U8, U16, U32, U64, S8, S16, S32, S64, F16, Bf16, Tf32, F32, F64, E4m3, E5m2]
};

/// What the values of a type are, if it has single numbers.
pub fn values_of(ty: Type) -> Option<Values> {
    use Type::*;
    Some(match ty {
        U8 | U16 | U32 | U64 => Values::Integer { bits: 8 * ty.bytes() as u32, signed: false },
        S8 | S16 | S32 | S64 => Values::Integer { bits: 8 * ty.bytes() as u32, signed: true },
        F16 => Values::Float(Format::F16),
        Bf16 => Values::Float(Format::BF16),
        Tf32 => Values::Float(Format::TF32),
        F32 => Values::Float(Format::F32),
        F64 => Values::Float(Format::F64),
        E4m3 => Values::Float(Format::E4M3),
        E5m2 => Values::Float(Format::E5M2),
        _ => return None,
    })
}

/// The types of a conversion and its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// The result's type.
    pub to: Type,
    /// The operand's type.
    pub from: Type,
    /// How what does not fit is rounded; a conversion that needs no rounding has the nearest.
    pub rounding: Rounding,
    /// To whole numbers: `.rni`, `.rzi`, `.rmi`, `.rpi`.
    pub whole: bool,
    /// `.ftz`: subnormal f32 operands and results become zero.
    pub ftz: bool,
    /// `.sat`: integers into the type's range, floats into [0, 1], NaN becoming 0.
    pub sat: bool,
    /// `.relu`: what is negative becomes 0.
    pub relu: bool,
    /// `.satfinite`: what is too large, infinity too, becomes the largest number.
    pub satfinite: bool,
}

impl Conversion {
    /// Is rounding all it does?
    pub fn is_plain(self) -> bool {
        !(self.whole || self.ftz || self.sat || self.relu || self.satfinite)
    }

    /// As an instruction's `aux`.
    pub fn pack(self) -> u32 {
        let index = |ty| TYPES.iter().position(|t| *t == ty).unwrap_or(0) as u32;
        let flags = [self.whole, self.ftz, self.sat, self.relu, self.satfinite];
        let flags = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        index(self.to) | index(self.from) << 4 | (self.rounding as u32) << 8 | flags << 11
    }

    /// From an instruction's `aux`.
    pub fn unpack(aux: u32) -> Self {
        let flag = |n: u32| aux >> (11 + n) & 1 == 1;
        Self {
            to: TYPES[(aux & 15) as usize % TYPES.len()],
            from: TYPES[(aux >> 4 & 15) as usize % TYPES.len()],
            rounding: Rounding::ALL[(aux >> 8 & 7) as usize % Rounding::ALL.len()],
            whole: flag(0),
            ftz: flag(1),
            sat: flag(2),
            relu: flag(3),
            satfinite: flag(4),
        }
    }

    /// Converts one value; bits above either type's width are ignored or zero.
    pub fn apply(self, bits: u64) -> u64 {
        let (Some(from), Some(to)) = (values_of(self.from), values_of(self.to)) else { return 0 };
        let number = match from {
            Values::Integer { bits: width, signed } => Number::integer(extend(bits, width, signed), signed),
            Values::Float(f) => {
                let code = bits & (f.sign() | (f.sign() - 1));
                Number::decode(if self.ftz && self.from == Type::F32 { f.flush(code) } else { code }, f)
            }
        };
        let number = if self.whole { number.whole(self.rounding) } else { number };
        match to {
            Values::Integer { bits, signed } => {
                // The manual: 0 where neither an f64 nor a 64-bit integer is
                // involved, else the highest bit alone.
                let nan = if self.from == Type::F64 || bits == 64 { 1 << (bits - 1) } else { 0 };
                extend(number.to_integer(bits, signed, self.rounding).unwrap_or(nan), bits, false)
            }
            Values::Float(f) => self.limit(number.encode(f, self.rounding), f),
        }
    }

    /// What the modifiers make of a result.
    fn limit(self, code: u64, f: Format) -> u64 {
        let code = if self.ftz && self.to == Type::F32 { f.flush(code) } else { code };
        let (sign, magnitude) = (code & f.sign(), code & (f.sign() - 1));
        let is_nan = magnitude == f.nan;
        let code = match (is_nan, sign != 0) {
            (true, _) if self.sat => 0,
            (true, _) => code,
            (false, true) if self.sat => 0,
            (false, false) if self.sat => magnitude.min(f.one()),
            // -0 too: the hardware looks at the sign.
            (false, true) if self.relu => 0,
            _ if self.satfinite => sign | magnitude.min(f.largest),
            _ => code,
        };
        // A tf32 is the upper bits of an f32; those below are zero.
        if self.to == Type::Tf32 { code << 13 } else { code }
    }
}

/// The low `bits` of a value, extended to 64.
#[inline(always)]
pub fn extend(value: u64, bits: u32, signed: bool) -> u64 {
    let shift = 64 - bits;
    if signed { ((value << shift) as i64 >> shift) as u64 } else { value << shift >> shift }
}
