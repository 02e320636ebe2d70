//! Which forms of the instructions on matrices exist: ptxas takes the ones and refuses the others.

use super::instruction::loads;

/// `F4` and so on stand for lists of registers, of floats or of words.
fn form(text: &str) -> String {
    text.replace("F4", "{%f1, %f2, %f3, %f4}")
        .replace("R4", "{%r1, %r2, %r3, %r4}")
        .replace("R2", "{%r5, %r6}")
        .replace("R1", "{%r7}")
        + ";"
}

#[track_caller]
fn exist(forms: &[&str]) {
    forms.iter().for_each(|f| assert!(loads(&form(f)), "{f} exists"));
}

#[track_caller]
fn do_not_exist(forms: &[&str]) {
    forms.iter().for_each(|f| assert!(!loads(&form(f)), "{f} does not exist"));
}

#[test]
fn mma() {
    exist(&[
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 R4, R4, {%r5, 0}, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1, _, _, _}, R4, R2, {%f1, %f2, %f3, 0f00000000}",
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 R4, R4, R2, {0, 0, 0, -1}",
        "mma.sync.aligned.m16n8k32.row.col.satfinite.s32.u8.s8.s32 R4, R4, R2, R4",
        "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32.satfinite R4, R4, R2, R4",
    ]);
    do_not_exist(&[
        "mma.sync.m16n8k16.row.col.f32.f16.f16.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k16.col.col.f32.f16.f16.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.satfinite.f32.f16.f16.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f16 F4, R4, R2, R2",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.bf16.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f16.bf16.bf16.f16 R2, R4, R2, R2",
        "mma.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k8.row.col.f32.e4m3.e4m3.f32 F4, R2, R1, F4",
        "mma.sync.aligned.m16n8k32.row.col.kind::f8f6f4.f32.e4m3.e4m3.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k32.row.col.f32.u8.s8.f32 F4, R4, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 F4, {%r1, %r2, %r3}, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 F4, {%r1, %r2, %r3, %h1}, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 F4, {%r1, %r2, %r3, _}, R2, F4",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 F4, R4, R2, {0, 0, 0, 0}",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 F4, R4, R2, {0.0, 0.0, 0.0, 0.0}",
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 F4, R2, %r7, F4",
    ]);
}

#[test]
fn small_matrices() {
    exist(&[
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 R2, [%r3]",
        "ldmatrix.sync.aligned.x2.m8n8.shared.b16 {%r5, _}, [%r3]",
        "ldmatrix.sync.aligned.m8n8.x2.shared.trans.b16 R2, [%r3]",
        "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%r3], R2",
        "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%r3], {%r5, 0}",
        "movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r2",
        "movmatrix.sync.aligned.m8n8.trans.b16 %f1, %r2",
    ]);
    do_not_exist(&[
        "ldmatrix.sync.m8n8.x2.shared.b16 R2, [%r3]",
        "ldmatrix.sync.aligned.m8n8.x3.shared.b16 {%r1, %r2, %r4}, [%r3]",
        "ldmatrix.sync.aligned.m8n8.shared.b16 R1, [%r3]",
        "ldmatrix.sync.aligned.x1.m8n8.x1.shared.b16 R1, [%r3]",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 R4, [%r3]",
        "ldmatrix.sync.aligned.m8n8.x1.shared.b16 %r1, [%r3]",
        "ldmatrix.sync.aligned.m8n8.x2.global.b16 R2, [%l3]",
        "ldmatrix.sync.aligned.m8n8.x2.shared::cluster.b16 R2, [%r3]",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b8 R2, [%r3]",
        "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 R2, [%r3]",
        "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 R2, [%r3]",
        "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r3], {_}",
        "stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%r3], R1",
        "movmatrix.sync.aligned.m8n8.b16 %r1, %r2",
        "movmatrix.sync.aligned.m8n8.trans.b32 %r1, %r2",
        "movmatrix.sync.aligned.m8n8.trans.b16 %r1, 7",
        "movmatrix.sync.aligned.m8n8.trans.b16 %h1, %r1",
        "movmatrix.sync.aligned.m8n8.trans.b16 _, %r1",
    ]);
}

#[test]
fn wgmma() {
    exist(&[
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, R4, %l2, !%p1, 1, -1, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f16.f16.f16 R2, %l1, %l2, 1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e5m2 F4, %l1, %l2, %p1, 1, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e5m2 F4, {%r1, %r2, %r3, 0}, %l2, %p1, 1, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.f16.e5m2.e5m2 R2, %l1, %l2, %p1, 1, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.f16.e4m3.e5m2 R2, %l1, %l2, %p1, 1, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.u8 R4, %l1, %l2, %p1",
        "wgmma.mma_async.sync.aligned.m64n8k32.satfinite.s32.s8.u8 R4, %l1, %l2, %p1",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.u8.satfinite R4, %l1, %l2, %p1",
        "wgmma.wait_group.sync.aligned 1",
        "wgmma.commit_group.sync.aligned",
        "wgmma.fence.sync.aligned",
    ]);
    do_not_exist(&[
        // Types and shapes.
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.f16.f16 F4, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m32n8k16.f32.f16.f16 F4, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n12k16.f32.f16.f16 {%f1, %f2, %f3, %f4, %f5, %f6}, %l1, %l2, %p1, 1, 1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.bf16 F4, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f16.bf16.bf16 R2, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.s8.u8 F4, %l1, %l2, %p1",
        "wgmma.mma_async.sync.aligned.m64n8k16.satfinite.f32.f16.f16 F4, %l1, %l2, %p1, 1, -1, 0, 1",
        // Immediates.
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %l1, %l2, %p1, 1, -1, 0",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %l1, %l2, %p1, 1, -1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %l1, %l2, %p1, 1, 0, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %l1, %l2, %p1, 1, 1, 0, -1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, R4, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e5m2 F4, %l1, %l2, %p1, 1, 1, 0, 0",
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e5m2 F4, %l1, %l2, %p1",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.u8 R4, %l1, %l2, %p1, 1, 1",
        // Registers.
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, R2, %l2, %p1, 1, -1, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3}, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, _}, %l1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %r1, %l2, %p1, 1, -1, 0, 1",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 F4, %l1, %l2, %r1, 1, -1, 0, 1",
        // The others.
        "wgmma.wait_group.sync.aligned %r1",
        "wgmma.wait_group.sync.aligned -1",
        "wgmma.wait_group.sync.aligned",
        "wgmma.commit_group.sync.aligned 1",
        "wgmma.fence.aligned",
    ]);
}
