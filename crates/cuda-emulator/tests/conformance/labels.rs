//! Labels are known in the block that declares them and in those inside it.

use super::kernel::{bytes, refused};

/// What one thread's `%r2` is after `code`, which begins with it at 0.
#[track_caller]
fn result(code: &str) -> u32 {
    let code = format!("mov.u32 %r2, 0;\nmov.u32 %r3, 0;\n{code}\nst.global.b32 [%out], %r2;");
    let got = bytes(1, &code, &[], 4);
    u32::from_le_bytes([got[0], got[1], got[2], got[3]])
}

/// Each copy of inlined assembly brings the same names.
#[test]
fn blocks_side_by_side_have_their_own() {
    let body = |step: u32, bound: u32| {
        format!(
            "{{\n.reg .pred P;\nWAIT:\nadd.u32 %r2, %r2, {step};\nsetp.ge.u32 P, %r2, {bound};\n@P bra DONE;\nbra WAIT;\nDONE:\n}}\n"
        )
    };
    // 0, 3, .. 12; then 17, 22; then 24, 26, .. 30.
    assert_eq!(result(&(body(3, 10) + &body(5, 20) + &body(2, 30))), 30);
}

#[test]
fn an_inner_one_hides_an_outer_one() {
    // Backwards and forwards: also from a jump that stands before the inner one.
    let code = "L:\nadd.u32 %r2, %r2, 1;\n\
        {\nbra L;\nadd.u32 %r2, %r2, 10;\nL:\nadd.u32 %r2, %r2, 100;\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p0, %r3, 3;\n@%p0 bra L;\n}\n\
        setp.lt.u32 %p0, %r2, 500;\n@%p0 bra L;";
    // The inner loop runs three times in the first round, then once.
    assert_eq!(result(code), (1 + 3 * 100) + (1 + 100) + (1 + 100));
}

#[test]
fn an_outer_one_is_known_inside() {
    let code = "AGAIN:\nadd.u32 %r2, %r2, 1;\n\
        {\n{\nsetp.lt.u32 %p0, %r2, 7;\n@%p0 bra AGAIN;\nbra OUT;\n}\nadd.u32 %r2, %r2, 1000;\n}\nadd.u32 %r2, %r2, 100;\nOUT:\nadd.u32 %r2, %r2, 10;";
    assert_eq!(result(code), 17);
}

#[test]
fn lists_of_targets_too() {
    // The first `brx` has a list of its own block, whose labels are that block's; the second that of the
    // block around it, and jumps past the labels of those names beside it.
    let code = "TARGETS: .branchtargets A, B;\nmov.u32 %r3, 1;\n\
        {\nTARGETS: .branchtargets A, B;\nbrx.idx %r3, TARGETS;\nA:\nadd.u32 %r2, %r2, 1;\nB:\nadd.u32 %r2, %r2, 2;\n}\n\
        {\nmov.u32 %r3, 0;\nbrx.idx %r3, TARGETS;\nA:\nadd.u32 %r2, %r2, 4;\nB:\nadd.u32 %r2, %r2, 8;\n}\n\
        A:\nadd.u32 %r2, %r2, 16;\nB:\nadd.u32 %r2, %r2, 32;";
    assert_eq!(result(code), 2 + 16 + 32);
}

#[test]
fn what_is_refused() {
    // A label of a block inside; two in one block; a list that stands after its use.
    refused("", "bra L;\n{\nL:\nadd.u32 %r2, %r2, 1;\n}");
    refused(
        "",
        "mov.u32 %r2, 0;\nbrx.idx %r2, TARGETS;\nA:\nadd.u32 %r2, %r2, 1;\nTARGETS: .branchtargets A;",
    );
    refused("", "L:\nadd.u32 %r2, %r2, 1;\nL:\nadd.u32 %r2, %r2, 1;");
}
