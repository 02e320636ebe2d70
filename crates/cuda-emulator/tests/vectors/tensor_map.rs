//! Boxes of tensors, copied to shared memory and back: where each byte lands under every swizzle, and what stands for
//! those outside of the tensor.

use cudarc::driver::sys::{
    CUtensorMapDataType::{self, *},
    CUtensorMapFloatOOBfill::{self, *},
    CUtensorMapSwizzle::{self, *},
};

use crate::tensor_maps::{Tiled, bytes_of};
use crate::values::Random;
use crate::vector::{BEFORE_TENSOR, Map, PARAMETERS, UNTOUCHED, Vector};

pub const ELEMENTS: [(&str, CUtensorMapDataType); 4] = [
    ("u8", CU_TENSOR_MAP_DATA_TYPE_UINT8),
    ("bf16", CU_TENSOR_MAP_DATA_TYPE_BFLOAT16),
    ("f16", CU_TENSOR_MAP_DATA_TYPE_FLOAT16),
    ("f32", CU_TENSOR_MAP_DATA_TYPE_FLOAT32),
];

pub const SWIZZLES: [(&str, CUtensorMapSwizzle); 4] = [
    ("none", CU_TENSOR_MAP_SWIZZLE_NONE),
    ("32", CU_TENSOR_MAP_SWIZZLE_32B),
    ("64", CU_TENSOR_MAP_SWIZZLE_64B),
    ("128", CU_TENSOR_MAP_SWIZZLE_128B),
];

pub const FILLS: [(&str, CUtensorMapFloatOOBfill); 2] =
    [("zero", CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE), ("nan", CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA)];

/// Threads of a block.
const THREADS: u32 = 128;

/// A box of a tensor.
struct Case {
    name: String,
    tiled: Tiled,
    /// Where the box starts.
    start: Vec<i32>,
    /// Bytes of the swizzle's row.
    pitch: usize,
}

impl Case {
    fn new(name: &str, element: &str, dims: &[u64], box_dims: &[u32], swizzle: &str, start: &[i32]) -> Self {
        let find = |name: &str| SWIZZLES.iter().find(|(n, _)| *n == name).expect("a swizzle").1;
        let of = ELEMENTS.iter().find(|(n, _)| *n == element).expect("a type").1;
        let mut tiled = Tiled::new(of, 0, dims, box_dims);
        tiled.swizzle = find(swizzle);
        let boxed = box_dims.iter().map(u32::to_string).collect::<Vec<_>>().join("x");
        Self {
            name: format!("{element} {boxed} swizzle {swizzle}{name}"),
            tiled,
            start: start.to_vec(),
            pitch: swizzle.parse().unwrap_or(16),
        }
    }

    /// Bytes of the tensor, from its first to its last row's padding.
    fn tensor_bytes(&self) -> usize {
        let rows = self.tiled.dims.last().zip(self.tiled.strides.last());
        rows.map_or(0, |(size, stride)| (size * stride) as usize)
    }

    /// Bytes of a row of the box, and rows.
    fn box_rows(&self) -> (usize, usize) {
        let steps = self.tiled.box_dims.iter().zip(&self.tiled.element_strides);
        let mut sizes = steps.map(|(size, step)| size.div_ceil(*step) as usize);
        let row = sizes.next().unwrap_or(0) * bytes_of(self.tiled.element) as usize;
        (row, sizes.product())
    }

    /// Room for the box in shared memory, and something behind it; a row may take as much as the widest swizzle's.
    fn shared(&self) -> usize {
        let (row, rows) = self.box_rows();
        row.next_multiple_of(self.pitch) * rows + 64
    }

    /// `[map, {%c0, ...}]` and the number of dimensions.
    fn place(&self) -> (String, usize) {
        let rank = self.start.len();
        let coordinates: Vec<String> = (0..rank).map(|i| format!("%c{i}")).collect();
        (format!("[%map, {{{}}}]", coordinates.join(", ")), rank)
    }

    fn program(&self, body: &str, shared: usize) -> String {
        let loads: String =
            (0..self.start.len()).map(|i| format!("ld.global.b32 %c{i}, [%in+{}];\n", 4 * i)).collect();
        format!(
            ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry test({PARAMETERS})\n{{\n\
             .reg .pred %p<2>;\n.reg .b32 %t, %v, %w, %to, %m, %bar, %c<5>;\n.reg .b64 %l, %in, %out, %map;\n\
             .shared .align 1024 .b8 memory[{shared}];\n.shared .align 8 .b64 barrier;\n\
             ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\nmov.b64 %map, map;\ncvta.param.u64 %map, %map;\n\
             mov.u32 %t, %tid.x;\nmov.u32 %m, memory;\nmov.u32 %bar, barrier;\n{loads}{body}ret;\n}}\n"
        )
    }

    fn header(&self) -> Vec<u8> {
        let mut header: Vec<u8> = self.start.iter().flat_map(|c| c.to_le_bytes()).collect();
        header.resize(BEFORE_TENSOR, 0);
        header
    }

    fn vector(&self, name: &str, ptx: String, output: bool, input: Vec<u8>, bytes: usize) -> Vector {
        Vector {
            name: format!("tensor map {name} {}", self.name),
            ptx,
            blocks: 1,
            threads: THREADS,
            map: Some(Map { output, tiled: self.tiled.clone() }),
            input,
            output: vec![UNTOUCHED; bytes],
        }
    }

    /// The box is loaded, and shared memory is what comes out, with a little behind the box. A device that counts the
    /// bytes in another way than is thought here must not wait for ever, so the wait has an end.
    fn load(&self) -> Vector {
        let (shared, (row, rows)) = (self.shared(), self.box_rows());
        let fill = u32::from_ne_bytes([UNTOUCHED; 4]);
        let (place, rank) = self.place();
        let body = format!(
            "{}{}\
             setp.ne.u32 %p0, %t, 0;\n@%p0 bra ISSUED;\n\
             mbarrier.init.shared::cta.b64 [%bar], 1;\nfence.proxy.async;\n\
             mbarrier.arrive.expect_tx.shared::cta.b64 _, [%bar], {};\n\
             cp.async.bulk.tensor.{rank}d.shared::cluster.global.mbarrier::complete_tx::bytes [%m], {place}, [%bar];\n\
             ISSUED: bar.sync 0;\nmov.u32 %v, 0;\n\
             WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%bar], 0;\n@%p1 bra LANDED;\n\
             add.u32 %v, %v, 1;\nsetp.lt.u32 %p1, %v, 10000;\n@%p1 bra WAIT;\nLANDED:\n{}",
            each_word("FILL", shared, &format!("st.shared.b32 [%to], {fill:#x};")),
            "fence.proxy.async;\nbar.sync 0;\n",
            row * rows,
            each_word(
                "DUMP",
                shared,
                "ld.shared.b32 %w, [%to];\nmad.wide.u32 %l, %v, 4, %out;\nst.global.b32 [%l], %w;"
            ),
        );
        let tensor = Random(11).bytes(self.tensor_bytes());
        let input = [self.header(), tensor].concat();
        self.vector("load", self.program(&body, shared), false, input, shared)
    }

    /// Shared memory, filled from the input, is stored as a box of a tensor that is the output.
    fn store(&self) -> Vector {
        let shared = self.shared();
        let (place, rank) = self.place();
        let body = format!(
            "{}fence.proxy.async;\nbar.sync 0;\nsetp.ne.u32 %p0, %t, 0;\n@%p0 bra DONE;\n\
             cp.async.bulk.tensor.{rank}d.global.shared::cta.bulk_group {place}, [%m];\n\
             cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nDONE:\n",
            each_word(
                "FILL",
                shared,
                &format!(
                    "mad.wide.u32 %l, %v, 4, %in;\nld.global.b32 %w, [%l+{BEFORE_TENSOR}];\nst.shared.b32 [%to], %w;"
                )
            ),
        );
        let input = [self.header(), Random(13).bytes(shared)].concat();
        self.vector("store", self.program(&body, shared), true, input, self.tensor_bytes())
    }
}

/// A loop in which the threads share `bytes` of shared memory: the number of the word is in `%v`, its address in `%to`.
fn each_word(label: &str, bytes: usize, body: &str) -> String {
    format!(
        "mov.u32 %v, %t;\n{label}: setp.ge.u32 %p0, %v, {};\n@%p0 bra {label}_DONE;\nmad.lo.u32 %to, %v, 4, %m;\n{body}\n\
         add.u32 %v, %v, {THREADS};\nbra {label};\n{label}_DONE:\n",
        bytes / 4
    )
}

pub fn vectors() -> Vec<Vector> {
    let mut cases = Vec::new();
    // The widest box of each swizzle, twice the rows after which its pattern repeats.
    for (swizzle, bytes) in [("none", 64u32), ("32", 32), ("64", 64), ("128", 128)] {
        cases.push(Case::new("", "u8", &[200, 20], &[bytes, 16], swizzle, &[16, 2]));
        // Before the start and behind the end.
        cases.push(Case::new(" outside", "bf16", &[70, 12], &[bytes / 2, 16], swizzle, &[-8, -2]));
        cases.push(Case::new(" behind", "bf16", &[70, 12], &[bytes / 2, 16], swizzle, &[56, 3]));
        // Not as wide as the swizzle's row.
        cases.push(Case::new(" narrow", "f16", &[70, 12], &[bytes / 4, 8], swizzle, &[8, 1]));
    }
    cases.push(Case::new("", "f32", &[40, 6, 3], &[32, 4, 2], "128", &[4, 1, 1]));
    let mut every_other = Case::new(" every other row", "u8", &[64, 20], &[64, 9], "64", &[0, 1]);
    every_other.tiled.element_strides = vec![1, 2];
    cases.push(every_other);
    let loads = cases.iter().map(Case::load);

    let with_nan = ["f16", "bf16", "f32"].map(|element| {
        let mut case = Case::new(" nan outside", element, &[20, 6], &[16, 4], "none", &[8, 4]);
        case.tiled.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
        case.load()
    });
    // A store starts inside.
    let stores =
        cases.iter().filter(|case| case.start.iter().all(|&c| c >= 0) && case.tiled.element_strides[1] == 1);
    loads.chain(with_nan).chain(stores.map(Case::store)).collect()
}
