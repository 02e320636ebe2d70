//! What an H100 SXM could do at best.

/// Bytes a second from and to its memory.
const BANDWIDTH: f64 = 3.35e12;
/// Multiply-adds a second of its tensor cores in FP8, without sparsity: half of 1979 TFLOP/s.
const MULTIPLY_ADDS: f64 = 1979e12 / 2.0;
/// Multiprocessors, which share these.
const MULTIPROCESSORS: u64 = 132;

/// The least time, in seconds, for a GEMM with f32 output: that of its multiply-adds, or of bringing A, B and their
/// scales from memory and D there, once each.
pub fn floor(m: usize, n: usize, k: usize) -> f64 {
    let scales = (m + n.div_ceil(128)) * k.div_ceil(128);
    let bytes = m * k + n * k + 4 * scales + 4 * m * n;
    of_launch((m * n * k) as u64, bytes as u64, MULTIPROCESSORS)
}

/// The same for what a launch did: its multiply-adds on no more multiprocessors than it has blocks, or its bytes.
pub fn of_launch(multiply_adds: u64, bytes: u64, blocks: u64) -> f64 {
    let busy = blocks.min(MULTIPROCESSORS) as f64 / MULTIPROCESSORS as f64;
    f64::max(multiply_adds as f64 / (MULTIPLY_ADDS * busy), bytes as f64 / BANDWIDTH)
}
