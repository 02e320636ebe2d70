//! `setp` of integers and bits, and `selp`.

use crate::code::{Class, DecodeError, Decoder, Inst, Kind, Op, Slot};
use crate::machine::lanes::{both, test2};
use crate::machine::ops::Modifiers;
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::{Instruction, Operand, Type};

/// How the third operand of a comparison is combined with its result, in `aux`: `.and`.
pub const AND: u32 = 1;
/// `.or`
pub const OR: u32 = 2;
/// `.xor`
pub const XOR: u32 = 3;

/// `lanes` combined with the third operand, as `aux` says, and which of them are undefined.
#[inline(always)]
pub fn combine(cpu: &Cpu<'_>, i: &Inst, lanes: [u32; 2]) -> ([u32; 2], u32) {
    let r = &cpu.warp.registers;
    let undefined = r.undefined(i.src[0]) | r.undefined(i.src[1]);
    if i.aux == 0 {
        return (lanes, undefined);
    }
    let c = r.pred(cpu.kernel, i.src[2]);
    let combined = lanes.map(|x| match i.aux {
        AND => x & c,
        OR => x | c,
        XOR => x ^ c,
        _ => x,
    });
    (combined, undefined | r.undefined(i.src[2]))
}

/// p and q, each combined with c.
#[inline(always)]
pub fn set(cpu: &mut Cpu<'_>, i: &Inst, lanes: [u32; 2]) -> Flow {
    let ([p, q], undefined) = combine(cpu, i, lanes);
    let mask = cpu.mask;
    cpu.warp.registers.set_pred(i.dst[0], mask, p, undefined);
    if i.dst[1].is_some() {
        cpu.warp.registers.set_pred(i.dst[1], mask, q, undefined);
    }
    Flow::Next
}

macro_rules! test {
    ($ty:ty, |$a:ident, $b:ident| $e:expr) => {{
        #[inline(always)]
        fn body(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            let holds = test2::<$ty, $ty>(cpu, i, |$a, $b| $e);
            set(cpu, i, [holds, !holds])
        }
        both!(body)
    }};
}

macro_rules! ordered {
    ($ty:ty, $word:expr) => {
        match $word {
            "eq" => test!($ty, |a, b| a == b),
            "ne" => test!($ty, |a, b| a != b),
            "lt" | "lo" => test!($ty, |a, b| a < b),
            "le" | "ls" => test!($ty, |a, b| a <= b),
            "gt" | "hi" => test!($ty, |a, b| a > b),
            "ge" | "hs" => test!($ty, |a, b| a >= b),
            _ => return None,
        }
    };
}

fn comparison(word: &str, ty: Type) -> Option<Op> {
    use Type::{B16, B32, B64, S16, S32, S64, U16, U32, U64};
    // Bits can be equal or not; only unsigned numbers have the unsigned words.
    if matches!(ty, B16 | B32 | B64) && !matches!(word, "eq" | "ne")
        || matches!(ty, S16 | S32 | S64) && matches!(word, "lo" | "ls" | "hi" | "hs")
    {
        return None;
    }
    Some(match ty {
        B16 | U16 => ordered!(u16, word),
        B32 | U32 => ordered!(u32, word),
        B64 | U64 => ordered!(u64, word),
        S16 => ordered!(i16, word),
        S32 => ordered!(i32, word),
        S64 => ordered!(i64, word),
        _ => return None,
    })
}

/// How a comparison is combined with one more predicate: the number that `set` knows it by.
pub fn combination(word: &str) -> Option<u32> {
    match word {
        "and" => Some(AND),
        "or" => Some(OR),
        "xor" => Some(XOR),
        _ => None,
    }
}

/// `dst` = whether the comparison of `src` holds, and whether not, both
/// combined with a predicate if there is one. `None` if there is no such comparison.
pub fn emit(
    d: &mut Decoder<'_>,
    word: &str,
    ty: Type,
    dst: [Slot; 2],
    src: [Slot; 2],
    with: Option<(u32, Slot)>,
) -> Option<()> {
    let op = comparison(word, ty)?;
    let (how, c) = with.unwrap_or((0, Slot::NONE));
    let kind = if ty == Type::F32 { Kind::Float32 } else { Kind::Integer };
    d.emit(op, kind, &dst, &[src[0], src[1], c]).aux = how;
    Some(())
}

/// The types of `setp`, `selp` and `slct`: numbers and bits of 16 to 64 bits.
pub fn is_plain(ty: Type) -> bool {
    use Type::{B16, B32, B64, F32, F64, S16, S32, S64, U16, U32, U64};
    matches!(ty, B16 | B32 | B64 | U16 | U32 | U64 | S16 | S32 | S64 | F32 | F64)
}

/// `dst` = the first of `src` where the third holds, else the second.
pub fn emit_select(d: &mut Decoder<'_>, dst: Slot, src: [Slot; 3]) {
    let op = if dst.class() == Class::R64 { both!(select64) } else { both!(select32) };
    d.emit(op, Kind::Integer, &[dst], &src);
}

/// dst = c ? a : b; as defined as what was chosen, if the predicate is defined.
#[inline(always)]
fn select<T: Raw>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let mask = cpu.mask;
    let [a, b, c] = [i.src[0], i.src[1], i.src[2]];
    let r = &cpu.warp.registers;
    let (takes, unknown) = (r.pred(cpu.kernel, c), r.undefined(c));
    let mut value = *T::row(r, cpu.kernel, b);
    blend(&mut value, takes, T::row(r, cpu.kernel, a));
    let undefined = unknown | takes & r.undefined(a) | !takes & r.undefined(b);
    let bytes: [u8; 32] = match undefined & mask {
        0 => [0; 32],
        _ => std::array::from_fn(|l| match (unknown >> l & 1, takes >> l & 1) {
            (1, _) => 0xff,
            (_, 1) => r.undefined_bytes(a, l),
            _ => r.undefined_bytes(b, l),
        }),
    };
    blend(T::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value);
    cpu.warp.registers.set_undefined(i.dst[0], mask, 0);
    for lane in (0..32).filter(|l| mask >> l & 1 == 1 && bytes[*l] != 0) {
        cpu.warp.registers.set_undefined_bytes(i.dst[0], lane, bytes[lane]);
    }
    Flow::Next
}

#[inline(always)]
fn select32(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    select::<u32>(cpu, i)
}

#[inline(always)]
fn select64(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    select::<u64>(cpu, i)
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let mut m = Modifiers::of(i);
    match (i.opcode.as_str(), i.operands.as_slice()) {
        ("setp", [dst, a, b, rest @ ..]) => {
            let Some(word) = m.advance() else { return Err(d.unknown(i)) };
            let combine = m.take_if(combination);
            let Some(ty) = m.ty().filter(|_| m.done()) else { return Err(d.unknown(i)) };
            d.expect_operands(i, if combine.is_some() { 4 } else { 3 })?;
            let (p, q) = match dst {
                Operand::Pair(p, q) if (&**p, &**q) == (&Operand::Sink, &Operand::Sink) => {
                    return Err(d.unknown(i));
                }
                Operand::Pair(p, q) => (d.dest(p, Type::Pred)?, d.dest(q, Type::Pred)?),
                p => (d.dest(p, Type::Pred)?, Slot::NONE),
            };
            let (a, b) = (d.source(a, ty)?, d.source(b, ty)?);
            let with = match (combine, rest) {
                (Some(how), [c]) => Some((how, d.source(c, Type::Pred)?)),
                _ => None,
            };
            emit(d, word, ty, [p, q], [a, b], with).ok_or_else(|| d.unknown(i))?;
        }
        ("selp", [dst, a, b, c]) => {
            let Some(ty) = m.last_ty().filter(|ty| is_plain(*ty)) else { return Err(d.unknown(i)) };
            let (dst, a, b) = (d.dest(dst, ty)?, d.source(a, ty)?, d.source(b, ty)?);
            let c = d.source(c, Type::Pred)?;
            emit_select(d, dst, [a, b, c]);
        }
        _ => return Err(d.unknown(i)),
    }
    Ok(())
}
