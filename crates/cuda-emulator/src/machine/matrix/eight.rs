//! 8x8 matrices of 16-bit elements, two elements of a row in each lane.

/// Row `lane / 4` has its elements `2 * (lane % 4)` and the next one in a lane.
/// Of a matrix so held, this gives the transposed one.
pub fn transposed(lanes: &[u32; 32]) -> [u32; 32] {
    let element = |row: usize, column: usize| lanes[4 * row + column / 2] >> (16 * (column % 2)) & 0xffff;
    std::array::from_fn(|lane| {
        let (row, column) = (lane / 4, 2 * (lane % 4));
        element(column, row) | element(column + 1, row) << 16
    })
}

#[cfg(test)]
mod tests {
    use super::transposed;

    #[test]
    fn rows_become_columns() {
        let mut matrix = [[0u32; 8]; 8];
        let mut lanes = [0; 32];
        for row in 0..8 {
            for column in 0..8 {
                matrix[row][column] = (100 * row + column) as u32;
                lanes[4 * row + column / 2] |= matrix[row][column] << (16 * (column % 2));
            }
        }
        let got = transposed(&lanes);
        for lane in 0..32 {
            for i in 0..2 {
                // The manual: thread t holds elements 2 * (t % 4) and the next of row t / 4.
                assert_eq!(got[lane] >> (16 * i) & 0xffff, matrix[2 * (lane % 4) + i][lane / 4]);
            }
        }
        assert_eq!(transposed(&got), lanes);
    }
}
