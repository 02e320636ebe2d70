//! Tensor maps: 128 bytes that describe a tensor to the kernels that copy boxes of it.
//!
//! The rules for their fields are with the fields ([`TensorMap::check`]); here are those of the call itself.

use std::ffi::c_uint;

use super::arguments::{In, Out};
use super::export;
use super::status::{Outcome, Status, refuse, require};
use crate::machine::tensor_map::{BYTES, ElementType, Fill, Interleave, MAX_RANK, Swizzle, TensorMap};

/// `CUtensorMap`: bytes that only the driver and kernels look into.
type Opaque = [u8; BYTES];

/// What `CUtensorMapDataType` counts; types of less than a byte follow.
const DATA_TYPES: [ElementType; 13] = [
    ElementType::U8,
    ElementType::U16,
    ElementType::U32,
    ElementType::S32,
    ElementType::U64,
    ElementType::S64,
    ElementType::F16,
    ElementType::F32,
    ElementType::F64,
    ElementType::Bf16,
    ElementType::F32Ftz,
    ElementType::Tf32,
    ElementType::Tf32Ftz,
];

/// What `CUtensorMapInterleave` counts.
const INTERLEAVES: [Interleave; 3] = [Interleave::None, Interleave::B16, Interleave::B32];

/// What `CUtensorMapSwizzle` counts; those of larger chunks follow.
const SWIZZLES: [Swizzle; 4] = [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128];

/// What `CUtensorMapFloatOOBfill` counts.
const FILLS: [Fill; 2] = [Fill::Zero, Fill::Nan];

/// How many values `CUtensorMapL2promotion` has. It changes no result, so maps do not keep it.
const PROMOTIONS: c_uint = 4;

/// The meaning of a number that the API gives one to.
fn named<T: Copy>(values: &[T], number: c_uint, what: &str) -> Outcome<T> {
    match values.get(number as usize) {
        Some(value) => Ok(*value),
        None => refuse(Status::InvalidValue, format!("{number} is no {what} of compute capability 9.0")),
    }
}

/// The first `count` elements of an array, and `rest` after them.
fn array<T: Copy, const N: usize>(values: In<T>, count: usize, rest: T) -> Outcome<[T; N]> {
    let mut array = [rest; N];
    for (i, value) in array.iter_mut().take(count).enumerate() {
        *value = values.at(i)?;
    }
    Ok(array)
}

fn check_place(place: Out<Opaque>) -> Outcome {
    place.check()?;
    require(place.address().is_multiple_of(64), Status::InvalidValue, || {
        format!("the tensor map is at {:#x}, which is no multiple of 64", place.address())
    })
}

/// Writes a map that keeps the rules.
fn write(place: Out<Opaque>, map: &TensorMap) -> Outcome {
    match map.check() {
        Ok(()) => place.set(map.encode()),
        Err(why) => refuse(Status::InvalidValue, why),
    }
}

export! {
    |driver| fn cuTensorMapEncodeTiled(
        place: Out<Opaque>,
        data_type: c_uint,
        rank: c_uint,
        address: u64,
        dims: In<u64>,
        strides: In<u64>,
        box_dims: In<u32>,
        element_strides: In<u32>,
        interleave: c_uint,
        swizzle: c_uint,
        promotion: c_uint,
        fill: c_uint,
    ) {
        let (major, minor) = driver.settings.capability;
        require(major >= 9, Status::NotSupported, || {
            format!("tensor maps need compute capability 9.0, and the device has {major}.{minor}")
        })?;
        check_place(place)?;
        let rank = rank as usize;
        let within = (1..=MAX_RANK).contains(&rank);
        require(within, Status::InvalidValue, || format!("a rank of {rank}, where 1 to 5 are allowed"))?;
        require(promotion < PROMOTIONS, Status::InvalidValue, || format!("{promotion} is no L2 promotion"))?;
        let mut map = TensorMap {
            address,
            rank,
            dims: array(dims, rank, 1)?,
            strides: array(strides, rank - 1, 0)?,
            box_dims: array(box_dims, rank, 1)?,
            element_strides: array(element_strides, rank, 1)?,
            element: named(&DATA_TYPES, data_type, "data type")?,
            interleave: named(&INTERLEAVES, interleave, "interleave")?,
            swizzle: named(&SWIZZLES, swizzle, "swizzle")?,
            fill: named(&FILLS, fill, "fill")?,
        };
        if map.interleave == Interleave::None {
            // Ignored, as the API says.
            map.element_strides[0] = 1;
        }
        write(place, &map)
    }

    |_| fn cuTensorMapReplaceAddress(place: Out<Opaque>, address: u64) {
        check_place(place)?;
        match TensorMap::decode(&place.get()?) {
            Ok(map) => write(place, &TensorMap { address, ..map }),
            Err(verdict) => refuse(Status::InvalidValue, verdict.to_string()),
        }
    }
}
