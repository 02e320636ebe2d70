//! Shifts, over whole numbers: to the left a product with a power of two, to
//! the right the quotient rounded down.

use num_bigint::BigInt;

use super::instruction::check;
use super::values::{Values, three, two};
use super::whole::{Integer, wrapped};

/// Operands with amounts around the width, and any.
fn shifts<T: Values>() -> Vec<(T, u32)> {
    let near = T::edges().into_iter().flat_map(|a| (0..70).map(move |n| (a, n)));
    near.chain(two()).collect()
}

/// More than any width moves no more out than the width does.
fn moderate(n: u32) -> usize {
    n.min(1000) as usize
}

fn left<T: Integer>(ty: &str) {
    check(&format!("shl.{ty} %d, %a, %b;"), shifts(), |(a, n): (T, u32)| {
        wrapped::<T>(a.whole() << moderate(n))
    });
}

fn right<T: Integer>(ty: &str) {
    check(&format!("shr.{ty} %d, %a, %b;"), shifts(), |(a, n): (T, u32)| {
        wrapped::<T>(a.whole() >> moderate(n))
    });
}

#[test]
fn shl() {
    left::<u16>("b16");
    left::<u32>("b32");
    left::<u64>("b64");
}

#[test]
fn shr() {
    right::<u16>("b16");
    right::<u16>("u16");
    right::<i16>("s16");
    right::<u32>("b32");
    right::<u32>("u32");
    right::<i32>("s32");
    right::<u64>("b64");
    right::<u64>("u64");
    right::<i64>("s64");
}

#[test]
fn shf() {
    let operands = || {
        let amounts = (0..70).chain([u32::MAX, 1 << 31, 96, 128]);
        let around =
            amounts.flat_map(|n| [(0x1234_5678, 0x9abc_def0, n), (u32::MAX, 0, n), (0, u32::MAX, n)]);
        around.chain(three()).collect::<Vec<(u32, u32, u32)>>()
    };
    let number = |a: u32, b: u32| BigInt::from(a) + (BigInt::from(b) << 32);
    for (mode, amount) in [("clamp", (|n| n.min(32)) as fn(u32) -> u32), ("wrap", |n| n % 32)] {
        check(&format!("shf.l.{mode}.b32 %d, %a, %b, %c;"), operands(), |(a, b, n): (u32, u32, u32)| {
            wrapped::<u32>((number(a, b) << amount(n)) >> 32)
        });
        check(&format!("shf.r.{mode}.b32 %d, %a, %b, %c;"), operands(), |(a, b, n): (u32, u32, u32)| {
            wrapped::<u32>(number(a, b) >> amount(n))
        });
    }
}
