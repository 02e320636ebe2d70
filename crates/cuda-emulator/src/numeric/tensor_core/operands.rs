//! Factors as numbers, in the order in which sums take them.

use super::accumulators::place;
use super::format::{self, Format};
use super::{Operation, ROWS};

/// The most products of a sum.
pub const DEPTH: usize = 32;
/// Columns that are worked on at a time: two vectors of the host.
pub const WIDTH: usize = 16;
/// The exponent of zero: below that of any number, and a sum of two does not wrap.
pub const NONE: i16 = i16::MIN / 2;

/// A row of A.
#[derive(Clone, Copy)]
pub struct Row {
    /// By k.
    pub value: [f32; DEPTH],
    /// Exponents of the values, after [`Row::align`].
    pub exponent: [i16; DEPTH],
    /// Are all values finite? After [`Row::align`].
    pub finite: bool,
}

/// Columns of B, in the order of [`place`]; those that B does not have hold anything.
pub struct Columns {
    /// By k.
    pub value: [[f32; WIDTH]; DEPTH],
    /// Exponents of the values, after [`Columns::align`].
    pub exponent: [[i16; WIDTH]; DEPTH],
    /// Are all values finite? After [`Columns::align`].
    pub finite: bool,
}

/// `$then(..., f)` with the function `f` from a format's codes to numbers.
macro_rules! with_numbers {
    ($format:expr, $then:ident($($argument:expr),*)) => {
        match $format {
            Format::E4m3 => $then($($argument,)* #[inline(always)] |[c]: [u8; 1]| format::e4m3(c)),
            Format::E5m2 => $then($($argument,)* #[inline(always)] |[c]: [u8; 1]| format::e5m2(c)),
            Format::F16 => $then($($argument,)* #[inline(always)] |c| format::f16(u16::from_le_bytes(c))),
            Format::Bf16 => $then($($argument,)* #[inline(always)] |c| format::bf16(u16::from_le_bytes(c))),
            Format::Tf32 => $then($($argument,)* #[inline(always)] |c| format::tf32(u32::from_le_bytes(c))),
            Format::S8 => $then($($argument,)* #[inline(always)] |[c]: [u8; 1]| f32::from(c as i8)),
            Format::U8 => $then($($argument,)* #[inline(always)] |[c]: [u8; 1]| f32::from(c)),
        }
    };
}

/// All rows of A, negated where its products are subtracted.
#[inline(always)]
pub fn rows(op: &Operation, codes: &[u8]) -> [Row; ROWS] {
    let mut rows = [Row { value: [0.0; DEPTH], exponent: [NONE; DEPTH], finite: true }; ROWS];
    with_numbers!(op.a, read_rows(&mut rows, op.k, codes));
    if op.negate {
        rows.iter_mut().for_each(|row| row.value.iter_mut().for_each(|value| *value = -*value));
    }
    rows
}

#[inline(always)]
fn read_rows<const BYTES: usize>(
    rows: &mut [Row; ROWS],
    k: usize,
    codes: &[u8],
    number: impl Fn([u8; BYTES]) -> f32,
) {
    for (row, codes) in rows.iter_mut().zip(codes.as_chunks().0.chunks_exact(k)) {
        for (value, code) in row.value.iter_mut().zip(codes) {
            *value = number(*code);
        }
    }
}

impl Row {
    /// Finds the exponents, in a format whose smallest normal number has exponent `least`.
    #[inline(always)]
    pub fn align(&mut self, least: i16) {
        let mut finite = true;
        for (value, exponent) in self.value.iter().zip(&mut self.exponent) {
            *exponent = exponent_of(*value, least);
            finite &= value.is_finite();
        }
        self.finite = finite;
    }
}

impl Columns {
    /// All zero.
    #[inline(always)]
    pub fn new() -> Self {
        Self { value: [[0.0; WIDTH]; DEPTH], exponent: [[NONE; WIDTH]; DEPTH], finite: true }
    }

    /// Reads the columns of B from `first` on.
    #[inline(always)]
    pub fn read(&mut self, op: &Operation, codes: &[u8], first: usize) {
        let codes = &codes[first * op.k * op.b.bytes()..];
        with_numbers!(op.b, read_columns(self, op.k, codes));
    }

    /// Finds the exponents, in a format whose smallest normal number has exponent `least`.
    #[inline(always)]
    pub fn align(&mut self, k: usize, least: i16) {
        let mut finite = true;
        for (value, exponent) in self.value.iter().zip(&mut self.exponent).take(k) {
            for j in 0..WIDTH {
                exponent[j] = exponent_of(value[j], least);
                finite &= value[j].is_finite();
            }
        }
        self.finite = finite;
    }
}

#[inline(always)]
fn read_columns<const BYTES: usize>(
    columns: &mut Columns,
    k: usize,
    codes: &[u8],
    number: impl Fn([u8; BYTES]) -> f32,
) {
    if BYTES == 1 {
        return read_bytes(columns, k, codes, |code| number([code; BYTES]));
    }
    for (j, codes) in codes.as_chunks().0.chunks_exact(k).take(WIDTH).enumerate() {
        let mut column = [0.0; DEPTH];
        for (value, code) in column.iter_mut().zip(codes) {
            *value = number(*code);
        }
        for (values, value) in columns.value[..k].iter_mut().zip(column) {
            values[place(j)] = value;
        }
    }
}

/// The same of bytes, which become columns before they become numbers: `k` is a multiple of 8.
#[inline(always)]
fn read_bytes(columns: &mut Columns, k: usize, codes: &[u8], number: impl Fn(u8) -> f32) {
    let mut bytes = [[0; WIDTH]; DEPTH];
    for (eight, codes) in codes.chunks_exact(8 * k).take(WIDTH / 8).enumerate() {
        let mut words = [[0; DEPTH / 8]; 8];
        for (column, codes) in codes.chunks_exact(k).enumerate() {
            for (word, bytes) in words[place(column)].iter_mut().zip(codes.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        transpose(&mut words);
        for (k, bytes) in bytes.iter_mut().enumerate() {
            bytes[8 * eight..][..8].copy_from_slice(&words[k % 8][k / 8].to_le_bytes());
        }
    }
    for (value, byte) in columns.value.as_flattened_mut().iter_mut().zip(bytes.as_flattened()) {
        *value = number(*byte);
    }
}

/// Transposes squares of eight by eight bytes, side by side: byte j of word i becomes byte i of word j.
#[inline(always)]
fn transpose(words: &mut [[u64; DEPTH / 8]; 8]) {
    for (distance, mask) in
        [(1, 0x00ff_00ff_00ff_00ff), (2, 0x0000_ffff_0000_ffff), (4, 0x0000_0000_ffff_ffff)]
    {
        for low in (0..8).filter(|word| word & distance == 0) {
            let (until, from) = words.split_at_mut(low + distance);
            for (a, b) in until[low].iter_mut().zip(&mut from[0]) {
                let exchanged = (*a >> (8 * distance) ^ *b) & mask;
                *a ^= exchanged << (8 * distance);
                *b ^= exchanged;
            }
        }
    }
}

/// The exponent of a number in a format whose smallest normal number has exponent `least`.
#[inline(always)]
pub fn exponent_of(value: f32, least: i16) -> i16 {
    let exponent = ((value.to_bits() >> 23 & 0xff) as i16 - 127).max(least);
    if value == 0.0 { NONE } else { exponent }
}
