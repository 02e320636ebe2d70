//! Every instruction against its definition, as ordinary driver-API programs:
//! the same binary runs on a real driver (`DEEPKERN_DEVICE=cuda`).
//!
//! `check` in `instruction` makes a kernel of one instruction, runs it over
//! many operands, a thread each, and compares every result with a definition in
//! plain Rust. The definitions share nothing with the emulator: integers are
//! defined over `i128` and numbers of any length, roundings over exact fractions
//! (`exact`), bits one by one.

mod approx;
mod atomic;
mod atomic_float;
mod bits;
mod carry;
mod cells;
mod compare;
mod contention;
mod double;
mod exact;
mod float;
mod float_compare;
mod half;
mod instruction;
mod integer;
mod logic;
mod matrix;
mod mma;
mod product;
mod refused;
mod rows;
mod series;
mod shift;
mod simd;
mod values;
mod warp;
mod whole;
