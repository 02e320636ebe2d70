//! Host memory that devices see: pinned and registered.

use std::ffi::{c_uint, c_void};

use super::arguments::Out;
use super::state::{Allocation, How};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

/// Pinned memory may be portable, mapped, write-combined.
const HOST_ALLOC_FLAGS: c_uint = 0b111;
/// Registered memory may be portable, mapped, I/O, read-only.
const REGISTER_FLAGS: c_uint = 0b1111;

impl Driver {
    fn pin(&'static self, pointer: Out<*mut c_void>, bytes: usize, flags: c_uint) -> Outcome {
        pointer.check()?;
        require(flags & !HOST_ALLOC_FLAGS == 0, Status::InvalidValue, || {
            format!("unknown flags {flags:#x}")
        })?;
        pointer.set(self.allocate(bytes, How::Pinned { flags })? as *mut c_void)
    }
}

export! {
    |driver| fn cuMemHostAlloc(pointer: Out<*mut c_void>, bytes: usize, flags: c_uint) {
        driver.pin(pointer, bytes, flags)
    }

    |driver| fn cuMemAllocHost_v2(pointer: Out<*mut c_void>, bytes: usize) {
        driver.pin(pointer, bytes, 0)
    }

    |driver| fn cuMemFreeHost(pointer: *mut c_void) {
        driver.free(pointer as u64, |how| matches!(how, How::Pinned { .. }))
    }

    |driver| fn cuMemHostRegister_v2(pointer: *mut c_void, bytes: usize, flags: c_uint) {
        let mut state = driver.lock();
        let context = state.usable()?;
        state.forbid_in_capture()?;
        require(flags & !REGISTER_FLAGS == 0, Status::InvalidValue, || format!("unknown flags {flags:#x}"))?;
        require(!pointer.is_null() && bytes > 0, Status::InvalidValue, || "nothing to register".into())?;
        require(!state.memory.is_device_address(pointer as u64), Status::InvalidValue, || {
            "device memory cannot be registered".into()
        })?;
        // SAFETY: that the range stays valid while it is registered is the
        // program's promise to the API.
        unsafe { state.memory.register_host(pointer.cast(), bytes as u64)? };
        let how = How::Registered { flags };
        state.allocations.insert(pointer as u64, Allocation { context, how, freeing: false });
        Ok(())
    }

    |driver| fn cuMemHostUnregister(pointer: *mut c_void) {
        {
            let state = driver.lock();
            let registered = state.allocation(pointer as u64);
            let registered = registered.is_ok_and(|found| matches!(found.how, How::Registered { .. }));
            require(registered, Status::HostMemoryNotRegistered, || format!("{pointer:?} is not registered"))?;
        }
        driver.free(pointer as u64, |how| matches!(how, How::Registered { .. }))
    }

    |driver| fn cuMemHostGetDevicePointer_v2(device: Out<u64>, host: *mut c_void, flags: c_uint) {
        device.check()?;
        require(flags == 0, Status::InvalidValue, || "the flags must be 0".into())?;
        let state = driver.lock();
        state.usable()?;
        let seen = !state.memory.is_device_address(host as u64) && state.memory.find(host as u64).is_some();
        require(seen, Status::InvalidValue, || format!("{host:?} is no memory that devices see"))?;
        device.set(host as u64)
    }

    |driver| fn cuMemHostGetFlags(out: Out<c_uint>, host: *mut c_void) {
        let state = driver.lock();
        state.usable()?;
        let base = state.memory.find(host as u64).map(|region| region.base);
        match base.and_then(|base| state.allocations.get(&base)).map(|allocation| allocation.how) {
            // All host memory is mapped, whether asked for or not.
            Some(How::Pinned { flags } | How::Registered { flags }) => out.set(flags | 2),
            _ => refuse(Status::InvalidValue, format!("{host:?} is not pinned")),
        }
    }
}
