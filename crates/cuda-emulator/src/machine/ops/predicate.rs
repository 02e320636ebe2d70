//! Predicates as values: logic and moves on one bit a lane.

use crate::code::{Class, Decoder, Inst, Kind, Slot};
use crate::machine::lanes::both;
use crate::machine::{Cpu, Flow};

/// `decides`: the lanes whose operand decides the result, whatever the other one is.
#[inline(always)]
fn combine(cpu: &mut Cpu<'_>, i: &Inst, decides: impl Fn(u32) -> u32, f: impl Fn(u32, u32) -> u32) -> Flow {
    let r = &cpu.warp.registers;
    let (a, a_undefined) = (r.pred(cpu.kernel, i.src[0]), r.undefined(i.src[0]));
    let (b, b_undefined) = match i.src[1].is_some() {
        true => (r.pred(cpu.kernel, i.src[1]), r.undefined(i.src[1])),
        false => (0, 0),
    };
    let decided = match i.src[1].is_some() {
        true => decides(a) & !a_undefined | decides(b) & !b_undefined,
        false => 0,
    };
    let (mask, undefined) = (cpu.mask, (a_undefined | b_undefined) & !decided);
    cpu.warp.registers.set_pred(i.dst[0], mask, f(a, b), undefined);
    Flow::Next
}

macro_rules! logic {
    ($name:ident, |$a:ident, $b:ident| $e:expr, decided by |$x:ident| $decides:expr) => {
        #[inline(always)]
        fn $name(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            combine(cpu, i, |$x| $decides, |$a, $b| $e)
        }
    };
}

logic!(and, |a, b| a & b, decided by |x| !x);
logic!(or, |a, b| a | b, decided by |x| x);
logic!(xor, |a, b| a ^ b, decided by |_x| 0);
logic!(not, |a, _b| !a, decided by |_x| 0);
logic!(copy, |a, _b| a, decided by |_x| 0);

/// `dst = !src`.
pub fn emit_not(d: &mut Decoder<'_>, dst: Slot, src: Slot) {
    debug_assert_eq!(dst.class(), Class::Pred);
    d.emit(both!(not), Kind::Integer, &[dst], &[src]);
}

/// `dst = src`.
pub fn emit_copy(d: &mut Decoder<'_>, dst: Slot, src: Slot) {
    d.emit(both!(copy), Kind::Integer, &[dst], &[src]);
}

/// `and`, `or`, `xor`, `not` on predicates; `None` for another opcode.
pub fn emit_logic(d: &mut Decoder<'_>, opcode: &str, dst: Slot, src: &[Slot]) -> Option<()> {
    let op = match opcode {
        "and" => both!(and),
        "or" => both!(or),
        "xor" => both!(xor),
        "not" => both!(not),
        _ => return None,
    };
    d.emit(op, Kind::Integer, &[dst], src);
    Some(())
}
