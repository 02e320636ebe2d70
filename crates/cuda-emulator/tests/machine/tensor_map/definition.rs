//! What a box is, as the manuals say it: element by element, and the swizzles as the tables that they print.

use std::collections::HashMap;

use cuda_emulator::machine::tensor_map::{ElementType, Fill, Interleave, Swizzle};
use half::{bf16, f16};

use super::Bytes;
use super::random::Case;

/// What a byte of a box is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Byte {
    /// That at this address of the tensor.
    Tensor(u64),
    /// None of it: loaded as this value.
    Outside(u8),
}

/// Row by row of 128 bytes, which 16-byte chunk lies where (PTX ISA, "Swizzling Modes").
const TABLE_32: [[u32; 8]; 2] = [[0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 3, 2, 5, 4, 7, 6]];
const TABLE_64: [[u32; 8]; 4] =
    [[0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 3, 2, 5, 4, 7, 6], [2, 3, 0, 1, 6, 7, 4, 5], [3, 2, 1, 0, 7, 6, 5, 4]];
const TABLE_128: [[u32; 8]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [1, 0, 3, 2, 5, 4, 7, 6],
    [2, 3, 0, 1, 6, 7, 4, 5],
    [3, 2, 1, 0, 7, 6, 5, 4],
    [4, 5, 6, 7, 0, 1, 2, 3],
    [5, 4, 7, 6, 1, 0, 3, 2],
    [6, 7, 4, 5, 2, 3, 0, 1],
    [7, 6, 5, 4, 3, 2, 1, 0],
];

/// Where the byte at a linear shared address goes.
fn swizzled(swizzle: Swizzle, address: u32) -> u32 {
    let table: &[[u32; 8]] = match swizzle {
        Swizzle::None => return address,
        Swizzle::B32 => &TABLE_32,
        Swizzle::B64 => &TABLE_64,
        Swizzle::B128 => &TABLE_128,
    };
    let row = table[(address / 128) as usize % table.len()];
    let chunk = address % 128 / 16;
    let place = row.iter().position(|c| *c == chunk).expect("each row has every chunk") as u32;
    address / 128 * 128 + place * 16 + address % 16
}

pub struct Definition<'a>(&'a Case);

impl<'a> Definition<'a> {
    pub fn new(case: &'a Case) -> Self {
        Self(case)
    }

    /// Calls `f` with each element of the box, innermost first: its address in the tensor, if it is in it, and its
    /// linear address in shared memory. Interleaved, an element is a slice of channels.
    fn each(&self, mut f: impl FnMut(Option<u64>, u32)) {
        let Case { map, start, shared } = self.0;
        let interleaved = map.interleave != Interleave::None;
        let unit = match map.interleave {
            Interleave::None => map.element.bytes(),
            Interleave::B16 => 16,
            Interleave::B32 => 32,
        };
        // The coordinates along each dimension.
        let along = |d: usize| -> Vec<i64> {
            if d >= map.rank {
                return vec![0];
            }
            let first = i64::from(start[d]);
            if interleaved && d == map.rank - 2 {
                return vec![first];
            }
            let stride = if d == 0 && !interleaved { 1 } else { map.element_strides[d] };
            (0..map.box_dims[d]).filter(|i| i % stride == 0).map(|i| first + i64::from(i)).collect()
        };
        let [x, y, z, u, v] = [0, 1, 2, 3, 4].map(along);
        let row_bytes = x.len() as u32 * unit;
        let pitch = match map.swizzle {
            Swizzle::None => row_bytes,
            _ if interleaved => row_bytes,
            Swizzle::B32 => 32,
            Swizzle::B64 => 64,
            Swizzle::B128 => 128,
        };
        let mut row = 0;
        for v in &v {
            for u in &u {
                for z in &z {
                    for y in &y {
                        for (i, x) in x.iter().enumerate() {
                            let at = [*x, *y, *z, *u, *v];
                            let inside = (0..map.rank).all(|d| at[d] >= 0 && at[d] < map.dims[d] as i64);
                            let address = inside.then(|| {
                                let outer: u64 =
                                    (1..map.rank).map(|d| at[d] as u64 * map.strides[d - 1]).sum();
                                map.address + at[0] as u64 * u64::from(unit) + outer
                            });
                            f(address, shared + row * pitch + i as u32 * unit);
                        }
                        row += 1;
                    }
                }
            }
        }
    }

    /// Every byte of the box by its shared address.
    pub fn bytes(&self) -> HashMap<u32, Byte> {
        let Case { map, .. } = self.0;
        let unit = match map.interleave {
            Interleave::None => map.element.bytes(),
            Interleave::B16 => 16,
            Interleave::B32 => 32,
        };
        let mut bytes = HashMap::new();
        self.each(|address, linear| {
            for i in 0..unit {
                let byte = match (address, map.fill) {
                    (Some(address), _) => Byte::Tensor(address + u64::from(i)),
                    (None, Fill::Zero) => Byte::Outside(0),
                    (None, Fill::Nan) => Byte::Outside(if i % 2 == 0 { 0xf7 } else { 0x7f }),
                };
                let before = bytes.insert(swizzled(map.swizzle, linear + i), byte);
                assert!(before.is_none(), "two bytes in one place");
            }
        });
        bytes
    }

    /// Shared and global address of each element of the tensor in the box.
    pub fn elements(&self) -> Vec<(u32, u64)> {
        let width = self.0.map.element.bytes();
        let mut elements: Vec<(u32, u64)> = self
            .bytes()
            .iter()
            .filter_map(|(at, byte)| match byte {
                Byte::Tensor(address) if at % width == 0 => Some((*at, *address)),
                _ => None,
            })
            .collect();
        elements.sort_unstable();
        elements
    }
}

pub const REDUCTIONS: [&str; 9] = ["add", "min", "max", "inc", "dec", "and", "or", "xor", "exch"];

/// A reduction on the bits of (old value, operand), where PTX has it for the type.
pub fn reduction(name: &str, element: ElementType) -> Option<fn(u64, u64) -> u64> {
    use ElementType::*;
    macro_rules! numbers {
        ($ty:ty) => {
            match name {
                "add" => Some(|a, b| (a as $ty as i128 + b as $ty as i128) as u64),
                "min" => Some(|a, b| (a as $ty as i128).min(b as $ty as i128) as u64),
                "max" => Some(|a, b| (a as $ty as i128).max(b as $ty as i128) as u64),
                _ => None,
            }
        };
    }
    match (name, element) {
        ("and", U32 | S32 | U64 | S64) => Some(|a, b| a & b),
        ("or", U32 | S32 | U64 | S64) => Some(|a, b| a | b),
        ("xor", U32 | S32 | U64 | S64) => Some(|a, b| a ^ b),
        ("inc", U32) => Some(|a, b| if a >= b { 0 } else { a + 1 }),
        ("dec", U32) => Some(|a, b| if a == 0 || a > b { b } else { a - 1 }),
        (_, U32) => numbers!(u32),
        (_, S32) => numbers!(i32),
        (_, U64) => numbers!(u64),
        ("min" | "max", S64) => numbers!(i64),
        ("add", F32 | F32Ftz) => Some(|a, b| {
            let sum = f64::from(f32::from_bits(a as u32)) + f64::from(f32::from_bits(b as u32));
            (sum as f32).to_bits().into()
        }),
        ("add", F16) => Some(|a, b| f16::from_f64(half(a) + half(b)).to_bits().into()),
        ("min", F16) => Some(|a, b| f16::from_f64(half(a).min(half(b))).to_bits().into()),
        ("max", F16) => Some(|a, b| f16::from_f64(half(a).max(half(b))).to_bits().into()),
        ("add", Bf16) => Some(|a, b| bf16::from_f64(brain(a) + brain(b)).to_bits().into()),
        ("min", Bf16) => Some(|a, b| bf16::from_f64(brain(a).min(brain(b))).to_bits().into()),
        ("max", Bf16) => Some(|a, b| bf16::from_f64(brain(a).max(brain(b))).to_bits().into()),
        _ => None,
    }
}

fn half(bits: u64) -> f64 {
    f16::from_bits(bits as u16).to_f64()
}

fn brain(bits: u64) -> f64 {
    bf16::from_bits(bits as u16).to_f64()
}

/// Makes the elements of floating-point memory numbers whose sums are exact: what sums round to is the business of
/// other tests.
pub fn round_values(element: ElementType, bytes: &mut Bytes) {
    use ElementType::*;
    let width = element.bytes() as usize;
    let number = |byte: u8| f32::from(i16::from(byte) - 128) / 4.0;
    for at in (0..bytes.len / width * width).step_by(width) {
        let at = bytes.address + at as u64;
        let value = number(bytes.get(at).0);
        let new = match element {
            F32 | F32Ftz => value.to_le_bytes().to_vec(),
            F16 => f16::from_f32(value).to_le_bytes().to_vec(),
            Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
            _ => return,
        };
        for (i, byte) in new.into_iter().enumerate() {
            let defined = bytes.get(at + i as u64).1;
            bytes.set(at + i as u64, (byte, defined));
        }
    }
}
