//! What a tensor core computes: `D[m][n] += sum over k of A[m][k] B[n][k]`, for
//! the 16 rows of D that one warp holds and the depth k of one instruction.
//!
//! Two arithmetics:
//!
//! - [`Arithmetic::Hardware`]: the sums of an H100, bit for bit as far as is known (`hardware`);
//! - [`Arithmetic::Exact`]: fused multiply-adds in the order of k (`exact`).
//!
//! Files: `accumulators` (how D lies), `format` (codes become numbers), `operands` (matrices become numbers
//! in the order in which they are used), `hardware` (sixteen sums at a time),
//! `aligned` (the same for one sum, of any numbers), `exact`, `integer`, `half`
//! (f16 accumulators).

pub mod accumulators;
mod aligned;
mod exact;
mod format;
mod half;
mod hardware;
mod integer;
mod operands;

use accumulators::Register;
pub use format::Format;

/// Rows of D.
pub const ROWS: usize = 16;

/// What an accumulator holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accumulator {
    /// `.f32`
    F32,
    /// `.f16`, in the low half of its word.
    F16,
    /// `.s32`; with `.satfinite` it does not wrap.
    S32 {
        /// `.satfinite`
        saturate: bool,
    },
}

/// Which instruction asks. On Hopper they differ where the factors have 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `mma.sync`
    Warp,
    /// `wgmma.mma_async`
    Warpgroup,
}

/// How floating-point sums are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// As an H100 makes them.
    #[default]
    Hardware,
    /// By fused multiply-adds in f32, in the order of k.
    Exact,
}

/// One kind of multiply-accumulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Elements of A.
    pub a: Format,
    /// Elements of B.
    pub b: Format,
    /// Elements of D.
    pub d: Accumulator,
    /// Who asks.
    pub unit: Unit,
    /// The products are subtracted.
    pub negate: bool,
    /// Columns of D, a multiple of 8.
    pub n: usize,
    /// Products of a sum, at most 32.
    pub k: usize,
}

/// `d[m][n] += a[m][k] * b[n][k]`: `a` holds the codes of 16 rows and `b` those
/// of `n` columns, `k` each, little-endian; `d` the accumulators' bits, 16 rows of `n`.
pub fn multiply_accumulate(op: &Operation, arithmetic: Arithmetic, a: &[u8], b: &[u8], d: &mut [u32]) {
    let mut fragment = accumulators::of_matrix(d, op.n);
    multiply_fragment(op, arithmetic, a, b, &mut fragment);
    accumulators::to_matrix(&fragment, op.n, d);
}

/// The same where `d` is in registers (`accumulators`).
pub fn multiply_fragment(op: &Operation, arithmetic: Arithmetic, a: &[u8], b: &[u8], d: &mut [Register]) {
    debug_assert!(op.n.is_multiple_of(8) && op.k <= operands::DEPTH);
    debug_assert_eq!(a.len(), ROWS * op.k * op.a.bytes());
    debug_assert_eq!(b.len(), op.n * op.k * op.b.bytes());
    debug_assert_eq!(d.len(), op.n / 2);
    #[cfg(target_arch = "x86_64")]
    if crate::code::has_avx2() {
        // SAFETY: this CPU has these features.
        return unsafe { with_avx2(op, arithmetic, a, b, d) };
    }
    run(op, arithmetic, a, b, d);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn with_avx2(op: &Operation, arithmetic: Arithmetic, a: &[u8], b: &[u8], d: &mut [Register]) {
    run(op, arithmetic, a, b, d);
}

#[inline(always)]
fn run(op: &Operation, arithmetic: Arithmetic, a: &[u8], b: &[u8], d: &mut [Register]) {
    match (op.d, arithmetic) {
        (Accumulator::S32 { saturate }, _) => integer::run(op, saturate, a, b, d),
        (_, Arithmetic::Hardware) => hardware::run(op, a, b, d),
        (_, Arithmetic::Exact) => exact::run(op, a, b, d),
    }
}
