//! The machine without a driver around it.

mod asynchronous;
mod device;
mod programs;
<<<<<<< HEAD
mod tensor_map;
=======
mod tensor_core;
>>>>>>> 1888c76 (The tensor core's sums: an H100's bit for bit as far as is known, and exact ones)
mod verdicts;
