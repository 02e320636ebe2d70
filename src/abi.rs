//! The structs and constants that host and device share, from `kernels/include/deepkern/abi.h`.

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
