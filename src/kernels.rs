//! The fatbins that `build.rs` made, one constant per enabled family; `None` where it found no nvcc.

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
