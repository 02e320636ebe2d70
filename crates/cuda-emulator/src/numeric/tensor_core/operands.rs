//! Factors as numbers, in the order in which sums take them.

use super::accumulators::place;
use super::format::{self, Format};
use super::{Arithmetic, Operation, hardware};

/// The most products of a sum.
pub const DEPTH: usize = 32;
/// Columns of [`Columns`].
pub const WIDTH: usize = 8;
/// The exponent of zero: below that of any number, and a sum of two does not wrap.
pub const NONE: i16 = i16::MIN / 2;

/// Eight rows of A or columns of B as numbers.
#[derive(Clone)]
pub struct Lines {
    /// By k.
    pub value: [[f32; WIDTH]; DEPTH],
    /// Exponents of the values, if sums are the hardware's.
    pub exponent: [[i16; WIDTH]; DEPTH],
    /// So many of them, by k, are there.
    pub exponents: usize,
    /// Are all values with exponents finite?
    pub finite: bool,
}

/// Eight columns of B, in the order of [`place`].
#[derive(Clone)]
pub struct Columns(pub(super) Lines);

/// The 16 rows of A that are a warp's: the upper eight, and the lower.
#[derive(Clone)]
pub struct Rows(pub(super) [Lines; 2]);

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

impl Rows {
    /// All zero.
    pub const ZERO: Self = Self([Lines::ZERO; 2]);

    /// From codes, negated where products are subtracted.
    #[inline(always)]
    pub(super) fn fill(&mut self, op: &Operation, arithmetic: Arithmetic, codes: &[u8]) {
        for (lines, codes) in self.0.iter_mut().zip(codes.chunks(WIDTH * op.k * op.a.bytes())) {
            lines.fill(op, arithmetic, op.a, codes, |row| row);
            if op.negate {
                lines.value.as_flattened_mut().iter_mut().for_each(|value| *value = -*value);
            }
        }
    }
}

impl Columns {
    /// All zero.
    pub const ZERO: Self = Self(Lines::ZERO);

    /// From codes.
    #[inline(always)]
    pub(super) fn fill(&mut self, op: &Operation, arithmetic: Arithmetic, codes: &[u8]) {
        self.0.fill(op, arithmetic, op.b, codes, place);
    }
}

impl Lines {
    const ZERO: Self =
        Self { value: [[0.0; WIDTH]; DEPTH], exponent: [[NONE; WIDTH]; DEPTH], exponents: 0, finite: true };

    /// From codes of a format; line `n` goes to `place(n)`.
    #[inline(always)]
    fn fill(
        &mut self,
        op: &Operation,
        arithmetic: Arithmetic,
        format: Format,
        codes: &[u8],
        place: impl Fn(usize) -> usize,
    ) {
        let codes = hardware::order(op, arithmetic, codes);
        with_numbers!(format, read_lines(self, op.k, &codes, place));
        self.exponents = 0;
        if let Some(least) = hardware::least_exponent(op, arithmetic, format) {
            self.align(op.k, least);
        }
    }

    /// Finds the exponents, in a format whose smallest normal number has exponent `least`.
    #[inline(always)]
    fn align(&mut self, k: usize, least: i16) {
        let mut finite = true;
        for (values, exponents) in self.value.iter().zip(&mut self.exponent).take(k) {
            for (value, exponent) in values.iter().zip(exponents) {
                *exponent = exponent_of(*value, least);
                finite &= value.is_finite();
            }
        }
        (self.exponents, self.finite) = (k.min(DEPTH), finite);
    }
}

#[inline(always)]
fn read_lines<const BYTES: usize>(
    lines: &mut Lines,
    k: usize,
    codes: &[u8],
    place: impl Fn(usize) -> usize,
    number: impl Fn([u8; BYTES]) -> f32,
) {
    if BYTES == 1 {
        return read_bytes(lines, k, codes, place, |code| number([code; BYTES]));
    }
    for (j, codes) in codes.as_chunks().0.chunks_exact(k).take(WIDTH).enumerate() {
        let mut line = [0.0; DEPTH];
        for (value, code) in line.iter_mut().zip(codes) {
            *value = number(*code);
        }
        for (values, value) in lines.value[..k].iter_mut().zip(line) {
            values[place(j)] = value;
        }
    }
}

/// The same of bytes, which are put in order before they become numbers: `k` is a multiple of 8.
#[inline(always)]
fn read_bytes(
    lines: &mut Lines,
    k: usize,
    codes: &[u8],
    place: impl Fn(usize) -> usize,
    number: impl Fn(u8) -> f32,
) {
    let mut words = [[0; DEPTH / 8]; WIDTH];
    for (line, codes) in codes.chunks_exact(k).take(WIDTH).enumerate() {
        for (word, bytes) in words[place(line)].iter_mut().zip(codes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
    transpose(&mut words);
    let mut bytes = [[0; WIDTH]; DEPTH];
    for (k, bytes) in bytes.iter_mut().enumerate() {
        *bytes = words[k % 8][k / 8].to_le_bytes();
    }
    for (value, byte) in lines.value.as_flattened_mut().iter_mut().zip(bytes.as_flattened()) {
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
