//! Copies between host and device, in all directions.
//!
//! A copy that the API calls synchronous goes through the default stream. When
//! it may return is the API's table of synchronisation: never before a host
//! end has been used, except that memory of the host which is not pinned is
//! staged by asynchronous copies to the device.

use std::ffi::{c_uint, c_void};
use std::sync::{Arc, MutexGuard};

use super::arguments::In;
use super::operation::{Copy, Operation, Place};
use super::state::{Handle, State};
use super::status::{Outcome, Status, refuse, require};
use super::{Driver, export};

/// Whether a call returns before the copy has been made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Return {
    Queued,
    Done,
}

impl State {
    /// An address of the host: pinned memory is known by its address.
    fn host_place(&self, pointer: *const c_void) -> Outcome<Place> {
        let address = pointer as u64;
        if self.memory.is_device_address(address) {
            return refuse(Status::InvalidValue, format!("{pointer:?} is a device address, not the host's"));
        }
        Ok(match self.memory.find(address) {
            Some(_) => Place::Device(address),
            None => Place::Host(pointer.cast_mut().cast()),
        })
    }

    /// An address of either side, told apart by what it is.
    fn any_place(&self, address: u64) -> Place {
        match self.memory.is_device_address(address) || self.memory.find(address).is_some() {
            true => Place::Device(address),
            false => Place::Host(address as *mut u8),
        }
    }
}

impl Driver {
    /// The state, and the stream of copies that name none.
    fn default_stream(&'static self) -> Outcome<(MutexGuard<'static, State>, Handle)> {
        let mut state = self.lock();
        state.usable()?;
        state.forbid_in_capture()?;
        let stream = state.stream(0)?;
        Ok((state, stream))
    }

    /// The state, and the stream that a handle names.
    fn named_stream(&'static self, stream: Handle) -> Outcome<(MutexGuard<'static, State>, Handle)> {
        let mut state = self.lock();
        let stream = state.stream(stream)?;
        Ok((state, stream))
    }

    /// Queues a copy, and waits for it where the API does.
    fn copy(
        &'static self,
        mut state: MutexGuard<'static, State>,
        stream: Handle,
        mut copy: Copy,
        mut until: Return,
    ) -> Outcome {
        if copy.width == 0 || copy.rows == 0 {
            return Ok(());
        }
        for place in [&copy.to, &copy.from] {
            let null = matches!(place, Place::Host(pointer) if pointer.is_null());
            require(!null, Status::InvalidValue, || "an end of the copy is a null pointer".into())?;
        }
        copy.check(&state.memory)?;
        if matches!(copy.to, Place::Host(_)) {
            until = Return::Done;
        }
        if let (Return::Queued, Place::Host(pointer), None) = (until, &copy.from, state.captured(stream)?) {
            let bytes = (copy.from_pitch * (copy.rows - 1) + copy.width) as usize;
            let pointer = *pointer;
            if state.streams.get(stream)?.is_full(bytes) {
                let last = state.last(stream);
                state = self.wait(state, [last]);
            }
            // SAFETY: the program promises that its end of the copy is valid.
            let staged = unsafe { std::slice::from_raw_parts(pointer, bytes) };
            copy.from = Place::Staged(Arc::from(staged));
        }
        let context = state.streams.get(stream)?.context;
        let ticket = state.enqueue(stream, Operation::Copy(copy))?;
        match until {
            Return::Queued => {
                self.submitted(state, ticket);
                Ok(())
            }
            Return::Done => self.wait(state, ticket).check_context(context).map(drop),
        }
    }

    /// The stream of a copy: a synchronous one names none, and returns when it is done.
    fn stream_of_copy(
        &'static self,
        stream: Option<Handle>,
    ) -> Outcome<(MutexGuard<'static, State>, Handle, Return)> {
        let ((state, stream), until) = match stream {
            Some(stream) => (self.named_stream(stream)?, Return::Queued),
            None => (self.default_stream()?, Return::Done),
        };
        Ok((state, stream, until))
    }

    fn copy_flat(&'static self, dst: u64, src: u64, bytes: usize, stream: Option<Handle>) -> Outcome {
        let (state, stream, until) = self.stream_of_copy(stream)?;
        let copy = Copy::line(state.any_place(dst), state.any_place(src), bytes as u64);
        self.copy(state, stream, copy, until)
    }

    fn copy_2d(&'static self, description: In<Copy2d>, stream: Option<Handle>) -> Outcome {
        let description = description.get()?;
        let (state, stream, until) = self.stream_of_copy(stream)?;
        let copy = description.resolve(&state)?;
        self.copy(state, stream, copy, until)
    }
}

/// `CUDA_MEMCPY2D`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Copy2d {
    source: End,
    target: End,
    width: usize,
    height: usize,
}

/// One end of a two-dimensional copy.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct End {
    x_bytes: usize,
    y: usize,
    memory_type: c_uint,
    host: *const c_void,
    device: u64,
    array: *const c_void,
    pitch: usize,
}

impl End {
    /// Where the first byte is, and the distance between rows.
    fn resolve(&self, state: &State, width: usize) -> Outcome<(Place, u64)> {
        let pitch = if self.pitch == 0 { width } else { self.pitch };
        require(pitch >= self.x_bytes.saturating_add(width), Status::InvalidValue, || {
            format!("rows of {width} bytes at {} do not fit a pitch of {pitch}", self.x_bytes)
        })?;
        let offset = (self.y as u64).wrapping_mul(pitch as u64).wrapping_add(self.x_bytes as u64);
        let place = match self.memory_type {
            1 => state.host_place(self.host.wrapping_byte_add(offset as usize))?,
            2 => Place::Device(self.device.wrapping_add(offset)),
            4 => state.any_place(self.device.wrapping_add(offset)),
            _ => return refuse(Status::NotSupported, "arrays are not emulated"),
        };
        Ok((place, pitch as u64))
    }
}

impl Copy2d {
    fn resolve(&self, state: &State) -> Outcome<Copy> {
        let (to, to_pitch) = self.target.resolve(state, self.width)?;
        let (from, from_pitch) = self.source.resolve(state, self.width)?;
        Ok(Copy { to, from, width: self.width as u64, rows: self.height as u64, to_pitch, from_pitch })
    }
}

export! {
    |driver| fn cuMemcpyHtoD_v2(dst: u64, src: *const c_void, bytes: usize) {
        let (state, stream) = driver.default_stream()?;
        let copy = Copy::line(Place::Device(dst), state.host_place(src)?, bytes as u64);
        driver.copy(state, stream, copy, Return::Done)
    }

    |driver| fn cuMemcpyDtoH_v2(dst: *mut c_void, src: u64, bytes: usize) {
        let (state, stream) = driver.default_stream()?;
        let copy = Copy::line(state.host_place(dst)?, Place::Device(src), bytes as u64);
        driver.copy(state, stream, copy, Return::Done)
    }

    |driver| fn cuMemcpyDtoD_v2(dst: u64, src: u64, bytes: usize) {
        // The API does not synchronise the host with copies inside the device.
        let (state, stream) = driver.default_stream()?;
        let copy = Copy::line(Place::Device(dst), Place::Device(src), bytes as u64);
        driver.copy(state, stream, copy, Return::Queued)
    }

    |driver| fn cuMemcpyHtoDAsync_v2(dst: u64, src: *const c_void, bytes: usize, stream: Handle) {
        let (state, stream) = driver.named_stream(stream)?;
        let copy = Copy::line(Place::Device(dst), state.host_place(src)?, bytes as u64);
        driver.copy(state, stream, copy, Return::Queued)
    }

    |driver| fn cuMemcpyDtoHAsync_v2(dst: *mut c_void, src: u64, bytes: usize, stream: Handle) {
        let (state, stream) = driver.named_stream(stream)?;
        let copy = Copy::line(state.host_place(dst)?, Place::Device(src), bytes as u64);
        driver.copy(state, stream, copy, Return::Queued)
    }

    |driver| fn cuMemcpyDtoDAsync_v2(dst: u64, src: u64, bytes: usize, stream: Handle) {
        let (state, stream) = driver.named_stream(stream)?;
        let copy = Copy::line(Place::Device(dst), Place::Device(src), bytes as u64);
        driver.copy(state, stream, copy, Return::Queued)
    }

    |driver| fn cuMemcpy(dst: u64, src: u64, bytes: usize) {
        driver.copy_flat(dst, src, bytes, None)
    }

    |driver| fn cuMemcpyAsync(dst: u64, src: u64, bytes: usize, stream: Handle) {
        driver.copy_flat(dst, src, bytes, Some(stream))
    }

    |driver| fn cuMemcpyPeer(dst: u64, to: Handle, src: u64, from: Handle, bytes: usize) {
        for context in [to, from] {
            driver.lock().check_context(context)?;
        }
        driver.copy_flat(dst, src, bytes, None)
    }

    |driver| fn cuMemcpyPeerAsync(
        dst: u64,
        to: Handle,
        src: u64,
        from: Handle,
        bytes: usize,
        stream: Handle,
    ) {
        for context in [to, from] {
            driver.lock().check_context(context)?;
        }
        driver.copy_flat(dst, src, bytes, Some(stream))
    }

    |driver| fn cuMemcpy2D_v2(description: In<Copy2d>) {
        driver.copy_2d(description, None)
    }

    |driver| fn cuMemcpy2DUnaligned_v2(description: In<Copy2d>) {
        driver.copy_2d(description, None)
    }

    |driver| fn cuMemcpy2DAsync_v2(description: In<Copy2d>, stream: Handle) {
        driver.copy_2d(description, Some(stream))
    }
}
