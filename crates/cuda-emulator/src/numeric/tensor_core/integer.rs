//! Sums of bytes. Products of bytes and sums of 32 of them are small enough for
//! an f32 to hold them exactly.

use super::accumulators::Register;
use super::operands::{Columns, Rows};
use super::{Operation, exact};

#[inline(always)]
pub fn run(op: &Operation, saturate: bool, rows: &Rows, columns: &[Columns], d: &mut [Register]) {
    exact::dots(
        op,
        rows,
        columns,
        d,
        |_| 0.0,
        |d, sum| {
            let (d, sum) = (d as i32, sum as i32);
            (if saturate { d.saturating_add(sum) } else { d.wrapping_add(sum) }) as u32
        },
    );
}
