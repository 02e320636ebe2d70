//! Integer arithmetic, over whole numbers of any length.

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::instruction::check;
use super::values::{one, three, two};
use super::whole::{Integer, saturated, wrapped};

/// `opcode.type` against a function of whole numbers, wrapped.
#[track_caller]
fn binary<T: Integer>(opcode: &str, definition: impl Fn(BigInt, BigInt) -> BigInt) {
    check(&format!("{opcode}.{} %d, %a, %b;", T::NAME), two(), |(a, b): (T, T)| {
        wrapped::<T>(definition(a.whole(), b.whole()))
    });
}

macro_rules! all_types {
    ($f:ident, $($rest:expr),*) => {
        $f::<u16>($($rest),*);
        $f::<i16>($($rest),*);
        $f::<u32>($($rest),*);
        $f::<i32>($($rest),*);
        $f::<u64>($($rest),*);
        $f::<i64>($($rest),*);
    };
}

#[test]
fn add_sub() {
    all_types!(binary, "add", |a, b| a + b);
    all_types!(binary, "sub", |a, b| a - b);
}

#[test]
fn an_immediate_operand() {
    check("add.u32 %d, %a, 4294967295;", one(), |(a,): (u32,)| wrapped::<u32>(a.whole() - 1));
    check("sub.s64 %d, -7, %a;", one(), |(a,): (i64,)| wrapped::<i64>(-7 - a.whole()));
    check("min.s16 %d, %a, -3;", one(), |(a,): (i16,)| if a < -3 { a } else { -3 });
    check("max.u16 %d, %a, -1;", one(), |(_,): (u16,)| u16::MAX);
}

#[test]
fn saturation() {
    check("add.sat.s32 %d, %a, %b;", two(), |(a, b): (i32, i32)| saturated::<i32>(a.whole() + b.whole()));
    check("sub.sat.s32 %d, %a, %b;", two(), |(a, b): (i32, i32)| saturated::<i32>(a.whole() - b.whole()));
    check("add.s32.sat %d, %a, %b;", two(), |(a, b): (i32, i32)| saturated::<i32>(a.whole() + b.whole()));
}

#[test]
fn min_max() {
    all_types!(binary, "min", |a, b| a.min(b));
    all_types!(binary, "max", |a, b| a.max(b));
    let zero = BigInt::zero;
    binary::<i32>("min.relu", |a, b| a.min(b).max(zero()));
    binary::<i32>("max.relu", |a, b| a.max(b).max(zero()));
}

/// Towards zero; all ones where the divisor is zero, as GPUs do: the manual leaves it open.
#[test]
fn div_rem() {
    let minus_one = || BigInt::from(-1);
    all_types!(binary, "div", |a, b| if b.is_zero() { minus_one() } else { a / b });
    all_types!(binary, "rem", |a, b| if b.is_zero() { minus_one() } else { a % b });
}

fn one_operand<T: Integer>() {
    check(&format!("abs.{} %d, %a;", T::NAME), one(), |(a,): (T,)| wrapped::<T>(a.whole().abs()));
    check(&format!("neg.{} %d, %a;", T::NAME), one(), |(a,): (T,)| wrapped::<T>(-a.whole()));
}

#[test]
fn abs_neg() {
    one_operand::<i16>();
    one_operand::<i32>();
    one_operand::<i64>();
}

fn sum_of_distances<T: Integer>() {
    check(&format!("sad.{} %d, %a, %b, %c;", T::NAME), three(), |(a, b, c): (T, T, T)| {
        wrapped::<T>((a.whole() - b.whole()).abs() + c.whole())
    });
}

#[test]
fn sad() {
    all_types!(sum_of_distances,);
}
