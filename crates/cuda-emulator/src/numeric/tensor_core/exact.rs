//! Sums by fused multiply-adds in f32, one after the other in the order of k,
//! starting with the accumulator. An f16 accumulator is rounded once, at the end.

use super::accumulators::{self, Pair, Register};
use super::operands::{Columns, DEPTH, Lines, Rows};
use super::{Accumulator, Operation, half};

#[inline(always)]
pub fn run(op: &Operation, rows: &Rows, columns: &[Columns], d: &mut [Register]) {
    let half = op.d == Accumulator::F16;
    let rounded = |sum: f32| if half { half::round(sum.into()) } else { sum };
    let end = |_, sum| accumulators::bits(half, rounded(sum));
    dots(op, rows, columns, d, |bits| accumulators::number(half, bits), end);
}

/// Gives each element `d` of D `end(d, sum)`, where the sum starts with `start(d)`.
#[inline(always)]
pub fn dots(
    op: &Operation,
    rows: &Rows,
    columns: &[Columns],
    d: &mut [Register],
    start: impl Fn(u32) -> f32,
    end: impl Fn(u32, f32) -> u32,
) {
    for (d, half, columns) in accumulators::pairs(rows, columns, d) {
        let mut sums = [[0.0; 32]; 2];
        for (sum, bits) in sums.as_flattened_mut().iter_mut().zip(d.as_flattened()) {
            *sum = start(*bits);
        }
        add(&mut sums, half, columns, op.k);
        for (bits, sum) in d.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *bits = end(*bits, *sum);
        }
    }
}

#[inline(always)]
fn add(sums: &mut Pair<f32>, rows: &Lines, columns: &Lines, k: usize) {
    let mut s = *sums;
    for k in 0..k.min(DEPTH) {
        let (a, b) = (accumulators::of_rows(&rows.value[k]), accumulators::of_columns(&columns.value[k]));
        for parity in 0..2 {
            for lane in 0..32 {
                s[parity][lane] = a[lane].mul_add(b[parity][lane], s[parity][lane]);
            }
        }
    }
    *sums = s;
}
