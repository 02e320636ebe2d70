//! What the driver knows about an address.

use std::ffi::{c_int, c_uint, c_void};

use super::arguments::In;
use super::export;
use super::state::{How, State};
use super::status::{Outcome, Status, refuse};
use crate::memory::{Region, RegionKind};

/// The value of an attribute, in the type that the API gives it.
enum Value {
    Word(u32),
    Long(u64),
    Flag(bool),
}

impl Value {
    /// # Safety
    /// `place` has room for the attribute's type.
    unsafe fn store(self, place: *mut c_void) {
        // SAFETY: by contract.
        unsafe {
            match self {
                Value::Word(value) => place.cast::<u32>().write_unaligned(value),
                Value::Long(value) => place.cast::<u64>().write_unaligned(value),
                Value::Flag(value) => place.cast::<u8>().write(value.into()),
            }
        }
    }
}

const MEMORY_TYPE_HOST: u32 = 1;
const MEMORY_TYPE_DEVICE: u32 = 2;

/// The value of a `CUpointer_attribute` for memory that devices see.
fn attribute(state: &State, region: &Region, address: u64, number: c_uint) -> Outcome<Value> {
    let allocation = state.allocations.get(&region.base);
    let context = allocation.map_or(0, |allocation| allocation.context);
    let owner = state.memory.owner(address);
    let device = owner.or_else(|| state.context(context).ok().map(|c| c.device)).unwrap_or(0);
    let pinned = region.kind == RegionKind::Pinned;
    Ok(match number {
        1 => Value::Long(context),
        2 if pinned => Value::Word(MEMORY_TYPE_HOST),
        2 => Value::Word(MEMORY_TYPE_DEVICE),
        3 => Value::Long(address),
        4 if owner.is_none() => Value::Long(address),
        4 => return refuse(Status::InvalidValue, "the host has no address for device memory"),
        6 => Value::Flag(false),
        7 | 20 => Value::Long(region.base),
        8 => Value::Flag(region.kind == RegionKind::Managed),
        9 => Value::Word(device as u32),
        10 | 15 | 21 => Value::Flag(false),
        11 => Value::Long(region.base),
        12 => Value::Long(region.len),
        13 => Value::Flag(true),
        14 => Value::Long(0),
        16 => Value::Word(3), // readable and writable
        17 => Value::Long(match allocation.map(|allocation| allocation.how) {
            Some(How::Pool(pool)) => pool,
            _ => 0,
        }),
        _ => return refuse(Status::InvalidValue, format!("there is no pointer attribute {number}")),
    })
}

/// The value of an attribute that an address does not have.
fn unknown(number: c_uint) -> Value {
    match number {
        1 | 3 | 4 | 7 | 11 | 12 | 14 | 17 | 20 => Value::Long(0),
        6 | 8 | 10 | 13 | 15 | 21 => Value::Flag(false),
        9 => Value::Word(-2i32 as u32), // no device
        _ => Value::Word(0),
    }
}

export! {
    |driver| fn cuPointerGetAttribute(data: *mut c_void, number: c_uint, pointer: u64) {
        let state = driver.lock();
        if data.is_null() {
            return refuse(Status::InvalidValue, "the place for the result is null");
        }
        let Some(region) = state.memory.find(pointer) else {
            return refuse(Status::InvalidValue, format!("{pointer:#x} is no memory that devices see"));
        };
        let value = attribute(&state, &region, pointer, number)?;
        // SAFETY: the caller gives a place of the attribute's type.
        unsafe { value.store(data) };
        Ok(())
    }

    |driver| fn cuPointerGetAttributes(
        count: c_uint,
        numbers: In<c_uint>,
        places: In<*mut c_void>,
        pointer: u64,
    ) {
        let state = driver.lock();
        let region = state.memory.find(pointer);
        for i in 0..count as usize {
            let (number, place) = (numbers.at(i)?, places.at(i)?);
            if place.is_null() {
                return refuse(Status::InvalidValue, "a place for a result is null");
            }
            // An address unknown to the driver is no error here: its attributes are 0.
            let known = region.as_ref().map(|region| attribute(&state, region, pointer, number));
            let value = known.and_then(Result::ok).unwrap_or_else(|| unknown(number));
            // SAFETY: the caller gives a place of each attribute's type.
            unsafe { value.store(place) };
        }
        Ok(())
    }

    |driver| fn cuPointerSetAttribute(value: In<c_int>, number: c_uint, pointer: u64) {
        let state = driver.lock();
        value.get()?;
        match (number, state.memory.find(pointer)) {
            // Synchronous memory operations are what the emulator cannot lack.
            (6, Some(_)) => Ok(()),
            _ => refuse(Status::InvalidValue, format!("pointer attribute {number} cannot be set")),
        }
    }
}
