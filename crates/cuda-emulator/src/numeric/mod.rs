//! Number formats as plain functions: no registers, no lanes.

pub mod directed;
pub mod e4m3;
pub mod narrow;
pub mod rounding;
pub mod tensor_core;
