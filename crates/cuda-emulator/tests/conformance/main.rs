//! Every instruction against its definition, as ordinary driver-API programs:
//! the same binary runs on a real driver (`DEEPKERN_DEVICE=cuda`).
//!
//! `check` in `instruction` makes a kernel of one instruction, runs it over
//! many operands, a thread each, and compares every result with a definition in
//! plain Rust. The definitions share nothing with the emulator: integers are
//! defined over `i128` and numbers of any length, roundings over exact fractions
//! (`exact`), bits one by one.

mod addresses;
mod approx;
mod async_copy;
mod atomic;
mod atomic_float;
mod bits;
mod cache;
mod carry;
mod cells;
mod compare;
mod contention;
mod convert_float;
mod convert_format;
mod convert_integer;
mod convert_packed;
mod double;
mod exact;
mod float;
mod float_compare;
mod half;
mod instruction;
mod integer;
mod kernel;
mod labels;
mod logic;
mod matrix;
mod memory;
mod memory_qualifiers;
mod mma;
mod moves;
mod numbers;
mod product;
mod refused;
mod rows;
mod series;
mod shift;
mod simd;
mod special;
mod stack;
mod tensor_forms;
mod values;
mod warp;
mod whole;
