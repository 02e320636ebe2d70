//! Floating-point arithmetic, a file for each width. A NaN result has all bits
//! of its code set but the sign, whatever the operands' payloads; only f64's are
//! the host's.

mod approximate;
mod double;
pub(crate) mod form;
mod half;
mod single;
mod test_property;

use crate::code::{DecodeError, Decoder, Kind, Op, Slot};
use crate::numeric::narrow;
use crate::ptx::ast::{Instruction, Operand, Type};
use form::Form;

/// The NaN that f32 arithmetic gives.
pub const NAN: u32 = narrow::F32.nan();

/// What an instruction's form stands for.
struct Operation {
    op: Op,
    kind: Kind,
    /// How many operands it takes.
    operands: usize,
}

/// A source operand. Only f32 and f64 have literals, which are not integers.
pub fn source(d: &mut Decoder<'_>, operand: &Operand, ty: Type) -> Result<Slot, DecodeError> {
    let fits = match operand {
        Operand::Integer(_) => false,
        Operand::Float32(_) | Operand::Float64(_) => matches!(ty, Type::F32 | Type::F64),
        _ => true,
    };
    if fits { d.source(operand, ty) } else { Err(d.error("a literal that is not of the instruction's type")) }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    if i.opcode == "testp" {
        return test_property::decode(d, i);
    }
    let form = Form::of(i).ok_or_else(|| d.unknown(i))?;
    let opcode = i.opcode.as_str();
    let operation = match form.ty {
        Type::F32 => single::operation(opcode, &form).or_else(|| approximate::operation(opcode, &form)),
        Type::F64 => double::operation(opcode, &form),
        Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 => half::operation(opcode, &form),
        _ => None,
    };
    let Operation { op, kind, operands } = operation.ok_or_else(|| d.unknown(i))?;
    d.expect_operands(i, operands + 1)?;
    let src = i.operands[1..].iter().map(|o| source(d, o, form.ty)).collect::<Result<Vec<_>, _>>()?;
    let dst = d.dest(&i.operands[0], form.ty)?;
    d.emit(op, kind, &[dst], &src).aux = form.mode().bits();
    Ok(())
}

#[cfg(test)]
mod tests;
