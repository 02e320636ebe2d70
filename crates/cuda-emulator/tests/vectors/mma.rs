//! `mma.sync`: fragments of any codes, a warp each. Which element a register holds is for the device to say.

use std::fmt::Write;

use crate::values::{BF16, E4M3, E5M2, F16, F32, Format, Random, Values};
use crate::vector::{PARAMETERS, UNTOUCHED, Vector};

/// Threads of a block: four warps.
const THREADS: usize = 128;
/// Registers of A, B and C; D has as many as C.
const REGISTERS: [usize; 3] = [4, 2, 4];

fn vector(a: Format, b: Format, values: Values) -> Vector {
    let mut random = Random(3);
    let mut codes = |format: Format, registers: usize| {
        format.codes(&mut random, values, 4 * THREADS * registers / format.bytes())
    };
    let [in_a, in_b, in_c] = REGISTERS;
    let input = [codes(a, in_a), codes(b, in_b), codes(F32, in_c)].concat();
    let k = 32 / a.bytes();
    let mut ptx = format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry test({PARAMETERS})\n{{\n\
         .reg .b32 %r<10>, %d<4>, %t;\n.reg .b64 %at;\nmov.u32 %t, %tid.x;\n\
         ld.param.u64 %at, [in];\nmad.wide.u32 %at, %t, 4, %at;\n"
    );
    for i in 0..in_a + in_b + in_c {
        let _ = writeln!(ptx, "ld.global.b32 %r{i}, [%at+{}];", 4 * THREADS * i);
    }
    let _ = write!(
        ptx,
        "mma.sync.aligned.m16n8k{k}.row.col.f32.{}.{}.f32 {{%d0, %d1, %d2, %d3}}, {{%r0, %r1, %r2, %r3}}, \
         {{%r4, %r5}}, {{%r6, %r7, %r8, %r9}};\n\
         ld.param.u64 %at, [out];\nmad.wide.u32 %at, %t, 4, %at;\n",
        a.name, b.name
    );
    for i in 0..in_c {
        let _ = writeln!(ptx, "st.global.b32 [%at+{}], %d{i};", 4 * THREADS * i);
    }
    Vector {
        name: format!("mma {} {} {}", a.name, b.name, values.name()),
        ptx: ptx + "ret;\n}\n",
        blocks: 1,
        threads: THREADS as u32,
        map: None,
        input,
        output: vec![UNTOUCHED; 4 * THREADS * in_c],
    }
}

pub fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (a, b) in [(E4M3, E4M3), (E5M2, E5M2), (E4M3, E5M2), (BF16, BF16), (F16, F16)] {
        for values in [Values::Near, Values::Finite] {
            vectors.push(vector(a, b, values));
        }
    }
    vectors
}
