//! Bitwise logic, bit by bit.

use super::instruction::{Bits, check, run};
use super::values::{Values, one, random_bits, three, two};

/// Bit `n` of a number.
fn bit<T: Bits>(x: T, n: usize) -> bool {
    (x.bits() / (1u64 << n)) % 2 == 1
}

/// A number of the bits that `f` gives.
fn collect<T: Bits>(f: impl Fn(usize) -> bool) -> T {
    T::from_bits((0..8 * T::BYTES).map(|n| u64::from(f(n)) << n).sum())
}

fn all<T: Values + PartialEq>(ty: &str) {
    let instruction = |opcode: &str| format!("{opcode}.{ty} %d, %a, %b;");
    check(&instruction("and"), two(), |(a, b): (T, T)| collect::<T>(|n| bit(a, n) && bit(b, n)));
    check(&instruction("or"), two(), |(a, b): (T, T)| collect::<T>(|n| bit(a, n) || bit(b, n)));
    check(&instruction("xor"), two(), |(a, b): (T, T)| collect::<T>(|n| bit(a, n) != bit(b, n)));
    check(&format!("not.{ty} %d, %a;"), one(), |(a,): (T,)| collect::<T>(|n| !bit(a, n)));
    check(&format!("cnot.{ty} %d, %a;"), one(), |(a,): (T,)| T::from_bits(u64::from(a.bits() == 0)));
}

#[test]
fn and_or_xor_not_cnot() {
    all::<u16>("b16");
    all::<u32>("b32");
    all::<u64>("b64");
}

#[test]
fn predicates() {
    // %p and %q are the lowest bits of %a and %b.
    let code = |instruction: &str| {
        format!(
            "and.b32 %a, %a, 1;\nand.b32 %b, %b, 1;\nsetp.ne.u32 %p, %a, 0;\nsetp.ne.u32 %q, %b, 0;\n\
             {instruction}\nselp.u32 %d, 1, 0, %p;"
        )
    };
    let all = |instruction: &str, f: fn(bool, bool) -> bool| {
        check(&code(instruction), two(), |(a, b): (u32, u32)| f(a % 2 == 1, b % 2 == 1));
    };
    all("and.pred %p, %p, %q;", |p, q| p && q);
    all("or.pred %p, %p, %q;", |p, q| p || q);
    all("xor.pred %p, %p, %q;", |p, q| p != q);
    all("not.pred %p, %q;", |_, q| !q);
    all("and.pred %p, %p, !%q;", |p, q| p && !q);
    all("mov.pred %p, %q;", |_, q| q);
}

/// The table's bit where the three operands' bits spell its number.
fn looked_up(table: u32, a: u32, b: u32, c: u32) -> u32 {
    collect(|n| {
        let number = 4 * u32::from(bit(a, n)) + 2 * u32::from(bit(b, n)) + u32::from(bit(c, n));
        bit(table, number as usize)
    })
}

#[test]
fn lop3() {
    // Among them the table of every combination.
    let mut inputs = vec![(0xf0f0_f0f0, 0xcccc_cccc, 0xaaaa_aaaa)];
    inputs.extend(
        random_bits(1).zip(random_bits(2)).map(|(x, y)| (x as u32, (x >> 32) as u32, y as u32)).take(95),
    );
    for table in 0..256 {
        let code = format!("lop3.b32 %d, %a, %b, %c, {table};");
        check(&code, inputs.clone(), |(a, b, c): (u32, u32, u32)| looked_up(table, a, b, c));
    }
}

#[test]
fn lop3_with_a_predicate() {
    for (how, combine) in [("or", (|x, q| x || q) as fn(bool, bool) -> bool), ("and", |x, q| x && q)] {
        for (q, negated) in [("%q", false), ("!%q", true)] {
            for table in [0x80, 0x96, 0x00, 0x01] {
                // %q is the sign of %c.
                let code = |d: &str| {
                    format!("setp.lt.s32 %q, %c, 0;\nlop3.{how}.b32 {d}|%p, %a, %b, %c, {table}, {q};\n")
                };
                check(&code("%d"), three(), |(a, b, c): (u32, u32, u32)| looked_up(table, a, b, c));
                for d in ["%d", "_"] {
                    let code = format!("{}selp.u32 %d, 1, 0, %p;", code(d));
                    check(&code, three(), |(a, b, c): (u32, u32, u32)| {
                        combine(looked_up(table, a, b, c) != 0, bit(c, 31) != negated)
                    });
                }
            }
        }
    }
}

/// A guard that the instruction itself changes holds for all of it.
#[test]
fn lop3_writes_its_own_guard() {
    let code = "setp.ne.u32 %p, %a, %b;\nsetp.ne.u32 %q, 0, 0;\nmov.u32 %d, 7;\n\
                @%p lop3.or.b32 %d|%p, %a, %b, 0, 0xc0, %q;\n@%p add.u32 %d, %d, 1;";
    let inputs = two::<u32, u32>();
    let results: Vec<u32> = run(code, &inputs);
    for ((a, b), got) in inputs.into_iter().zip(results) {
        let both = collect::<u32>(|n| bit(a, n) && bit(b, n));
        let expected = match (a != b, both != 0) {
            (false, _) => 7,
            (true, false) => both,
            (true, true) => both.wrapping_add(1),
        };
        assert_eq!(got, expected, "{a:#x} {b:#x}");
    }
}
