//! Sums by fused multiply-adds in f32, one after the other in the order of k,
//! starting with the accumulator. An f16 accumulator is rounded once, at the end.

use super::operands::{self, Columns, DEPTH, Row, WIDTH};
use super::{Accumulator, Operation, format, half};

/// Rows whose sums are made side by side, so that no sum waits for its last product.
const ROWS: usize = 4;

#[inline(always)]
pub fn run(op: &Operation, a: &[u8], b: &[u8], d: &mut [u32]) {
    let half = op.d == Accumulator::F16;
    let start = |bits: u32| if half { format::f16(bits as u16) } else { f32::from_bits(bits) };
    let end = |sum: f32| match sum {
        x if half => half::bits(half::round(x.into())),
        x if x.is_nan() => 0x7fff_ffff,
        x => x.to_bits(),
    };
    dots(op, a, b, d, start, |_, sum| end(sum));
}

/// Gives each element `d` of D `end(d, sum)`, where the sum starts with `start(d)`.
#[inline(always)]
pub fn dots(
    op: &Operation,
    a: &[u8],
    b: &[u8],
    d: &mut [u32],
    start: impl Fn(u32) -> f32,
    end: impl Fn(u32, f32) -> u32,
) {
    let rows = operands::rows(op, a);
    let mut columns = Columns::new();
    for first in (0..op.n).step_by(WIDTH) {
        columns.read(op, b, first);
        let width = WIDTH.min(op.n - first);
        for (m, rows) in (0..).step_by(ROWS).zip(rows.as_chunks::<ROWS>().0) {
            let mut sum = [[0.0; WIDTH]; ROWS];
            for (r, sum) in sum.iter_mut().enumerate() {
                for (s, d) in sum.iter_mut().zip(&d[(m + r) * op.n + first..][..width]) {
                    *s = start(*d);
                }
            }
            add(&mut sum, rows, &columns, op.k);
            for (r, sum) in sum.iter().enumerate() {
                for (s, d) in sum.iter().zip(&mut d[(m + r) * op.n + first..][..width]) {
                    *d = end(*d, *s);
                }
            }
        }
    }
}

#[inline(always)]
fn add(sum: &mut [[f32; WIDTH]; ROWS], rows: &[Row; ROWS], columns: &Columns, k: usize) {
    let mut s = *sum;
    for (k, b) in columns.value.iter().enumerate().take(k.min(DEPTH)) {
        for r in 0..ROWS {
            let a = rows[r].value[k];
            for j in 0..WIDTH {
                s[r][j] = a.mul_add(b[j], s[r][j]);
            }
        }
    }
    *sum = s;
}
