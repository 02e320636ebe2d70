//! Integer arithmetic, over `i128`.

use super::instruction::check;
use super::values::two;

#[test]
fn add_sub() {
    check("add.s32 %d, %a, %b;", two(), |(a, b): (i32, i32)| (i128::from(a) + i128::from(b)) as i32);
    check("sub.s64 %d, %a, %b;", two(), |(a, b): (i64, i64)| (i128::from(a) - i128::from(b)) as i64);
}
