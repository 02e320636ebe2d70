//! Memory pools, and allocation in the order of a stream.
//!
//! An allocation is there from the call on; its release waits in the stream.
//! A pool is bookkeeping: memory that is given back is never kept for reuse,
//! so that use after free is seen.

use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};

use super::arguments::{In, Out};
use super::device::check_device;
use super::state::{Handle, How, Pool};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

/// The start of `CUmemPoolProps`; what follows is reserved.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct PoolProperties {
    allocation_type: c_uint,
    handle_types: c_uint,
    location_type: c_uint,
    location: c_int,
}

/// `CUmemPool_attribute`.
mod attribute {
    pub const REUSE_FOLLOW_EVENT_DEPENDENCIES: u32 = 1;
    pub const REUSE_ALLOW_INTERNAL_DEPENDENCIES: u32 = 3;
    pub const RELEASE_THRESHOLD: u32 = 4;
    pub const RESERVED_CURRENT: u32 = 5;
    pub const RESERVED_HIGH: u32 = 6;
    pub const USED_CURRENT: u32 = 7;
    pub const USED_HIGH: u32 = 8;
}

impl Driver {
    fn allocate_in_stream(
        &'static self,
        pointer: Out<u64>,
        bytes: usize,
        pool: Option<Handle>,
        stream: Handle,
    ) -> Outcome {
        pointer.check()?;
        let mut state = self.lock();
        let stream = state.stream(stream)?;
        let found = state.streams.get(stream)?;
        let (context, device) = (found.context, found.device);
        state.check_context(context)?;
        if let Some((capture, _)) = state.captured(stream)? {
            state.captures.get_mut(capture)?.invalid = true;
            return refuse(Status::StreamCaptureUnsupported, "memory nodes in graphs are not emulated");
        }
        let pool = pool.unwrap_or(state.device_pools[device][1]);
        let owner = state.pools.get(pool)?.device;
        require(owner == device, Status::InvalidValue, || "the pool belongs to another device".into())?;
        let address = state.allocate(context, bytes, How::Pool(pool))?;
        let found = state.pools.get_mut(pool)?;
        found.used += bytes as u64;
        found.used_high = found.used_high.max(found.used);
        pointer.set(address)
    }
}

export! {
    |driver| fn cuMemAllocAsync(pointer: Out<u64>, bytes: usize, stream: Handle) {
        driver.allocate_in_stream(pointer, bytes, None, stream)
    }

    |driver| fn cuMemAllocFromPoolAsync(pointer: Out<u64>, bytes: usize, pool: Handle, stream: Handle) {
        driver.allocate_in_stream(pointer, bytes, Some(pool), stream)
    }

    |driver| fn cuMemFreeAsync(pointer: u64, stream: Handle) {
        driver.free_in_stream(pointer, stream)
    }

    |driver| fn cuMemPoolCreate(pool: Out<Handle>, properties: In<PoolProperties>) {
        pool.check()?;
        let properties = properties.get()?;
        let mut state = driver.lock();
        require(properties.allocation_type == 1, Status::InvalidValue, || {
            "only pinned allocations (type 1) come from a pool".into()
        })?;
        require(properties.location_type == 1, Status::NotSupported, || {
            "pools of host memory are not emulated".into()
        })?;
        require(properties.handle_types == 0, Status::NotSupported, || {
            "pools shared between processes are not emulated".into()
        })?;
        let device = check_device(&state, properties.location)?;
        let fresh = Pool { device, default: false, attributes: HashMap::new(), used: 0, used_high: 0 };
        pool.set(state.pools.insert(fresh))
    }

    |driver| fn cuMemPoolDestroy(pool: Handle) {
        let mut state = driver.lock();
        let found = state.pools.get(pool)?;
        let device = found.device;
        require(!found.default, Status::InvalidValue, || "a device's own pool stays".into())?;
        if state.device_pools[device][1] == pool {
            state.device_pools[device][1] = state.device_pools[device][0];
        }
        state.pools.remove(pool).map(drop)
    }

    |driver| fn cuMemPoolTrimTo(pool: Handle, _keep: usize) {
        driver.lock().pools.get(pool).map(drop)
    }

    |driver| fn cuMemPoolGetAttribute(pool: Handle, number: c_uint, value: *mut c_void) {
        let state = driver.lock();
        let found = state.pools.get(pool)?;
        require(!value.is_null(), Status::InvalidValue, || "the place for the result is null".into())?;
        use attribute::*;
        let set = |default| found.attributes.get(&number).copied().unwrap_or(default);
        match number {
            REUSE_FOLLOW_EVENT_DEPENDENCIES..=REUSE_ALLOW_INTERNAL_DEPENDENCIES => {
                // SAFETY: these attributes are an int, by the API.
                unsafe { value.cast::<c_int>().write_unaligned(set(1) as c_int) };
            }
            RELEASE_THRESHOLD..=USED_HIGH => {
                let result = match number {
                    RESERVED_CURRENT | USED_CURRENT => found.used,
                    RESERVED_HIGH | USED_HIGH => found.used_high,
                    _ => set(0),
                };
                // SAFETY: these attributes are 64 bits, by the API.
                unsafe { value.cast::<u64>().write_unaligned(result) };
            }
            _ => return refuse(Status::InvalidValue, format!("there is no pool attribute {number}")),
        }
        Ok(())
    }

    |driver| fn cuMemPoolSetAttribute(pool: Handle, number: c_uint, value: *const c_void) {
        let mut state = driver.lock();
        let found = state.pools.get_mut(pool)?;
        require(!value.is_null(), Status::InvalidValue, || "the value is a null pointer".into())?;
        use attribute::*;
        match number {
            REUSE_FOLLOW_EVENT_DEPENDENCIES..=REUSE_ALLOW_INTERNAL_DEPENDENCIES => {
                // SAFETY: these attributes are an int, by the API.
                let given = unsafe { value.cast::<c_int>().read_unaligned() };
                found.attributes.insert(number, u64::from(given != 0));
            }
            RELEASE_THRESHOLD => {
                // SAFETY: this attribute is 64 bits, by the API.
                let given = unsafe { value.cast::<u64>().read_unaligned() };
                found.attributes.insert(number, given);
            }
            // The high marks can only be reset, to what is in use now.
            RESERVED_HIGH | USED_HIGH => found.used_high = found.used,
            _ => return refuse(Status::InvalidValue, format!("pool attribute {number} cannot be set")),
        }
        Ok(())
    }

    |driver| fn cuMemPoolSetAccess(pool: Handle, _accesses: *const c_void, _count: usize) {
        driver.lock().pools.get(pool).map(drop)
    }
}
