//! Sums by fused multiply-adds in f32, one after the other in the order of k,
//! starting with the accumulator. An f16 accumulator is rounded once, at the end.

use super::accumulators::{self, REGISTERS, Register, SIDE, Tile};
use super::operands::{self, Columns, DEPTH, Row, WIDTH};
use super::{Accumulator, Operation, half};

#[inline(always)]
pub fn run(op: &Operation, a: &[u8], b: &[u8], d: &mut [Register]) {
    let half = op.d == Accumulator::F16;
    let rounded = |sum: f32| if half { half::round(sum.into()) } else { sum };
    let end = |_, sum| accumulators::bits(half, rounded(sum));
    dots(op, a, b, d, |bits| accumulators::number(half, bits), end);
}

/// Gives each element `d` of D `end(d, sum)`, where the sum starts with `start(d)`.
#[inline(always)]
pub fn dots(
    op: &Operation,
    a: &[u8],
    b: &[u8],
    d: &mut [Register],
    start: impl Fn(u32) -> f32,
    end: impl Fn(u32, f32) -> u32,
) {
    let rows = operands::rows(op, a);
    let mut columns = Columns::new();
    for (first, d) in (0..op.n).step_by(WIDTH).zip(d.chunks_mut(REGISTERS)) {
        columns.read(op, b, first);
        for (row, rows) in (0..).step_by(SIDE).zip(rows.as_chunks().0) {
            let mut sum = accumulators::read(d, row, &start);
            add(&mut sum, rows, &columns, op.k);
            accumulators::write(d, row, &sum, &end);
        }
    }
}

#[inline(always)]
fn add(sum: &mut Tile<f32>, rows: &[Row; SIDE], columns: &Columns, k: usize) {
    let mut s = *sum;
    for (k, b) in columns.value.iter().enumerate().take(k.min(DEPTH)) {
        for r in 0..SIDE {
            let a = rows[r].value[k];
            for j in 0..WIDTH {
                s[r][j] = a.mul_add(b[j], s[r][j]);
            }
        }
    }
    *sum = s;
}
