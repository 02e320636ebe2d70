//! The modifiers of floating-point instructions.

use crate::code::Inst;
use crate::numeric::narrow::Narrow;
use crate::numeric::rounding::Rounding;
use crate::ptx::ast::{Instruction, Type};

use crate::machine::ops::type_of;

/// How exact a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// No modifier says.
    Unsaid,
    /// Rounded once.
    Rounded(Rounding),
    /// `.approx`
    Approx,
    /// `.full`: approximate over the whole range.
    Full,
}

/// What is done to operands and results besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u32);

/// Subnormal operands and results are zero.
pub const FTZ: Flags = Flags(1 << 2);
/// The result is clamped to [0, 1].
pub const SAT: Flags = Flags(1 << 3);
/// A negative result is zero.
pub const RELU: Flags = Flags(1 << 4);
/// The result is NaN if an operand is.
pub const NAN: Flags = Flags(1 << 5);
/// Of the magnitudes; the sign is the exclusive or of the signs.
pub const XORSIGN: Flags = Flags(1 << 6);

/// What `min` and `max` may have.
pub const EXTREMES: Flags = FTZ.or(NAN).or(XORSIGN);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);

    /// These and those.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// All of those?
    #[inline(always)]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// An instruction's modifiers.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// How exact.
    pub precision: Precision,
    /// What else.
    pub flags: Flags,
    /// The type, which comes last.
    pub ty: Type,
}

impl Form {
    /// Reads an instruction's modifiers, in any order but for the type. `None`
    /// if there is one that this does not know, or that says something again.
    pub fn of(i: &Instruction) -> Option<Form> {
        let (ty, words) = i.modifiers.split_last()?;
        let mut form = Form { precision: Precision::Unsaid, flags: Flags::NONE, ty: type_of(ty)? };
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let precision = match word {
                "rn" => Precision::Rounded(Rounding::NearestEven),
                "rz" => Precision::Rounded(Rounding::Zero),
                "rm" => Precision::Rounded(Rounding::Down),
                "rp" => Precision::Rounded(Rounding::Up),
                "approx" => Precision::Approx,
                "full" => Precision::Full,
                _ => Precision::Unsaid,
            };
            let flag = match word {
                "ftz" => FTZ,
                "sat" => SAT,
                "relu" => RELU,
                "NaN" => NAN,
                "xorsign" if words.next_if_eq(&"abs").is_some() => XORSIGN,
                _ => Flags::NONE,
            };
            match (precision, flag) {
                (Precision::Unsaid, Flags::NONE) => return None,
                (Precision::Unsaid, flag) if !form.flags.has(flag) => form.flags = form.flags.or(flag),
                (said, Flags::NONE) if form.precision == Precision::Unsaid => form.precision = said,
                _ => return None,
            }
        }
        Some(form)
    }

    /// The rounding, if it is said, or may be left unsaid: to nearest then.
    pub fn rounding_or_nearest(&self) -> Option<Rounding> {
        match self.precision {
            Precision::Unsaid => Some(Rounding::NearestEven),
            Precision::Rounded(rounding) => Some(rounding),
            _ => None,
        }
    }

    /// Are these all the flags there may be?
    pub fn within(&self, allowed: Flags) -> bool {
        allowed.has(self.flags)
    }

    /// What an executing instruction needs to know of it.
    pub fn mode(&self) -> Mode {
        Mode { rounding: self.rounding_or_nearest().unwrap_or(Rounding::NearestEven), flags: self.flags }
    }
}

/// The modifiers as an instruction carries them, in `aux`.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// The direction.
    pub rounding: Rounding,
    flags: Flags,
}

impl Mode {
    const ROUNDINGS: [Rounding; 4] = [Rounding::NearestEven, Rounding::Zero, Rounding::Down, Rounding::Up];

    /// As a number.
    pub fn bits(self) -> u32 {
        self.flags.0 | self.rounding as u32
    }

    /// Of an instruction.
    #[inline(always)]
    pub fn of(i: &Inst) -> Mode {
        Mode { rounding: Self::ROUNDINGS[i.aux as usize & 3], flags: Flags(i.aux & !3) }
    }

    /// A modifier that is there or not.
    #[inline(always)]
    pub fn has(self, flag: Flags) -> bool {
        self.flags.has(flag)
    }

    /// An operand as the instruction sees it.
    #[inline(always)]
    pub fn operand(self, format: Narrow, code: u32) -> u32 {
        if self.has(FTZ) { format.flush(code) } else { code }
    }

    /// A result as the instruction gives it.
    #[inline(always)]
    pub fn result(self, format: Narrow, code: u32) -> u32 {
        let code = format.canonical(code);
        let code = if self.has(FTZ) { format.flush(code) } else { code };
        let code = if self.has(RELU) { format.rectify(code) } else { code };
        if self.has(SAT) { format.saturate(code) } else { code }
    }

    /// `min` with its modifiers.
    #[inline(always)]
    pub fn min(self, format: Narrow, a: u32, b: u32) -> u32 {
        self.extreme(format, a, b, Narrow::min)
    }

    /// `max` with its modifiers.
    #[inline(always)]
    pub fn max(self, format: Narrow, a: u32, b: u32) -> u32 {
        self.extreme(format, a, b, Narrow::max)
    }

    #[inline(always)]
    fn extreme(self, format: Narrow, a: u32, b: u32, choose: impl Fn(Narrow, u32, u32) -> u32) -> u32 {
        let (a, b) = (self.operand(format, a), self.operand(format, b));
        if self.has(NAN) && (format.is_nan(a) || format.is_nan(b)) {
            return format.nan();
        }
        if !self.has(XORSIGN) {
            return choose(format, a, b);
        }
        let chosen = choose(format, format.magnitude(a), format.magnitude(b));
        if format.is_nan(chosen) { chosen } else { chosen | (a ^ b) & format.sign() }
    }
}

/// An [`Op`](crate::code::Op) of a scalar function that sees the instruction's [`Mode`]:
/// `mode_op!(map2, |mode, a: u32, b: u32| -> u32 { ... })`.
macro_rules! mode_op {
    ($map:ident, |$mode:ident, $($operand:ident: $ty:ty),+| -> $result:ty $body:block) => {{
        #[inline(always)]
        fn body(cpu: &mut $crate::machine::Cpu<'_>, i: &$crate::code::Inst) -> $crate::machine::Flow {
            let $mode = $crate::machine::ops::float::form::Mode::of(i);
            $crate::machine::lanes::$map(
                cpu,
                i,
                #[inline(always)]
                |$($operand: $ty),+| -> $result { $body },
            )
        }
        $crate::machine::lanes::both!(body)
    }};
}

pub(crate) use mode_op;
