//! `wgmma` in whole programs: shared memory is filled by plain stores with an image
//! made here by the manual's canonical layouts, one chain of operations runs, and
//! every element of D is compared with a plain loop.

use std::fmt::Write;

use cuda_emulator::numeric::tensor_core::{
    Accumulator, Arithmetic, Format, Operation, Unit, multiply_accumulate,
};

use cuda_emulator::verdict::Verdict;

use crate::device::Device;

/// Rows of A and D.
const M: usize = 64;
/// Threads of a warpgroup.
const THREADS: usize = 128;
/// Where the block's shared memory begins, which the images are aligned to.
const SHARED: u64 = 1024;

// ---- Matrices in shared memory ----------------------------------------------------------

/// How a matrix lies: the swizzle's width in bytes (16 for none), k or m/n contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    width: usize,
    k_major: bool,
}

/// A matrix in shared memory, for all steps.
struct Image {
    bytes: Vec<u8>,
    /// The descriptor of each step for an image at address 0.
    descriptors: Vec<u64>,
}

/// Bytes of an operation along k.
const DEPTH: usize = 32;

/// Lays out `lines` rows of A or columns of B, each with the codes of all steps along k.
fn image(layout: Layout, lines: usize, codes: &[Vec<u32>], bytes: usize) -> Image {
    let k = codes[0].len();
    let steps = k * bytes / DEPTH;
    let width = layout.width;
    // Bytes that the next atom of the same matrix is away: a little more than needed, where that may be.
    let (atom, groups) = (8 * width, lines.div_ceil(8));
    let place = |line: usize, at: usize| -> usize {
        let byte = at * bytes;
        let (row, piece, offset) = match (layout.k_major, width) {
            (true, 16) => {
                let core = 144 * (line / 8) + byte / 16 * none_leading(groups);
                return core + line % 8 * 16 + byte % 16;
            }
            (true, _) => {
                let atoms = byte / width * groups + line / 8;
                (line % 8, byte % width / 16, atoms * atom)
            }
            (false, 16) => {
                let core = 144 * (at / 8) + line / 8 * none_stride(k);
                return core + at % 8 * 16 + line % 8 * 2;
            }
            (false, _) => {
                let per_row = width / bytes;
                let atoms = line / per_row * (k / 8) + at / 8;
                (at % 8, line % per_row * bytes / 16, atoms * atom)
            }
        };
        // Atoms are aligned, so the pattern is that of an atom's eight rows.
        let key = row * width / 128 % (width / 16);
        let within = if layout.k_major { byte % 16 } else { line * bytes % 16 };
        offset + row * width + (piece ^ key) * 16 + within
    };
    let mut image = Vec::new();
    for (line, codes) in codes.iter().enumerate() {
        for (at, code) in codes.iter().enumerate() {
            let start = place(line, at);
            if image.len() < start + bytes {
                image.resize(start + bytes, 0xee);
            }
            image[start..start + bytes].copy_from_slice(&code.to_le_bytes()[..bytes]);
        }
    }
    image.resize(image.len().next_multiple_of(1024), 0xee);
    let (leading, stride) = match (layout.k_major, width) {
        (true, 16) => (none_leading(groups), 144),
        (false, 16) => (144, none_stride(k)),
        // Not looked at.
        (true, _) => (0x3fff0, atom),
        (false, _) => (k / 8 * atom, atom),
    };
    let mode =
        [(16, 0), (128, 1), (64, 2), (32, 3)].into_iter().find(|(w, _)| *w == width).expect("a width").1;
    let descriptor = |step: usize| {
        let start = match (layout.k_major, width) {
            (true, 16) => step * 2 * leading,
            (true, _) => step * DEPTH / width * groups * atom + step * DEPTH % width,
            (false, 16) => step * 2 * leading,
            (false, _) => step * 2 * stride,
        };
        let field = |bytes: usize| (bytes as u64 & 0x3fff0) >> 4;
        field(start) | field(leading) << 16 | field(stride) << 32 | mode << 62
    };
    Image { bytes: image, descriptors: (0..steps).map(descriptor).collect() }
}

/// Distance of core matrices along k, and along m or n, without a swizzle: any multiples of 16.
fn none_leading(groups: usize) -> usize {
    144 * groups + 16
}

fn none_stride(k: usize) -> usize {
    144 * k.div_ceil(8) + 32
}

// ---- Programs ---------------------------------------------------------------------------

/// A multiplication: what is multiplied, how it lies and how it is asked for.
#[derive(Debug, Clone, Copy)]
struct Setup {
    op: Operation,
    a: Layout,
    b: Layout,
    a_in_registers: bool,
    /// Operations, one after the other along k.
    steps: usize,
    /// Does D start with what it holds?
    accumulate: bool,
}

impl Setup {
    fn new(format: Format, d: Accumulator, n: usize, width: usize) -> Self {
        let k = DEPTH / format.bytes();
        let op = Operation { a: format, b: format, d, unit: Unit::Warpgroup, negate: false, n, k };
        let layout = Layout { width, k_major: true };
        Self { op, a: layout, b: layout, a_in_registers: false, steps: 4, accumulate: true }
    }

    fn registers(&self) -> usize {
        if self.op.d == Accumulator::F16 { self.op.n / 4 } else { self.op.n / 2 }
    }

    /// The instruction of a step.
    fn instruction(&self, step: usize) -> String {
        let op = self.op;
        let name = |f: Format| format!("{f:?}").to_lowercase();
        let (d, satfinite) = match op.d {
            Accumulator::F32 => ("f32", ""),
            Accumulator::F16 => ("f16", ""),
            Accumulator::S32 { saturate: true } => ("s32", ".satfinite"),
            Accumulator::S32 { .. } => ("s32", ""),
        };
        let list = |name: &str, first: usize, count: usize| {
            let all: Vec<_> = (first..first + count).map(|i| format!("%{name}{i}")).collect();
            format!("{{{}}}", all.join(", "))
        };
        let a = match self.a_in_registers {
            true => list("a", 4 * step, 4),
            false => format!("%da{step}"),
        };
        let mut text = format!(
            "wgmma.mma_async.sync.aligned.m64n{}k{}{satfinite}.{d}.{}.{} {}, {a}, %db{step}, {}",
            op.n,
            op.k,
            name(op.a),
            name(op.b),
            list("d", 0, self.registers()),
            if step == 0 { "%start" } else { "1" },
        );
        if !matches!(op.d, Accumulator::S32 { .. }) {
            text += if op.negate { ", -1, 1" } else { ", 1, 1" };
        }
        if op.a.bytes() == 2 {
            if !self.a_in_registers {
                text += if self.a.k_major { ", 0" } else { ", 1" };
            }
            text += if self.b.k_major { ", 0" } else { ", 1" };
        }
        text + ";\n"
    }

    /// The whole program, with the operations that `chain` gives.
    fn program(&self, chain: &str) -> String {
        let mut text = format!(
            ".version 8.7\n.target sm_90a\n.address_size 64\n\
             .extern .shared .align 1024 .b8 memory[];\n\
             .visible .entry test(.param .u64 image, .param .u32 words, .param .u64 fragments, .param .u64 start,\n\
             .param .u64 out, .param .u64 descriptors, .param .u32 accumulate)\n{{\n\
             .reg .pred %p<4>, %start;\n.reg .b32 %t, %n, %v, %to, %m, %a<{}>, %d<{}>;\n\
             .reg .b64 %l<4>, %from, %da<8>, %db<8>;\n\
             mov.u32 %t, %tid.x;\nmov.u32 %m, memory;\nld.param.u32 %n, [words];\nld.param.u64 %from, [image];\n\
             mov.u32 %v, %t;\n\
             COPY: setp.ge.u32 %p0, %v, %n;\n@%p0 bra COPIED;\n\
             mad.wide.u32 %l0, %v, 4, %from;\nmad.lo.u32 %to, %v, 4, %m;\n\
             {{ .reg .b32 %w; ld.global.b32 %w, [%l0]; st.shared.b32 [%to], %w; }}\n\
             add.u32 %v, %v, {THREADS};\nbra COPY;\nCOPIED:\n\
             fence.proxy.async;\nbar.sync 0;\n\
             ld.param.u32 %v, [accumulate];\nsetp.ne.u32 %start, %v, 0;\n",
            4 * self.steps,
            self.registers(),
        );
        let load = |text: &mut String, parameter: &str, register: &str, count: usize| {
            let _ = write!(text, "ld.param.u64 %from, [{parameter}];\nmad.wide.u32 %from, %t, 4, %from;\n");
            for i in 0..count {
                let _ = writeln!(text, "ld.global.b32 %{register}{i}, [%from+{}];", 4 * THREADS * i);
            }
        };
        if self.a_in_registers {
            load(&mut text, "fragments", "a", 4 * self.steps);
        }
        load(&mut text, "start", "d", self.registers());
        text += "ld.param.u64 %from, [descriptors];\n";
        for step in 0..self.steps {
            let _ = write!(
                text,
                "ld.global.b64 %da{step}, [%from+{}];\nld.global.b64 %db{step}, [%from+{}];\n",
                16 * step,
                16 * step + 8
            );
        }
        text += chain;
        text += "ld.param.u64 %from, [out];\nmad.wide.u32 %from, %t, 4, %from;\n";
        for i in 0..self.registers() {
            let _ = writeln!(text, "st.global.b32 [%from+{}], %d{i};", 4 * THREADS * i);
        }
        text + "ret;\n}\n"
    }

    /// All steps in one group.
    fn one_group(&self) -> String {
        let steps: String = (0..self.steps).map(|step| self.instruction(step)).collect();
        format!(
            "wgmma.fence.sync.aligned;\n{steps}wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
        )
    }
}

/// Matrices of codes: A by rows, B by columns, D by rows.
struct Case {
    a: Vec<Vec<u32>>,
    b: Vec<Vec<u32>>,
    d: Vec<Vec<u32>>,
}

/// (row, column) of D's element `i` of a thread, by the manual.
fn place_in_d(thread: usize, i: usize) -> (usize, usize) {
    let (warp, lane) = (thread / 32, thread % 32);
    (16 * warp + lane / 4 + 8 * (i / 2 % 2), i / 4 * 8 + lane % 4 * 2 + i % 2)
}

impl Case {
    /// The registers of A for all steps, each as a row of all threads.
    fn fragments(&self, setup: &Setup) -> Vec<u32> {
        let each = 4 / setup.op.a.bytes();
        let bits = 8 * setup.op.a.bytes();
        let mut words = Vec::new();
        for register in 0..4 * setup.steps {
            let (step, r) = (register / 4, register % 4);
            for thread in 0..THREADS {
                let (warp, lane) = (thread / 32, thread % 32);
                let row = 16 * warp + lane / 4 + if r % 2 == 0 { 0 } else { 8 };
                let first = step * setup.op.k + lane % 4 * each + if r < 2 { 0 } else { setup.op.k / 2 };
                words.push((0..each).fold(0, |word, i| word | self.a[row][first + i] << (bits * i)));
            }
        }
        words
    }

    /// Accumulators as rows of all threads.
    fn accumulators(&self, setup: &Setup) -> Vec<u32> {
        let half = setup.op.d == Accumulator::F16;
        let mut words = Vec::new();
        for register in 0..setup.registers() {
            for thread in 0..THREADS {
                let element = |i: usize| {
                    let (row, column) = place_in_d(thread, i);
                    self.d[row][column]
                };
                words.push(match half {
                    true => element(2 * register) | element(2 * register + 1) << 16,
                    false => element(register),
                });
            }
        }
        words
    }

    /// A device with the program and its arguments.
    fn prepare(&self, setup: &Setup, chain: &str) -> (Device, [u64; 7]) {
        let mut device = Device::new(&setup.program(chain));
        let bytes = setup.op.a.bytes();
        let a = image(setup.a, M, &self.a, bytes);
        let b = image(setup.b, setup.op.n, &self.b, bytes);
        let b_start = a.bytes.len() as u64;
        let descriptors: Vec<u64> = a
            .descriptors
            .iter()
            .zip(&b.descriptors)
            .flat_map(|(a, b)| [a + (SHARED >> 4), b + ((SHARED + b_start) >> 4)])
            .collect();
        let memory = [a.bytes, b.bytes].concat();
        device.dynamic_shared = memory.len() as u32;
        let words = (memory.len() / 4) as u64;
        let out = device.alloc(4 * (THREADS * setup.registers()) as u64);
        let arguments = [
            device.put(&memory),
            words,
            device.put(&self.fragments(setup)),
            device.put(&self.accumulators(setup)),
            out,
            device.put(&descriptors),
            setup.accumulate.into(),
        ];
        (device, arguments)
    }

    /// D by rows, after the program has run.
    fn run(&self, setup: &Setup, chain: &str, arithmetic: Arithmetic) -> Vec<Vec<u32>> {
        let (mut device, arguments) = self.prepare(setup, chain);
        device.arithmetic = arithmetic;
        let counters = device
            .launch("test", [1; 3], [THREADS as u32, 1, 1], &arguments, 0)
            .unwrap_or_else(|finding| panic!("{setup:?}\n{finding}"));
        let operations = chain.matches("wgmma.mma_async").count();
        assert_eq!(counters.tensor_multiply_adds, (M * setup.op.n * setup.op.k * operations) as u64);
        let words: Vec<u32> = device.get(arguments[4], THREADS * setup.registers());
        assert_eq!(device.first_undefined(arguments[4], 4 * words.len() as u64), None);
        let half = setup.op.d == Accumulator::F16;
        let mut d = vec![vec![0; setup.op.n]; M];
        for (at, word) in words.into_iter().enumerate() {
            let (register, thread) = (at / THREADS, at % THREADS);
            for i in 0..if half { 2 } else { 1 } {
                let element = if half { 2 * register + i } else { register };
                let (row, column) = place_in_d(thread, element);
                d[row][column] = if half { word >> (16 * i) & 0xffff } else { word };
            }
        }
        d
    }
}

// ---- Values -----------------------------------------------------------------------------

/// Random numbers that repeat (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn matrix<T>(&mut self, lines: usize, k: usize, mut f: impl FnMut(u64) -> T) -> Vec<Vec<T>> {
        (0..lines).map(|_| (0..k).map(|_| f(self.next())).collect()).collect()
    }
}

/// The code of a whole number from -2 to 2 (or any, where the type has room).
fn code(x: i32, format: Format) -> u32 {
    let float = (x as f32).to_bits();
    match format {
        Format::S8 | Format::U8 => x as u32 & 0xff,
        Format::Tf32 => float,
        Format::Bf16 => float >> 16,
        Format::F16 => half::f16::from_f32(x as f32).to_bits().into(),
        Format::E5m2 => u32::from(half::f16::from_f32(x as f32).to_bits()) >> 8,
        Format::E4m3 => [0x00, 0x38, 0x40][x.unsigned_abs() as usize] | if x < 0 { 0x80 } else { 0 },
    }
}

fn accumulator(x: i32, d: Accumulator) -> u32 {
    match d {
        Accumulator::F32 => (x as f32).to_bits(),
        Accumulator::F16 => half::f16::from_f32(x as f32).to_bits().into(),
        Accumulator::S32 { .. } => x as u32,
    }
}

/// Runs a setup with small whole numbers, whose sums are exact, and compares all of D with a plain loop.
fn check(setup: Setup) {
    check_chain(setup, &setup.one_group());
}

fn check_chain(setup: Setup, chain: &str) {
    let Operation { a, b, d, n, k, negate, .. } = setup.op;
    let mut r = Random((n * setup.a.width + usize::from(setup.a_in_registers)) as u64);
    let small = |format| {
        let least = if format == Format::U8 { 0 } else { -2 };
        move |bits: u64| (bits % (3 - least) as u64) as i32 + least
    };
    let k = k * setup.steps;
    let (a_values, b_values) = (r.matrix(M, k, small(a)), r.matrix(n, k, small(b)));
    let start = r.matrix(M, n, |bits| (bits % 100) as i32 - 50);
    let codes =
        |values: &[Vec<i32>], f| values.iter().map(|v| v.iter().map(|x| code(*x, f)).collect()).collect();
    let case = Case {
        a: codes(&a_values, a),
        b: codes(&b_values, b),
        d: start.iter().map(|row| row.iter().map(|x| accumulator(*x, d)).collect()).collect(),
    };
    let got = case.run(&setup, chain, Arithmetic::Hardware);
    for (m, a) in a_values.iter().enumerate() {
        for (column, b) in b_values.iter().enumerate() {
            let sum: i32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            let sum = if negate { -sum } else { sum } + if setup.accumulate { start[m][column] } else { 0 };
            let expected = accumulator(sum, d);
            assert_eq!(got[m][column], expected, "{setup:?}\nD[{m}][{column}], {sum}");
        }
    }
}

const WIDTHS: [usize; 4] = [16, 32, 64, 128];
const S32: Accumulator = Accumulator::S32 { saturate: false };

#[test]
fn every_width_of_d_and_swizzle_and_both_sources_of_a() {
    for n in [8, 16, 24, 64, 96, 128, 192, 256] {
        for width in WIDTHS {
            for a_in_registers in [false, true] {
                let setup = Setup::new(Format::E4m3, Accumulator::F32, n, width);
                check(Setup { a_in_registers, ..setup });
            }
        }
    }
}

#[test]
fn every_type() {
    use Accumulator::{F16, F32};
    let types = [
        (Format::E4m3, Format::E5m2, F32),
        (Format::E5m2, Format::E4m3, F16),
        (Format::E5m2, Format::E5m2, F32),
        (Format::F16, Format::F16, F32),
        (Format::F16, Format::F16, F16),
        (Format::Bf16, Format::Bf16, F32),
        (Format::Tf32, Format::Tf32, F32),
        (Format::S8, Format::S8, S32),
        (Format::U8, Format::S8, Accumulator::S32 { saturate: true }),
    ];
    for (a, b, d) in types {
        for width in WIDTHS {
            for a_in_registers in [false, true] {
                let mut setup = Setup { a_in_registers, ..Setup::new(a, d, 32, width) };
                setup.op.b = b;
                setup.op.negate = width == 64 && !matches!(d, Accumulator::S32 { .. });
                check(setup);
            }
        }
    }
}

#[test]
fn transposed_matrices() {
    for n in [8, 64, 96, 256] {
        for a_width in WIDTHS {
            for b_width in WIDTHS {
                let setup = Setup::new(Format::Bf16, Accumulator::F32, n, 128);
                let across = |width| Layout { width, k_major: false };
                let (a, b) = (across(a_width), across(b_width));
                check(Setup { a, b, ..setup });
                check(Setup { a, b: Layout { width: b_width, k_major: true }, ..setup });
                check(Setup { a_in_registers: true, b, ..setup });
            }
        }
    }
}

#[test]
fn accumulators_may_start_with_zero() {
    for (format, d) in [(Format::E4m3, Accumulator::F32), (Format::F16, Accumulator::F16), (Format::S8, S32)]
    {
        check(Setup { accumulate: false, ..Setup::new(format, d, 64, 128) });
        check(Setup { accumulate: false, steps: 1, ..Setup::new(format, d, 64, 64) });
    }
}

#[test]
fn groups_land_one_after_the_other() {
    let setup = Setup::new(Format::Bf16, Accumulator::F32, 64, 128);
    let mut chain = String::from("wgmma.fence.sync.aligned;\n");
    for step in 0..setup.steps {
        chain += &setup.instruction(step);
        chain += "wgmma.commit_group.sync.aligned;\n";
        if step > 0 {
            chain += "wgmma.wait_group.sync.aligned 1;\n";
        }
    }
    chain += "wgmma.wait_group.sync.aligned 0;\n";
    check_chain(setup, &chain);
    // What nobody waits for by group is waited for at last.
    check_chain(setup, &chain.replace("aligned 1;", "aligned 2;"));
}

/// More operations than share what is read of B.
#[test]
fn a_long_group() {
    let setup = Setup { steps: 2, ..Setup::new(Format::E4m3, Accumulator::F32, 24, 128) };
    // Each of them starts anew, but the last.
    let setup = Setup { accumulate: false, ..setup };
    let long = setup.instruction(0).repeat(150);
    let chain = setup.one_group().replacen("aligned;\n", &format!("aligned;\n{long}"), 1);
    check_chain(setup, &chain);
}

/// Writes to all of the matrices' memory, warp by warp.
const SPOIL: &str = "mov.u32 %v, %t;\nSPOIL: setp.ge.u32 %p0, %v, %n;\n@%p0 bra SPOILT;\n\
     mad.lo.u32 %to, %v, 4, %m;\nst.shared.b32 [%to], %t;\nadd.u32 %v, %v, 128;\nbra SPOIL;\nSPOILT:\n";

/// A group is the warpgroup's: a warp that has waited for it may overwrite what the others multiply.
#[test]
fn matrices_are_free_after_the_wait() {
    for a_in_registers in [false, true] {
        let setup = Setup { a_in_registers, ..Setup::new(Format::Bf16, Accumulator::F32, 32, 64) };
        check_chain(setup, &(setup.one_group() + SPOIL));
        // The first of two groups, too, and then the second.
        let (first, second): (Vec<_>, Vec<_>) =
            (0..setup.steps).map(|step| setup.instruction(step)).partition(|i| i.contains("%start"));
        let commit = "wgmma.commit_group.sync.aligned;\n";
        let chain = format!(
            "wgmma.fence.sync.aligned;\n{}{commit}{}{commit}wgmma.wait_group.sync.aligned 1;\n\
             wgmma.wait_group.sync.aligned 0;\n{SPOIL}",
            first.concat(),
            second.concat()
        );
        check_chain(setup, &chain);
    }
}

/// And it is not complete before all four warps have asked for it.
#[test]
fn a_warp_that_does_not_come_is_waited_for() {
    let setup = Setup::new(Format::Bf16, Accumulator::F32, 8, 128);
    let never = "setp.lt.u32 %p0, %t, 96;\n@!%p0 bar.sync 1, 64;\n";
    let (mut device, arguments) = ones(&setup).prepare(&setup, &(never.to_owned() + &setup.one_group()));
    let finding =
        device.launch("test", [1; 3], [THREADS as u32, 1, 1], &arguments, 0).expect_err("a deadlock");
    let text = finding.to_string();
    assert!(text.contains("wgmma.wait_group (3 of 4 warps have come to it)"), "{text}");
}

/// Numbers that round, in both arithmetics, against the tensor core's own sums.
#[test]
fn sums_that_round() {
    for (format, d) in [
        (Format::E4m3, Accumulator::F32),
        (Format::E5m2, Accumulator::F16),
        (Format::F16, Accumulator::F16),
        (Format::Bf16, Accumulator::F32),
        (Format::Tf32, Accumulator::F32),
    ] {
        let setup = Setup::new(format, d, 40, 128);
        let Operation { n, k, .. } = setup.op;
        let mut r = Random(9);
        let bits = 8 * format.bytes();
        let mut codes = |lines| {
            // Without the exponent's top bit, nothing is far above one.
            let keep = (u32::MAX >> (32 - bits)) & !(1 << (bits - 2));
            r.matrix(lines, k * setup.steps, |bits| bits as u32 & keep)
        };
        let case = Case { a: codes(M), b: codes(n), d: vec![vec![0; n]; M] };
        for arithmetic in [Arithmetic::Hardware, Arithmetic::Exact] {
            let got = case.run(&setup, &setup.one_group(), arithmetic);
            for (warp, got) in got.chunks(16).enumerate() {
                let mut d = vec![0; 16 * n];
                for step in 0..setup.steps {
                    let part = |lines: &[Vec<u32>]| -> Vec<u8> {
                        let codes = lines.iter().flat_map(|line| &line[step * k..][..k]);
                        codes.flat_map(|c| c.to_le_bytes()[..format.bytes()].to_vec()).collect()
                    };
                    let (a, b) = (part(&case.a[16 * warp..][..16]), part(&case.b));
                    multiply_accumulate(&setup.op, arithmetic, &a, &b, &mut d);
                }
                assert_eq!(got.concat(), d, "{format:?} {arithmetic:?}");
            }
        }
    }
}

// ---- Late ---------------------------------------------------------------------------------

fn ones(setup: &Setup) -> Case {
    let one = |lines| vec![vec![code(1, setup.op.a); setup.op.k * setup.steps]; lines];
    Case { a: one(M), b: one(setup.op.n), d: vec![vec![0; setup.op.n]; M] }
}

/// What is found when a chain of operations runs on ones.
fn finding(setup: &Setup, chain: &str) -> Option<Verdict> {
    let (mut device, arguments) = ones(setup).prepare(setup, chain);
    device.launch("test", [1; 3], [THREADS as u32, 1, 1], &arguments, 0).err().map(|finding| finding.verdict)
}

/// Nobody writes A or B before the wait.
#[test]
fn operands_are_left_alone_until_the_wait() {
    let commit = "wgmma.commit_group.sync.aligned;\n";
    let setup = Setup { steps: 1, ..Setup::new(Format::Bf16, Accumulator::F32, 8, 128) };
    let late = "mad.lo.u32 %to, %t, 128, %m;\nsetp.lt.u32 %p0, %t, 64;\n@%p0 st.shared.b32 [%to], %v;\n";
    let chain = setup.one_group().replace(commit, &format!("{commit}{late}"));
    assert!(matches!(finding(&setup, &chain), Some(Verdict::Conflict { .. })));
    // A group is the warpgroup's: who has waited for it knows that the other warps' rows are computed, too.
    assert_eq!(finding(&setup, &(setup.one_group() + late)), None);
    // Who has not waited knows nothing, whatever the others have done.
    let wait = "wgmma.wait_group.sync.aligned 0;\n";
    let early = setup.one_group().replace(wait, &format!("{late}{wait}"));
    assert!(matches!(finding(&setup, &early), Some(Verdict::Conflict { .. })));

    let setup = Setup { a_in_registers: true, ..setup };
    for late in ["mov.b32 %a0, 0x40004000;\n", "mov.b32 %v, %a3;\n"] {
        let chain = setup.one_group().replace(commit, &format!("{commit}{late}"));
        assert!(matches!(finding(&setup, &chain), Some(Verdict::Wgmma { other: Some(_), .. })), "{late}");
        assert_eq!(finding(&setup, &(setup.one_group() + late)), None);
    }
}

/// Nobody touches accumulators in flight.
#[test]
fn accumulators_are_left_alone_until_the_wait() {
    let setup = Setup { steps: 2, ..Setup::new(Format::E4m3, Accumulator::F32, 8, 128) };
    let wait = "wgmma.wait_group.sync.aligned 0;\n";
    let group = |step: usize| {
        format!("wgmma.fence.sync.aligned;\n{}wgmma.commit_group.sync.aligned;\n", setup.instruction(step))
    };
    let both = group(0) + &group(1);
    for (chain, right) in [
        (both.clone(), false),
        (both.clone() + "wgmma.wait_group.sync.aligned 1;\n", false),
        (both.clone() + wait, true),
        (group(0) + wait, true),
        (group(0) + wait + &group(1), false),
        // A write is as bad.
        (both.clone() + "mov.b32 %d1, %v;\n" + wait, false),
        (both.clone() + wait + "mov.b32 %d1, %v;\n", true),
        // What has not been committed is waited for by nobody.
        (both.replacen("wgmma.commit_group.sync.aligned;\n", "", 2) + wait, false),
    ] {
        match finding(&setup, &chain) {
            None => assert!(right, "{chain}"),
            Some(Verdict::Wgmma { problem, .. }) => {
                assert!(!right && problem.contains("accumulator"), "{problem}\n{chain}");
            }
            Some(other) => panic!("{other}\n{chain}"),
        }
    }
}

/// A fence between what others did with a register and the operations that use it.
#[test]
fn a_fence_before_operations() {
    let setup =
        Setup { steps: 2, a_in_registers: true, ..Setup::new(Format::E4m3, Accumulator::F32, 8, 128) };
    let (fence, wait) = ("wgmma.fence.sync.aligned;\n", "wgmma.wait_group.sync.aligned 0;\n");
    let group = |step: usize| format!("{}wgmma.commit_group.sync.aligned;\n", setup.instruction(step));
    for (chain, right) in [
        (group(0) + wait, false),
        (fence.to_owned() + &group(0) + &group(1) + wait, true),
        (fence.to_owned() + &group(0) + wait + &group(1) + wait, true),
        (fence.to_owned() + &group(0) + wait + "mov.b32 %v, %d3;\n" + &group(1) + wait, false),
        (fence.to_owned() + &group(0) + wait + "mov.b32 %v, %d3;\n" + fence + &group(1) + wait, true),
        (fence.to_owned() + "mov.b32 %d0, 0;\n" + &group(0) + wait, false),
        (fence.to_owned() + "mov.b32 %a2, 0;\n" + &group(0) + wait, false),
        (fence.to_owned() + "mov.b32 %a7, 0;\n" + &group(0) + wait, true),
    ] {
        match finding(&setup, &chain) {
            None => assert!(right, "{chain}"),
            Some(Verdict::Wgmma { problem, .. }) => {
                assert!(!right && problem.contains("wgmma.fence"), "{problem}\n{chain}");
            }
            Some(other) => panic!("{other}\n{chain}"),
        }
    }
}

/// An element of D is undefined if any factor of it is, zero times undefined included.
#[test]
fn undefined_factors() {
    for (format, d) in [(Format::Bf16, Accumulator::F32), (Format::F16, Accumulator::F16)] {
        // Where there are more operations, the first one's factor is undefined.
        for (k_major, steps) in [(true, 1), (false, 1), (true, 3), (false, 3)] {
            let layout = Layout { width: 128, k_major };
            let setup = Setup { steps, b: layout, a: layout, ..Setup::new(format, d, 16, 128) };
            let mut case = ones(&setup);
            case.a.iter_mut().flatten().for_each(|code| *code = 0);
            let (mut device, mut arguments) = case.prepare(&setup, &setup.one_group());
            // The first bytes of B, which come last, are never written: element [0][0], and three more of
            // column 0 or of k = 0.
            let a_bytes = image(setup.a, M, &case.a, format.bytes()).bytes.len() as u64;
            let whole = arguments[1] * 4;
            let image = device.get::<u8>(arguments[0], whole as usize);
            let undefined = device.alloc(whole);
            device.set(undefined, &image[..a_bytes as usize]);
            device.set(undefined + a_bytes + 8, &image[a_bytes as usize + 8..]);
            arguments[0] = undefined;
            device.launch("test", [1; 3], [THREADS as u32, 1, 1], &arguments, 0).expect("no finding");
            let columns = if k_major { 0..1 } else { 0..4 };
            let half = d == Accumulator::F16;
            for register in 0..setup.registers() {
                for thread in 0..THREADS {
                    let at = arguments[4] + 4 * (register * THREADS + thread) as u64;
                    for (i, bytes) in if half { vec![(0, 2), (1, 2)] } else { vec![(0, 4)] } {
                        let element = if half { 2 * register + i } else { register };
                        let (_, column) = place_in_d(thread, element);
                        let got = device.first_undefined(at + 2 * i as u64, bytes);
                        assert_eq!(got.is_some(), columns.contains(&column), "{format:?} column {column}");
                    }
                }
            }
        }
    }
}

/// An operation is the warpgroup's: its warps ask the same.
#[test]
fn warps_of_a_warpgroup_ask_the_same() {
    let setup = Setup { steps: 2, ..Setup::new(Format::Bf16, Accumulator::F32, 16, 128) };
    let text = |chain: &str| match finding(&setup, chain) {
        Some(verdict @ Verdict::Wgmma { .. }) => verdict.to_string(),
        other => panic!("{chain}\n{other:?}"),
    };
    let group = setup.one_group();
    // One warp differs, the first to come or another one.
    for warp in [0, 3] {
        let only = format!("shr.u32 %v, %t, 5;\nsetp.eq.u32 %p0, %v, {warp};\n");
        for (change, said) in [
            ("@%p0 add.s64 %da1, %da1, 2;\n", "A's descriptor is 0x"),
            ("@%p0 add.s64 %db1, %db1, 2;\n", "B's descriptor is 0x"),
        ] {
            let got = text(&format!("{only}{change}{group}"));
            assert!(got.contains(said) && got.contains("in another warp of the warpgroup"), "{got}");
        }
        let apart = format!("{only}@%p0 bra OTHER;\n{group}bra END;\nOTHER:\n{group}END:\n");
        let got = text(&apart);
        assert!(got.contains("another warp of the warpgroup has issued (2) in its place"), "{got}");
        // It ends before the others have asked, or after.
        let got = text(&format!("{only}@%p0 exit;\n{group}"));
        assert!(got.contains("has ended") || got.contains("this warp ends"), "{got}");
    }
    // The twin: all ask the same.
    assert_eq!(finding(&setup, &group), None);
}

/// What one warp has found of B is not taken on trust by the others.
#[test]
fn each_warp_waits_for_what_it_multiplies() {
    // A in registers, so that B alone can tell. All warps write B, and the last one does not wait for the others.
    let setup =
        Setup { a_in_registers: true, steps: 1, ..Setup::new(Format::Bf16, Accumulator::F32, 8, 128) };
    let stores = "mad.lo.u32 %to, %n, 4, %m;\nmad.lo.u32 %to, %t, 4, %to;\nst.shared.b32 [%to-512], %t;\n\
         fence.proxy.async;\nsetp.lt.u32 %p0, %t, 96;\n@%p0 bar.sync 1, 128;\n";
    let chain = |rest: &str| format!("{stores}@!%p0 bar.{rest} 1, 128;\n{}", setup.one_group());
    assert_eq!(finding(&setup, &chain("sync")), None);
    let found = finding(&setup, &chain("arrive"));
    assert!(matches!(found, Some(Verdict::Conflict { .. } | Verdict::Proxy { .. })), "{found:?}");
}
