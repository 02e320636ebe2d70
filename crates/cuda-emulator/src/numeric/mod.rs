//! Number formats as plain functions: no registers, no lanes.

pub mod e4m3;
