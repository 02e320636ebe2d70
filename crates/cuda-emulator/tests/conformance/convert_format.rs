//! `cvt` from one floating-point format to another, or to whole numbers in it.

use half::{bf16, f16};
use num_rational::BigRational;

use super::exact::{
    BF16, F16, F32, F64, Number, Rounding, TF32, decode, flush, round, round_whole, saturate,
};
use super::instruction::{Bits, check, refused, verify};
use super::numbers::{Float, WHOLE, flushing, is, limited, rounded, whole};
use super::values::{few, one};

/// One form of float to float; `rounding` is that of the digits.
fn float_form<D: Float, A: Float>(modifier: &str, rounding: Rounding, inputs: Vec<(A,)>) {
    for (ftz, flushes) in flushing(D::NAME == "f32" || A::NAME == "f32") {
        let saturating = D::NAME != "bf16" && A::NAME != "bf16";
        for sat in if saturating { &["", ".sat"][..] } else { &[""] } {
            let code = format!("cvt{modifier}{ftz}{sat}.{}.{} %d, %a;", D::NAME, A::NAME);
            verify(&code, inputs.clone(), |(a,): (A,), got: D| {
                let bits = match *flushes && A::NAME == "f32" {
                    true => flush(a.bits(), A::FORMAT),
                    false => a.bits(),
                };
                let result = rounded(&decode(bits, A::FORMAT), D::FORMAT, rounding);
                let result = if *flushes && D::NAME == "f32" { flush(result, F32) } else { result };
                is(got, if sat.is_empty() { result } else { saturate(result, D::FORMAT) })
            });
        }
    }
}

fn narrower<D: Float, A: Float>() {
    for (modifier, rounding) in Rounding::ALL {
        float_form::<D, A>(&format!(".{modifier}"), rounding, one());
    }
}

#[test]
fn f64_to_f32() {
    narrower::<f32, f64>();
}

#[test]
fn f64_to_f16_and_bf16() {
    narrower::<f16, f64>();
    narrower::<bf16, f64>();
}

#[test]
fn f32_to_f16_and_bf16() {
    narrower::<f16, f32>();
    narrower::<bf16, f32>();
}

#[test]
fn f16_and_bf16_of_each_other() {
    for (modifier, rounding) in Rounding::ALL {
        float_form::<f16, bf16>(&format!(".{modifier}"), rounding, few());
        float_form::<bf16, f16>(&format!(".{modifier}"), rounding, few());
    }
    // Without a rounding, to nearest.
    float_form::<f16, bf16>("", Rounding::NearestEven, one());
    float_form::<bf16, f16>("", Rounding::NearestEven, one());
}

/// A tie of the short format, moved by less than the middle one can hold: going
/// through f32 would make a tie of it.
#[test]
fn f64_is_rounded_once() {
    let half_ulp = |bits: i32| (1.0 + 0.5f64.powi(bits), 0.5f64.powi(40));
    let (tie16, little) = half_ulp(11);
    let (tie_b, _) = half_ulp(8);
    let inputs: Vec<(f64,)> = [tie16, tie_b, 3.0 * tie16, 0.5f64.powi(20) * tie16]
        .iter()
        .flat_map(|x| [x - little * x, *x, x + little * x])
        .flat_map(|x| [(x,), (-x,)])
        .collect();
    check("cvt.rn.f16.f64 %d, %a;", inputs.clone(), |(a,)| {
        f16::from_bits(rounded(&decode(a.bits(), F64), F16, Rounding::NearestEven) as u16)
    });
    check("cvt.rn.bf16.f64 %d, %a;", inputs, |(a,)| {
        bf16::from_bits(rounded(&decode(a.bits(), F64), BF16, Rounding::NearestEven) as u16)
    });
}

#[test]
fn to_a_wider_format() {
    float_form::<f32, f16>("", Rounding::NearestEven, one());
    float_form::<f64, f16>("", Rounding::NearestEven, one());
    float_form::<f64, f32>("", Rounding::NearestEven, one());
    float_form::<f64, bf16>("", Rounding::NearestEven, one());
    for (modifier, rounding) in Rounding::ALL {
        float_form::<f64, bf16>(&format!(".{modifier}"), rounding, few());
    }
}

/// A bf16 is the upper half of an f32, and stays it: NaNs too, unless `.ftz`
/// takes it through the arithmetic.
#[test]
fn bf16_to_f32() {
    for modifier in ["", ".rn", ".rz", ".rm", ".rp"] {
        check(&format!("cvt{modifier}.f32.bf16 %d, %a;"), one(), |(a,): (bf16,)| {
            u32::from(a.to_bits()) << 16
        });
        check(&format!("cvt{modifier}.ftz.f32.bf16 %d, %a;"), few(), |(a,): (bf16,)| {
            f32::from_bits(rounded(&decode(flush(a.bits(), BF16), BF16), F32, Rounding::NearestEven) as u32)
        });
    }
}

fn same<A: Float>() {
    for (modifier, rounding) in WHOLE {
        for (ftz, flushes) in flushing(A::NAME == "f32") {
            for sat in if A::NAME == "bf16" { &[""][..] } else { &["", ".sat"] } {
                let code = format!("cvt.{modifier}{ftz}{sat}.{0}.{0} %d, %a;", A::NAME);
                verify(&code, few(), |(a,): (A,), got: A| {
                    let bits = if *flushes { flush(a.bits(), A::FORMAT) } else { a.bits() };
                    let negative = bits & A::FORMAT.sign() != 0;
                    let result = match decode(bits, A::FORMAT) {
                        // What rounds to zero keeps its sign.
                        Number::Finite(x) => round(
                            &BigRational::from(round_whole(&x, rounding)),
                            negative,
                            A::FORMAT,
                            rounding,
                        ),
                        other => rounded(&other, A::FORMAT, rounding),
                    };
                    is(got, if sat.is_empty() { result } else { saturate(result, A::FORMAT) })
                });
            }
        }
    }
}

#[test]
fn to_whole_numbers() {
    same::<f16>();
    same::<bf16>();
    same::<f32>();
    same::<f64>();
}

/// Without a rounding: f32 and f64 are copied bit by bit; f16 and bf16 go
/// through the arithmetic, and come out the same but for their NaNs.
#[test]
fn to_the_same_format() {
    check("cvt.f32.f32 %d, %a;", one(), |(a,): (f32,)| a.to_bits());
    check("cvt.f64.f64 %d, %a;", one(), |(a,): (f64,)| a.to_bits());
    check("cvt.ftz.f32.f32 %d, %a;", one(), |(a,): (f32,)| {
        f32::from_bits(rounded(&decode(flush(a.bits(), F32), F32), F32, Rounding::NearestEven) as u32)
    });
    check("cvt.sat.f32.f32 %d, %a;", one(), |(a,): (f32,)| f32::from_bits(saturate(a.bits(), F32) as u32));
    check("cvt.ftz.sat.f32.f32 %d, %a;", one(), |(a,): (f32,)| {
        f32::from_bits(saturate(flush(a.bits(), F32), F32) as u32)
    });
    check("cvt.sat.f64.f64 %d, %a;", one(), |(a,): (f64,)| f64::from_bits(saturate(a.bits(), F64)));
    float_form::<f16, f16>("", Rounding::NearestEven, one());
    float_form::<bf16, bf16>("", Rounding::NearestEven, one());
}

#[test]
fn relu_and_satfinite() {
    fn form<D: Float>() {
        for (modifier, rounding) in [("rn", Rounding::NearestEven), ("rz", Rounding::Zero)] {
            for limits in [".relu", ".satfinite", ".relu.satfinite", ".satfinite.relu"] {
                let code = format!("cvt.{modifier}{limits}.{}.f32 %d, %a;", D::NAME);
                check(&code, one(), |(a,): (f32,)| {
                    let result = rounded(&decode(a.bits(), F32), D::FORMAT, rounding);
                    D::from_bits(limited(result, D::FORMAT, limits.contains("relu"), limits.contains("sat")))
                });
            }
        }
    }
    form::<f16>();
    form::<bf16>();
}

/// tf32 lies in the upper 19 bits of a 32-bit register. Which NaN a NaN becomes is open.
#[test]
fn tf32() {
    let forms = [
        ("rna", Rounding::NearestAway),
        ("rna.satfinite", Rounding::NearestAway),
        ("rn", Rounding::NearestEven),
        ("rn.relu", Rounding::NearestEven),
        ("rz", Rounding::Zero),
        ("rz.relu", Rounding::Zero),
    ];
    for (modifiers, rounding) in forms {
        verify(&format!("cvt.{modifiers}.tf32.f32 %d, %a;"), one(), |(a,): (f32,), got: u32| {
            if a.is_nan() {
                return f32::from_bits(got).is_nan();
            }
            let result = rounded(&decode(a.bits(), F32), TF32, rounding);
            let (relu, satfinite) = (modifiers.contains("relu"), modifiers.contains("sat"));
            u64::from(got) == limited(result, TF32, relu, satfinite) << 13
        });
    }
}

/// A register may be wider than its type, but not where bf16 or tf32 are.
#[test]
fn registers_may_be_wider() {
    check("cvt.rn.f16.f32 %d, %a;", few(), |(a,): (f32,)| {
        rounded(&decode(a.bits(), F32), F16, Rounding::NearestEven)
    });
    check("cvt.rn.f32.f64 %d, %a;", few(), |(a,): (f64,)| {
        rounded(&decode(a.bits(), F64), F32, Rounding::NearestEven)
    });
    check("cvt.rzi.s8.f32 %d, %a;", few(), |(a,): (f32,)| {
        i64::from(whole(&decode(a.bits(), F32), Rounding::Zero, (-128, 127)).unwrap_or(0) as i8)
    });
    check("cvt.f32.f16 %d, %a;", few(), |(a,): (u64,)| {
        f32::from_bits(rounded(&decode(a & 0xffff, F16), F32, Rounding::Zero) as u32)
    });
    check("cvt.rn.f32.s8 %d, %a;", few(), |(a,): (u32,)| f32::from(a as i8));
    check("cvt.rmi.s32.f32 %d, %a;", few(), |(a,): (u64,)| {
        let x = f32::from_bits(a as u32);
        whole(&decode(x.bits(), F32), Rounding::Down, (i32::MIN.into(), i32::MAX.into())).unwrap_or(0) as i32
    });
    refused("cvt.rn.bf16.f32 %r0, %r1;");
    refused("cvt.f32.bf16 %r0, %r1;");
    refused("cvt.rzi.u32.bf16 %l0, %h1;");
    refused("cvt.rna.tf32.f32 %l0, %r1;");
    refused("cvt.f32.f64 %r0, %r1;");
}

#[test]
fn of_a_literal() {
    check("cvt.rzi.s32.f32 %d, 0fC0200000;", few(), |(_,): (u32,)| -2i32);
    check("cvt.rpi.s32.f64 %d, 1.5;", few(), |(_,): (u32,)| 2i32);
    check("cvt.rn.f32.s32 %d, -3;", few(), |(_,): (u32,)| -3f32);
    refused("cvt.rzi.s32.f32 %d, 3;");
    refused("cvt.rn.f32.s32 %d, 1.5;");
}

/// Forms that there are not: each is refused, not taken for its neighbour.
#[test]
fn what_is_missing() {
    for form in [
        // Rounding is missing, or of the wrong kind.
        "f32.s32 %d, %r0",
        "s32.f32 %d, %r0",
        "rn.s32.f32 %d, %r0",
        "rni.f32.s32 %d, %r0",
        "f32.f64 %d, %a",
        "rni.f32.f64 %d, %a",
        "rn.f64.f32 %l0, %r0",
        "rn.f32.f32 %d, %r0",
        "rna.f32.f64 %d, %a",
        "rn.rz.f32.f64 %d, %a",
        // A modifier that the types do not have.
        "rn.ftz.f16.f64 %h0, %a",
        "rn.ftz.f64.s32 %l0, %r0",
        "rn.sat.bf16.f32 %h0, %r0",
        "sat.f32.bf16 %d, %h0",
        "rzi.relu.s32.f32 %d, %r0",
        "rm.relu.f16.f32 %h0, %r0",
        "rn.relu.ftz.f16.f32 %h0, %r0",
        "rn.relu.f32.f64 %d, %a",
        "relu.f32.f16 %d, %h0",
        "satfinite.f32.f32 %d, %r0",
        "rna.relu.tf32.f32 %d, %r0",
        "rm.tf32.f32 %d, %r0",
        "rn.tf32.f64 %d, %a",
        "f32.tf32 %d, %r0",
        "rn.e4m3.f32 %h0, %r0",
        // Of later GPUs.
        "rn.satfinite.tf32.f32 %d, %r0",
        "rz.satfinite.relu.tf32.f32 %d, %r0",
    ] {
        refused(&format!("cvt.{form};"));
    }
}
