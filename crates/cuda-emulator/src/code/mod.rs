//! The compact form of a program, and how it is made from the syntax tree.
//!
//! `decoder` resolves names and turns each statement into an [`inst::Inst`]
//! (each family of instructions decodes itself, in `machine::ops`);
//! `registers` then gives the thousands of virtual registers of compiled PTX
//! few enough rows that a warp fits in the cache.

mod decoder;
mod inst;
mod kernel;
mod labels;
mod layout;
mod reach;
mod registers;

pub use decoder::{DecodeError, Decoder, Reference, class_of};
pub use inst::{Class, Edges, Exec, Guard, Inst, Kind, List, Op, Slot, has_avx2, has_avx512};
pub use kernel::{Kernel, Line, LoadError, Param, Program, VariableInfo};
pub use layout::{
    LOCAL_WINDOW, PARAM_WINDOW, SHARED_SIZE, SHARED_START, SHARED_WINDOW, Windowed, initial_bytes, size_of,
};
