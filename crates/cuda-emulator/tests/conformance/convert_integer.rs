//! `cvt` between integers, over `i128`: extended or cut, or with `.sat` clamped;
//! and `cvt.pack`.

use super::instruction::{check, refused};
use super::numbers::Integer;
use super::values::{few, one, two};

/// Calls a generic function of two integer types with each pair of them.
macro_rules! all_pairs {
    ($f:ident) => { all_pairs!(@ $f: u8 u16 u32 u64 i8 i16 i32 i64) };
    (@ $f:ident: $($to:ident)*) => { $(all_pairs!(@from $f $to);)* };
    (@from $f:ident $to:ident) => {
        $f::<$to, u8>(); $f::<$to, u16>(); $f::<$to, u32>(); $f::<$to, u64>();
        $f::<$to, i8>(); $f::<$to, i16>(); $f::<$to, i32>(); $f::<$to, i64>();
    };
}

#[test]
fn extends_or_cuts() {
    fn form<D: Integer, A: Integer>() {
        check(&format!("cvt.{}.{} %d, %a;", D::NAME, A::NAME), few(), |(a,): (A,)| D::cut(a.value()));
    }
    all_pairs!(form);
}

#[test]
fn clamps_where_something_does_not_fit() {
    fn form<D: Integer, A: Integer>() {
        let code = format!("cvt.sat.{}.{} %d, %a;", D::NAME, A::NAME);
        let (low, high) = D::RANGE;
        match A::RANGE.0 < low || A::RANGE.1 > high {
            true => check(&code, few(), |(a,): (A,)| D::cut(a.value().clamp(low, high))),
            false => refused(&code.replace("%a", "%l0").replace("%d", "%l1")),
        }
    }
    all_pairs!(form);
}

/// A register may be wider than the type: of the source the low bits count, the
/// result is extended to it as its type says.
#[test]
fn registers_may_be_wider() {
    fn form<D: Integer, A: Integer>() {
        let code = format!("cvt.{}.{} %d, %a;", D::NAME, A::NAME);
        check(&code, few(), |(a,): (u64,)| D::cut(A::cut(a.into()).value()).value() as u64);
        let code = format!("cvt.{}.{} %r0, %a;\ncvt.u64.u32 %d, %r0;", D::NAME, A::NAME);
        if size_of::<D>() <= 4 {
            check(&code, few(), |(a,): (A,)| u64::from(D::cut(a.value()).value() as u32));
        }
        // A narrow register holds no more than its bits, whatever is made of them later.
        if size_of::<D>() <= 2 {
            let code = format!(
                "cvt.{}.{} %h0, %a;\nmov.b16 %h1, 0;\nmov.b32 %r0, {{%h0, %h1}};\nmov.b32 %d, %r0;",
                D::NAME,
                A::NAME
            );
            check(&code, few(), |(a,): (A,)| u32::from(D::cut(a.value()).value() as u16));
        }
    }
    all_pairs!(form);
}

#[test]
fn registers_of_128_bits() {
    for (ty, extended) in [("s8", true), ("u8", false)] {
        let code = format!(
            ".reg .b128 %x;\ncvt.{ty}.s64 %x, %a;\nmov.b128 {{%l0, %l1}}, %x;\nsub.u64 %d, %l0, %l1;"
        );
        check(&code, one(), |(a,): (i64,)| match extended {
            true => (a as i8 as i64).wrapping_sub(if (a as i8) < 0 { -1 } else { 0 }),
            false => i64::from(a as u8),
        });
    }
    check(".reg .b128 %x;\nmov.b128 %x, {%a, %b};\ncvt.sat.s16.s32 %d, %x;", two(), |(a, _): (u64, u64)| {
        (a as i32).clamp(-32768, 32767) as i16
    });
}

#[test]
fn registers_of_8_bits() {
    check(".reg .b8 %x;\ncvt.s8.s32 %x, %a;\ncvt.s32.s8 %d, %x;", one(), |(a,): (i32,)| i32::from(a as i8));
    check(".reg .b8 %x;\ncvt.u8.u64 %x, %a;\ncvt.u64.u8 %d, %x;", one(), |(a,): (u64,)| u64::from(a as u8));
    refused(".reg .b8 %x;\ncvt.u32.u16 %d, %x;");
    refused("cvt.u64.u32 %r0, %r1;");
}

#[test]
fn of_a_literal_or_a_special_register() {
    check("cvt.u64.s8 %d, -7;", few(), |(_,): (u32,)| -7i64 as u64);
    check("cvt.sat.u8.s32 %d, 300;", few(), |(_,): (u32,)| 255u16);
    // Threads of a block are 128 here: see the frame.
    let lanes: Vec<(u32,)> = (0..300).map(|n| (n,)).collect();
    check("cvt.u64.u32 %d, %tid.x;", lanes.clone(), |(n,)| u64::from(n % 128));
    check("cvt.u16.u16 %d, %tid.x;", lanes, |(n,)| n as u16 % 128);
}

/// Modifiers may come in any order, as ptxas reads them.
#[test]
fn the_order_of_modifiers_is_free() {
    check("cvt.u8.sat.s32 %d, %a;", one(), |(a,): (i32,)| a.clamp(0, 255) as u16);
    refused("cvt.rn.u8.s32 %h0, %r0;");
    refused("cvt.ftz.u8.s32 %h0, %r0;");
}

#[test]
fn pack_two_halves() {
    let clamp = |a: i32, low, high| a.clamp(low, high);
    check("cvt.pack.sat.u16.s32 %d, %a, %b;", two(), |(a, b): (i32, i32)| {
        (clamp(a, 0, 65535) as u32) * 65536 + clamp(b, 0, 65535) as u32
    });
    check("cvt.pack.sat.s16.s32 %d, %a, %b;", two(), |(a, b): (i32, i32)| {
        u32::from(clamp(a, -32768, 32767) as u16) * 65536 + u32::from(clamp(b, -32768, 32767) as u16)
    });
}

/// Two numbers of a few bits each, the third operand's low bits above them.
#[test]
fn pack_small_numbers() {
    for (bits, signed) in [(2, false), (2, true), (4, false), (4, true), (8, false), (8, true)] {
        let letter = if signed { 's' } else { 'u' };
        let code = format!("cvt.pack.sat.{letter}{bits}.s32.b32 %d, %a, %b, %c;");
        let count = 1i128 << bits;
        let (low, high) = if signed { (-count / 2, count / 2 - 1) } else { (0, count - 1) };
        let part = |x: i32| i128::from(x).clamp(low, high).rem_euclid(count);
        check(&code, super::values::three(), |(a, b, c): (i32, i32, u32)| {
            let above = i128::from(c) * count * count;
            ((above + part(a) * count + part(b)) % (1 << 32)) as u32
        });
    }
    check("cvt.pack.sat.u8.s32.b32 %d, 300, -5, 7;", few(), |(_,): (u32,)| 0x7_ff00u32);
    refused("cvt.pack.sat.u16.s32.b32 %d, %r0, %r1, %r2;");
    refused("cvt.pack.sat.u8.s32 %d, %r0, %r1;");
    refused("cvt.pack.u16.s32 %d, %r0, %r1;");
    refused("cvt.pack.sat.u32.s32 %d, %r0, %r1;");
}
