//! The machine without a driver around it.

mod asynchronous;
mod device;
mod programs;
mod verdicts;
