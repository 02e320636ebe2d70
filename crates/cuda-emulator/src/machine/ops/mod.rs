//! The instructions, one file per family: how each is decoded and what it does.
//!
//! An operation must read all its operands before it writes any result, and
//! must touch only the lanes of `Cpu::mask`.

pub mod atomic;
pub mod atomic128;
pub mod barrier;
pub mod bits;
pub mod bulk;
pub mod bulk_tensor;
pub mod carry;
pub mod cluster;
pub mod compare;
pub mod compare_float;
pub mod control;
pub mod convert;
pub mod dot;
pub mod float;
pub mod host_call;
pub mod integer;
pub mod logic;
pub mod matrix;
pub mod mbarrier;
pub mod memory;
pub mod mma;
pub mod moves;
pub mod permute;
pub mod predicate;
pub mod prefetch;
pub mod printf;
pub mod product;
pub mod set;
pub mod shift;
pub mod special;
pub mod tensor;
pub mod tensor_map;
pub mod warp;
pub mod warpgroup;
pub mod wgmma;

use crate::code::{DecodeError, Decoder, Kind, Op, Slot};
use crate::ptx::ast::{Instruction, Operand, Type};

/// Decodes one instruction into the compact form.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    match i.opcode.as_str() {
        "tensormap" => tensor_map::decode(d, i),
        "fence" if i.modifiers.iter().any(|m| m == "tensormap::generic") => tensor_map::decode_fence(d, i),
        "prefetch" | "prefetchu" => prefetch::decode(d, i),
        "mov" | "cvta" | "isspacep" => moves::decode(d, i),
        "ld" | "ldu" | "st" => memory::decode(d, i),
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" => control::decode(d, i),
        "atom" | "red" => atomic::decode(d, i),
        "shfl" | "vote" | "match" | "redux" | "elect" | "activemask" => warp::decode(d, i),
        "bar" | "barrier" | "membar" | "fence" => barrier::decode(d, i),
        "mbarrier" => mbarrier::decode(d, i),
        "setmaxnreg" => warpgroup::decode(d, i),
        "mapa" | "getctarank" => cluster::decode(d, i),
        "cp" if i.modifiers.iter().any(|m| m == "tensor") => bulk_tensor::decode(d, i),
        "cp" if i.modifiers.iter().any(|m| m == "bulk") => bulk::decode(d, i),
        "setp" | "set" if is_float(i) => compare_float::decode(d, i),
        "mma" => mma::decode(d, i),
        "ldmatrix" | "stmatrix" | "movmatrix" => matrix::decode(d, i),
        "wgmma" => wgmma::decode(d, i),
        "setp" | "selp" => compare::decode(d, i),
        "cvt" => convert::decode(d, i),
        "fma" | "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "copysign" | "testp" => {
            float::decode(d, i)
        }
        "rem" | "sad" => integer::decode(d, i),
        "mul24" | "mad24" | "madc" => product::decode(d, i),
        "addc" | "subc" => carry::decode(d, i),
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" => logic::decode(d, i),
        "shl" | "shr" | "shf" => shift::decode(d, i),
        "popc" | "clz" | "bfind" | "brev" | "bfe" | "bfi" | "bmsk" | "szext" | "fns" => bits::decode(d, i),
        "prmt" => permute::decode(d, i),
        "dp4a" | "dp2a" => dot::decode(d, i),
        "set" | "slct" => set::decode(d, i),
        // Integers and floats share these names; the type comes last.
        "add" | "sub" | "mul" | "mad" | "div" | "min" | "max" | "abs" | "neg" if is_float(i) => {
            float::decode(d, i)
        }
        "mul" | "mad" => product::decode(d, i),
        "add" | "sub" if i.modifiers.iter().any(|m| m == "cc") => carry::decode(d, i),
        "add" | "sub" | "div" | "min" | "max" | "abs" | "neg" => integer::decode(d, i),
        _ => Err(d.unknown(i)),
    }
}

/// A scalar operation on integers: one result and its operands, each of its type.
pub fn emit(
    d: &mut Decoder<'_>,
    i: &Instruction,
    op: Op,
    result: Type,
    operands: &[Type],
) -> Result<(), DecodeError> {
    d.expect_operands(i, 1 + operands.len())?;
    let dst = kept(d, i, result)?;
    let mut src = Vec::new();
    for (operand, ty) in i.operands[1..].iter().zip(operands) {
        src.push(d.source(operand, *ty)?);
    }
    d.emit(op, Kind::Integer, &[dst], &src);
    Ok(())
}

/// The first operand as a destination that may not be `_`: what an instruction
/// does for its result alone has one.
pub fn kept(d: &mut Decoder<'_>, i: &Instruction, ty: Type) -> Result<Slot, DecodeError> {
    match i.operands.first() {
        None | Some(Operand::Sink) => Err(d.unknown(i)),
        Some(operand) => d.dest(operand, ty),
    }
}

/// Is the type that an instruction's operands have one of floats?
fn is_float(i: &Instruction) -> bool {
    let ty = i.modifiers.last().map_or("", String::as_str);
    matches!(ty, "f16" | "f16x2" | "bf16" | "bf16x2" | "f32" | "f32x2" | "f64")
}

/// The modifiers of an instruction, taken off one by one while it is decoded;
/// what is left over at the end is not known.
pub struct Modifiers<'a> {
    rest: Vec<&'a str>,
}

impl<'a> Modifiers<'a> {
    /// All of an instruction's modifiers.
    pub fn of(i: &'a Instruction) -> Self {
        Self { rest: i.modifiers.iter().map(String::as_str).collect() }
    }

    /// The next one, whatever it is.
    pub fn advance(&mut self) -> Option<&'a str> {
        (!self.rest.is_empty()).then(|| self.rest.remove(0))
    }

    /// The next one, not taken.
    pub fn peek(&self) -> Option<&'a str> {
        self.rest.first().copied()
    }

    /// Takes the next one if it is `word`.
    pub fn take(&mut self, word: &str) -> bool {
        self.take_if(|next| (next == word).then_some(())).is_some()
    }

    /// Takes the next one if `f` gives a meaning to it.
    pub fn take_if<T>(&mut self, f: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = self.peek().and_then(f);
        if found.is_some() {
            self.rest.remove(0);
        }
        found
    }

    /// Takes the first one that `f` gives a meaning to, wherever it stands:
    /// ptxas lets most modifiers stand in any order, and programs use that.
    pub fn find<T>(&mut self, f: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (at, found) = self.rest.iter().enumerate().find_map(|(at, word)| Some((at, f(word)?)))?;
        self.rest.remove(at);
        Some(found)
    }

    /// Takes `word`, wherever it stands.
    pub fn flag(&mut self, word: &str) -> bool {
        self.find(|w| (w == word).then_some(())).is_some()
    }

    /// The next one must be a type.
    pub fn ty(&mut self) -> Option<Type> {
        self.take_if(type_of)
    }

    /// The next one must be a type, and the last.
    pub fn last_ty(&mut self) -> Option<Type> {
        self.ty().filter(|_| self.done())
    }

    /// Were all of them taken?
    pub fn done(&self) -> bool {
        self.rest.is_empty()
    }
}

/// A type by its suffix.
pub fn type_of(word: &str) -> Option<Type> {
    use Type::*;
    Some(match word {
        "b8" => B8,
        "b16" => B16,
        "b32" => B32,
        "b64" => B64,
        "b128" => B128,
        "u8" => U8,
        "u16" => U16,
        "u32" => U32,
        "u64" => U64,
        "s8" => S8,
        "s16" => S16,
        "s32" => S32,
        "s64" => S64,
        "u16x2" => U16x2,
        "s16x2" => S16x2,
        "f16" => F16,
        "f16x2" => F16x2,
        "bf16" => Bf16,
        "bf16x2" => Bf16x2,
        "tf32" => Tf32,
        "f32" => F32,
        "f64" => F64,
        "e4m3" => E4m3,
        "e5m2" => E5m2,
        "e4m3x2" => E4m3x2,
        "e5m2x2" => E5m2x2,
        "pred" => Pred,
        _ => return None,
    })
}
