//! Operands in registers of another width than the instruction's type: where
//! the manual lets them be wider, the lowest bits count and results are extended.

use crate::code::{Class, DecodeError, Decoder, Kind, Slot};
use crate::machine::lanes::lane_op;
use crate::machine::ops::moves;
use crate::ptx::ast::{Operand, Type};

/// The row that holds the lowest bits of a register: of 128 bits, the lower half.
pub fn low_row(d: &mut Decoder<'_>, operand: &Operand, register: Type) -> Result<Slot, DecodeError> {
    match d.rows(operand).as_deref() {
        Some([low, _]) if register == Type::B128 => Ok(*low),
        _ => d.source(operand, register),
    }
}

/// A 128-bit register, `rows`, = the 64 bits of `low`, with their sign above them or zeros.
pub fn emit_extended(d: &mut Decoder<'_>, rows: &[Slot], low: Slot, signed: bool) {
    let [to, above] = rows else { return };
    moves::emit_copy(d, *to, low);
    if signed {
        let sign = lane_op!(|a: i64| -> i64 { a >> 63 });
        d.emit(sign, Kind::Integer, &[*above], &[low]);
    } else {
        let zero = d.constant64(0);
        moves::emit_copy(d, *above, zero);
    }
    debug_assert_eq!(low.class(), Class::R64);
}

/// Can the operand, if it is a literal, be of this type? Floats have literals of
/// their own; bits have both where the width says which.
pub fn takes_literal(ty: Type, operand: &Operand) -> bool {
    match operand {
        Operand::Integer(_) => !matches!(ty, Type::F32 | Type::F64),
        Operand::Float32(_) => matches!(ty, Type::F32 | Type::F64 | Type::B32),
        Operand::Float64(_) => matches!(ty, Type::F32 | Type::F64 | Type::B64),
        _ => true,
    }
}

/// Does a value of this type have a sign?
pub fn is_signed(ty: Type) -> bool {
    matches!(ty, Type::S8 | Type::S16 | Type::S32 | Type::S64)
}
