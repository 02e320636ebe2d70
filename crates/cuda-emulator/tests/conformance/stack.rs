//! `alloca`, `stacksave`, `stackrestore`.

use super::kernel::{Shape, bytes, launch, module, refused};

/// Each thread has as much as it asked for, apart from all it had before.
#[test]
fn allocations_are_apart() {
    let code = "mad.lo.u32 %r2, %t, 4, 4;\ncvt.u64.u32 %l2, %r2;\nalloca.u64 %l0, 4;\nalloca.u64 %l1, %l2, 16;\nalloca.u32 %r4, 8, 32;\n\
        st.local.b32 [%l0], 1;\nst.local.b32 [%r4], 2;\nst.local.b32 [%r4+4], 3;\n\
        mov.u64 %l3, %l1;\nmov.u32 %r5, 0;\n\
        FILL:\nst.local.b32 [%l3], %r5;\nadd.u64 %l3, %l3, 4;\nadd.u32 %r5, %r5, 4;\nsetp.lt.u32 %p0, %r5, %r2;\n@%p0 bra FILL;\n\
        mov.u32 %r6, 0;\nmov.u32 %r5, 0;\nmov.u64 %l3, %l1;\n\
        SUM:\nld.local.b32 %r7, [%l3];\nadd.u32 %r6, %r6, %r7;\nadd.u64 %l3, %l3, 4;\nadd.u32 %r5, %r5, 4;\nsetp.lt.u32 %p0, %r5, %r2;\n@%p0 bra SUM;\n\
        ld.local.b32 %r8, [%l0];\nld.local.v2.b32 {%r9, %r10}, [%r4];\n\
        and.b64 %l4, %l1, 15;\ncvt.u32.u64 %r11, %l4;\nand.b32 %r12, %r4, 31;\nor.b32 %r11, %r11, %r12;\n\
        mad.wide.u32 %out, %t, 32, %out;\nst.global.v4.b32 [%out], {%r6, %r8, %r9, %r10};\nst.global.b32 [%out+16], %r11;";
    let got = bytes(40, code, &[], 40 * 32);
    for (t, got) in got.chunks(32).enumerate() {
        let word =
            |n: usize| u32::from_le_bytes([got[4 * n], got[4 * n + 1], got[4 * n + 2], got[4 * n + 3]]);
        let words = t as u32 + 1;
        let sum = 4 * (0..words).sum::<u32>();
        assert_eq!([word(0), word(1), word(2), word(3), word(4)], [sum, 1, 2, 3, 0], "thread {t}");
    }
}

/// What was allocated since is gone; the place is used again.
#[test]
fn the_stack_is_as_it_was_saved() {
    let code = "alloca.u64 %l0, 16;\nst.local.b32 [%l0], 7;\nstacksave.u64 %l1;\nalloca.u64 %l2, 64;\nstackrestore.u64 %l1;\n\
        stacksave.u64 %l3;\nalloca.u64 %l4, 64;\nsub.u64 %l5, %l3, %l1;\nsub.u64 %l6, %l4, %l2;\nld.local.b32 %r2, [%l0];\n\
        stacksave.u32 %r3;\nstackrestore.u32 %r3;\n\
        st.global.v2.b64 [%out], {%l5, %l6};\nst.global.b32 [%out+16], %r2;";
    let got = bytes(1, code, &[], 20);
    assert_eq!(got, [[0; 16].as_slice(), &[7, 0, 0, 0]].concat());
}

/// Through generic addresses too; and a function's allocations end with it, in
/// every thread of its own depth.
#[test]
fn functions_give_back() {
    let declarations = ".func (.param .b32 r) sum(.param .b32 n)\n{\n.reg .b32 %n, %a, %b;\n.reg .b64 %p, %g;\n.reg .pred %q;\n\
        ld.param.b32 %n, [n];\nmov.b32 %a, 0;\nsetp.eq.u32 %q, %n, 0;\n@%q bra END;\n\
        alloca.u64 %p, 400;\ncvta.local.u64 %g, %p;\nst.b32 [%g+396], %n;\nsub.u32 %a, %n, 1;\n\
        {\n.param .b32 x;\n.param .b32 y;\nst.param.b32 [x], %a;\ncall (y), sum, (x);\nld.param.b32 %a, [y];\n}\n\
        ld.local.b32 %b, [%p+396];\nadd.u32 %a, %a, %b;\nEND:\nst.param.b32 [r], %a;\nret;\n}";
    // Much more than there is room for, if nothing were given back.
    let code = "mov.u32 %r2, 0;\nmov.u32 %r3, 0;\n\
        AGAIN:\n{\n.param .b32 x;\n.param .b32 y;\nst.param.b32 [x], %t;\ncall (y), sum, (x);\nld.param.b32 %r4, [y];\n}\n\
        add.u32 %r3, %r3, %r4;\nadd.u32 %r2, %r2, 1;\nsetp.lt.u32 %p0, %r2, 100;\n@%p0 bra AGAIN;\n\
        mad.wide.u32 %out, %t, 4, %out;\nst.global.b32 [%out], %r3;";
    let got = launch(&module(declarations, code), Shape::threads(40), &[], 160);
    let expected: Vec<u8> = (0..40u32).flat_map(|t| (100 * t * (t + 1) / 2).to_le_bytes()).collect();
    assert_eq!(got, expected);
}

#[test]
fn what_is_missing() {
    for code in [
        "alloca.u64 %l0, %l1, 24",
        "alloca.u64 %l0, %l1, 0",
        "alloca.u64 %l0, %l1, %r0",
        "alloca.u64 %l0, %r1",
        "alloca.b64 %l0, %l1",
        "alloca.u64 %l0",
        "stacksave.b64 %l0",
        "stacksave.u64 %r0",
        "stackrestore.u64 %r0",
        "stackrestore.u64",
    ] {
        refused("", &format!("{code};"));
    }
}
