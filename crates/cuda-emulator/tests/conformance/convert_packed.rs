//! `cvt` of pairs: f16x2 and bf16x2 from f32, and the 8-bit formats.

use half::f16;

use super::exact::{BF16, E4M3, E5M2, F16, F32, Format, Number, Rounding, decode, power, round, value};
use super::instruction::{Bits, check, refused};
use super::numbers::limited;
use super::values::{one, two};

/// A float in a shorter format; one too large is infinity, or where there is
/// none, the largest number. Every NaN has the same code.
fn convert(bits: u64, from: Format, to: Format, rounding: Rounding) -> u64 {
    let sign = |negative: bool| if negative { to.sign() } else { 0 };
    let top = if to == E4M3 { to.largest() } else { to.infinity() };
    match decode(bits, from) {
        Number::Nan => to.sign() - 1,
        Number::Infinity(negative) => sign(negative) | top,
        Number::Zero(negative) => sign(negative),
        Number::Finite(x) => {
            let negative = bits & from.sign() != 0;
            let code = round(&x, negative, to, rounding);
            // The definition's NaN for what is too large.
            if decode(code, to) == Number::Nan { sign(negative) | top } else { code }
        }
    }
}

#[test]
fn two_f32_to_f16x2_and_bf16x2() {
    for (name, f) in [("f16x2", F16), ("bf16x2", BF16)] {
        for (modifier, rounding) in [("rn", Rounding::NearestEven), ("rz", Rounding::Zero)] {
            for limits in ["", ".relu", ".satfinite", ".relu.satfinite", ".satfinite.relu"] {
                let half = |x: f32| {
                    let code = convert(x.bits(), F32, f, rounding);
                    limited(code, f, limits.contains("relu"), limits.contains("sat")) as u32
                };
                check(
                    &format!("cvt.{modifier}{limits}.{name}.f32 %d, %a, %b;"),
                    two(),
                    |(a, b): (f32, f32)| half(a) << 16 | half(b),
                );
            }
        }
    }
    check("cvt.rn.f16x2.f32 %d, 1.0, 0f40000000;", one(), |(_,): (u16,)| 0x3c00_4000u32);
}

/// f32 numbers where conversion to a short format may go wrong: each number of
/// it, the middle to the next, and what lies just beside; beyond the ends too.
fn around_codes(f: Format) -> Vec<f32> {
    let whole = |code: u64| value(&decode(code, f)).expect("finite");
    let middles = (0..f.largest()).map(|code| (whole(code) + whole(code + 1)) * power(-1));
    // Where infinity would be, and the middle to there.
    let ulp = whole(f.largest()) - whole(f.largest() - 1);
    let beyond = [whole(f.largest()) + &ulp * power(-1), whole(f.largest()) + &ulp];
    (0..=f.largest())
        .map(whole)
        .chain(middles)
        .chain(beyond)
        .map(|x| round(&x, false, F32, Rounding::NearestEven) as u32)
        .flat_map(|bits| [bits.max(1) - 1, bits, bits + 1])
        .chain([0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001, 0x7fc0_0000, 0x7fff_ffff, 1, 0x7f_ffff])
        .flat_map(|bits| [f32::from_bits(bits), f32::from_bits(bits | 1 << 31)])
        .collect()
}

const EIGHT_BITS: [(&str, Format); 2] = [("e4m3x2", E4M3), ("e5m2x2", E5M2)];

#[test]
fn two_f32_to_8_bits() {
    for (name, f) in EIGHT_BITS {
        for limits in ["satfinite", "satfinite.relu", "relu.satfinite"] {
            let code = |x: f32| {
                let code = convert(x.bits(), F32, f, Rounding::NearestEven);
                limited(code, f, limits.contains("relu"), true) as u16
            };
            let hard = around_codes(f);
            let shifted = hard.iter().skip(hard.len() / 2).chain(&hard);
            let inputs = hard.iter().copied().zip(shifted.copied()).chain(two());
            check(&format!("cvt.rn.{limits}.{name}.f32 %d, %a, %b;"), inputs, |(a, b): (f32, f32)| {
                code(a) << 8 | code(b)
            });
        }
    }
}

/// Every f16 in both places.
#[test]
fn f16x2_to_8_bits() {
    for (name, f) in EIGHT_BITS {
        let nearest: Vec<u64> = (0..=0xffff).map(|x| convert(x, F16, f, Rounding::NearestEven)).collect();
        for limits in ["satfinite", "satfinite.relu", "relu.satfinite"] {
            let code =
                |x: u32| limited(nearest[x as usize & 0xffff], f, limits.contains("relu"), true) as u16;
            let inputs = (0..=0xffffu32).map(|x| (x << 16 | x.wrapping_mul(0x6487) & 0xffff,));
            check(&format!("cvt.rn.{limits}.{name}.f16x2 %d, %a;"), inputs, |(a,): (u32,)| {
                code(a >> 16) << 8 | code(a)
            });
        }
    }
}

/// Every pair of codes; all their numbers are f16 numbers.
#[test]
fn f16x2_from_8_bits() {
    for (name, f) in EIGHT_BITS {
        for relu in ["", ".relu"] {
            let half = |code| {
                let bits = convert(code, f, F16, Rounding::NearestEven);
                limited(bits, F16, !relu.is_empty(), false) as u32
            };
            let halves: Vec<u32> = (0..=255).map(half).collect();
            let half = |code: u16| halves[usize::from(code) & 0xff];
            check(&format!("cvt.rn{relu}.f16x2.{name} %d, %a;"), one(), |(a,): (u16,)| {
                half(a >> 8) << 16 | half(a)
            });
        }
    }
}

/// There and back: every finite code, zero of both signs, NaN as the one NaN.
#[test]
fn every_code_survives() {
    for (name, f) in EIGHT_BITS {
        let code = format!("cvt.rn.f16x2.{name} %r0, %a;\ncvt.rn.satfinite.{name}.f16x2 %d, %r0;");
        check(&code, (0..=255u16).map(|c| (c << 8 | c,)), |(a,)| {
            let back = match decode((a & 0xff).into(), f) {
                Number::Nan => 0x7f,
                Number::Infinity(negative) => 0x7b | u16::from(negative) << 7,
                _ => a & 0xff,
            };
            back << 8 | back
        });
    }
}

/// What PTX calls the formats is what the `half` crate and the tables call them.
#[test]
fn known_values() {
    let both = |x: f32| move |(_,): (u16,)| u32::from(f16::from_f32(x).to_bits()) * 0x1_0001;
    for (form, code, x) in [
        ("e4m3x2", 0x7e, 448.0),
        ("e4m3x2", 0x01, 0.5f32.powi(9)),
        ("e4m3x2", 0x38, 1.0),
        ("e4m3x2", 0xb8, -1.0),
        ("e5m2x2", 0x7b, 57344.0),
        ("e5m2x2", 0x01, 0.5f32.powi(16)),
        ("e5m2x2", 0x3c, 1.0),
        ("e5m2x2", 0x7c, f32::INFINITY),
    ] {
        check(&format!("cvt.rn.f16x2.{form} %d, %a;"), [(code << 8 | code,)], both(x));
    }
}

/// Of these some are not there, and some came with later GPUs.
#[test]
fn what_is_missing() {
    for form in [
        "rn.e4m3x2.f32 %h0, %r0, %r1",
        "rz.satfinite.e4m3x2.f32 %h0, %r0, %r1",
        "rn.satfinite.e4m3x2.f32 %h0, %r0",
        "rn.satfinite.e4m3x2.f16 %h0, %h1, %h2",
        "rn.satfinite.e4m3x2.bf16x2 %h0, %r0",
        "rn.satfinite.f16x2.e4m3x2 %d, %h0",
        "f16x2.e4m3x2 %d, %h0",
        "rn.bf16x2.e4m3x2 %d, %h0",
        "rm.f16x2.f32 %d, %r0, %r1",
        "f16x2.f32 %d, %r0, %r1",
        "rn.ftz.f16x2.f32 %d, %r0, %r1",
        "rn.sat.bf16x2.f32 %d, %r0, %r1",
        "rn.satfinite.e4m3x2.f32 %d, %r0, %r1",
        // Later GPUs.
        "rs.f16x2.f32 %d, %r0, %r1, %r2",
        "rs.satfinite.e4m3x4.f32 %d, {%r0, %r1, %r2, %r3}, %r0",
        "rn.satfinite.e2m1x2.f32 %h0, %r0, %r1",
        "rn.f16x2.e2m1x2 %d, %h0",
        "rn.satfinite.e2m3x2.f32 %h0, %r0, %r1",
        "rn.f16x2.e3m2x2 %d, %h0",
        "rz.ue8m0x2.f32 %h0, %r0, %r1",
        "rn.bf16x2.ue8m0x2 %d, %h0",
    ] {
        refused(&format!("cvt.{form};"));
    }
}
