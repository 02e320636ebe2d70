//! `setp` and `set` of floats.

use crate::code::{DecodeError, Decoder, Inst, Kind, Op, Slot};
use crate::machine::lanes::{Lane, both, test2};
use crate::machine::ops::{compare, float, type_of};
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::numeric::narrow::{self, BF16, F16, F32, Narrow};
use crate::ptx::ast::{Instruction, Operand, Type};

// How two numbers can stand to each other. A comparison is the set of those for
// which it holds, a bit each, in the lowest byte of `imm`.
const LESS: i64 = 1;
const EQUAL: i64 = 2;
const GREATER: i64 = 4;
const UNORDERED: i64 = 8;
/// Also in `imm`: subnormal operands are zero.
const FTZ: i64 = 1 << 8;
/// Where in `imm` the word begins that `set` gives where the comparison holds.
const WORD: u32 = 32;

fn comparison(word: &str) -> Option<i64> {
    Some(match word {
        "eq" => EQUAL,
        "ne" => LESS | GREATER,
        "lt" => LESS,
        "le" => LESS | EQUAL,
        "gt" => GREATER,
        "ge" => GREATER | EQUAL,
        "num" => LESS | EQUAL | GREATER,
        "nan" => UNORDERED,
        _ => UNORDERED | comparison(word.strip_suffix('u').filter(|w| w.len() == 2)?)?,
    })
}

/// Is how `a` stands to `b` one of `wanted`?
#[inline(always)]
fn holds<T: PartialOrd>(wanted: i64, a: T, b: T) -> bool {
    let relation = if a < b {
        LESS
    } else if a == b {
        EQUAL
    } else if a > b {
        GREATER
    } else {
        UNORDERED
    };
    wanted & relation != 0
}

/// The code that stands `shift` bits up in its register, as a number that compares as its value does.
#[inline(always)]
fn value(format: Narrow, register: u32, shift: u32, ftz: bool) -> f32 {
    let code = register >> shift & (format.sign() | format.nan());
    format.comparable(if ftz { format.flush(code) } else { code })
}

/// The lanes for which a comparison of such codes holds.
#[inline(always)]
fn narrow(cpu: &Cpu<'_>, i: &Inst, format: Narrow, shift: u32) -> u32 {
    let (wanted, ftz) = (i.imm, i.imm & FTZ != 0);
    test2(
        cpu,
        i,
        #[inline(always)]
        |a: u32, b: u32| holds(wanted, value(format, a, shift, ftz), value(format, b, shift, ftz)),
    )
}

/// The lanes for which a comparison of f64 holds.
#[inline(always)]
fn double(cpu: &Cpu<'_>, i: &Inst) -> u32 {
    let wanted = i.imm;
    test2(
        cpu,
        i,
        #[inline(always)]
        |a: f64, b: f64| holds(wanted, a, b),
    )
}

/// Writes `set`'s word, the lower half of it to the first of `lanes` and the upper to the second; else zero.
#[inline(always)]
fn write(cpu: &mut Cpu<'_>, i: &Inst, lanes: [u32; 2]) -> Flow {
    let ([lower, upper], undefined) = compare::combine(cpu, i, lanes);
    let word = (i.imm >> WORD) as u32;
    let part = |lanes: u32, l: usize, bits: u32| if lanes >> l & 1 == 1 { word & bits } else { 0 };
    let value = std::array::from_fn(|l| part(lower, l, 0xffff) | part(upper, l, 0xffff_0000));
    let mask = cpu.mask;
    blend(u32::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, &value);
    cpu.warp.registers.set_undefined(i.dst[0], mask, undefined);
    Flow::Next
}

/// `setp` and `set` of one number: the second predicate is the opposite of the first.
macro_rules! one {
    (|$cpu:ident, $i:ident| $holds:expr) => {{
        #[inline(always)]
        fn setp($cpu: &mut Cpu<'_>, $i: &Inst) -> Flow {
            let holds = $holds;
            compare::set($cpu, $i, [holds, !holds])
        }
        #[inline(always)]
        fn set($cpu: &mut Cpu<'_>, $i: &Inst) -> Flow {
            let holds = $holds;
            write($cpu, $i, [holds; 2])
        }
        Family { setp: both!(setp), set: both!(set) }
    }};
}

/// `setp` and `set` of a pair: the second predicate is the upper half's.
macro_rules! two {
    ($format:expr) => {{
        #[inline(always)]
        fn setp(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            let lanes = [narrow(cpu, i, $format, 0), narrow(cpu, i, $format, 16)];
            compare::set(cpu, i, lanes)
        }
        #[inline(always)]
        fn set(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
            let lanes = [narrow(cpu, i, $format, 0), narrow(cpu, i, $format, 16)];
            write(cpu, i, lanes)
        }
        Family { setp: both!(setp), set: both!(set) }
    }};
}

struct Family {
    setp: Op,
    set: Op,
}

#[inline(always)]
fn setp<T: Lane + PartialOrd, const WANTED: i64>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let holds = test2(
        cpu,
        i,
        #[inline(always)]
        |a: T, b: T| holds(WANTED, a, b),
    );
    compare::set(cpu, i, [holds, !holds])
}

/// `setp` made for one comparison, which is quicker.
macro_rules! for_each {
    ($ty:ty, $comparison:expr, $($wanted:literal)*) => {
        match $comparison {
            $($wanted => both!(setp::<$ty, $wanted>),)*
            _ => return None,
        }
    };
}

/// The most common comparisons, `setp` of f32 and f64: of the sets of relations all but the empty and the full one.
fn common(ty: Type, comparison: i64) -> Option<Op> {
    Some(match ty {
        Type::F32 => for_each!(f32, comparison, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        Type::F64 => for_each!(f64, comparison, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        _ => return None,
    })
}

fn family(ty: Type) -> Option<(Family, Kind)> {
    Some(match ty {
        Type::F32 => (one!(|cpu, i| narrow(cpu, i, F32, 0)), Kind::Float32),
        Type::F64 => (one!(|cpu, i| double(cpu, i)), Kind::Float64),
        Type::F16 => (one!(|cpu, i| narrow(cpu, i, F16, 0)), Kind::Half),
        Type::Bf16 => (one!(|cpu, i| narrow(cpu, i, BF16, 0)), Kind::Half),
        Type::F16x2 => (two!(F16), Kind::Half),
        Type::Bf16x2 => (two!(BF16), Kind::Half),
        _ => return None,
    })
}

/// The word that `set` gives for a true comparison of floats of type `of`: all ones, or 1.
fn word(result: Type, of: Type) -> Option<u32> {
    use Type::{Bf16, Bf16x2, F16, F16x2, F32, F64, S16, S32, U16, U32};
    Some(match (result, of) {
        (U32 | S32, _) => u32::MAX,
        (U16 | S16, F16 | Bf16) => 0xffff,
        (F32, F32 | F64) => narrow::F32.one(),
        (F16, F16 | F32 | F64) => narrow::F16.one(),
        (Bf16, F16 | Bf16 | F32 | F64) => BF16.one(),
        (F16x2, F16x2) => narrow::F16.one() * 0x1_0001,
        (Bf16x2, Bf16x2) => BF16.one() * 0x1_0001,
        _ => return None,
    })
}

/// The modifiers of a comparison, but for the type of its operands.
#[derive(Default)]
struct Form {
    comparison: i64,
    ftz: i64,
    combination: u32,
    result: Option<Type>,
}

impl Form {
    /// Reads the modifiers, in any order. `None` if there is one that is not known, or the second of a kind.
    fn of(words: &[String]) -> Option<Form> {
        let mut form = Form::default();
        for word in words {
            let combination = match word.as_str() {
                "and" => compare::AND,
                "or" => compare::OR,
                "xor" => compare::XOR,
                _ => 0,
            };
            if combination != 0 && form.combination == 0 {
                form.combination = combination;
            } else if word == "ftz" && form.ftz == 0 {
                form.ftz = FTZ;
            } else if let Some(comparison) = comparison(word).filter(|_| form.comparison == 0) {
                form.comparison = comparison;
            } else if form.result.is_none() {
                form.result = Some(type_of(word)?);
            } else {
                return None;
            }
        }
        (form.comparison != 0).then_some(form)
    }
}

/// Decodes this family.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    let Some((ty, words)) = i.modifiers.split_last() else { return Err(d.unknown(i)) };
    let (Some(ty), Some(form)) = (type_of(ty), Form::of(words)) else { return Err(d.unknown(i)) };
    let Some((family, kind)) = family(ty) else { return Err(d.unknown(i)) };
    let has_ftz = matches!(ty, Type::F32 | Type::F16 | Type::F16x2) && form.result != Some(Type::Bf16);
    if form.ftz != 0 && !has_ftz {
        return Err(d.unknown(i));
    }
    let setp = common(ty, form.comparison).filter(|_| form.ftz == 0).unwrap_or(family.setp);
    d.expect_operands(i, if form.combination == 0 { 3 } else { 4 })?;
    let (op, dst, true_word) = match (i.opcode.as_str(), form.result, &i.operands[0]) {
        ("set", Some(result), dst) => {
            let word = word(result, ty).ok_or_else(|| d.unknown(i))?;
            (family.set, [d.dest(dst, result)?, Slot::NONE], word)
        }
        ("setp", None, Operand::Pair(p, q)) if !matches!(ty, Type::F16 | Type::Bf16) => {
            (setp, [d.dest(p, Type::Pred)?, d.dest(q, Type::Pred)?], 0)
        }
        ("setp", None, p @ (Operand::Name { .. } | Operand::Sink)) => {
            (setp, [d.dest(p, Type::Pred)?, Slot::NONE], 0)
        }
        _ => return Err(d.unknown(i)),
    };
    let (a, b) = (float::source(d, &i.operands[1], ty)?, float::source(d, &i.operands[2], ty)?);
    let c = i.operands.get(3).map_or(Ok(Slot::NONE), |c| d.source(c, Type::Pred))?;
    let inst = d.emit(op, kind, &dst, &[a, b, c]);
    inst.aux = form.combination;
    inst.imm = form.comparison | form.ftz | i64::from(true_word) << WORD;
    Ok(())
}
