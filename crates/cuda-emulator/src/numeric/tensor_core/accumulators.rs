//! Accumulators as `mma` and `wgmma` leave them in registers: a fragment.
//!
//! Eight columns are four registers: for the upper eight rows and for the lower
//! ones, each one of even columns and one of odd ones. Of a register's 32 lanes
//! four hold a row. Here an element is a word, f16 too: then two registers here
//! are one there.

use super::operands::WIDTH;
use super::{ROWS, format, half};

/// One element of each lane.
pub type Register = [u32; 32];

/// Registers of `WIDTH` columns.
pub const REGISTERS: usize = WIDTH / 2;

/// Rows whose sums are made side by side: enough that no sum waits for its last
/// product, and that the compiler makes vectors of the columns.
pub const SIDE: usize = 4;

/// Something of each of the sums that are made side by side. Of eight columns
/// the even ones come first.
pub type Tile<T> = [[T; WIDTH]; SIDE];

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

/// Where column `n` stands in a tile, or in a row of tiles.
#[inline(always)]
pub const fn place(n: usize) -> usize {
    n / 8 * 8 + n % 2 * 4 + n % 8 / 2
}

/// Numbers of the rows from `row` on, of up to `WIDTH` columns; zero for those that are not there.
#[inline(always)]
pub fn read(d: &[Register], row: usize, number: impl Fn(u32) -> f32) -> Tile<f32> {
    let mut tile = [[0.0; WIDTH]; SIDE];
    for (eight, registers) in d.as_chunks::<4>().0.iter().enumerate().take(WIDTH / 8) {
        for (parity, register) in registers[row / 8 * 2..][..2].iter().enumerate() {
            for (r, tile) in tile.iter_mut().enumerate() {
                let lanes = &register[(row % 8 + r) * 4..][..4];
                for (to, bits) in tile[eight * 8 + parity * 4..][..4].iter_mut().zip(lanes) {
                    *to = number(*bits);
                }
            }
        }
    }
    tile
}

/// Gives each element `bits` of those rows `f(bits, x)`, where `x` is the tile's.
#[inline(always)]
pub fn write(d: &mut [Register], row: usize, tile: &Tile<f32>, f: impl Fn(u32, f32) -> u32) {
    for (eight, registers) in d.as_chunks_mut::<4>().0.iter_mut().enumerate().take(WIDTH / 8) {
        for (parity, register) in registers[row / 8 * 2..][..2].iter_mut().enumerate() {
            for (r, tile) in tile.iter().enumerate() {
                let lanes = &mut register[(row % 8 + r) * 4..][..4];
                for (bits, x) in lanes.iter_mut().zip(&tile[eight * 8 + parity * 4..][..4]) {
                    *bits = f(*bits, *x);
                }
            }
        }
    }
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
    use super::{ROWS, of_matrix, place, read, to_matrix, write};
    use crate::machine::matrix::fragment;

    /// 24 columns: a tile, and half of one.
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

    #[test]
    fn tiles_are_read_and_written_in_place() {
        let matrix: Vec<u32> = (0..(ROWS * N) as u32).collect();
        let mut d = of_matrix(&matrix, N);
        for first in [0, 16] {
            let columns = (N - first).min(16);
            let d = &mut d[first / 2..(first + columns) / 2];
            for row in (0..ROWS).step_by(4) {
                let tile = read(d, row, |bits| bits as f32);
                for (r, tile) in tile.iter().enumerate() {
                    for column in 0..16 {
                        let expected = if column < columns { (row + r) * N + first + column } else { 0 };
                        assert_eq!(tile[place(column)], expected as f32);
                    }
                }
                write(d, row, &tile, |bits, x| bits + 2 * x as u32);
            }
        }
        let mut tripled = vec![0; matrix.len()];
        to_matrix(&d, N, &mut tripled);
        assert!(tripled.iter().zip(&matrix).all(|(got, x)| *got == 3 * x));
    }
}
