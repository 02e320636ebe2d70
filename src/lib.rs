//! Hopper kernels for DeepSeek-class models.
