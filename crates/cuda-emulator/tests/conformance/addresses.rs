//! `cvta` and `isspacep`.

use super::kernel::{Shape, UNTOUCHED, launch, module, refused};

const DECLARATIONS: &str = ".global .align 16 .b8 g[64] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};\n\
     .const .align 16 .b8 c[64] = {11, 12, 13, 14, 15, 16, 17, 18};\n.shared .align 16 .b8 s[64];\n";
/// A variable of the block's own.
const LOCAL: &str = ".local .align 16 .b8 x[64];\n";

/// Space, a variable in it, and whether kernels write there.
const SPACES: [(&str, &str, bool); 9] = [
    ("global", "g", true),
    ("const", "c", false),
    ("shared", "s", true),
    ("shared::cta", "s", true),
    ("shared::cluster", "s", true),
    ("local", "x", true),
    ("param", "bytes", false),
    ("param::entry", "bytes", false),
    ("global", "%in", true),
];

/// There and back; and the generic address names the same memory.
#[test]
fn cvta() {
    let input: Vec<u8> = (0..64).map(|n| n * 3).collect();
    for (space, variable, writable) in SPACES {
        for offset in [0, 20] {
            let address = if variable == "%in" { "%in".to_owned() } else { format!("{variable}+{offset}") };
            let mut code = format!(
                "{LOCAL}cvta.{space}.u64 %l0, {address};\nmov.u64 %l1, {address};\ncvta.{space}.u64 %l2, %l1;\n\
                 cvta.to.{space}.u64 %l3, %l0;\nsub.u64 %l4, %l2, %l0;\nsub.u64 %l5, %l3, %l1;\n\
                 st.global.v2.b64 [%out], {{%l4, %l5}};\n"
            );
            if writable {
                code +=
                    &format!("st.{space}.b32 [%l1], 0x12345678;\nld.b32 %r0, [%l0];\nst.b32 [%l0], 77;\n");
            } else {
                code += &format!("ld.{space}.b32 %r0, [%l1];\nld.b32 %r1, [%l0];\nsub.u32 %r0, %r0, %r1;\n");
            }
            code += &format!("ld.{space}.b32 %r1, [%l1];\nst.global.v2.b32 [%out+16], {{%r0, %r1}};");
            let got = launch(&module(DECLARATIONS, &code), Shape::threads(1), &input, 24);
            assert_eq!(got[..16], [0; 16], "{space}");
            match (writable, space) {
                (true, _) => assert_eq!(got[16..], [0x78, 0x56, 0x34, 0x12, 77, 0, 0, 0], "{space}"),
                (false, "const") if offset == 0 => assert_eq!(got[16..], [0, 0, 0, 0, 11, 12, 13, 14]),
                (false, "const") => assert_eq!(got[16..], [0; 8]),
                _ => assert_eq!(got[20..], input[offset..][..4]),
            }
        }
    }
}

/// The windows of `.shared` and `.local` are one each; that of parameters is in
/// the global one. Every combination.
#[test]
fn isspacep() {
    let asked =
        ["global", "const", "shared", "shared::cta", "shared::cluster", "local", "param", "param::entry"];
    for (space, variable, _) in SPACES {
        let generic =
            if variable == "%in" { String::new() } else { format!("cvta.{space}.u64 %in, {variable}+8;\n") };
        let mut code = format!("{LOCAL}{generic}");
        for (n, asked) in asked.iter().enumerate() {
            code += &format!(
                "isspacep.{asked} %p0, %in;\nselp.u32 %r0, 1, 0, %p0;\nst.global.b8 [%out+{n}], %r0;\n"
            );
        }
        let got = launch(&module(DECLARATIONS, &code), Shape::threads(1), &[0; 64], 9);
        for (asked, got) in asked.iter().zip(&got) {
            let kind = |space: &str| space.split("::").next().unwrap_or_default().to_owned();
            let is = kind(asked) == kind(space) || kind(space) == "param" && kind(asked) == "global";
            assert_eq!(*got, u8::from(is), "is {variable} in {asked}?");
        }
        assert_eq!(got[8], UNTOUCHED);
    }
}

#[test]
fn what_is_missing() {
    for code in [
        "cvta.param::func.u64 %l0, bytes",
        "cvta.to.global.u64 %l0, g",
        "cvta.shared.u64 %l0, g",
        "cvta.shared.u64 %l0, %r0",
        "cvta.global.s64 %l0, %l1",
        "cvta.u64 %l0, %l1",
        "cvta.generic.u64 %l0, %l1",
        "isspacep.param::func %p0, %l0",
        "isspacep.global.u64 %p0, %l0",
        "isspacep.global %p0, g",
        "isspacep.global %r0, %l0",
        "isspacep %p0, %l0",
        // Addresses have 64 bits.
        "cvta.shared.u32 %r0, %r1",
        "cvta.to.global.u32 %r0, %r1",
    ] {
        refused(DECLARATIONS, &format!("{code};"));
    }
}
