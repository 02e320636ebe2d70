//! Number formats as plain functions: no registers, no lanes.

pub mod directed;
pub mod e4m3;
pub mod e5m2;
pub mod format;
pub mod fp8;
pub mod narrow;
pub mod number;
pub mod rounding;
pub mod tensor_core;
