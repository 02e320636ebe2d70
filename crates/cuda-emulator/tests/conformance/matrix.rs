//! `ldmatrix`, `stmatrix`, `movmatrix`: 8x8 matrices of 16-bit elements.

use super::rows::{Row, list, run};
use super::values::random_bits;

/// Rows of 8 elements.
type Matrix = [[u16; 8]; 8];

/// Which element a lane holds, by the manual: lane `t` holds two elements of row
/// `t / 4`; of the transposed matrix where `.trans` is given.
fn fragment(matrix: &Matrix, transposed: bool) -> Row {
    let element = |row: usize, column: usize| match transposed {
        false => matrix[row][column],
        true => matrix[column][row],
    };
    std::array::from_fn(|t| {
        let (row, column) = (t / 4, t % 4 * 2);
        u32::from(element(row, column)) | u32::from(element(row, column + 1)) << 16
    })
}

/// A row as four words.
fn words(row: &[u16; 8]) -> [u32; 4] {
    std::array::from_fn(|i| u32::from(row[2 * i]) | u32::from(row[2 * i + 1]) << 16)
}

fn random(seed: u64) -> impl Iterator<Item = Matrix> {
    let mut bits = random_bits(seed);
    std::iter::from_fn(move || {
        Some(std::array::from_fn(|_| std::array::from_fn(|_| bits.next().unwrap_or_default() as u16)))
    })
}

/// An order of 32 rows.
fn order(seed: u64) -> [usize; 32] {
    let mut keys: Vec<(u64, usize)> = random_bits(seed).zip(0..32).collect();
    keys.sort_unstable();
    std::array::from_fn(|i| keys[i].1)
}

const FORMS: [(usize, &str); 6] = [(1, ""), (2, ""), (4, ""), (1, ".trans"), (2, ".trans"), (4, ".trans")];

/// Addresses of `%t0` in the shared window, and generic ones in `%l0`.
const ADDRESSES: [(&str, &str); 3] = [(".shared", "[%t0]"), ("", "[%l0]"), (".shared::cta", "[%t0+0]")];

/// Rows 48 bytes apart, in the order of `%r0`; lanes whose addresses do not count have bad ones.
fn addresses(count: usize) -> String {
    format!(
        "mad.lo.u32 %t0, %r0, 48, %s;
        cvt.u64.u32 %l0, %t0;
        cvta.shared.u64 %l0, %l0;
        setp.lt.u32 %p0, %lane, {};
        selp.b32 %t0, %t0, 3, %p0;
        selp.b64 %l0, %l0, 3, %p0;",
        8 * count
    )
}

#[test]
fn loads() {
    for (n, (count, trans)) in (0..).zip(FORMS) {
        for (space, address) in ADDRESSES {
            let order = order(n);
            let matrices: Vec<Matrix> = random(10 + n).take(4).collect();
            // Lane l stores row l % 8 of matrix l / 8 where its address says.
            let mut input = vec![order.map(|o| o as u32)];
            for i in 0..4 {
                input.push(std::array::from_fn(|l| words(&matrices[l / 8][l % 8])[i]));
            }
            let code = format!(
                "mad.lo.u32 %t1, %r0, 48, %s;
                st.shared.v4.b32 [%t1], {};
                bar.warp.sync -1;
                {}
                ldmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {}, {address};",
                list("r", 1, 4),
                addresses(count),
                list("d", 0, count)
            );
            let got = run(&code, &[input], count);
            for (got, matrix) in got[0].iter().zip(&matrices) {
                assert_eq!(*got, fragment(matrix, !trans.is_empty()), "{code}");
            }
        }
    }
}

#[test]
fn stores() {
    for (n, (count, trans)) in (0..).zip(FORMS) {
        for (space, address) in ADDRESSES {
            let order = order(20 + n);
            let matrices: Vec<Matrix> = random(30 + n).take(4).collect();
            let mut input = vec![order.map(|o| o as u32)];
            input.extend(matrices.iter().map(|m| fragment(m, !trans.is_empty())));
            let code = format!(
                "mad.lo.u32 %t1, %r0, 48, %s;
                mov.b32 %t2, 0x55555555;
                st.shared.v4.b32 [%t1], {{%t2, %t2, %t2, %t2}};
                bar.warp.sync -1;
                {}
                stmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {address}, {};
                bar.warp.sync -1;
                ld.shared.v4.b32 {}, [%t1];",
                addresses(count),
                list("r", 1, count),
                list("d", 0, 4)
            );
            let got = &run(&code, &[input], 4)[0];
            for lane in 0..32 {
                let row: [u32; 4] = std::array::from_fn(|i| got[i][lane]);
                let expected = match lane / 8 < count {
                    true => words(&matrices[lane / 8][lane % 8]),
                    false => [0x5555_5555; 4],
                };
                assert_eq!(row, expected, "{code}\nlane {lane}");
            }
        }
    }
}

/// The manual shows one order of the modifiers; ptxas takes any, and programs use others.
#[test]
fn modifiers_come_in_any_order() {
    let forms = [
        "sync.aligned.m8n8.x2.trans.shared.b16",
        "sync.aligned.x2.trans.m8n8.shared.b16",
        "sync.aligned.x2.m8n8.shared.trans.b16",
        "sync.aligned.m8n8.trans.x2.shared::cta.b16",
        "aligned.sync.shared.b16.trans.x2.m8n8",
    ];
    let matrices: Vec<Matrix> = random(60).take(2).collect();
    let rows: Vec<Row> =
        (0..4).map(|i| std::array::from_fn(|l| words(&matrices[l / 8 % 2][l % 8])[i])).collect();
    for form in forms {
        let code = format!(
            "shl.b32 %t0, %lane, 4;
            add.u32 %t0, %t0, %s;
            st.shared.v4.b32 [%t0], {{%r0, %r1, %r2, %r3}};
            bar.warp.sync -1;
            ldmatrix.{form} {{%d0, %d1}}, [%t0];
            bar.warp.sync -1;
            st.shared.v4.b32 [%t0], {{%r0, %r0, %r0, %r0}};
            bar.warp.sync -1;
            stmatrix.{form} [%t0], {{%d0, %d1}};
            bar.warp.sync -1;
            ld.shared.v4.b32 {{%d2, %d3, %d4, %d5}}, [%t0];"
        );
        let got = &run(&code, std::slice::from_ref(&rows), 6)[0];
        for (got, matrix) in got.iter().zip(&matrices) {
            assert_eq!(*got, fragment(matrix, true), "{code}");
        }
        for (got, stored) in got[2..].iter().zip(&rows) {
            assert_eq!(got[..16], stored[..16], "{code}");
        }
    }
}

#[test]
fn transposes() {
    let matrices: Vec<Matrix> = random(50).take(8).collect();
    let inputs: Vec<_> = matrices.iter().map(|m| vec![fragment(m, false)]).collect();
    let got = run("movmatrix.sync.aligned.m8n8.trans.b16 %d0, %r0;", &inputs, 1);
    for (got, matrix) in got.iter().zip(&matrices) {
        assert_eq!(got[0], fragment(matrix, true));
    }
}
