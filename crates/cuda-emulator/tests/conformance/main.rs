//! Every instruction against its definition, as ordinary driver-API programs:
//! the same binary runs on a real driver (`DEEPKERN_DEVICE=cuda`).
//!
//! `check` in `instruction` makes a kernel of one instruction, runs it over
//! many operands, a thread each, and compares every result with a definition in
//! plain Rust. The definitions share nothing with the emulator: integers are
//! defined over `i128`, roundings over exact fractions (`exact`).

mod addresses;
mod async_copy;
mod cache;
mod convert_float;
mod convert_format;
mod convert_integer;
mod convert_packed;
mod exact;
mod instruction;
mod integer;
mod kernel;
mod memory;
mod memory_qualifiers;
mod moves;
mod numbers;
mod special;
mod stack;
mod values;
