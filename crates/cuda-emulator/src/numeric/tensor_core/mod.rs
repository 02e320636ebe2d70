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

pub use accumulators::{REGISTERS, Register};
pub use format::Format;
pub use operands::{Columns, Rows, WIDTH};

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
    let (mut rows, mut columns) = (Rows::ZERO, vec![Columns::ZERO; op.n / WIDTH]);
    rows.set(op, arithmetic, a);
    Columns::set(&mut columns, op, arithmetic, b);
    multiply(op, arithmetic, &rows, &columns, &mut fragment);
    accumulators::to_matrix(&fragment, op.n, d);
}

impl Rows {
    /// Takes the codes of A, as the operation will want them in this arithmetic.
    pub fn set(&mut self, op: &Operation, arithmetic: Arithmetic, codes: &[u8]) {
        debug_assert_eq!(codes.len(), ROWS * op.k * op.a.bytes());
        quickly(
            #[inline(always)]
            || self.fill(op, arithmetic, codes),
        );
    }
}

impl Columns {
    /// The same of B, eight columns each.
    pub fn set(all: &mut [Self], op: &Operation, arithmetic: Arithmetic, codes: &[u8]) {
        let eight = WIDTH * op.k * op.b.bytes();
        debug_assert_eq!(codes.len(), all.len() * eight);
        quickly(
            #[inline(always)]
            || {
                for (columns, codes) in all.iter_mut().zip(codes.chunks(eight)) {
                    columns.fill(op, arithmetic, codes);
                }
            },
        );
    }
}

/// Adds the products to accumulators, [`REGISTERS`] for each eight columns. Operands are those that were set for the same
/// operation and arithmetic.
///
/// # Panics
///
/// In the hardware's arithmetic, if operands were set for another arithmetic or a smaller depth.
pub fn multiply(op: &Operation, arithmetic: Arithmetic, a: &Rows, b: &[Columns], d: &mut [Register]) {
    debug_assert!(op.k <= operands::DEPTH && d.len() == b.len() * REGISTERS);
    quickly(
        #[inline(always)]
        || run(op, arithmetic, a, b, d),
    );
}

#[inline(always)]
fn run(op: &Operation, arithmetic: Arithmetic, a: &Rows, b: &[Columns], d: &mut [Register]) {
    match (op.d, arithmetic) {
        (Accumulator::S32 { saturate }, _) => integer::run(op, saturate, a, b, d),
        (_, Arithmetic::Hardware) => hardware::run(op, a, b, d),
        (_, Arithmetic::Exact) => exact::run(op, a, b, d),
    }
}

/// `f()`, compiled for this CPU's vectors.
#[inline(always)]
fn quickly<T>(f: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if crate::code::has_avx512() {
        // SAFETY: this CPU has these features.
        return unsafe { with_avx512(f) };
    } else if crate::code::has_avx2() {
        // SAFETY: as above.
        return unsafe { with_avx2(f) };
    }
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn with_avx2<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// Sums are worth vectors of their own: with twice as many lanes and registers they take half the time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
fn with_avx512<T>(f: impl FnOnce() -> T) -> T {
    f()
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::code::{has_avx2, has_avx512};

    /// What this CPU does not run, others do: all give the same bits.
    #[test]
    fn vectors_of_all_widths_agree() {
        let (n, k) = (24, 32);
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            (state >> 24) as u8
        };
        // Codes of all numbers, and of finite ones.
        let (all, e4m3, e5m2) = (0xff, 0xbf, 0xbb);
        for (a, d, unit, mask) in [
            (Format::E4m3, Accumulator::F32, Unit::Warpgroup, all),
            (Format::E4m3, Accumulator::F32, Unit::Warpgroup, e4m3),
            (Format::E4m3, Accumulator::F32, Unit::Warp, e4m3),
            (Format::E5m2, Accumulator::F16, Unit::Warpgroup, all),
            (Format::E5m2, Accumulator::F16, Unit::Warpgroup, e5m2),
            (Format::S8, Accumulator::S32 { saturate: true }, Unit::Warpgroup, all),
        ] {
            let mut byte = || byte() & mask;
            for arithmetic in [Arithmetic::Exact, Arithmetic::Hardware] {
                let op = Operation { a, b: a, d, unit, negate: false, n, k };
                let (a, b): (Vec<u8>, Vec<u8>) =
                    ((0..ROWS * k).map(|_| byte()).collect(), (0..n * k).map(|_| byte()).collect());
                let (mut rows, mut columns) = (Rows::ZERO, vec![Columns::ZERO; n / WIDTH]);
                rows.set(&op, arithmetic, &a);
                Columns::set(&mut columns, &op, arithmetic, &b);
                let hardware = arithmetic == Arithmetic::Hardware && mask != all;
                assert!(!hardware || rows.0.iter().all(|half| half.finite));
                let mut portable = vec![[0; 32]; n / 2];
                let (mut avx2, mut avx512) = (portable.clone(), portable.clone());
                run(&op, arithmetic, &rows, &columns, &mut portable);
                // SAFETY: asked before.
                unsafe {
                    if has_avx2() {
                        with_avx2(|| run(&op, arithmetic, &rows, &columns, &mut avx2));
                        assert_eq!(avx2, portable, "{op:?}, {arithmetic:?}");
                    }
                    if has_avx512() {
                        with_avx512(|| run(&op, arithmetic, &rows, &columns, &mut avx512));
                        assert_eq!(avx512, portable, "{op:?}, {arithmetic:?}");
                    }
                }
            }
        }
    }
}
