//! `mov`: registers, literals, addresses; packing and unpacking.

use super::instruction::{check, refused};
use super::kernel::{bytes, module};
use super::values::{few, one, two};

#[test]
fn registers_of_every_type() {
    for ty in ["b16", "u16", "s16"] {
        check(&format!("mov.{ty} %d, %a;"), one(), |(a,): (u16,)| a);
    }
    for ty in ["b32", "u32", "s32", "f32"] {
        check(&format!("mov.{ty} %d, %a;"), one(), |(a,): (u32,)| a);
    }
    for ty in ["b64", "u64", "s64", "f64"] {
        check(&format!("mov.{ty} %d, %a;"), one(), |(a,): (u64,)| a);
    }
    // NaNs are moved like anything else.
    check("mov.f32 %d, %a;", one(), |(a,): (f32,)| a.to_bits());
    check("mov.f64 %d, %a;", one(), |(a,): (f64,)| a.to_bits());
}

#[test]
fn predicates() {
    let odd = "and.b32 %r0, %a, 1;\nsetp.ne.u32 %p, %r0, 0;\n";
    let result = "\nselp.b32 %d, 1, 0, %q;";
    check(&format!("{odd}mov.pred %q, %p;{result}"), one(), |(a,): (u32,)| a % 2);
    check(&format!("{odd}mov.pred %q, !%p;{result}"), one(), |(a,): (u32,)| 1 - a % 2);
    check(&format!("mov.pred %q, 1;{result}"), few(), |(_,): (u32,)| 1u32);
    check(&format!("mov.pred %q, 0;{result}"), few(), |(_,): (u32,)| 0u32);
}

#[test]
fn literals() {
    let any = || few::<u32>();
    check("mov.u16 %d, 70000;", any(), |_| (70000u32 % 65536) as u16);
    check("mov.s16 %d, -3;", any(), |_| -3i16);
    check("mov.b32 %d, 0x12345678;", any(), |_| 0x1234_5678u32);
    check("mov.s32 %d, -1;", any(), |_| u32::MAX);
    check("mov.u64 %d, 0xfedcba9876543210;", any(), |_| 0xfedc_ba98_7654_3210u64);
    check("mov.s64 %d, -2;", any(), |_| -2i64);
    check("mov.f32 %d, 1.5;", any(), |_| 1.5f32);
    check("mov.f32 %d, 0f7fc00001;", any(), |_| 0x7fc0_0001u32);
    check("mov.f32 %d, 0d3ff8000000000000;", any(), |_| 1.5f32);
    check("mov.b32 %d, 0f3f800000;", any(), |_| 1f32);
    check("mov.f64 %d, 0.1;", any(), |_| 0.1f64);
    check("mov.f64 %d, 0fc0000000;", any(), |_| -2f64);
    check("mov.b64 %d, 0d7ff8000000000001;", any(), |_| 0x7ff8_0000_0000_0001u64);
    check("mov.u32 %d, WARP_SZ;", any(), |_| 32u32);
    check("mov.u64 %d, WARP_SZ;", any(), |_| 32u64);
}

#[test]
fn pack() {
    check(
        ".reg .b8 %x, %y;\ncvt.u8.u16 %x, %a;\ncvt.u8.u16 %y, %b;\nmov.b16 %d, {%x, %y};",
        two(),
        |(a, b): (u8, u8)| u16::from_le_bytes([a, b]),
    );
    check("mov.b32 %d, {%a, %b};", two(), |(a, b): (u16, u16)| u32::from(a) + 65536 * u32::from(b));
    check("mov.b64 %d, {%a, %b};", two(), |(a, b): (u32, u32)| u64::from(a) + (u64::from(b) << 32));
    check("mov.b64 %d, {%a, %b, 7, %b};", two(), |(a, b): (u16, u16)| {
        [b, 7, b, a].iter().fold(0u64, |v, part| v * 65536 + u64::from(*part))
    });
    check(".reg .b8 %x;\ncvt.u8.u16 %x, %a;\nmov.b32 %d, {%x, 1, %x, 3};", few(), |(a,): (u8,)| {
        u32::from_le_bytes([a, 1, a, 3])
    });
    check("mov.b64 %d, {%a, 0f3f800000};", few(), |(a,): (u32,)| u64::from(a) + (0x3f80_0000 << 32));
    check("mov.b64 %d, {1, 2};", few(), |(_,): (u32,)| 0x2_0000_0001u64);
}

#[test]
fn unpack() {
    check(".reg .b8 %x, %y;\nmov.b16 {%x, %y}, %a;\nmov.b16 %d, {%y, %x};", few(), |(a,): (u16,)| {
        a.swap_bytes()
    });
    check("mov.b32 {%h0, %h1}, %a;\nmov.b32 %d, {%h1, %h0};", few(), |(a,): (u32,)| a.rotate_left(16));
    check("mov.b64 {%r0, %r1}, %a;\nmov.b64 %d, {%r1, %r0};", few(), |(a,): (u64,)| a.rotate_left(32));
    check("mov.b64 {%h0, %h1, %h2, %h3}, %a;\nmov.b64 %d, {%h3, %h2, %h1, %h0};", few(), |(a,): (u64,)| {
        let part = |n: u32| a >> (16 * n) & 0xffff;
        part(3) | part(2) << 16 | part(1) << 32 | part(0) << 48
    });
    let reverse = ".reg .b8 %x<4>;\nmov.b32 {%x0, %x1, %x2, %x3}, %a;\nmov.b32 %d, {%x3, %x2, %x1, %x0};";
    check(reverse, few(), |(a,): (u32,)| a.swap_bytes());
    // The source may be among the parts.
    check(
        "mov.b32 {%h0, %h1}, %a;\nmov.b32 %r0, {%h1, %h1};\nmov.b32 {%h1, %h0}, %r0;\nmov.b32 %d, {%h0, %h1};",
        few(),
        |(a,): (u32,)| (a >> 16) * 0x1_0001,
    );
}

#[test]
fn parts_that_nobody_wants() {
    check("mov.b64 {_, %d}, %a;", few(), |(a,): (u64,)| (a >> 32) as u32);
    check("mov.b64 {%d, _}, %a;", few(), |(a,): (u64,)| a as u32);
    check("mov.b64 {_, _, %d, _}, %a;", few(), |(a,): (u64,)| (a >> 32) as u16);
    check("mov.b32 {_, %d}, %a;", few(), |(a,): (u32,)| (a >> 16) as u16);
}

#[test]
fn unpack_a_literal_or_a_special_register() {
    check("mov.b32 {%h0, %h1}, 0x12345678;\nmov.b32 %d, {%h1, %h0};", few(), |(_,): (u32,)| 0x5678_1234u32);
    let threads: Vec<(u32,)> = (0..200).map(|n| (n,)).collect();
    check("mov.b32 {%d, %h1}, %tid.x;", threads, |(n,)| n as u16 % 128);
    check("mov.b64 {_, %d}, %clock64;", few(), |(_,): (u32,)| 0u32);
}

#[test]
fn registers_of_128_bits() {
    let wide = ".reg .b128 %x, %y;\n";
    let swap = "mov.b128 %x, {%a, %b};\nmov.b128 %y, %x;\nmov.b128 {%l0, %l1}, %y;\n";
    check(&format!("{wide}{swap}sub.u64 %d, %l1, %l0;"), two(), |(a, b): (u64, u64)| b.wrapping_sub(a));
    // In one another's place.
    let turn = "mov.b128 %x, {%a, %b};\nmov.b128 {%l1, %l0}, %x;\nmov.b128 %x, {%l0, %l1};\n";
    check(&format!("{wide}{turn}mov.b128 {{%d, _}}, %x;"), two(), |(_, b): (u64, u64)| b);
    let words = "mov.b64 {%r0, %r1}, %a;\nmov.b64 {%r2, %r3}, %b;\nmov.b128 %x, {%r3, %r2, %r1, %r0};\n";
    check(&format!("{wide}{words}mov.b128 {{%d, _}}, %x;"), two(), |(_, b): (u64, u64)| b.rotate_left(32));
    check(&format!("{wide}{words}mov.b128 {{_, %d}}, %x;"), two(), |(a, _): (u64, u64)| a.rotate_left(32));
    let parts = "mov.b128 %x, {%a, %b};\nmov.b128 {%r0, %r1, %r2, %r3}, %x;\n";
    check(&format!("{wide}{parts}mov.b64 %d, {{%r1, %r2}};"), two(), |(a, b): (u64, u64)| a >> 32 | b << 32);
    check(
        &format!("{wide}mov.b128 %x, {{%a, %b}};\nmov.b128 {{_, _, %d, _}}, %x;"),
        two(),
        |(_, b): (u64, u64)| b as u32,
    );
    // A literal's sign stays in its 64 bits, as ptxas has it.
    check(
        &format!("{wide}mov.b128 %x, -5;\nmov.b128 {{%l0, %l1}}, %x;\nsub.u64 %d, %l1, %l0;"),
        few(),
        |(_,): (u32,)| 5u64,
    );
}

#[test]
fn vector_registers() {
    let code = ".reg .v2 .b32 %v;\nmov.v2.b32 %v, {%a, %b};\nsub.u32 %d, %v.x, %v.y;";
    check(code, two(), |(a, b): (u32, u32)| a.wrapping_sub(b));
    let code = ".reg .v4 .b16 %v, %w;\nmov.v4.b16 %v, {%a, %b, 3, 4};\nmov.v4.b16 %w, %v;\n\
                mov.v4.b16 {%h0, %h1, %h2, _}, %w;\nmov.b64 %d, {%w.w, %h2, %h1, %h0};";
    check(code, two(), |(a, b): (u16, u16)| {
        [a, b, 3, 4].iter().fold(0u64, |v, part| v * 65536 + u64::from(*part))
    });
    // Each in the other's place.
    let code =
        "mov.b32 %r0, %a;\nmov.b32 %r1, %b;\nmov.v2.u32 {%r0, %r1}, {%r1, %r0};\nmov.b64 %d, {%r0, %r1};";
    check(code, two(), |(a, b): (u32, u32)| u64::from(b) | u64::from(a) << 32);
    let threads: Vec<(u32,)> = (0..300).map(|n| (n,)).collect();
    let code = "mov.v4.u32 {%r0, %r1, %r2, %r3}, %tid;\nshl.b32 %r1, %r1, 8;\nadd.u32 %r0, %r0, %r1;\n\
                add.u32 %r2, %r2, %r3;\nadd.u32 %d, %r0, %r2;";
    check(code, threads, |(n,)| n % 128);
}

/// A variable's address is one within its space; with an offset, that far behind.
#[test]
fn addresses_of_variables() {
    let declarations =
        ".global .align 16 .b8 g[64];\n.const .align 16 .b8 c[64];\n.shared .align 16 .b8 s[64];";
    let difference = |variable: &str| {
        format!(
            "mov.u64 %l0, {variable};\nmov.u64 %l1, {variable}+24;\nsub.u64 %l2, %l1, %l0;\nst.global.u64 [%out], %l2;"
        )
    };
    for variable in ["g", "c", "s", "bytes"] {
        let ptx = module(declarations, &difference(variable));
        let got = super::kernel::launch(&ptx, super::kernel::Shape::threads(1), &[], 8);
        assert_eq!(got, 24u64.to_le_bytes(), "{variable}");
    }
    // In fewer bits, the lowest of it.
    let code = "mov.u64 %l0, g+3;\nmov.u32 %r0, g+3;\nmov.u16 %h0, g+3;\nst.global.u64 [%out], %l0;\n\
                st.global.u32 [%out+8], %r0;\nst.global.u16 [%out+12], %h0;\nmov.b32 %r1, {%h0, 0};\n\
                st.global.u32 [%out+16], %r1;";
    let got = super::kernel::launch(&module(declarations, code), super::kernel::Shape::threads(1), &[], 20);
    assert_eq!((&got[..4], &got[..2], &got[..2]), (&got[8..12], &got[12..14], &got[16..18]));
    assert_eq!(got[18..], [0, 0]);
}

/// A function's address, through which it is called.
#[test]
fn addresses_of_functions() {
    let declarations = ".func (.param .b32 r) twice(.param .b32 x)\n{\n.reg .b32 %a;\nld.param.b32 %a, [x];\n\
                        add.u32 %a, %a, %a;\nst.param.b32 [r], %a;\nret;\n}";
    let code = "mov.u64 %l0, twice;\n{\n.param .b32 x;\n.param .b32 r;\nst.param.b32 [x], 21;\n\
                kind: .callprototype (.param .b32 _) _ (.param .b32 _);\ncall (r), %l0, (x), kind;\n\
                ld.param.b32 %r0, [r];\n}\nst.global.b32 [%out], %r0;";
    let got = super::kernel::launch(&module(declarations, code), super::kernel::Shape::threads(1), &[], 4);
    assert_eq!(got, 42u32.to_le_bytes());
}

/// Undefined bytes are moved with the others.
#[test]
fn what_was_never_written_may_be_moved() {
    let code = "mov.b32 %r1, {%h5, 7};\nmov.b32 {_, %h6}, %r1;\nst.global.b16 [%out], %h6;";
    assert_eq!(bytes(1, &format!("mov.b16 %h4, %h5;\n{code}"), &[], 2), [7, 0]);
}

#[test]
fn what_is_missing() {
    for form in [
        "b8 %h0, %h1",
        "f16 %h0, %h1",
        "b32 %r0, %h0",
        "b16 %r0, %h0",
        "u32 %r0, %a",
        "b64 %r0, %a",
        "u32 %r0, {%h0, %h1}",
        "b32 %r0, {%h0, %h1, %h2, %h3}",
        "b64 %a, {%h0, %h1}",
        "b32 {%r0, %r1}, %r2",
        "b32 %r0, 1.5",
        "u32 %r0, 1.5",
        "u32 %r0, 0f3f800000",
        "u64 %a, 1.5",
        "f32 %r0, 1",
        "f32 %r0, p0",
        "pred %p, p0",
        "u32 %r0, %clock64",
        "u64 %a, %tid.x",
        "f32 %r0, %tid.x",
        "u16 %h0, %laneid",
        "u32 %r0, %tid",
        "v2.b32 {%r0, %r1}, %tid",
        "b32 %r0",
        "b32 _, %r0",
        "rn.f32 %r0, %r1",
        "u32 %r0, %p",
        "pred %p, %r0",
        "u32 %r0, %pm8",
        "u32 %r0, %envreg32",
    ] {
        refused(&format!("mov.{form};"));
    }
}
