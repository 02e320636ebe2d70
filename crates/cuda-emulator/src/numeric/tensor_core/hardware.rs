//! Sums as an H100 makes them.
//!
//! # The model
//!
//! A unit adds the accumulator and all products of one instruction at once:
//!
//! 1. A product's significand is the product of its factors' significands, from 1
//!    up to 4, not normalised; its exponent is the sum of theirs. A factor below
//!    its format's normal numbers has the exponent of the smallest of those.
//!    Products that are zero, and an accumulator that is zero, take no part.
//! 2. The largest exponent of all, but at least `floor`, is the sum's. Every term is
//!    written as a multiple of 2^(exponent - `fraction`), what is below being cut
//!    off (towards zero).
//! 3. These multiples are added exactly.
//! 4. The sum becomes an f32 by cutting off what is below `mantissa` bits behind
//!    its leading one, or an f16 by rounding to nearest even.
//!
//! | factors, accumulator | `fraction` | `mantissa` | `floor` |
//! | --- | --- | --- | --- |
//! | f16, bf16, tf32 to f32 | 25 | 23 | -133 |
//! | f16 to f16 | 25 | f16 | -21 |
//! | FP8 in `wgmma` to f32 | 13 | 13 | none |
//! | FP8 in `wgmma` to f16 | 13 | f16 | none |
//!
//! `mma.sync` with FP8 does not use that unit on Hopper: ptxas turns codes into
//! f16, adds the products with k mod 4 in {0, 1} in one f16 operation that starts with
//! zero, those with k mod 4 in {2, 3} in a second one that starts with the first's result,
//! and adds the accumulator by an ordinary addition (`FADD`, `HADD2`).
//!
//! NaN and infinity behave as in IEEE 754; every NaN result is 0x7fffffff (f32) or
//! 0x7fff (f16). A sum beyond the largest f32 is infinite. A sum of zero is +0.
//!
//! # Where it is from
//!
//! - Khattak and Mikaitis, "Accurate Models of NVIDIA Tensor Cores", arXiv 2512.07004,
//!   and the results of H100 and H200 GPUs that they publish with it;
//! - Xie et al., "MMA-Sim", arXiv 2511.10909: FP8 in `wgmma`, and the codes of NaN;
//! - the machine code that ptxas 13.0 makes of `mma.sync` for sm_90a.
//!
//! The model gives every bit of those published results, 5,000 sums of each kind and
//! GPU with operands around one: f16, bf16, tf32 and FP8 in `wgmma` (which start with
//! zero there) to f32, f16 to f16, and FP8 in `mma.sync` to f16.
//!
//! # What is not known
//!
//! - FP8 in `wgmma` to f16, or starting with another number than zero: MMA-Sim's word alone.
//! - `floor`: the sources differ (MMA-Sim lets an accumulator of zero count with
//!   exponent -126, and zero factors with theirs). It matters only for sums of
//!   products below 2^-100, and for f16 accumulators in the last bits of subnormal ones.
//! - The sign of a negative sum that is cut off to zero: here it stays.

use std::borrow::Cow;
use std::ops::Range;

use super::accumulators::{self, Pair, Register};
use super::operands::{self, Columns, Lines, NONE, Rows};
use super::{Accumulator, Arithmetic, Format, Operation, Unit, aligned, half};

/// What the table above says of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Bits that a term keeps below the largest exponent.
    pub fraction: i32,
    /// The smallest exponent that a sum can have.
    pub floor: i16,
    /// The result's precision: bits of an f32's significand, or an f16.
    pub result: Precision,
}

/// See [`Rule::result`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// So many bits behind the leading one of an f32.
    F32(u32),
    /// An f16.
    F16,
}

impl Rule {
    fn of(op: &Operation) -> Self {
        let fp8 = op.a.is_fp8() && op.unit == Unit::Warpgroup;
        let half = op.d == Accumulator::F16;
        let bits = if fp8 { 13 } else { 23 };
        Self {
            fraction: if fp8 { 13 } else { 25 },
            floor: if half && !fp8 { -21 } else { -133 },
            result: if half { Precision::F16 } else { Precision::F32(bits) },
        }
    }
}

/// Is a sum made of two, one behind the other, by the units for f16?
#[inline(always)]
fn in_parts(op: &Operation) -> bool {
    op.a.is_fp8() && op.unit == Unit::Warp
}

/// The exponent of the smallest normal number of a factor of this format, where exponents are asked for at all.
#[inline(always)]
pub fn least_exponent(op: &Operation, arithmetic: Arithmetic, factor: Format) -> Option<i16> {
    let asked = arithmetic == Arithmetic::Hardware && !matches!(op.d, Accumulator::S32 { .. });
    let format = if in_parts(op) { Format::F16 } else { factor };
    asked.then(|| format.least_exponent())
}

/// Codes in the order in which sums take them: the first part's first.
#[inline(always)]
pub fn order<'a>(op: &Operation, arithmetic: Arithmetic, codes: &'a [u8]) -> Cow<'a, [u8]> {
    let parts = arithmetic == Arithmetic::Hardware && in_parts(op);
    if parts { low_first(codes, op.k).into() } else { codes.into() }
}

#[inline(always)]
pub fn run(op: &Operation, rows: &Rows, columns: &[Columns], d: &mut [Register]) {
    let rule = Rule::of(op);
    let half = op.d == Accumulator::F16;
    for (d, rows, columns) in accumulators::pairs(rows, columns, d) {
        assert!(op.k <= rows.exponents.min(columns.exponents), "operands were set for another operation");
        let mut c = [[0.0; 32]; 2];
        for (c, bits) in c.as_flattened_mut().iter_mut().zip(d.as_flattened()) {
            *c = accumulators::number(half, *bits);
        }
        if in_parts(op) {
            let mut sum = [[0.0; 32]; 2];
            add(&mut sum, rows, columns, 0..op.k / 2, rule);
            add(&mut sum, rows, columns, op.k / 2..op.k, rule);
            add_alone(&mut c, &sum, rule);
        } else {
            add(&mut c, rows, columns, 0..op.k, rule);
        }
        for (bits, sum) in d.as_flattened_mut().iter_mut().zip(c.as_flattened()) {
            *bits = accumulators::bits(half, *sum);
        }
    }
}

/// Of each `k` codes, first those that stand lower in their register of four.
fn low_first(codes: &[u8], k: usize) -> Vec<u8> {
    let mut ordered = vec![0; codes.len()];
    for (to, from) in ordered.chunks_exact_mut(k).zip(codes.chunks_exact(k)) {
        let (low, high) = to.split_at_mut(k / 2);
        let halves = low.as_chunks_mut::<2>().0.iter_mut().zip(high.as_chunks_mut::<2>().0);
        for ((low, high), [a, b, c, d]) in halves.zip(from.as_chunks().0) {
            (*low, *high) = ([*a, *b], [*c, *d]);
        }
    }
    ordered
}

/// An ordinary addition, to nearest even.
#[inline(always)]
fn add_alone(c: &mut Pair<f32>, sum: &Pair<f32>, rule: Rule) {
    for (c, sum) in c.as_flattened_mut().iter_mut().zip(sum.as_flattened()) {
        *c = match rule.result {
            Precision::F16 => half::round(f64::from(*c) + f64::from(*sum)),
            Precision::F32(_) => *c + *sum,
        };
    }
}

/// Adds the products of some k to accumulators.
///
/// Products and terms are exact in f32 while the largest exponent is between
/// these, so they are cut off by the conversion to integers; where it is not, or
/// something is not finite, sums are made one by one.
#[inline(always)]
fn add(c: &mut Pair<f32>, rows: &Lines, columns: &Lines, ks: Range<usize>, rule: Rule) {
    const LEAST: i16 = -100;
    const MOST: i16 = 126;
    let mut top = [[NONE; 32]; 2];
    for k in ks.clone() {
        let (a, b) =
            (accumulators::of_rows(&rows.exponent[k]), accumulators::of_columns(&columns.exponent[k]));
        for p in 0..2 {
            for l in 0..32 {
                top[p][l] = top[p][l].max(a[l].wrapping_add(b[p][l]));
            }
        }
    }
    let mut plain = columns.finite & rows.finite;
    let mut scale = [[0.0; 32]; 2];
    for p in 0..2 {
        for l in 0..32 {
            let e = top[p][l].max(operands::exponent_of(c[p][l], -126));
            plain &= (e >= LEAST || e <= NONE / 2) & (e <= MOST);
            top[p][l] = e.max(rule.floor).max(LEAST);
            scale[p][l] = power(rule.fraction.wrapping_sub(top[p][l].into()));
        }
    }
    if !plain {
        return add_one_by_one(c, rows, columns, ks, rule);
    }
    // Terms are below 2^(fraction + 2): the sum of so many of them is below 2^31.
    debug_assert!(ks.len() << (rule.fraction + 2) <= 1 << 31);
    let mut sum = [[0i32; 32]; 2];
    for k in ks {
        let (a, b) = (accumulators::of_rows(&rows.value[k]), accumulators::of_columns(&columns.value[k]));
        for p in 0..2 {
            for l in 0..32 {
                sum[p][l] = sum[p][l].wrapping_add(cut(a[l] * b[p][l] * scale[p][l]));
            }
        }
    }
    for p in 0..2 {
        for l in 0..32 {
            let total = f64::from(cut(c[p][l] * scale[p][l])) + f64::from(sum[p][l]);
            let total = total * half::power(i32::from(top[p][l]).wrapping_sub(rule.fraction));
            c[p][l] = match rule.result {
                Precision::F16 => half::round(total),
                Precision::F32(bits) => f64::from_bits(total.to_bits() & (u64::MAX << (52 - bits))) as f32,
            };
        }
    }
}

#[cold]
fn add_one_by_one(c: &mut Pair<f32>, rows: &Lines, columns: &Lines, ks: Range<usize>, rule: Rule) {
    for (p, c) in c.iter_mut().enumerate() {
        for (l, c) in c.iter_mut().enumerate() {
            let j = 4 * p + l % 4;
            let a = |k: usize| (rows.value[k][l / 4], rows.exponent[k][l / 4]);
            let b = |k: usize| (columns.value[k][j], columns.exponent[k][j]);
            *c = aligned::sum(ks.clone().map(|k| [a(k), b(k)]), *c, rule);
        }
    }
}

/// The whole part of a term.
#[inline(always)]
fn cut(x: f32) -> i32 {
    // SAFETY: factors are finite and have their exponents, so terms are finite, and below 4 * 2^fraction, which is at most 2^27.
    unsafe { x.to_int_unchecked() }
}

/// 2^e, for exponents of normal numbers.
#[inline(always)]
fn power(e: i32) -> f32 {
    f32::from_bits((e.wrapping_add(127) as u32) << 23)
}
