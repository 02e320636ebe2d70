//! Fragments: which lane holds which elements of a matrix.
//!
//! For `mma` and `wgmma` alike, and whatever the type: a lane's registers hold
//! pieces of four bytes of the rows of A (and of the columns of B), which lie
//! along k; and two neighbouring elements of rows of D. A warp's share of a
//! `wgmma` is 16 of its 64 rows.

/// Rows of A and of D.
pub const ROWS: usize = 16;
/// Bytes along k that a whole fragment holds.
pub const DEPTH: usize = 32;

/// The four bytes of A in a register of a lane: their row, and their first byte along k.
#[inline(always)]
pub fn of_a(register: usize, lane: usize) -> (usize, usize) {
    (lane / 4 + register % 2 * 8, lane % 4 * 4 + register / 2 * 16)
}

/// The four bytes of B in a register of a lane: their column, and their first byte along k.
#[inline(always)]
pub fn of_b(register: usize, lane: usize) -> (usize, usize) {
    (lane / 4, lane % 4 * 4 + register * 16)
}

/// The 32-bit element of D in a register of a lane: its row and column.
#[inline(always)]
pub fn of_d(register: usize, lane: usize) -> (usize, usize) {
    (lane / 4 + register / 2 % 2 * 8, register / 4 * 8 + lane % 4 * 2 + register % 2)
}

/// The two f16 elements of D in a register of a lane: row and column of the lower one; the other is beside it.
#[inline(always)]
pub fn of_half_d(register: usize, lane: usize) -> (usize, usize) {
    (lane / 4 + register % 2 * 8, register / 2 * 8 + lane % 4 * 2)
}

#[cfg(test)]
mod tests {
    use super::{of_a, of_b, of_d, of_half_d};

    /// The elements of a register are the manual's `i`, lowest first; `bits` each.
    fn elements(bits: usize, registers: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let each = 32 / bits;
        (0..32).flat_map(move |lane| (0..registers * each).map(move |i| (lane, i, i / each)))
    }

    /// Checks a fragment of A against the manual's rule: (group, thread in group, i) to (row, column).
    fn a(bits: usize, registers: usize, rule: impl Fn(usize, usize, usize) -> (usize, usize)) {
        for (lane, i, register) in elements(bits, registers) {
            let (row, byte) = of_a(register, lane);
            let column = (byte + i % (32 / bits) * bits / 8) / (bits / 8);
            assert_eq!((row, column), rule(lane >> 2, lane % 4, i), "lane {lane}, a{i} of {bits} bits");
        }
    }

    /// The same of B: (row, column), where rows are along k.
    fn b(bits: usize, registers: usize, rule: impl Fn(usize, usize, usize) -> (usize, usize)) {
        for (lane, i, register) in elements(bits, registers) {
            let (column, byte) = of_b(register, lane);
            let row = (byte + i % (32 / bits) * bits / 8) / (bits / 8);
            assert_eq!((row, column), rule(lane >> 2, lane % 4, i), "lane {lane}, b{i} of {bits} bits");
        }
    }

    #[test]
    fn sixteen_bits() {
        // m16n8k8
        a(16, 2, |group, thread, i| (if i < 2 { group } else { group + 8 }, thread * 2 + (i & 1)));
        b(16, 1, |group, thread, i| (thread * 2 + i, group));
        // m16n8k16, and wgmma's m64nNk16 with A in registers
        a(16, 4, |group, thread, i| {
            let row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
            (row, thread * 2 + (i & 1) + if i < 4 { 0 } else { 8 })
        });
        b(16, 2, |group, thread, i| (thread * 2 + (i & 1) + if i < 2 { 0 } else { 8 }, group));
    }

    #[test]
    fn tf32() {
        // m16n8k4
        a(32, 2, |group, thread, i| (if i == 0 { group } else { group + 8 }, thread));
        b(32, 1, |group, thread, _| (thread, group));
        // m16n8k8, and wgmma's m64nNk8
        a(32, 4, |group, thread, i| {
            (if i == 0 || i == 2 { group } else { group + 8 }, if i < 2 { thread } else { thread + 4 })
        });
        b(32, 2, |group, thread, i| (if i == 0 { thread } else { thread + 4 }, group));
    }

    #[test]
    fn eight_bits() {
        // m16n8k16
        a(8, 2, |group, thread, i| (if i < 4 { group } else { group + 8 }, thread * 4 + (i & 3)));
        b(8, 1, |group, thread, i| (thread * 4 + i, group));
        // m16n8k32, and wgmma's m64nNk32
        a(8, 4, |group, thread, i| {
            let row = if i < 4 || (8..12).contains(&i) { group } else { group + 8 };
            (row, thread * 4 + (i & 3) + if i < 8 { 0 } else { 16 })
        });
        b(8, 2, |group, thread, i| (thread * 4 + (i & 3) + if i < 4 { 0 } else { 16 }, group));
    }

    #[test]
    fn accumulators() {
        // mma's m16n8 is wgmma's m64nN for N = 8; further columns follow in further registers.
        for n in [8, 64, 256] {
            let mut seen = vec![0; 16 * n];
            for lane in 0..32 {
                for i in 0..n / 2 {
                    let row = if i % 4 < 2 { lane >> 2 } else { (lane >> 2) + 8 };
                    let column = i / 4 * 8 + lane % 4 * 2 + (i & 1);
                    assert_eq!(of_d(i, lane), (row, column));
                    let (half_row, half_column) = of_half_d(i / 2, lane);
                    assert_eq!((half_row, half_column + i % 2), (row, column));
                    seen[row * n + column] += 1;
                }
            }
            assert!(seen.iter().all(|n| *n == 1));
        }
    }
}
