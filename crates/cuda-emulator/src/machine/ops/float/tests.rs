//! Which forms there are. What they give is in the conformance tests.

use crate::code::Program;

fn load(instruction: &str) -> Result<(), String> {
    let ptx = format!(
        ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{{\n\
         .reg .pred %p<4>;\n.reg .f32 %f<4>;\n.reg .f64 %d<4>;\n.reg .b16 %h<4>;\n.reg .b32 %r<4>;\n.reg .b64 %l<4>;\n\
         {instruction}\nret;\n}}\n"
    );
    Program::load(&ptx, &mut |_| 0).map(drop).map_err(|error| error.to_string())
}

/// Forms that PTX has not, or that need a later GPU: errors that name them, never taken for another.
#[test]
fn a_form_that_does_not_exist_is_refused() {
    for (forms, operands) in [
        (
            "add.approx.f32 add.relu.f32 add.rn.rz.f32 add.ftz.ftz.f32 mul.full.f32 sub.NaN.f32",
            "%f1, %f2, %f3",
        ),
        (
            "div.f32 div.rn.sat.f32 div.approx.sat.f32 min.sat.f32 max.rn.f32 copysign.ftz.f32",
            "%f1, %f2, %f3",
        ),
        ("min.abs.f32 max.xorsign.f32", "%f1, %f2, %f3"),
        ("fma.f32 mad.f32 fma.approx.f32 fma.rn.relu.f32", "%f1, %f2, %f3, %f1"),
        (
            "rcp.f32 rcp.full.f32 rcp.rn.sat.f32 sqrt.f32 rsqrt.rn.f32 sin.f32 tanh.approx.ftz.f32 lg2.rn.f32",
            "%f1, %f2",
        ),
        ("abs.rn.f32 neg.sat.f32", "%f1, %f2"),
        (
            "add.ftz.f64 add.rn.sat.f64 div.f64 div.full.f64 div.approx.f64 min.NaN.f64 max.ftz.f64",
            "%d1, %d2, %d3",
        ),
        (
            "rcp.f64 rcp.rn.ftz.f64 rcp.approx.f64 sqrt.approx.f64 sin.approx.f64 ex2.approx.f64 abs.ftz.f64",
            "%d1, %d2",
        ),
        (
            "add.rz.f16 add.relu.f16 div.rn.f16 add.ftz.bf16 mul.sat.bf16 min.ftz.bf16 copysign.f16",
            "%h1, %h2, %h3",
        ),
        (
            "fma.f16 fma.rz.bf16 fma.rn.sat.bf16 fma.rn.sat.relu.f16 mad.rn.f16 fma.rn.oob.f16",
            "%h1, %h2, %h3, %h1",
        ),
        ("ex2.approx.ftz.f16 ex2.approx.bf16 tanh.approx.ftz.bf16 neg.ftz.bf16 lg2.approx.f16", "%h1, %h2"),
        ("add.rn.f32x2 mul.rn.f32x2", "%l1, %l2, %l3"),
        ("add.f32.f16 sub.f32.bf16", "%f1, %h2, %f3"),
        ("min.f32 max.f32", "%f1, %f2, %f3, %f1"),
        ("testp.zero.f32 testp.finite.ftz.f32", "%p1, %f2"),
        ("setp.lo.f32 setp.eq.eq.f32 setp.f32 setp.nanu.f32 setp.eq.u32.f32", "%p1, %f1, %f2"),
        ("setp.eq.ftz.f64", "%p1, %d1, %d2"),
        ("setp.eq.ftz.bf16", "%p1, %h1, %h2"),
        ("setp.eq.f16", "%p1|%p2, %h1, %h2"),
        ("set.eq.u64.f32 set.eq.f32 set.eq.f16x2.f32", "%l1, %f1, %f2"),
        ("set.eq.f16.bf16 set.eq.ftz.bf16.f16", "%h1, %h2, %h3"),
        ("set.eq.ftz.bf16.f32", "%h1, %f2, %f3"),
    ] {
        for form in forms.split_whitespace() {
            let error = load(&format!("{form} {operands};")).unwrap_err();
            let opcode = form.split_once('.').map_or(form, |(opcode, _)| opcode);
            let named = error.contains(&format!("`{form}`")) || error.contains(&format!("`{opcode}` takes"));
            assert!(named && error.contains("line 12"), "{error}");
        }
    }
}

/// Literals are of the type: integers are no floats, and f16 and bf16 have none.
#[test]
fn a_literal_of_another_type_is_refused() {
    for instruction in [
        "add.f32 %f1, %f2, 0f3F800000;",
        "add.f32 %f1, %f2, 1.5;",
        "add.f64 %d1, 0d3FF0000000000000, %d2;",
        "setp.eq.f64 %p1, %d1, 0f3F800000;",
    ] {
        load(instruction).unwrap();
    }
    for instruction in [
        "add.f32 %f1, %f2, 1;",
        "add.f64 %d1, %d2, 1;",
        "add.f16 %h1, %h2, 0x3c00;",
        "add.f16 %h1, %h2, 0f3F800000;",
        "add.bf16x2 %r1, %r2, 0x3f803f80;",
        "setp.eq.f32 %p1, %f1, 1;",
    ] {
        let error = load(instruction).unwrap_err();
        assert!(error.contains("literal"), "{instruction}: {error}");
    }
}
