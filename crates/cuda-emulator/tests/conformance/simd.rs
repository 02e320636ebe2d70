//! Two 16-bit numbers in a word, one by one, over whole numbers.

use super::instruction::check;
use super::values::two;

/// The halves of `a` and `b`, lower first, through `f` and back.
#[track_caller]
fn halves(code: &str, signed: bool, f: impl Fn(i64, i64) -> i64) {
    let number = |half: u64| if signed && half >= 0x8000 { half as i64 - 0x1_0000 } else { half as i64 };
    check(code, two(), |(a, b): (u32, u32)| {
        let (a, b) = (u64::from(a), u64::from(b));
        let low = f(number(a % 0x1_0000), number(b % 0x1_0000)).rem_euclid(0x1_0000);
        let high = f(number(a / 0x1_0000), number(b / 0x1_0000)).rem_euclid(0x1_0000);
        (high * 0x1_0000 + low) as u32
    });
}

#[test]
fn sums_wrap_in_each_half() {
    halves("add.u16x2 %d, %a, %b;", false, |a, b| a + b);
    halves("add.s16x2 %d, %a, %b;", true, |a, b| a + b);
}

#[test]
fn min_max() {
    halves("min.u16x2 %d, %a, %b;", false, i64::min);
    halves("max.u16x2 %d, %a, %b;", false, i64::max);
    halves("min.s16x2 %d, %a, %b;", true, i64::min);
    halves("max.s16x2 %d, %a, %b;", true, i64::max);
    halves("min.relu.s16x2 %d, %a, %b;", true, |a, b| a.min(b).max(0));
    halves("max.relu.s16x2 %d, %a, %b;", true, |a, b| a.max(b).max(0));
    halves("min.s16x2.relu %d, %a, %b;", true, |a, b| a.min(b).max(0));
}
