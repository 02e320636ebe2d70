//! The machine without a driver around it.

mod asynchronous;
mod counters;
mod device;
mod limits;
mod matrices;
mod overlap;
mod programs;
mod proxies;
mod races;
mod tensor_core;
mod tensor_map;
mod twins;
mod verdicts;
mod wgmma;
