//! One copy's box, as runs of contiguous bytes.
//!
//! A box is a set of rows, along dimension 0. In shared memory they follow each other, in the order of the
//! dimensions, each a swizzle's span from the last if there is a swizzle. In global memory a row is contiguous too,
//! but parts of it, or all, may lie outside the tensor.

use std::ops::Range;

use super::{Interleave, MAX_RANK, Swizzle, TensorMap};
use crate::verdict::{Access, Verdict};

/// What addresses of boxes in shared memory must be multiples of, whatever the swizzle.
pub const SHARED_ALIGNMENT: u32 = 128;

/// The unit of swizzling; what a box's first byte in global memory must be aligned to.
const CHUNK: u32 = 16;

/// Which way a copy goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From global to shared memory.
    Load,
    /// From shared to global memory, reductions included.
    Store,
}

/// Contiguous bytes of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where they are in global memory; nowhere, if they are outside the tensor.
    pub global: Option<u64>,
    /// Their address in shared memory.
    pub shared: u32,
    /// How many there are.
    pub bytes: u32,
}

/// The box of a tensor map at some coordinates, and its place in shared memory.
#[derive(Debug, Clone)]
pub struct Tile {
    pub(super) map: TensorMap,
    /// Coordinates of its first element.
    start: [i64; MAX_RANK],
    /// How many elements it has in each dimension.
    counts: [u32; MAX_RANK],
    /// Which of a row's elements are inside the tensor, if the row is.
    inside: Range<u32>,
    /// Address in shared memory.
    pub(super) shared: u32,
    /// Bytes from row to row in shared memory.
    pitch: u32,
}

impl Tile {
    /// The box at `coordinates`, to be copied to or from the address `shared`.
    pub fn new(map: &TensorMap, coordinates: &[i32], shared: u32, way: Way) -> Result<Self, Verdict> {
        let operand = |problem: String| Err(Verdict::Operand { problem });
        if coordinates.len() != map.rank {
            let (given, rank) = (coordinates.len(), map.rank);
            return operand(format!("{given} coordinates for a tensor map of rank {rank}"));
        }
        if map.interleave == Interleave::B16 && map.swizzle != Swizzle::None {
            // No manual says how it lies in shared memory, and what GPUs do is not known.
            return operand("a swizzled interleave of 16 bytes is not known to the emulator".into());
        }
        if !shared.is_multiple_of(SHARED_ALIGNMENT) {
            let access = if way == Way::Load { Access::Write } else { Access::Read };
            let (space, address) = ("shared".to_owned(), shared.into());
            return Err(Verdict::Misaligned { access, space, address, align: SHARED_ALIGNMENT });
        }
        let unit = map.unit();
        if !(i64::from(coordinates[0]) * i64::from(unit)).rem_euclid(CHUNK.into()).eq(&0) {
            let x = coordinates[0];
            return operand(format!(
                "the box starts at coordinate {x} of elements of {unit} bytes, which is no multiple of 16 bytes"
            ));
        }
        if way == Way::Store && coordinates.iter().any(|c| *c < 0) {
            return operand(format!("a store may not start at negative coordinates: {coordinates:?}"));
        }

        let start = std::array::from_fn(|d| coordinates.get(d).copied().unwrap_or(0).into());
        let mut counts: [u32; MAX_RANK] =
            std::array::from_fn(|d| map.box_dims[d].div_ceil(step(map, d)).max(1));
        if map.interleave != Interleave::None {
            counts[map.rank - 2] = 1;
        }
        let row = counts[0] * unit;
        let mut tile = Self {
            map: map.clone(),
            start,
            counts,
            inside: 0..0,
            shared,
            pitch: row.max(map.swizzle.span()),
        };
        let from = tile.first_at(0);
        tile.inside = from..tile.first_at(map.dims[0]).max(from);
        Ok(tile)
    }

    /// The first of a row's elements whose coordinate is `least` or more.
    fn first_at(&self, least: u64) -> u32 {
        let missing = (least as i64 - self.start[0]).max(0) as u64;
        missing.div_ceil(step(&self.map, 0).into()).min(self.counts[0].into()) as u32
    }

    /// Bytes of the box: what a load completes on its mbarrier, bytes outside the tensor included.
    pub fn bytes(&self) -> u64 {
        self.rows() * u64::from(self.counts[0] * self.map.unit())
    }

    pub(super) fn rows(&self) -> u64 {
        self.counts[1..].iter().map(|count| u64::from(*count)).product()
    }

    /// The range of shared addresses that holds the box.
    pub fn shared(&self) -> Range<u64> {
        let start = u64::from(self.shared);
        start..start + self.rows() * u64::from(self.pitch)
    }

    /// Calls `f` with the runs of the box, by their order in it. Together they are all of it, each byte once.
    ///
    /// A box may be far larger than any shared memory: whether [`Self::shared`] is inside comes first.
    pub fn runs(&self, mut f: impl FnMut(Run)) {
        self.pieces(|piece| chunks(piece, self.map.swizzle, &mut f));
    }

    /// Calls `f` with the start and the length of each range of global memory that the copy touches.
    pub fn ranges(&self, mut f: impl FnMut(u64, u32)) {
        self.pieces(|piece| {
            if let Some(address) = piece.global {
                f(address, piece.bytes);
            }
        });
    }

    /// The runs that there would be without a swizzle.
    pub(super) fn pieces(&self, mut f: impl FnMut(Run)) {
        let (map, unit) = (&self.map, self.map.unit());
        let mut shared = self.shared;
        self.each_row(|row| {
            let mut piece = |elements: Range<u32>, global| {
                if !elements.is_empty() {
                    let bytes = elements.len() as u32 * unit;
                    f(Run { global, shared: shared.wrapping_add(elements.start * unit), bytes });
                }
            };
            match row.filter(|_| !self.inside.is_empty()) {
                None => piece(0..self.counts[0], None),
                Some(row) => {
                    let address = |element: u32| {
                        let coordinate = self.start[0] + i64::from(element * step(map, 0));
                        row.saturating_add((coordinate as u64).saturating_mul(unit.into()))
                    };
                    piece(0..self.inside.start, None);
                    if step(map, 0) == 1 {
                        piece(self.inside.clone(), Some(address(self.inside.start)));
                    } else {
                        self.inside.clone().for_each(|e| piece(e..e + 1, Some(address(e))));
                    }
                    piece(self.inside.end..self.counts[0], None);
                }
            }
            shared = shared.wrapping_add(self.pitch);
        });
    }

    /// Calls `f` with the address of each row's coordinate 0, or with nothing if the row is outside the tensor.
    fn each_row(&self, mut f: impl FnMut(Option<u64>)) {
        let mut index = [0u32; MAX_RANK];
        loop {
            let mut row = Some(self.map.address);
            for (d, index) in index.iter().enumerate().take(self.map.rank).skip(1) {
                let coordinate = self.start[d] + i64::from(index * step(&self.map, d));
                let inside = u64::try_from(coordinate).ok().filter(|c| *c < self.map.dims[d]);
                // No address is as large as the sums that would overflow.
                row = row
                    .zip(inside)
                    .map(|(row, c)| row.saturating_add(c.saturating_mul(self.map.strides[d - 1])));
            }
            f(row);
            // The next row: the first dimension that is not at its end moves on, those before it start again.
            let Some(d) = (1..MAX_RANK).find(|&d| index[d] + 1 < self.counts[d]) else { return };
            index[1..d].fill(0);
            index[d] += 1;
        }
    }
}

/// The distance of elements in dimension `d`: dimension 0 has one only where it is of slices.
fn step(map: &TensorMap, d: usize) -> u32 {
    if d == 0 && map.interleave == Interleave::None { 1 } else { map.element_strides[d] }
}

/// Calls `f` with the runs into which a swizzle divides one.
#[inline(always)]
pub(super) fn chunks(run: Run, swizzle: Swizzle, mut f: impl FnMut(Run)) {
    if swizzle == Swizzle::None {
        return f(run);
    }
    let mut done = 0;
    while done < run.bytes {
        let at = run.shared.wrapping_add(done);
        let bytes = (CHUNK - at % CHUNK).min(run.bytes - done);
        f(Run { global: run.global.map(|g| g.wrapping_add(done.into())), shared: swizzle.apply(at), bytes });
        done += bytes;
    }
}
