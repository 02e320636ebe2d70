//! Conversions to and from FP8: around every code, halfway between two, and far away.

use crate::values::Random;
use crate::vector::{PARAMETERS, UNTOUCHED, Vector};

/// Threads of a block.
const THREADS: usize = 128;

/// A kernel that does `code` once a thread, from `%a`, two numbers of `bits` each, to `%d`.
fn vector(name: &str, bits: usize, to: usize, code: &str, mut input: Vec<u8>) -> Vector {
    let from = bits / 4;
    input.resize(input.len().next_multiple_of(from * THREADS), 0);
    let count = input.len() / from;
    let ptx = format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry test({PARAMETERS})\n{{\n\
         .reg .b16 %h<4>;\n.reg .b32 %r<4>, %t, %n;\n.reg .b64 %from, %to;\n\
         .reg .b{from_bits} %a;\n.reg .b{to_bits} %d;\n\
         mov.u32 %t, %ctaid.x;\nmov.u32 %n, %ntid.x;\nmov.u32 %r0, %tid.x;\nmad.lo.u32 %t, %t, %n, %r0;\n\
         ld.param.u64 %from, [in];\nmad.wide.u32 %from, %t, {from}, %from;\nld.global.b{from_bits} %a, [%from];\n\
         {code}\n\
         ld.param.u64 %to, [out];\nmad.wide.u32 %to, %t, {to}, %to;\nst.global.b{to_bits} [%to], %d;\nret;\n}}\n",
        from_bits = 2 * bits,
        to_bits = 8 * to,
    );
    Vector {
        name: format!("convert {name}"),
        ptx,
        blocks: (count / THREADS) as u32,
        threads: THREADS as u32,
        map: None,
        input,
        output: vec![UNTOUCHED; count * to],
    }
}

/// Numbers of `bits` with so many bits of exponent: every exponent that is kept, the upper five bits of the fraction,
/// and under them nothing, a little or almost the next. In another order, so that pairs are of any two.
fn edges(bits: u32, exponent: u32, kept: impl Fn(u32) -> bool) -> Vec<u8> {
    let fraction = bits - 1 - exponent;
    let below = fraction.saturating_sub(5);
    let mut codes = Vec::new();
    for sign_and_exponent in 0..2u32 << exponent {
        if !kept(sign_and_exponent % (1 << exponent)) {
            continue;
        }
        for upper in 0..1u32 << (fraction - below) {
            let lowest = [0, 1, (1 << below) - 1];
            // Where no bits are below there is one number.
            for low in &lowest[..if below == 0 { 1 } else { 3 }] {
                codes.push(sign_and_exponent << fraction | upper << below | low);
            }
        }
    }
    let mut random = Random(7);
    for i in (1..codes.len()).rev() {
        codes.swap(i, random.below(i as u64 + 1) as usize);
    }
    codes.into_iter().flat_map(|code| code.to_le_bytes().into_iter().take(bits as usize / 8)).collect()
}

pub fn vectors() -> Vec<Vector> {
    // From far below E5M2's smallest to far above its largest, and infinities and NaN.
    let f32s = edges(32, 8, |e| (104..=146).contains(&e) || e == 0 || e == 255);
    let f16s = edges(16, 5, |_| true);
    let bf16s = edges(16, 8, |e| (104..=146).contains(&e) || e == 0 || e == 255);
    let mut vectors = Vec::new();
    for format in ["e4m3", "e5m2"] {
        let convert = |relu: &str| format!("cvt.rn.satfinite{relu}.{format}x2");
        let code = format!("mov.b64 {{%r1, %r2}}, %a;\n{}.f32 %d, %r1, %r2;", convert(""));
        vectors.push(vector(&format!("f32 to {format}"), 32, 2, &code, f32s.clone()));
        // There is no instruction for it on this architecture; this is how it is done.
        let code = format!(
            "mov.b32 {{%h1, %h2}}, %a;\ncvt.f32.bf16 %r1, %h1;\ncvt.f32.bf16 %r2, %h2;\n{}.f32 %d, %r1, %r2;",
            convert("")
        );
        vectors.push(vector(&format!("bf16 to {format}"), 16, 2, &code, bf16s.clone()));
        for relu in ["", ".relu"] {
            let code = format!("{}.f16x2 %d, %a;", convert(relu));
            vectors.push(vector(&format!("f16 to {format}{relu}"), 16, 2, &code, f16s.clone()));
            let codes: Vec<u8> = (0..=255u8).flat_map(|code| [code, code.wrapping_mul(37)]).collect();
            let code = format!("cvt.rn{relu}.f16x2.{format}x2 %d, %a;");
            vectors.push(vector(&format!("{format} to f16{relu}"), 8, 4, &code, codes));
        }
    }
    vectors
}
