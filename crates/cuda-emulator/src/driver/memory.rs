//! Device memory: allocation, release, and how much there is.

use std::ffi::{c_int, c_uint};

use super::arguments::Out;
use super::operation::Operation;
use super::state::{Allocation, Handle, How, State};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};
use crate::memory::RegionKind;

/// How many bytes from one row to the next `cuMemAllocPitch` takes a multiple of.
const PITCH: usize = 512;

impl State {
    /// Allocates device memory on account of a context.
    pub fn allocate(&mut self, context: Handle, bytes: usize, how: How) -> Outcome<u64> {
        require(bytes > 0, Status::InvalidValue, || "an allocation of no bytes".into())?;
        let device = self.context(context)?.device;
        let address = match how {
            How::Managed => self.memory.alloc_host(bytes as u64, RegionKind::Managed)?,
            How::Pinned { .. } => self.memory.alloc_host(bytes as u64, RegionKind::Pinned)?,
            How::Device | How::Pool(_) | How::Registered { .. } => {
                self.memory.alloc(device, bytes as u64, RegionKind::Device)?
            }
        };
        self.allocations.insert(address, Allocation { context, how, freeing: false });
        Ok(address)
    }

    /// The allocation that starts at an address and is not being freed.
    pub fn allocation(&self, address: u64) -> Outcome<&Allocation> {
        match self.allocations.get(&address) {
            Some(allocation) if !allocation.freeing => Ok(allocation),
            _ => {
                let nearest = self.memory.explain(address, 1);
                refuse(Status::InvalidValue, format!("{address:#x} is no live allocation's start: {nearest}"))
            }
        }
    }
}

impl Driver {
    /// Frees an allocation once all work of its context has ended.
    pub fn free(&'static self, address: u64, allowed: impl Fn(How) -> bool) -> Outcome {
        let mut state = self.lock();
        let context = state.current()?;
        state.forbid_in_capture()?;
        let found = state.allocation(address)?;
        require(allowed(found.how), Status::InvalidValue, || {
            format!("{address:#x} was allocated by another kind of call")
        })?;
        let pending = state.last_of_context(found.context);
        let mut state = self.wait(state, pending);
        // Another thread may have freed it while this one waited.
        state.allocation(address)?;
        state.release(address);
        state.check_context(context).map(drop)
    }

    /// Frees an allocation in the order of a stream.
    pub fn free_in_stream(&'static self, address: u64, stream: Handle) -> Outcome {
        let mut state = self.lock();
        let stream = state.stream(stream)?;
        let how = state.allocation(address)?.how;
        require(matches!(how, How::Device | How::Pool(_)), Status::InvalidValue, || {
            format!("{address:#x} was allocated by another kind of call")
        })?;
        match state.enqueue(stream, Operation::Free(address)) {
            Ok(ticket) => {
                if let Some(allocation) = state.allocations.get_mut(&address) {
                    allocation.freeing = true;
                }
                self.submitted(state, ticket);
                Ok(())
            }
            // Work of the context has failed: there is nothing to wait for.
            Err(failure) if state.streams.get(stream)?.capture.is_none() => {
                state.release(address);
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Allocates for the current context.
    pub fn allocate(&'static self, bytes: usize, how: How) -> Outcome<u64> {
        let mut state = self.lock();
        let context = state.usable()?;
        state.forbid_in_capture()?;
        state.allocate(context, bytes, how)
    }
}

export! {
    |driver| fn cuMemAlloc_v2(pointer: Out<u64>, bytes: usize) {
        pointer.check()?;
        pointer.set(driver.allocate(bytes, How::Device)?)
    }

    |driver| fn cuMemAllocPitch_v2(
        pointer: Out<u64>,
        pitch: Out<usize>,
        width: usize,
        height: usize,
        element: c_uint,
    ) {
        pointer.check()?;
        require(matches!(element, 4 | 8 | 16), Status::InvalidValue, || {
            format!("elements of {element} bytes: 4, 8 or 16 are allowed")
        })?;
        let row = width.checked_next_multiple_of(PITCH);
        let Some(bytes) = row.and_then(|row| row.checked_mul(height)) else {
            return refuse(Status::OutOfMemory, "the size overflows");
        };
        pitch.set(width.next_multiple_of(PITCH))?;
        pointer.set(driver.allocate(bytes, How::Device)?)
    }

    |driver| fn cuMemAllocManaged(pointer: Out<u64>, bytes: usize, flags: c_uint) {
        pointer.check()?;
        require(matches!(flags, 1 | 2), Status::InvalidValue, || {
            format!("flags {flags}: global (1) or host (2) attachment is allowed")
        })?;
        pointer.set(driver.allocate(bytes, How::Managed)?)
    }

    |driver| fn cuMemFree_v2(pointer: u64) {
        if pointer == 0 {
            return Ok(());
        }
        driver.free(pointer, |how| matches!(how, How::Device | How::Pool(_) | How::Managed))
    }

    |driver| fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) {
        let state = driver.lock();
        state.usable()?;
        let (all, used) = state.memory.usage(state.current_device()?);
        free.set((all - used) as usize)?;
        total.set(all as usize)
    }

    |driver| fn cuMemGetAddressRange_v2(base: Out<u64>, bytes: Out<usize>, pointer: u64) {
        let state = driver.lock();
        state.current()?;
        let Some(region) = state.memory.find(pointer) else {
            return refuse(Status::NotFound, format!("{pointer:#x} is in no allocation"));
        };
        base.set_if_wanted(region.base);
        bytes.set_if_wanted(region.len as usize);
        Ok(())
    }

    |driver| fn cuMemAdvise(pointer: u64, bytes: usize, _advice: c_uint, _device: c_int) {
        driver.advise(pointer, bytes)
    }

    |driver| fn cuMemAdvise_v2(pointer: u64, bytes: usize, _advice: c_uint, _location: u64) {
        driver.advise(pointer, bytes)
    }

    |driver| fn cuMemPrefetchAsync(pointer: u64, bytes: usize, _device: c_int, stream: Handle) {
        driver.prefetch(pointer, bytes, stream)
    }

    |driver| fn cuMemPrefetchAsync_v2(
        pointer: u64,
        bytes: usize,
        _location: u64,
        _flags: c_uint,
        stream: Handle,
    ) {
        driver.prefetch(pointer, bytes, stream)
    }

    |driver| fn cuStreamAttachMemAsync(stream: Handle, pointer: u64, _bytes: usize, _flags: c_uint) {
        let mut state = driver.lock();
        state.stream(stream)?;
        state.check_managed(pointer, 1)
    }
}

impl State {
    /// Refuses what is not managed memory.
    fn check_managed(&self, pointer: u64, bytes: usize) -> Outcome {
        self.memory.check(pointer, bytes as u64)?;
        let managed = self.memory.find(pointer).is_some_and(|region| region.kind == RegionKind::Managed);
        require(managed, Status::InvalidValue, || format!("{pointer:#x} is not managed memory"))
    }
}

impl Driver {
    /// Advice changes nothing here but is checked.
    fn advise(&'static self, pointer: u64, bytes: usize) -> Outcome {
        let state = self.lock();
        state.usable()?;
        state.check_managed(pointer, bytes)
    }

    fn prefetch(&'static self, pointer: u64, bytes: usize, stream: Handle) -> Outcome {
        let mut state = self.lock();
        state.check_managed(pointer, bytes)?;
        let stream = state.stream(stream)?;
        let ticket = state.enqueue(stream, Operation::Wait)?;
        self.submitted(state, ticket);
        Ok(())
    }
}
