//! Which forms `cvt` has: the modifiers that two types allow.

use super::conversion::{Conversion, Values, values_of};
use crate::machine::ops::type_of;
use crate::numeric::number::Rounding;
use crate::ptx::ast::{Instruction, Type};

/// The modifiers as they are written.
#[derive(Default)]
pub struct Form {
    /// To whole numbers?
    rounding: Option<(Rounding, bool)>,
    ftz: bool,
    sat: bool,
    relu: bool,
    satfinite: bool,
}

/// What a pair of types asks of the rounding.
#[derive(PartialEq, Eq)]
enum Rounds {
    /// Every value has its equal: there is none.
    Never,
    /// As before, but one may be named.
    MaybeToDigits,
    /// `.rn`, `.rz`, `.rm`, `.rp`.
    ToDigits,
    /// None, or to whole numbers.
    MaybeToWhole,
    /// `.rni`, `.rzi`, `.rmi`, `.rpi`.
    ToWhole,
}

impl Form {
    /// The modifiers, in any order, and the types, the destination's first.
    /// `None` if one is not known or comes twice.
    pub fn of(i: &Instruction) -> Option<(Self, Type, Type)> {
        let mut form = Form::default();
        let mut types = Vec::new();
        for word in &i.modifiers {
            let flag = match (word.as_str(), rounding(word), type_of(word)) {
                ("ftz", ..) => &mut form.ftz,
                ("sat", ..) => &mut form.sat,
                ("relu", ..) => &mut form.relu,
                ("satfinite", ..) => &mut form.satfinite,
                (_, Some(rounding), _) if form.rounding.is_none() => {
                    form.rounding = Some(rounding);
                    continue;
                }
                (_, _, Some(ty)) => {
                    types.push(ty);
                    continue;
                }
                _ => return None,
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        match types.as_slice() {
            [to, from] => Some((form, *to, *from)),
            _ => None,
        }
    }

    /// The conversion of one value, if there is one with these modifiers between these types.
    pub fn single(&self, to: Type, from: Type) -> Option<Conversion> {
        use Type::{Bf16, E4m3, E5m2, F16, F32, F64, Tf32};
        use Values::{Float, Integer};
        let limits = self.relu || self.satfinite;
        let (rounds, sat) = match (to, from, values_of(to)?, values_of(from)?) {
            (Tf32, F32, ..) => return self.tf32(),
            // These come in pairs.
            (Tf32 | E4m3 | E5m2, ..) | (_, Tf32 | E4m3 | E5m2, ..) => return None,
            (F16 | Bf16, F32, ..) if limits => {
                let exists = self.is_nearest_or_zero() && !self.ftz && !self.sat;
                return exists.then(|| self.conversion(to, from));
            }
            (_, _, wide, narrow) if wide == narrow && matches!(wide, Float(_)) => {
                (Rounds::MaybeToWhole, true)
            }
            (_, _, wide @ Integer { .. }, narrow @ Integer { .. }) => (Rounds::Never, !holds(wide, narrow)),
            (_, _, Integer { .. }, Float(_)) => (Rounds::ToWhole, true),
            (F16, Bf16, ..) | (Bf16, F16, ..) | (F32 | F64, Bf16, ..) => (Rounds::MaybeToDigits, true),
            (F32 | F64, F16, ..) | (F64, F32, ..) => (Rounds::Never, true),
            _ => (Rounds::ToDigits, true),
        };
        let named = match self.rounding {
            None => matches!(rounds, Rounds::Never | Rounds::MaybeToDigits | Rounds::MaybeToWhole),
            Some((_, true)) => matches!(rounds, Rounds::ToWhole | Rounds::MaybeToWhole),
            Some((rounding, false)) => {
                matches!(rounds, Rounds::ToDigits | Rounds::MaybeToDigits)
                    && rounding != Rounding::NearestAway
            }
        };
        let ftz = to == F32 || from == F32;
        let sat = sat && to != Bf16 && from != Bf16;
        let exists = named && !limits && (ftz || !self.ftz) && (sat || !self.sat);
        exists.then(|| self.conversion(to, from))
    }

    fn tf32(&self) -> Option<Conversion> {
        let rounding = match self.rounding {
            Some((Rounding::NearestAway, _)) => !self.relu,
            _ => self.is_nearest_or_zero() && !self.satfinite,
        };
        (rounding && !self.ftz && !self.sat).then(|| self.conversion(Type::Tf32, Type::F32))
    }

    /// The conversion of each element of packed types.
    pub fn packed(&self, to: Type, from: Type) -> Option<Conversion> {
        use Type::{Bf16, E4m3, E5m2, F16, F32};
        let nearest = self.rounding == Some((Rounding::NearestEven, false));
        let exists = match (to, from) {
            (F16 | Bf16, F32) => self.is_nearest_or_zero(),
            (E4m3 | E5m2, F32 | F16) => nearest && self.satfinite,
            (F16, E4m3 | E5m2) => nearest && !self.satfinite,
            _ => false,
        };
        (exists && !self.ftz && !self.sat).then(|| self.conversion(to, from))
    }

    fn is_nearest_or_zero(&self) -> bool {
        matches!(self.rounding, Some((Rounding::NearestEven | Rounding::Zero, false)))
    }

    fn conversion(&self, to: Type, from: Type) -> Conversion {
        // Where none is named the conversion is exact, but for f16 and bf16 of
        // each other: there the hardware takes the nearest.
        let (rounding, whole) = self.rounding.unwrap_or((Rounding::NearestEven, false));
        let Form { ftz, sat, relu, satfinite, .. } = *self;
        Conversion { to, from, rounding, whole, ftz, sat, relu, satfinite }
    }
}

/// A rounding by its modifier, and whether it is to whole numbers.
fn rounding(word: &str) -> Option<(Rounding, bool)> {
    Some(match word {
        "rn" => (Rounding::NearestEven, false),
        "rna" => (Rounding::NearestAway, false),
        "rz" => (Rounding::Zero, false),
        "rm" => (Rounding::Down, false),
        "rp" => (Rounding::Up, false),
        "rni" => (Rounding::NearestEven, true),
        "rzi" => (Rounding::Zero, true),
        "rmi" => (Rounding::Down, true),
        "rpi" => (Rounding::Up, true),
        _ => return None,
    })
}

/// Are all integers of one kind among those of another?
fn holds(wide: Values, narrow: Values) -> bool {
    match (wide, narrow) {
        (Values::Integer { bits: a, signed: x }, Values::Integer { bits: b, signed: y }) => {
            x == y && a >= b || x && !y && a > b
        }
        _ => false,
    }
}

/// The type of the elements of a packed type.
pub fn element(ty: Type) -> Option<Type> {
    Some(match ty {
        Type::F16x2 => Type::F16,
        Type::Bf16x2 => Type::Bf16,
        Type::E4m3x2 => Type::E4m3,
        Type::E5m2x2 => Type::E5m2,
        _ => return None,
    })
}
