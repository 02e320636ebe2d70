//! Bitwise logic: `and`, `or`, `xor`, `not`, `cnot`, and `lop3` for any function of three.

use crate::code::{DecodeError, Decoder, Inst, Kind, Op, Slot};
use crate::machine::lanes::{both, lane_op, map3};
use crate::machine::ops::integer::by_width;
use crate::machine::ops::{Modifiers, compare, emit, predicate};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type, Type::*};

/// The operation, and how many operands it takes.
fn operation(opcode: &str, ty: Type) -> Option<(Op, usize)> {
    if !matches!(ty, B16 | B32 | B64) {
        return None;
    }
    Some(match opcode {
        "and" => (by_width!(ty, |a, b| a & b), 2),
        "or" => (by_width!(ty, |a, b| a | b), 2),
        "xor" => (by_width!(ty, |a, b| a ^ b), 2),
        "not" => (by_width!(ty, |a| !a), 1),
        // As `!` in C.
        "cnot" => (by_width!(ty, |a| (a == 0).into()), 1),
        _ => return None,
    })
}

/// `lop3`: bit n of the table in `aux` is the result where the operands' bits spell n.
#[inline(always)]
fn table(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let entry = |n: u32| 0u32.wrapping_sub(i.aux >> n & 1);
    // The table halved by c, by b, and by a: x where the bit is 0, y where it is 1.
    let choose = |x: u32, y: u32, by: u32| x ^ (x ^ y) & by;
    let [t0, t1, t2, t3, t4, t5, t6, t7] = std::array::from_fn(|n| entry(n as u32));
    map3(cpu, i, |a: u32, b: u32, c: u32| -> u32 {
        let low = choose(choose(t0, t1, c), choose(t2, t3, c), b);
        let high = choose(choose(t4, t5, c), choose(t6, t7, c), b);
        choose(low, high, a)
    })
}

fn decode_lop3(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    let combination = m.find(|w| compare::combination(w).filter(|_| w != "xor"));
    if m.last_ty() != Some(B32) {
        return Err(d.unknown(i));
    }
    let (dst, a, b, c, entries, with) = match (i.operands.as_slice(), combination) {
        ([dst, a, b, c, entries], None) => (dst, a, b, c, entries, None),
        ([Operand::Pair(dst, p), a, b, c, entries, q], Some(how)) => {
            (&**dst, a, b, c, entries, Some((how, d.dest(p, Pred)?, q)))
        }
        _ => return Err(d.unknown(i)),
    };
    let Operand::Integer(entries @ 0..=255) = entries else {
        return Err(d.error("the table of `lop3` is a number from 0 to 255"));
    };
    let dst = d.dest(dst, B32)?;
    let src = [d.source(a, B32)?, d.source(b, B32)?, d.source(c, B32)?];
    let with = match with {
        Some((how, p, q)) => Some((how, p, d.source(q, Pred)?)),
        None => None,
    };
    d.emit(both!(table), Kind::Integer, &[dst], &src).aux = *entries as u32;
    if let Some((how, p, q)) = with {
        let zero = d.constant32(0);
        compare::emit(d, "ne", B32, [p, Slot::NONE], [dst, zero], Some((how, q)))
            .ok_or_else(|| d.unknown(i))?;
    }
    Ok(())
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    if i.opcode == "lop3" {
        return decode_lop3(d, i);
    }
    let Some(ty) = Modifiers::of(i).last_ty() else { return Err(d.unknown(i)) };
    if ty == Pred {
        d.expect_operands(i, if i.opcode == "not" { 2 } else { 3 })?;
        let dst = d.dest(&i.operands[0], ty)?;
        let src = i.operands[1..].iter().map(|o| d.source(o, ty)).collect::<Result<Vec<_>, _>>()?;
        return predicate::emit_logic(d, &i.opcode, dst, &src).ok_or_else(|| d.unknown(i));
    }
    let (op, operands) = operation(&i.opcode, ty).ok_or_else(|| d.unknown(i))?;
    emit(d, i, op, ty, &[ty; 2][..operands])
}
