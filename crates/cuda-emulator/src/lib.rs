//! The CUDA driver in software.
