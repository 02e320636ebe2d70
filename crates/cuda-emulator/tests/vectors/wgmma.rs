//! `wgmma`, one operation each: shared memory holds codes, descriptors point into it, and which code is which element
//! is for the device to say.
//!
//! Numbers of every kind in the plainest layout show how sums are made; whole numbers, whose sums are exact, show
//! every layout.

use std::fmt::Write;

use crate::values::{BF16, E4M3, E5M2, F16, F32, Format, Random, Values};
use crate::vector::{PARAMETERS, UNTOUCHED, Vector};

/// Threads of a warpgroup.
const THREADS: usize = 128;
/// Rows of A.
const M: usize = 64;
/// Bytes of a row of A, or a column of B, that an operation multiplies.
const DEPTH: usize = 32;
/// Where A and B start.
const ALIGNED: usize = 1024;

/// A matrix in shared memory.
#[derive(Debug, Clone, Copy)]
struct Operand {
    /// Bytes of a swizzle's row, 16 for none.
    width: usize,
    /// Is its direction along k contiguous?
    k_major: bool,
    /// Where the operation starts in it, in bytes.
    start: usize,
}

impl Operand {
    fn new(width: usize, k_major: bool) -> Self {
        Self { width, k_major, start: 0 }
    }

    /// Leading and stride offset in bytes for a matrix of `lines` rows (of A) or columns (of B), and the bytes that it
    /// takes.
    fn extent(self, lines: usize, bytes: usize) -> (usize, usize, usize) {
        let groups = lines.div_ceil(8);
        // Elements along k.
        let k = DEPTH / bytes;
        match (self.k_major, self.width) {
            // Core matrices of 8 by 16 bytes, with a gap between them.
            (true, 16) => (144 * groups, 144, 2 * 144 * groups),
            (true, width) => (16, 8 * width, 8 * width * groups),
            (false, 16) => (144, 144 * (k / 8), 144 * (k / 8) * groups),
            (false, width) => {
                let across = (lines * bytes).div_ceil(width);
                (k / 8 * 8 * width, 8 * width, across * (k / 8) * 8 * width)
            }
        }
    }

    fn descriptor(self, lines: usize, bytes: usize, at: usize) -> u64 {
        let (leading, stride, _) = self.extent(lines, bytes);
        let mode = match self.width {
            128 => 1,
            64 => 2,
            32 => 3,
            _ => 0,
        };
        let field = |bytes: usize| (bytes as u64 & 0x3fff0) >> 4;
        field(at + self.start) | field(leading) << 16 | field(stride) << 32 | mode << 62
    }
}

/// An operation.
#[derive(Debug, Clone, Copy)]
struct Setup {
    a: Format,
    b: Format,
    d: Format,
    n: usize,
    a_layout: Operand,
    b_layout: Operand,
    a_in_registers: bool,
    values: Values,
    /// Does D start with numbers, or with nothing?
    accumulate: bool,
    seed: u64,
}

impl Setup {
    /// Sums: the plainest layout, D starts with numbers.
    fn sums(a: Format, b: Format, d: Format, values: Values, seed: u64) -> Self {
        let plain = Operand::new(16, true);
        Self {
            a,
            b,
            d,
            n: 8,
            a_layout: plain,
            b_layout: plain,
            a_in_registers: false,
            values,
            accumulate: true,
            seed,
        }
    }

    /// Layouts: whole numbers.
    fn layouts(format: Format, n: usize, a_layout: Operand, b_layout: Operand) -> Self {
        let sums = Self::sums(format, format, F32, Values::Whole, 5);
        Self { n, a_layout, b_layout, accumulate: false, ..sums }
    }

    fn name(&self) -> String {
        let layout = |operand: Operand| {
            let major = if operand.k_major { "k" } else { "mn" };
            let start = if operand.start == 0 { String::new() } else { format!("+{}", operand.start) };
            format!("{major}{}{start}", operand.width)
        };
        let a = if self.a_in_registers { "registers".to_owned() } else { layout(self.a_layout) };
        format!(
            "wgmma {} {} {} n{} {a} {} {} {}",
            self.a.name,
            self.b.name,
            self.d.name,
            self.n,
            layout(self.b_layout),
            self.values.name(),
            self.seed
        )
    }

    fn registers(&self) -> usize {
        self.n * self.d.bytes() / 8
    }

    fn instruction(&self) -> String {
        let list = |name: &str, count: usize| {
            let all: Vec<_> = (0..count).map(|i| format!("%{name}{i}")).collect();
            format!("{{{}}}", all.join(", "))
        };
        let a = if self.a_in_registers { list("a", 4) } else { "%da".to_owned() };
        let mut text = format!(
            "wgmma.mma_async.sync.aligned.m64n{}k{}.{}.{}.{} {}, {a}, %db, %p1, 1, 1",
            self.n,
            DEPTH / self.a.bytes(),
            self.d.name,
            self.a.name,
            self.b.name,
            list("d", self.registers()),
        );
        // 16-bit matrices can be transposed.
        if self.a.bytes() == 2 {
            let transposed = |operand: Operand| if operand.k_major { ", 0" } else { ", 1" };
            if !self.a_in_registers {
                text += transposed(self.a_layout);
            }
            text += transposed(self.b_layout);
        }
        text + ";\n"
    }

    /// Bytes of A and B in shared memory.
    fn images(&self) -> [usize; 2] {
        let aligned = |(_, _, bytes): (usize, usize, usize)| bytes.next_multiple_of(ALIGNED);
        let a = if self.a_in_registers { 0 } else { aligned(self.a_layout.extent(M, self.a.bytes())) };
        [a, self.b_layout.extent(self.n, self.b.bytes()).2.next_multiple_of(16)]
    }

    /// The input is two descriptors, both images, and what threads have in registers: A's and D's.
    fn vector(self) -> Vector {
        let mut random = Random(self.seed);
        let [image_a, image_b] = self.images();
        let mut codes =
            |format: Format, bytes: usize| format.codes(&mut random, self.values, bytes / format.bytes());
        let registers = self.registers();
        let (a, b) = (codes(self.a, image_a), codes(self.b, image_b));
        let in_a = if self.a_in_registers { codes(self.a, 16 * THREADS) } else { Vec::new() };
        let in_d = if self.accumulate { codes(self.d, 4 * THREADS * registers) } else { Vec::new() };
        let descriptors = [
            self.a_layout.descriptor(M, self.a.bytes(), 0),
            self.b_layout.descriptor(self.n, self.b.bytes(), image_a),
        ];
        let descriptors = descriptors.iter().flat_map(|d| d.to_le_bytes()).collect();
        Vector {
            name: self.name(),
            ptx: self.program(image_a + image_b),
            blocks: 1,
            threads: THREADS as u32,
            map: None,
            input: [descriptors, a, b, in_a, in_d].concat(),
            output: vec![UNTOUCHED; 4 * THREADS * registers],
        }
    }

    fn program(&self, image: usize) -> String {
        let registers = self.registers();
        let mut text = format!(
            ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry test({PARAMETERS})\n{{\n\
             .reg .pred %p<2>;\n.reg .b32 %t, %v, %w, %to, %m, %a<4>, %d<{registers}>;\n\
             .reg .b64 %l, %in, %at, %da, %db;\n.shared .align 1024 .b8 memory[{image}];\n\
             ld.param.u64 %in, [in];\nmov.u32 %t, %tid.x;\nmov.u32 %m, memory;\nmov.u32 %v, %t;\n\
             COPY: setp.ge.u32 %p0, %v, {};\n@%p0 bra COPIED;\n\
             mad.wide.u32 %l, %v, 4, %in;\nld.global.b32 %w, [%l+16];\n\
             mad.lo.u32 %to, %v, 4, %m;\nst.shared.b32 [%to], %w;\nadd.u32 %v, %v, {THREADS};\nbra COPY;\n\
             COPIED: fence.proxy.async;\nbar.sync 0;\n\
             ld.global.b64 %da, [%in];\nld.global.b64 %db, [%in+8];\n\
             shr.u32 %v, %m, 4;\ncvt.u64.u32 %l, %v;\nadd.u64 %da, %da, %l;\nadd.u64 %db, %db, %l;\n\
             mad.wide.u32 %at, %t, 4, %in;\n",
            image / 4
        );
        let mut at = 16 + image;
        let mut load = |text: &mut String, name: &str, count: usize| {
            for i in 0..count {
                let _ = writeln!(text, "ld.global.b32 %{name}{i}, [%at+{at}];");
                at += 4 * THREADS;
            }
        };
        if self.a_in_registers {
            load(&mut text, "a", 4);
        }
        if self.accumulate {
            load(&mut text, "d", registers);
            text += "setp.eq.u32 %p1, %t, %t;\n";
        } else {
            (0..registers).for_each(|i| text += &format!("mov.b32 %d{i}, 0;\n"));
            text += "setp.ne.u32 %p1, %t, %t;\n";
        }
        text += "wgmma.fence.sync.aligned;\n";
        text += &self.instruction();
        text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n\
                 ld.param.u64 %at, [out];\nmad.wide.u32 %at, %t, 4, %at;\n";
        for i in 0..registers {
            let _ = writeln!(text, "st.global.b32 [%at+{}], %d{i};", 4 * THREADS * i);
        }
        text + "ret;\n}\n"
    }
}

pub fn vectors() -> Vec<Vector> {
    let mut setups = Vec::new();
    for (a, b, d) in [
        (E4M3, E4M3, F32),
        (E4M3, E5M2, F32),
        (E5M2, E4M3, F32),
        (E5M2, E5M2, F32),
        (E4M3, E4M3, F16),
        (E5M2, E5M2, F16),
        (BF16, BF16, F32),
        (F16, F16, F32),
        (F16, F16, F16),
    ] {
        for values in [Values::Near, Values::Finite, Values::Bits] {
            setups.push(Setup::sums(a, b, d, values, 1));
        }
    }
    // What the kernels here use, once more.
    setups.push(Setup::sums(E4M3, E4M3, F32, Values::Near, 2));
    setups.push(Setup::sums(E4M3, E4M3, F32, Values::Finite, 2));

    for format in [E4M3, BF16] {
        for width in [16, 32, 64, 128] {
            let plain = Operand::new(width, true);
            setups.push(Setup::layouts(format, 16, plain, plain));
            // The second step along k of a wide row.
            if width > DEPTH {
                let second = Operand { start: DEPTH, ..plain };
                setups.push(Setup::layouts(format, 16, second, second));
            }
        }
        let swizzled = Operand::new(128, true);
        setups.push(Setup { a_in_registers: true, ..Setup::layouts(format, 16, swizzled, swizzled) });
    }
    setups.push(Setup::layouts(E4M3, 256, Operand::new(32, true), Operand::new(32, true)));
    for width in [16, 32, 64, 128] {
        let (plain, transposed) = (Operand::new(32, true), Operand::new(width, false));
        // Whole rows of the widest swizzle.
        setups.push(Setup { d: F16, ..Setup::layouts(F16, 64, transposed, plain) });
        setups.push(Setup { d: F16, ..Setup::layouts(F16, 64, plain, transposed) });
    }
    setups.into_iter().map(Setup::vector).collect()
}
