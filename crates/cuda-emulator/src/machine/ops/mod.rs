//! The instructions, one file per family: how each is decoded and what it does.
//!
//! An operation must read all its operands before it writes any result, and
//! must touch only the lanes of `Cpu::mask`.

pub mod address;
pub mod async_copy;
pub mod atomic;
pub mod barrier;
pub mod cache;
pub mod compare;
pub mod control;
pub mod convert;
pub mod float;
pub mod host_call;
pub mod integer;
pub mod memory;
pub mod moves;
pub mod predicate;
pub mod printf;
pub mod special;
pub mod stack;
pub mod warp;
pub mod wide;

use crate::code::{DecodeError, Decoder};
use crate::ptx::ast::Instruction;

/// Decodes one instruction into the compact form.
pub fn decode(d: &mut Decoder<'_>, i: &Instruction) -> Result<(), DecodeError> {
    match i.opcode.as_str() {
        "mov" => moves::decode(d, i),
        "cvta" | "isspacep" => address::decode(d, i),
        "ld" | "ldu" | "st" => memory::decode(d, i),
        "cp" => async_copy::decode(d, i),
        "prefetch" | "prefetchu" | "applypriority" | "discard" | "createpolicy" => cache::decode(d, i),
        "alloca" | "stacksave" | "stackrestore" => stack::decode(d, i),
        "pmevent" | "griddepcontrol" => control::decode(d, i),
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" => control::decode(d, i),
        "atom" | "red" => atomic::decode(d, i),
        "shfl" | "vote" | "match" | "redux" | "elect" | "activemask" => warp::decode(d, i),
        "bar" | "barrier" | "membar" | "fence" => barrier::decode(d, i),
        "setp" | "selp" => compare::decode(d, i),
        "cvt" => convert::decode(d, i),
        "fma" | "rcp" | "sqrt" => float::decode(d, i),
        "rem" | "and" | "or" | "xor" | "not" | "shl" | "shr" => integer::decode(d, i),
        // Integers and floats share these names; the type comes last.
        "add" | "sub" | "mul" | "mad" | "div" | "min" | "max" | "abs" | "neg" => {
            match i.modifiers.last().map(String::as_str) {
                Some("f32") => float::decode(d, i),
                _ => integer::decode(d, i),
            }
        }
        _ => Err(d.unknown(i)),
    }
}

/// The modifiers of an instruction, taken off one by one while it is decoded;
/// what is left over at the end is not known.
pub struct Modifiers<'a> {
    all: &'a [String],
    taken: usize,
}

impl<'a> Modifiers<'a> {
    /// All of an instruction's modifiers.
    pub fn of(i: &'a Instruction) -> Self {
        Self { all: &i.modifiers, taken: 0 }
    }

    /// The next one, whatever it is.
    pub fn advance(&mut self) -> Option<&'a str> {
        let m = self.all.get(self.taken)?;
        self.taken += 1;
        Some(m)
    }

    /// The next one, not taken.
    pub fn peek(&self) -> Option<&'a str> {
        self.all.get(self.taken).map(String::as_str)
    }

    /// Takes the next one if it is `word`.
    pub fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.taken += usize::from(found);
        found
    }

    /// Takes the next one if `f` gives a meaning to it.
    pub fn take_if<T>(&mut self, f: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = self.peek().and_then(f);
        self.taken += usize::from(found.is_some());
        found
    }

    /// The next one must be a type.
    pub fn ty(&mut self) -> Option<crate::ptx::ast::Type> {
        self.take_if(type_of)
    }

    /// Were all of them taken?
    pub fn done(&self) -> bool {
        self.taken == self.all.len()
    }
}

/// A type by its suffix.
pub fn type_of(word: &str) -> Option<crate::ptx::ast::Type> {
    use crate::ptx::ast::Type::*;
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
