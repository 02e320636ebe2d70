//! `mma.sync`: every shape and type. Fragments are laid out here by the manual's rules.

use cuda_emulator::numeric::tensor_core::{
    Accumulator, Arithmetic, Format, Operation, Unit, multiply_accumulate,
};

use super::rows::{Row, list, run};
use super::values::random_bits;

const M: usize = 16;
const N: usize = 8;

/// One form of the instruction.
#[derive(Debug, Clone, Copy)]
struct Form {
    k: usize,
    a: (&'static str, Format),
    b: (&'static str, Format),
    d: (&'static str, Accumulator),
    satfinite: bool,
}

const E4M3: (&str, Format) = ("e4m3", Format::E4m3);
const E5M2: (&str, Format) = ("e5m2", Format::E5m2);
const F16: (&str, Format) = ("f16", Format::F16);
const BF16: (&str, Format) = ("bf16", Format::Bf16);
const TF32: (&str, Format) = ("tf32", Format::Tf32);
const S8: (&str, Format) = ("s8", Format::S8);
const U8: (&str, Format) = ("u8", Format::U8);

fn forms() -> Vec<Form> {
    let f32 = ("f32", Accumulator::F32);
    let f16 = ("f16", Accumulator::F16);
    let mut forms = Vec::new();
    let mut push = |ks: [usize; 2], a, b, d, satfinite| {
        forms.extend(ks.map(|k| Form { k, a, b, d, satfinite }));
    };
    push([8, 16], F16, F16, f32, false);
    push([8, 16], F16, F16, f16, false);
    push([8, 16], BF16, BF16, f32, false);
    push([4, 8], TF32, TF32, f32, false);
    for a in [E4M3, E5M2] {
        for b in [E4M3, E5M2] {
            push([16, 32], a, b, f32, false);
            push([16, 32], a, b, f16, false);
        }
    }
    for a in [S8, U8] {
        for b in [S8, U8] {
            for saturate in [false, true] {
                push([16, 32], a, b, ("s32", Accumulator::S32 { saturate }), saturate);
            }
        }
    }
    forms
}

impl Form {
    fn text(&self) -> String {
        let (a, b, d) = (self.a.0, self.b.0, self.d.0);
        let satfinite = if self.satfinite { ".satfinite" } else { "" };
        let (in_a, in_b, in_d) = self.registers();
        format!(
            "mma.sync.aligned.m16n8k{}.row.col{satfinite}.{d}.{a}.{b}.{d} {}, {}, {}, {};",
            self.k,
            list("d", 0, in_d),
            list("r", 0, in_a),
            list("r", in_a, in_b),
            list("r", in_a + in_b, in_d)
        )
    }

    fn operation(&self) -> Operation {
        let (a, b, d) = (self.a.1, self.b.1, self.d.1);
        Operation { a, b, d, unit: Unit::Warp, negate: false, n: N, k: self.k }
    }

    fn bits(&self) -> usize {
        8 * self.a.1.bytes()
    }

    fn d_bits(&self) -> usize {
        if self.d.1 == Accumulator::F16 { 16 } else { 32 }
    }

    /// Registers of A, B and D.
    fn registers(&self) -> (usize, usize, usize) {
        let per_lane = |elements: usize, bits: usize| elements * bits / 32 / 32;
        (per_lane(M * self.k, self.bits()), per_lane(self.k * N, self.bits()), per_lane(M * N, self.d_bits()))
    }

    /// (row, column) of A's element `i` of a lane: a group of four lanes holds a
    /// row and the eighth after it; half the elements of a long row are in its first half.
    fn place_in_a(&self, lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane >> 2, lane % 4);
        // Elements that are neighbours in a register, and so in a row.
        let run = 32 / self.bits();
        let (register, within) = (i / run, i % run);
        let row = if register % 2 == 0 { group } else { group + 8 };
        let column = thread * run + within + if register < 2 { 0 } else { 4 * run };
        (row, column)
    }

    /// (row, column) of B's element `i` of a lane.
    fn place_in_b(&self, lane: usize, i: usize) -> (usize, usize) {
        let (group, thread) = (lane >> 2, lane % 4);
        let run = 32 / self.bits();
        (thread * run + i % run + i / run * 4 * run, group)
    }

    /// (row, column) of D's element `i` of a lane.
    fn place_in_d(lane: usize, i: usize) -> (usize, usize) {
        (if i < 2 { lane >> 2 } else { (lane >> 2) + 8 }, lane % 4 * 2 + (i & 1))
    }
}

/// Registers of a matrix whose elements of `bits` are given by their place.
fn rows(registers: usize, bits: usize, element: impl Fn(usize, usize) -> u32) -> Vec<Row> {
    let run = 32 / bits;
    let register = |r: usize| {
        std::array::from_fn(|lane| {
            (0..run).fold(0, |word, i| word | element(lane, r * run + i) << (bits * i))
        })
    };
    (0..registers).map(register).collect()
}

/// Matrices of codes: A by rows, B by columns, C and D by rows.
struct Case {
    a: Vec<u32>,
    b: Vec<u32>,
    c: Vec<u32>,
}

/// D of each case.
fn execute(form: &Form, cases: &[Case]) -> Vec<Vec<u32>> {
    let (in_a, in_b, in_d) = form.registers();
    let inputs: Vec<Vec<Row>> = cases
        .iter()
        .map(|case| {
            let a = rows(in_a, form.bits(), |lane, i| {
                let (row, column) = form.place_in_a(lane, i);
                case.a[row * form.k + column]
            });
            let b = rows(in_b, form.bits(), |lane, i| {
                let (row, column) = form.place_in_b(lane, i);
                case.b[column * form.k + row]
            });
            let c = rows(in_d, form.d_bits(), |lane, i| {
                let (row, column) = Form::place_in_d(lane, i);
                case.c[row * N + column]
            });
            [a, b, c].concat()
        })
        .collect();
    run(&form.text(), &inputs, in_d)
        .iter()
        .map(|registers| {
            let mut d = vec![0; M * N];
            let run = 32 / form.d_bits();
            for lane in 0..32 {
                for i in 0..in_d * run {
                    let (row, column) = Form::place_in_d(lane, i);
                    let word = registers[i / run][lane] >> (form.d_bits() * (i % run));
                    d[row * N + column] = if run == 2 { word & 0xffff } else { word };
                }
            }
            d
        })
        .collect()
}

/// The code of a small whole number.
fn code(x: i32, format: Format) -> u32 {
    let float = (x as f32).to_bits();
    match format {
        Format::S8 | Format::U8 => x as u32 & 0xff,
        Format::Tf32 => float,
        Format::Bf16 => float >> 16,
        Format::F16 => half::f16::from_f32(x as f32).to_bits().into(),
        Format::E5m2 => u32::from(half::f16::from_f32(x as f32).to_bits()) >> 8,
        // 0, then 1 to 3: exponent field 7 and on, three bits of significand.
        Format::E4m3 => {
            let magnitude = [0x00, 0x38, 0x40, 0x44][x.unsigned_abs() as usize];
            magnitude | if x < 0 { 0x80 } else { 0 }
        }
    }
}

/// Small whole numbers, whose sums are exact in every type.
#[test]
fn whole_numbers() {
    for form in forms() {
        let mut bits = random_bits(form.k as u64);
        let mut small = |format| {
            let least = if format == Format::U8 { 0 } else { -3 };
            least + (bits.next().expect("endless") % (4 - least) as u64) as i32
        };
        let a: Vec<i32> = (0..M * form.k).map(|_| small(form.a.1)).collect();
        let b: Vec<i32> = (0..N * form.k).map(|_| small(form.b.1)).collect();
        let c: Vec<i32> = (0..M * N).map(|i| i as i32 - 64).collect();
        let accumulator = |x: i32| match form.d.1 {
            Accumulator::F32 => (x as f32).to_bits(),
            Accumulator::F16 => half::f16::from_f32(x as f32).to_bits().into(),
            Accumulator::S32 { .. } => x as u32,
        };
        let case = Case {
            a: a.iter().map(|x| code(*x, form.a.1)).collect(),
            b: b.iter().map(|x| code(*x, form.b.1)).collect(),
            c: c.iter().map(|x| accumulator(*x)).collect(),
        };
        let d = &execute(&form, &[case])[0];
        for m in 0..M {
            for n in 0..N {
                let sum: i32 = (0..form.k).map(|k| a[m * form.k + k] * b[n * form.k + k]).sum();
                let expected = accumulator(c[m * N + n] + sum);
                assert_eq!(d[m * N + n], expected, "{} ({m}, {n})", form.text());
            }
        }
    }
}

/// Any bits: what the tensor core's sums, which have tests of their own, make of them.
#[test]
fn any_bits() {
    for form in forms() {
        let mut bits = random_bits(100 + form.k as u64);
        let mut codes = |count: usize, bytes: usize| -> Vec<u32> {
            let mut code = || {
                let bits = bits.next().expect("endless");
                // One in four is near one, so that not every sum has an infinity.
                (bits >> 32) as u32
                    & (u32::MAX >> (32 - 8 * bytes))
                    & if bits % 4 > 0 { 0xb4b4_b4b4 } else { u32::MAX }
            };
            (0..count).map(|_| code()).collect()
        };
        let cases: Vec<Case> = (0..6)
            .map(|_| Case {
                a: codes(M * form.k, form.a.1.bytes()),
                b: codes(N * form.k, form.b.1.bytes()),
                c: codes(M * N, form.d_bits() / 8),
            })
            .collect();
        for (case, got) in cases.iter().zip(execute(&form, &cases)) {
            let bytes = |codes: &[u32], format: Format| -> Vec<u8> {
                codes.iter().flat_map(|c| c.to_le_bytes()[..format.bytes()].to_vec()).collect()
            };
            let (a, b) = (bytes(&case.a, form.a.1), bytes(&case.b, form.b.1));
            let mut d = case.c.clone();
            multiply_accumulate(&form.operation(), Arithmetic::Hardware, &a, &b, &mut d);
            assert_eq!(got, d, "{}", form.text());
        }
    }
}
