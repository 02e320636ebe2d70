//! The machine without a driver around it.

mod device;
mod programs;
mod verdicts;
