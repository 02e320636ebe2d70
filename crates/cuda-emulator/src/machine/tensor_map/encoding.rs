//! The 128 opaque bytes of a tensor map.
//!
//! They are not NVIDIA's: nobody but the driver and the instructions may look into them. A magic number comes first,
//! so that a copy knows bytes that are no tensor map.
//!
//! Numbers that start at 1 are stored less one, as the hardware must: a dimension of 2^32 elements fits into 32 bits,
//! and zeros, of which device code may make a map field by field, are a map of one element.

use super::{ElementType, Fill, Interleave, MAX_RANK, Swizzle, TensorMap};
use crate::verdict::Verdict;

/// Bytes of a tensor map.
pub const BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"emu-tmap";

/// Where the fields are. Bytes 8 to 15 stay zero: CUTLASS clears a bit there (bit 21 of the second 64-bit word) in
/// maps of small tensors, to mend what a driver does.
const ADDRESS: usize = 16;
const RANK: usize = 24;
const ELEMENT: usize = 25;
const INTERLEAVE: usize = 26;
const SWIZZLE: usize = 27;
const FILL: usize = 28;
const DIMS: usize = 32;
const STRIDES: usize = 56;
const BOX: usize = 88;
const ELEMENT_STRIDES: usize = 93;
const END: usize = 98;

/// A field that `tensormap.replace` changes; a number says in which dimension (of strides, the first is 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `.global_address`
    GlobalAddress,
    /// `.rank`: one less than it.
    Rank,
    /// `.box_dim`
    BoxDim(u32),
    /// `.global_dim`
    GlobalDim(u32),
    /// `.global_stride`, in bytes.
    GlobalStride(u32),
    /// `.element_stride`
    ElementStride(u32),
    /// `.elemtype`
    ElementType,
    /// `.interleave_layout`
    InterleaveLayout,
    /// `.swizzle_mode`
    SwizzleMode,
    /// `.fill_mode`
    FillMode,
}

/// `tensormap.replace`: puts a value into a field, or says why it cannot be there. Whether the fields go together
/// is asked when the map is used.
pub fn replace(bytes: &mut [u8; BYTES], field: Field, value: u64) -> Result<(), Verdict> {
    if bytes.iter().all(|b| *b == 0) {
        bytes[..8].copy_from_slice(&MAGIC);
    }
    known(bytes)?;
    let no = |what: &str| Err(problem(format!("{value} is no {what} of a tensor map")));
    let within = |dimension: u32, most: usize| match dimension as usize {
        d if d < most => Ok(d),
        d => Err(problem(format!("a tensor map has no dimension {d} of {field:?}"))),
    };
    match field {
        Field::GlobalAddress => put(bytes, ADDRESS, value.to_le_bytes()),
        Field::Rank if value < MAX_RANK as u64 => bytes[RANK] = value as u8,
        Field::Rank => return no("rank less one"),
        // Of 32 bits: 0 stands for 2^32.
        Field::GlobalDim(d) => {
            let at = DIMS + 4 * within(d, MAX_RANK)?;
            put(bytes, at, (value as u32).wrapping_sub(1).to_le_bytes());
        }
        Field::GlobalStride(d) => {
            let at = STRIDES + 8 * within(d, MAX_RANK - 1)?;
            put(bytes, at, value.to_le_bytes());
        }
        Field::BoxDim(d) if (1..=256).contains(&value) => {
            bytes[BOX + within(d, MAX_RANK)?] = (value - 1) as u8
        }
        Field::BoxDim(_) => return no("box size"),
        Field::ElementStride(d) if (1..=8).contains(&value) => {
            bytes[ELEMENT_STRIDES + within(d, MAX_RANK)?] = (value - 1) as u8;
        }
        Field::ElementStride(_) => return no("element stride"),
        Field::ElementType if element(value).is_some() => bytes[ELEMENT] = value as u8,
        Field::ElementType => {
            return no("element type (those of less than a byte are not known to the emulator)");
        }
        Field::InterleaveLayout if interleave(value).is_some() => bytes[INTERLEAVE] = value as u8,
        Field::InterleaveLayout => return no("interleave layout"),
        Field::SwizzleMode if swizzle(value).is_some() => bytes[SWIZZLE] = value as u8,
        Field::SwizzleMode => return no("swizzle mode"),
        Field::FillMode if fill(value).is_some() => bytes[FILL] = value as u8,
        Field::FillMode => return no("fill mode"),
    }
    Ok(())
}

impl TensorMap {
    /// The bytes of a map that keeps the rules.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        put(&mut bytes, ADDRESS, self.address.to_le_bytes());
        bytes[RANK] = self.rank.wrapping_sub(1) as u8;
        bytes[ELEMENT] = self.element as u8;
        bytes[INTERLEAVE] = self.interleave as u8;
        bytes[SWIZZLE] = self.swizzle as u8;
        bytes[FILL] = self.fill as u8;
        for d in 0..MAX_RANK {
            put(&mut bytes, DIMS + 4 * d, (self.dims[d].wrapping_sub(1) as u32).to_le_bytes());
            bytes[BOX + d] = self.box_dims[d].wrapping_sub(1) as u8;
            bytes[ELEMENT_STRIDES + d] = self.element_strides[d].wrapping_sub(1) as u8;
        }
        for (d, stride) in self.strides.iter().enumerate() {
            put(&mut bytes, STRIDES + 8 * d, stride.to_le_bytes());
        }
        bytes
    }

    /// The map that these bytes are, or what is wrong with them.
    pub fn decode(bytes: &[u8; BYTES]) -> Result<Self, Verdict> {
        known(bytes)?;
        let spoiled =
            || problem("these 128 bytes were a tensor map, and something wrote into them".to_owned());
        let number = |at: usize| u64::from(bytes[at]);
        let words = |at: usize| u64::from_le_bytes(get(bytes, at));
        let map = TensorMap {
            address: words(ADDRESS),
            rank: bytes[RANK] as usize + 1,
            dims: std::array::from_fn(|d| u64::from(u32::from_le_bytes(get(bytes, DIMS + 4 * d))) + 1),
            strides: std::array::from_fn(|d| words(STRIDES + 8 * d)),
            box_dims: std::array::from_fn(|d| u32::from(bytes[BOX + d]) + 1),
            element_strides: std::array::from_fn(|d| u32::from(bytes[ELEMENT_STRIDES + d]) + 1),
            element: element(number(ELEMENT)).ok_or_else(spoiled)?,
            interleave: interleave(number(INTERLEAVE)).ok_or_else(spoiled)?,
            swizzle: swizzle(number(SWIZZLE)).ok_or_else(spoiled)?,
            fill: fill(number(FILL)).ok_or_else(spoiled)?,
        };
        map.check().map_err(|why| problem(format!("the tensor map has {why}")))?;
        Ok(map)
    }
}

/// Whether the bytes can be a tensor map at all.
fn known(bytes: &[u8; BYTES]) -> Result<(), Verdict> {
    let unused = [8..ADDRESS, FILL + 1..DIMS, DIMS + 4 * MAX_RANK..STRIDES, END..BYTES];
    if bytes[..8] != MAGIC || unused.into_iter().any(|range| bytes[range].iter().any(|b| *b != 0)) {
        return Err(problem("these 128 bytes are no tensor map that the driver has made".to_owned()));
    }
    Ok(())
}

fn problem(problem: String) -> Verdict {
    Verdict::TensorMap { problem }
}

fn put<const N: usize>(bytes: &mut [u8; BYTES], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn get<const N: usize>(bytes: &[u8; BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

fn element(number: u64) -> Option<ElementType> {
    ElementType::ALL.get(usize::try_from(number).ok()?).copied()
}

fn interleave(number: u64) -> Option<Interleave> {
    [Interleave::None, Interleave::B16, Interleave::B32].get(usize::try_from(number).ok()?).copied()
}

fn swizzle(number: u64) -> Option<Swizzle> {
    [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128].get(usize::try_from(number).ok()?).copied()
}

fn fill(number: u64) -> Option<Fill> {
    [Fill::Zero, Fill::Nan].get(usize::try_from(number).ok()?).copied()
}
