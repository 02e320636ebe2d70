//! A frame for atomics: cells of memory, each shared by a number of threads.

use super::instruction::{BLOCK, launch};

/// Where the cells lie, and how they are addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Global,
    Shared,
    /// Global memory through a generic address.
    GenericGlobal,
    /// Shared memory through a generic address.
    GenericShared,
}

impl Place {
    pub const ALL: [Place; 4] = [Place::Global, Place::Shared, Place::GenericGlobal, Place::GenericShared];

    /// The state space's modifier.
    pub fn space(self) -> &'static str {
        match self {
            Place::Global => ".global",
            Place::Shared => ".shared",
            Place::GenericGlobal | Place::GenericShared => "",
        }
    }

    /// Is it in global memory?
    pub fn is_global(self) -> bool {
        matches!(self, Place::Global | Place::GenericGlobal)
    }
}

/// Sixteen bytes: the largest operand.
pub type Cell = u128;

/// What the threads left.
#[derive(Debug)]
pub struct After {
    /// What each thread got.
    pub results: Vec<Cell>,
    /// What each cell holds.
    pub cells: Vec<Cell>,
}

/// Runs `code` in a thread for each of `operands`. So many threads in a row as
/// there are for each of `cells` have their cell's address in `%at`, as `place`
/// says. The threads' own operands are at the global address `%in`, their
/// results go to `%out`; 16 bytes each. Registers: `%p`, `%h<20>`, `%r<9>`,
/// `%l<9>`, `%x<4>` (128 bits).
#[track_caller]
pub fn run(code: &str, place: Place, cells: &[Cell], operands: &[Cell]) -> After {
    let sharers = operands.len() / cells.len();
    assert_eq!(sharers * cells.len(), operands.len(), "each cell has as many threads");
    let bytes = |values: &[Cell]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut buffers = [bytes(cells), bytes(operands), vec![0; 16 * operands.len()]];
    launch(&program(code, place, sharers), &mut buffers, operands.len());
    let values =
        |bytes: &[u8]| bytes.chunks(16).map(|b| Cell::from_le_bytes(b.try_into().expect("16"))).collect();
    let [cells, _, results] = buffers;
    After { results: values(&results), cells: values(&cells) }
}

fn program(code: &str, place: Place, sharers: usize) -> String {
    let body = match place {
        Place::Global | Place::GenericGlobal => format!("{{\n{code}\n}}\n"),
        // A block brings its cells into shared memory and back.
        Place::Shared | Place::GenericShared => {
            assert_eq!(BLOCK as usize % sharers, 0, "a cell's threads are in one block");
            let window = if place == Place::GenericShared { "cvta.shared.u64 %at, %at;\n" } else { "" };
            format!(
                ".shared .align 16 .b8 own[{}];\n.reg .b64 %cell, %v<2>;\n.reg .pred %leads;\n\
                 mov.u64 %cell, %at;\n\
                 mov.u32 %r0, %tid.x;\nrem.u32 %r1, %r0, {sharers};\nsetp.eq.u32 %leads, %r1, 0;\n\
                 div.u32 %r0, %r0, {sharers};\nmov.u64 %at, own;\nmad.wide.u32 %at, %r0, 16, %at;\n\
                 @%leads ld.global.v2.b64 {{%v0, %v1}}, [%cell];\n@%leads st.shared.v2.b64 [%at], {{%v0, %v1}};\n\
                 bar.sync 0;\n{{\n.reg .b64 %mine;\nmov.u64 %mine, %at;\n{window}{{\n{code}\n}}\n\
                 mov.u64 %at, %mine;\n}}\nbar.sync 0;\n\
                 @%leads ld.shared.v2.b64 {{%v0, %v1}}, [%at];\n@%leads st.global.v2.b64 [%cell], {{%v0, %v1}};\n",
                16 * BLOCK as usize / sharers
            )
        }
    };
    format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n\n\
         .visible .entry test(.param .u64 cells, .param .u64 operands, .param .u64 results, .param .u32 n)\n{{\n\
         .reg .pred %p, %outside;\n.reg .b16 %h<20>;\n.reg .b32 %r<9>, %thread, %n;\n\
         .reg .b64 %l<9>, %at, %in, %out;\n.reg .b128 %x<4>;\n\
         mov.u32 %thread, %ctaid.x;\nmov.u32 %n, %ntid.x;\nmov.u32 %r0, %tid.x;\n\
         mad.lo.u32 %thread, %thread, %n, %r0;\nld.param.u32 %n, [n];\n\
         setp.ge.u32 %outside, %thread, %n;\n@%outside bra DONE;\n\
         ld.param.u64 %in, [operands];\nmad.wide.u32 %in, %thread, 16, %in;\n\
         ld.param.u64 %out, [results];\nmad.wide.u32 %out, %thread, 16, %out;\n\
         ld.param.u64 %at, [cells];\ndiv.u32 %r0, %thread, {sharers};\nmad.wide.u32 %at, %r0, 16, %at;\n\
         {body}DONE:\nret;\n}}\n"
    )
}

/// `instruction` with scalar operands of so many bits, one or two beside the cell.
pub fn scalar(instruction: &str, bits: usize, operands: usize) -> String {
    let letter = match bits {
        16 => "h",
        32 => "r",
        _ => "l",
    };
    let mut code = String::new();
    for n in 1..=operands {
        code += &format!("ld.global.b{bits} %{letter}{n}, [%in+{}];\n", 8 * (n - 1));
    }
    let list: String = (1..=operands).map(|n| format!(", %{letter}{n}")).collect();
    match instruction.starts_with("red") {
        true => code + &format!("{instruction} [%at]{list};"),
        false => {
            code + &format!("{instruction} %{letter}3, [%at]{list};\nst.global.b{bits} [%out], %{letter}3;")
        }
    }
}

/// A cell that has the bits in its lowest bytes, and others above that must stay.
pub fn cell(bits: u64, width: usize) -> Cell {
    let mask = u64::MAX >> (64 - 8 * width);
    Cell::from(bits & mask | 0xa5a5_a5a5_a5a5_a5a5 & !mask) | 0x5a5a_5a5a << 64
}

/// The bits in a cell's lowest bytes.
pub fn low(cell: Cell, width: usize) -> u64 {
    cell as u64 & u64::MAX >> (64 - 8 * width)
}
