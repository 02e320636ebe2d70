//! The machine without a driver around it.

mod asynchronous;
mod device;
mod programs;
mod tensor_map;
mod tensor_core;
mod verdicts;
mod wgmma;
