//! Accumulators as `mma` and `wgmma` leave them in registers: a fragment.
//!
//! Eight columns are four registers: for the upper eight rows and for the lower
//! ones, each one of even columns and one of odd ones. Of a register's 32 lanes
//! four hold a row. Here an element is a word, f16 too: then two registers here
//! are one there.

use super::ROWS;
use super::operands::{Columns, Lines, Rows, WIDTH};
use super::{format, half};

/// One element of each lane.
pub type Register = [u32; 32];

/// Registers of [`WIDTH`] columns.
pub const REGISTERS: usize = WIDTH / 2;

/// Something of each lane of the two registers that hold half of the rows of eight columns: of even ones, of odd ones.
pub type Pair<T> = [[T; 32]; 2];

/// The number of an element of f16 accumulators, or of f32's.
#[inline(always)]
pub fn number(half: bool, bits: u32) -> f32 {
    if half { format::f16(bits as u16) } else { f32::from_bits(bits) }
}

/// The element of a sum, which is an f16 where accumulators are.
#[inline(always)]
pub fn bits(half: bool, sum: f32) -> u32 {
    match sum {
        x if half => half::bits(x),
        x if x.is_nan() => 0x7fff_ffff,
        x => x.to_bits(),
    }
}

/// The registers of each half of the rows and eight columns, with both.
#[inline(always)]
pub fn pairs<'a>(
    rows: &'a Rows,
    columns: &'a [Columns],
    d: &'a mut [Register],
) -> impl Iterator<Item = (&'a mut Pair<u32>, &'a Lines, &'a Lines)> {
    let all = columns.iter().flat_map(|columns| rows.0.iter().map(move |half| (half, &columns.0)));
    d.as_chunks_mut().0.iter_mut().zip(all).map(|(d, (half, columns))| (d, half, columns))
}

/// Something of each of eight rows, for the lanes that hold them.
#[inline(always)]
pub fn of_rows<T: Copy + Default>(rows: &[T; WIDTH]) -> [T; 32] {
    let mut lanes = [T::default(); 32];
    for (lane, to) in lanes.iter_mut().enumerate() {
        *to = rows[lane / 4];
    }
    lanes
}

/// Something of each of eight columns, in the order of [`place`], for the lanes that hold them.
#[inline(always)]
pub fn of_columns<T: Copy + Default>(columns: &[T; WIDTH]) -> Pair<T> {
    let mut lanes = [[T::default(); 32]; 2];
    for (lanes, columns) in lanes.iter_mut().zip(columns.as_chunks::<4>().0) {
        for row in lanes.as_chunks_mut().0 {
            *row = *columns;
        }
    }
    lanes
}

/// Where column `n` of eight stands among them: even ones come first.
#[inline(always)]
pub const fn place(n: usize) -> usize {
    n % 2 * 4 + n / 2
}

/// The fragment of a matrix of 16 rows of `n` elements.
pub fn of_matrix(matrix: &[u32], n: usize) -> Vec<Register> {
    let mut d = vec![[0; 32]; n / 2];
    each_place(n, |at, register, lane| d[register][lane] = matrix[at]);
    d
}

/// The matrix of a fragment.
pub fn to_matrix(d: &[Register], n: usize, matrix: &mut [u32]) {
    each_place(n, |at, register, lane| matrix[at] = d[register][lane]);
}

/// Calls `f` with the index of each element of a matrix, and its register and lane.
fn each_place(n: usize, mut f: impl FnMut(usize, usize, usize)) {
    for (row, column) in (0..ROWS).flat_map(|row| (0..n).map(move |column| (row, column))) {
        f(row * n + column, column / 8 * 4 + row / 8 * 2 + column % 2, row % 8 * 4 + column % 8 / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::{ROWS, of_matrix, to_matrix};
    use crate::machine::matrix::fragment;

    const N: usize = 24;

    #[test]
    fn fragments_are_those_of_the_machine() {
        let matrix: Vec<u32> = (0..(ROWS * N) as u32).collect();
        let d = of_matrix(&matrix, N);
        for (register, lanes) in d.iter().enumerate() {
            for (lane, element) in lanes.iter().enumerate() {
                let (row, column) = fragment::of_d(register, lane);
                assert_eq!(*element as usize, row * N + column);
            }
        }
        let mut back = vec![0; matrix.len()];
        to_matrix(&d, N, &mut back);
        assert_eq!(back, matrix);
    }
}
