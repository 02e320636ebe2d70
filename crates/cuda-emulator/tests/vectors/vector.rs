//! One vector: a kernel, what it is given, and what came of it.

use crate::tensor_maps::Tiled;

/// The kernel's parameters, which every program has: its input, its output, and a tensor map.
pub const PARAMETERS: &str = ".param .u64 in, .param .u64 out, .param .align 64 .b8 map[128]";

/// What every byte of the output is before the kernel.
pub const UNTOUCHED: u8 = 0xee;

/// Bytes of the input before the tensor that a map of the input is about.
pub const BEFORE_TENSOR: usize = 128;

/// A kernel `test`, how it is launched and what it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    pub name: String,
    pub ptx: String,
    pub blocks: u32,
    pub threads: u32,
    pub map: Option<Map>,
    pub input: Vec<u8>,
    /// As long as what the kernel may write, also before it is known.
    pub output: Vec<u8>,
}

/// A tensor map, to be made by the driver that the vector runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Is the tensor the output, or the input behind [`BEFORE_TENSOR`] bytes?
    pub output: bool,
    /// All but the address.
    pub tiled: Tiled,
}

impl Vector {
    /// How another output differs from the one here.
    pub fn difference(&self, other: &[u8]) -> Option<String> {
        if self.output.len() != other.len() {
            return Some(format!("{} bytes instead of {}", other.len(), self.output.len()));
        }
        let different: Vec<usize> = (0..other.len()).filter(|&i| self.output[i] != other[i]).collect();
        let first = *different.first()?;
        // The word that the byte is part of says more.
        let word = first & !3..(first & !3) + 4;
        let hex = |bytes: &[u8]| bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (found, expected) = match (other.get(word.clone()), self.output.get(word)) {
            (Some(found), Some(expected)) => (hex(found), hex(expected)),
            _ => (hex(&other[first..=first]), hex(&self.output[first..=first])),
        };
        let (count, all) = (different.len(), other.len());
        Some(format!("{count} of {all} bytes differ, byte {first} first: 0x{found} instead of 0x{expected}"))
    }
}
