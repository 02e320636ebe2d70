//! Matrix descriptors: how `wgmma` finds A and B in shared memory.
//!
//! A matrix lies there in pieces of 16 bytes. Eight pieces make a core matrix;
//! how those lie is said by two strides, and within rows of the swizzle's width
//! the pieces are mixed.
//!
//! | bits | field |
//! | --- | --- |
//! | 0 to 13 | start address / 16 |
//! | 16 to 29 | leading dimension byte offset / 16 |
//! | 32 to 45 | stride dimension byte offset / 16 |
//! | 49 to 51 | base offset |
//! | 62, 63 | swizzle: none, 128, 64, 32 bytes |

use std::ops::Range;

use crate::machine::tensor_map::Swizzle;

/// The dimension along which elements are neighbours in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    /// k: the usual one, and the only one for elements of 8 and 32 bits.
    K,
    /// m of A, n of B: "transposed".
    Mn,
}

/// A matrix in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Shared address of the first piece, before the swizzle.
    pub start: u32,
    /// Leading dimension byte offset.
    pub leading: u32,
    /// Stride dimension byte offset.
    pub stride: u32,
    /// Line of 128 bytes, of eight, with which the swizzle's pattern begins.
    pub base_offset: u32,
    /// How pieces are mixed.
    pub swizzle: Swizzle,
}

/// Bytes of a row, among whose pieces a swizzle mixes; the pattern repeats after eight rows.
#[inline(always)]
fn row_of(swizzle: Swizzle) -> u32 {
    swizzle.span().max(16)
}

impl Descriptor {
    /// From its 64 bits.
    pub fn new(bits: u64) -> Self {
        let bytes = |at: u32| ((bits >> at) as u32 & 0x3fff) << 4;
        Self {
            start: bytes(0),
            leading: bytes(16),
            stride: bytes(32),
            base_offset: (bits >> 49) as u32 & 7,
            swizzle: match bits >> 62 {
                0 => Swizzle::None,
                1 => Swizzle::B128,
                2 => Swizzle::B64,
                _ => Swizzle::B32,
            },
        }
    }

    /// The address of a piece of 16 bytes.
    ///
    /// K-major: the `piece`th along k of row `line` of A (column, of B). MN-major: the
    /// `piece`th along m or n of those that belong to k = `line`.
    #[inline(always)]
    pub fn piece(&self, major: Major, line: u32, piece: u32) -> u32 {
        let (within, group) = (line % 8, line / 8);
        let width = row_of(self.swizzle);
        let offset = match (major, self.swizzle) {
            (Major::K, Swizzle::None) => within * 16 + group * self.stride + piece * self.leading,
            (Major::Mn, Swizzle::None) => within * 16 + group * self.leading + piece * self.stride,
            // A row of the swizzle's width is as deep as an instruction, or deeper.
            (Major::K, _) => within * width + group * self.stride + piece * 16,
            (Major::Mn, _) => {
                let row = width / 16;
                within * width + group * self.stride + piece % row * 16 + piece / row * self.leading
            }
        };
        let base = self.base_offset * 128;
        self.swizzle.apply(self.start.wrapping_add(offset).wrapping_sub(base)).wrapping_add(base)
    }

    /// Addresses among which all pieces of the lines before `lines` are, where k is contiguous: not the least range, but
    /// found without looking at each.
    pub fn around(&self, lines: u32) -> Range<u64> {
        let last = u64::from(lines.div_ceil(8).saturating_sub(1)) * u64::from(self.stride);
        let rows = 7 * u64::from(row_of(self.swizzle));
        let end = u64::from(self.start) + last + rows + u64::from(self.leading) + 32;
        // A swizzle moves pieces within their line of 128 bytes, which a base offset moves by as many.
        u64::from(self.start) & !127..end.next_multiple_of(128)
    }

    /// What is wrong with the place of the matrix for its swizzle.
    pub fn misplaced(&self, major: Major) -> Option<String> {
        let width = row_of(self.swizzle);
        let period = 8 * width;
        let (in_row, row) = (self.start % width, self.start % period - self.start % width);
        let base = self.base_offset * 128 % period;
        if self.swizzle == Swizzle::None {
            return None;
        }
        if row != base {
            return Some(format!(
                "the matrix starts {row} bytes into the pattern of {period} bytes that a {width}-byte swizzle \
                 repeats, and its base offset says {base}"
            ));
        }
        // An instruction takes 32 bytes along k of a row.
        let fits = match major {
            Major::K => in_row + 32 <= width,
            Major::Mn => in_row == 0,
        };
        (!fits).then(|| format!("the matrix starts {in_row} bytes into a row of a {width}-byte swizzle"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptor, Major};
    use crate::machine::tensor_map::Swizzle;

    const MODES: [Swizzle; 4] = [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128];

    #[test]
    fn fields() {
        let bits = 0x1234 | 0x2bcd << 16 | 0x3fff << 32 | 5 << 49 | 2 << 62;
        let d = Descriptor::new(bits);
        assert_eq!((d.start, d.leading, d.stride), (0x12340, 0x2bcd0, 0x3fff0));
        assert_eq!((d.base_offset, d.swizzle), (5, Swizzle::B64));
        // Bits between the fields mean nothing.
        let others = 0xc000_c000 | 0x1 << 46 | 0x1 << 48 | 0x3ff << 52;
        assert_eq!(Descriptor::new(bits | others), d);
    }

    /// A strided layout: (extent, stride) of each coordinate, the first one running fastest.
    fn offset(shape: &[(u32, u32)], mut index: u32) -> u32 {
        let mut sum = 0;
        for (extent, stride) in shape {
            sum += index % extent * stride;
            index /= extent;
        }
        sum
    }

    /// The canonical layouts in units of 16 bytes, as shapes and strides: rows and pieces along k where k is the major
    /// one, pieces along m and k where m is.
    #[test]
    fn canonical_layouts() {
        let start = 0x2000;
        for swizzle in MODES {
            let row = super::row_of(swizzle) / 16;
            for (leading, stride) in [(512, 1024), (2048, 256), (16, 4096)] {
                let d = Descriptor { start, leading, stride, base_offset: 0, swizzle };
                let (l, s) = (leading / 16, stride / 16);
                for line in 0..256 {
                    for piece in 0..2 {
                        let along_k = if swizzle == Swizzle::None { l } else { 1 };
                        let plain = offset(&[(8, row), (32, s)], line) + offset(&[(2, along_k)], piece);
                        let expected = swizzle.apply(start + 16 * plain);
                        assert_eq!(d.piece(Major::K, line, piece), expected);
                        let (from, to) = (expected.into(), u64::from(expected) + 16);
                        let around = d.around(line + 1);
                        assert!(around.start <= from && to <= around.end, "{d:?}, line {line}, {around:?}");
                    }
                }
                for k in 0..16 {
                    for piece in 0..32 {
                        let plain = match swizzle {
                            Swizzle::None => offset(&[(32, s)], piece) + offset(&[(8, 1), (2, l)], k),
                            _ => offset(&[(row, 1), (32, l)], piece) + offset(&[(8, row), (2, s)], k),
                        };
                        let expected = swizzle.apply(start + 16 * plain);
                        assert_eq!(d.piece(Major::Mn, k, piece), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_step_along_k_within_a_row_finds_what_was_stored() {
        // A row of 128 bytes holds four depths; piece p of the row is piece p % 2 of depth p / 2.
        let whole =
            Descriptor { start: 0x400, leading: 0, stride: 1024, base_offset: 0, swizzle: Swizzle::B128 };
        for row in 0..64 {
            for piece in 0..8 {
                let stored = 0x400 + row / 8 * 1024 + row % 8 * 128 + (piece ^ (row % 8)) * 16;
                let step = Descriptor { start: whole.start + piece / 2 * 32, ..whole };
                assert_eq!(step.piece(Major::K, row, piece % 2), stored);
            }
        }
    }

    #[test]
    fn a_base_offset_begins_the_pattern_elsewhere() {
        let at = |start, base_offset| Descriptor {
            start,
            leading: 0,
            stride: 1024,
            base_offset,
            swizzle: Swizzle::B128,
        };
        let (aligned, moved) = (at(0x800, 0), at(0x800 + 3 * 128, 3));
        for row in 0..16 {
            for piece in 0..2 {
                let expected = aligned.piece(Major::K, row, piece) + 3 * 128;
                assert_eq!(moved.piece(Major::K, row, piece), expected);
            }
        }
    }

    #[test]
    fn places() {
        let at = |start, base_offset, swizzle| Descriptor {
            start,
            leading: 0,
            stride: 1024,
            base_offset,
            swizzle,
        };
        for swizzle in MODES {
            for major in [Major::K, Major::Mn] {
                assert_eq!(at(0x800, 0, swizzle).misplaced(major), None);
            }
        }
        for (start, base_offset, swizzle, k, mn) in [
            (0x410, 0, Swizzle::None, true, true),
            (0x460, 0, Swizzle::B128, true, false),
            (0x470, 0, Swizzle::B128, false, false),
            (0x480, 0, Swizzle::B128, false, false),
            (0x480, 1, Swizzle::B128, true, true),
            (0x400, 1, Swizzle::B128, false, false),
            (0x420, 0, Swizzle::B64, true, false),
            (0x440, 0, Swizzle::B64, false, false),
            (0x410, 0, Swizzle::B32, false, false),
            (0x420, 0, Swizzle::B32, false, false),
        ] {
            let d = at(start, base_offset, swizzle);
            assert_eq!(d.misplaced(Major::K).is_none(), k, "{d:?}");
            assert_eq!(d.misplaced(Major::Mn).is_none(), mn, "{d:?}");
        }
    }
}
