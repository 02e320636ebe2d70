//! Forms that do not exist, though their parts do: ptxas refuses each.

use super::instruction::loads;

/// The first of each kind exists, so that it is the form that is refused.
#[track_caller]
fn only_the_first(forms: &[&str]) {
    assert!(loads(forms[0]), "{} exists", forms[0]);
    for form in &forms[1..] {
        assert!(!loads(form), "{form} does not exist");
    }
}

#[test]
fn integer_arithmetic() {
    only_the_first(&[
        "add.sat.s32 %r1, %r2, %r3;",
        "add.sat.u32 %r1, %r2, %r3;",
        "add.sat.s16x2 %r1, %r2, %r3;",
        "add.b32 %r1, %r2, %r3;",
        "add.s32 _, %r2, %r3;",
        "sub.s16x2 %r1, %r2, %r3;",
        "mul.lo.s16x2 %r1, %r2, %r3;",
        "abs.u32 %r1, %r2;",
        "neg.u32 %r1, %r2;",
        "neg.b32 %r1, %r2;",
    ]);
    only_the_first(&[
        "max.relu.s16x2 %r1, %r2, %r3;",
        "max.relu.u16x2 %r1, %r2, %r3;",
        "max.relu.s64 %l1, %l2, %l3;",
        "max.relu.s16 %h1, %h2, %h3;",
        "max.relu.u32 %r1, %r2, %r3;",
    ]);
    only_the_first(&[
        "mad.hi.sat.s32 %r1, %r2, %r3, %r4;",
        "mad.lo.sat.s32 %r1, %r2, %r3, %r4;",
        "mad.hi.sat.u32 %r1, %r2, %r3, %r4;",
        "mul.u32 %r1, %r2, %r3;",
        "mul.u32.lo %r1, %r2, %r3;",
        "mul.lo.b32 %r1, %r2, %r3;",
        "mul.wide.u64 %x1, %l2, %l3;",
        "mul24.wide.u32 %l1, %r1, %r2;",
    ]);
    only_the_first(&[
        "dp2a.lo.u32.u32 %r1, %r2, %r3, %r4;",
        "dp2a.u32.u32.lo %r1, %r2, %r3, %r4;",
        "dp4a.b32.u32 %r1, %r2, %r3, %r4;",
    ]);
}

#[test]
fn extended_precision() {
    only_the_first(&[
        "add.cc.u32 %r1, %r2, %r3;",
        "add.cc.b32 %r1, %r2, %r3;",
        "add.cc.u32 _, %r2, %r3;",
        "addc.cc.u16 %h1, %h2, %h3;",
        "madc.wide.u32 %l1, %r1, %r2, %l2;",
        "mad.wide.cc.u32 %l1, %r1, %r2, %l2;",
        "mad.lo.cc.u16 %h1, %h2, %h3, %h4;",
    ]);
}

#[test]
fn bits_and_logic() {
    only_the_first(&[
        "bfe.u32 %r1, %r2, %r3, %r4;",
        "bfe.b32 %r1, %r2, %r3, %r4;",
        "szext.clamp.b32 %r1, %r2, %r3;",
        "bmsk.b32 %r1, %r2, %r3;",
        "bfind.b32 %r1, %r2;",
        "popc.u32 %r1, %r2;",
        "cnot.u32 %r1, %r2;",
        "cnot.pred %p1, %p2;",
        "and.u32 %r1, %r2, %r3;",
        "shl.u32 %r1, %r2, %r3;",
        "shf.l.b32 %r1, %r2, %r3, %r4;",
        "shf.clamp.l.b32 %r1, %r2, %r3, %r4;",
    ]);
    only_the_first(&[
        "lop3.and.b32 %r1|%p1, %r2, %r3, %r4, 0x3f, %p2;",
        "lop3.and.b32 %r1, %r2, %r3, %r4, 0x3f, %p2;",
        "lop3.xor.b32 %r1|%p1, %r2, %r3, %r4, 0x3f, %p2;",
        "lop3.b32 %r1, %r2, %r3, %r4, %r5;",
    ]);
}

#[test]
fn comparison_and_choice() {
    only_the_first(&[
        "setp.lo.u16 %p1, %h1, %h2;",
        "setp.lo.s16 %p1, %h1, %h2;",
        "setp.lo.b16 %p1, %h1, %h2;",
        "setp.lt.b32 %p1, %r1, %r2;",
        "setp.num.s16 %p1, %h1, 5;",
        "setp.eq.b32 _|_, %r1, %r2;",
        "set.lo.u32.s32 %r1, %r2, %r3;",
        "set.lt.u32.b32 %r1, %r2, %r3;",
        "set.eq.u16.u16 %h1, %h2, %h3;",
        "set.eq.u64.u64 %l1, %l2, %l3;",
    ]);
    only_the_first(&[
        "slct.u32.s32 %r1, %r2, %r3, %r4;",
        "slct.f16.s32 %h1, %h2, %h3, %r4;",
        "slct.u32.u32 %r1, %r2, %r3, %r4;",
        "slct.ftz.u32.s32 %r1, %r2, %r3, %r4;",
        "selp.pred %p1, %p2, %p3, %p1;",
        "selp.f16 %h1, %h2, %h3, %p1;",
    ]);
}

#[test]
fn warps() {
    only_the_first(&[
        "shfl.sync.idx.b32 %r1, %r2, %r3, %r4, %r5;",
        "shfl.sync.idx.b32 _|%p1, %r2, %r3, %r4, %r5;",
        "shfl.sync.idx.u32 %r1, %r2, %r3, %r4, %r5;",
        "shfl.sync.idx.f32 %f1, %f2, %r3, %r4, %r5;",
        "shfl.sync.idx.b64 %l1, %l2, %r3, %r4, %r5;",
        "shfl.idx.b32 %r1, %r2, %r3, %r4;",
        "vote.sync.none.pred %p1, %p2, -1;",
        "match.any.sync.b64 %r1|%p1, %l2, -1;",
        "redux.sync.add.b32 %r1, %r2, -1;",
        "redux.sync.and.u32 %r1, %r2, %r3;",
        "redux.sync.min.f32 %f1, %f2, %r3;",
        "elect.sync %r1, -1;",
    ]);
}

#[test]
fn atomics() {
    only_the_first(&[
        "atom.global.add.u64 %l1, [%l2], %l3;",
        "atom.global.add.s64 %l1, [%l2], %l3;",
        "atom.global.add.u16 %h1, [%l2], %h3;",
        "atom.global.sub.u32 %r1, [%l2], %r3;",
        "atom.inc.s32 %r1, [%l2], %r3;",
        "atom.inc.u64 %l1, [%l2], %l3;",
        "atom.and.u32 %r1, [%l2], %r3;",
        "atom.exch.u32 %r1, [%l2], %r3;",
        "atom.exch.f32 %f1, [%l2], %f3;",
        "atom.exch.b16 %h1, [%l2], %h3;",
        "atom.cas.u32 %r1, [%l2], %r3, %r4;",
        "atom.cas.b32 %r1, [%l2], %r3;",
        "atom.add.f16 %h1, [%l2], %h3;",
        "atom.min.noftz.f16 %h1, [%l2], %h3;",
        "atom.local.add.u32 %r1, [%l2], %r3;",
        "atom.volatile.global.add.u32 %r1, [%l2], %r3;",
        "atom.weak.global.add.u32 %r1, [%l2], %r3;",
        "atom.relaxed.acquire.global.add.u32 %r1, [%l2], %r3;",
        "atom.global.shared.add.u32 %r1, [%l2], %r3;",
        "atom.add.or.b32 %r1, [%l2], %r3;",
    ]);
    only_the_first(&[
        "red.global.add.v4.f32 [%l2], {%f1, %f2, %f3, %f4};",
        "red.shared.add.v4.f32 [%l2], {%f1, %f2, %f3, %f4};",
        "red.global.max.v2.f32 [%l2], {%f1, %f2};",
        "red.global.add.v2.u32 [%l2], {%r1, %r2};",
        "red.global.add.v2.f32 [%l2], {%f1, %f2, %f3};",
        "red.global.exch.b32 [%l2], %r1;",
        "red.inc.u64 [%l2], %l3;",
        "red.acquire.gpu.global.add.u32 [%l2], %r2;",
        "red.acq_rel.gpu.global.add.u32 [%l2], %r2;",
    ]);
}
