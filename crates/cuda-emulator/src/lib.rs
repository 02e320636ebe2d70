//! The CUDA driver in software.
//!
//! A shared library with the driver's name and exports, which executes a program's own PTX, the very text that a GPU
//! would get out of its fatbin, and is harsher than a GPU: accesses that nothing orders, missing waits and fences,
//! accesses outside of allocations, values that nothing has written, deadlocks, divergence and misused barriers are
//! findings, with kernel, line, block, warp and lane. What it does not know is an error that names the instruction or
//! function. The README lists the kinds; what cannot be seen is in `ARCHITECTURE.md`.
//!
//! [`choose`] takes the real driver where there is one and this one otherwise; [`install`] takes this one. Both must
//! come before the first call of CUDA. [`findings`] says what was found; [`require_defined`] holds an output to having
//! been written; [`explore`] holds a piece of work to the same result under many orders of blocks and warps.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CUDA_EMULATOR` | `full`, the default, or `fast`, which looks for nothing that order decides (`set_mode`) |
//! | `CUDA_EMULATOR_SEED` | the order of blocks and warps; 0 is the order of their numbers |
//! | `CUDA_EMULATOR_THREADS` | threads of the host that run a launch; 0 is as many as it has cores, 1 makes a seed's schedule the same everywhere |
//! | `CUDA_EMULATOR_DEVICES` | how many devices there are (1) |
//! | `CUDA_EMULATOR_MEMORY` | memory of each, such as `40G` (80G) |
//! | `CUDA_EMULATOR_CAPABILITY` | compute capability of each, such as `8.0`: which PTX of a fatbin runs (9.0) |
//! | `CUDA_EMULATOR_ARITHMETIC` | how tensor cores add: `hardware`, as an H100 does, or `exact`, by fused multiply-adds in f32 (`hardware`) |
//! | `CUDA_EMULATOR_EAGER=1` | work runs when it is queued, not as late as CUDA allows |
//! | `CUDA_EMULATOR_JSON` | a file to which each finding is appended as a line of JSON ([`report::json`]); `-` for stderr, in place of the text |
//! | `CUDA_EMULATOR_LOG=1` | every call that fails says why |
//! | `CUDA_EMULATOR_DUMP_PTX` | a folder for the PTX of each loaded module |
//! | `CUDA_EMULATOR_SUBSTITUTE` | a PTX file that is loaded in place of the module with its kernels |
//! | `CUDA_EMULATOR_LIBRARY` | the shared library, where it is not beside the program |
//! | `CUDA_EMULATOR_PORTABLE=1` | no AVX2 |

pub mod code;
pub mod counters;
mod driver;
pub mod fatbin;
mod host;
pub mod machine;
pub mod memory;
pub mod mutation;
pub mod numeric;
pub mod ptx;
pub mod report;
pub mod verdict;

pub use counters::LastLaunch;
pub use host::{
    Driver, ExploreError, InstallError, Mode, choose, explore, findings, install, last_launch, read_memory,
    require_defined, reset, set_arithmetic, set_mode, set_seed, set_threads, take_findings,
};
pub use numeric::tensor_core::Arithmetic;

/// The version of the functions through which the two copies of this crate, the
/// library and the shared library, speak to each other.
const CONTROL_VERSION: u32 = 5;
