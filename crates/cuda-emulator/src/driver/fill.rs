//! Filling memory with a value of one, two or four bytes.

use std::ffi::{c_uchar, c_uint, c_ushort};

use super::operation::{Fill, Operation};
use super::state::Handle;
use super::status::{Outcome, Status, require};
use super::{Driver, export};

/// A fill of one row of `count` elements.
fn line(address: u64, element: &[u8], count: usize) -> Fill {
    block(address, 0, element, count, 1)
}

/// A fill of `rows` rows of `count` elements, `pitch` bytes apart.
fn block(address: u64, pitch: usize, element: &[u8], count: usize, rows: usize) -> Fill {
    let mut pattern = [0; 4];
    pattern[..element.len()].copy_from_slice(element);
    let size = element.len();
    Fill { address, pattern, size, count: count as u64, rows: rows as u64, pitch: pitch as u64 }
}

impl Driver {
    /// Queues a fill: in the default stream if none is named. Either way the
    /// API lets the call return before the memory has been filled.
    fn fill(&'static self, fill: Fill, stream: Option<Handle>) -> Outcome {
        let mut state = self.lock();
        if stream.is_none() {
            state.usable()?;
            state.forbid_in_capture()?;
        }
        let stream = state.stream(stream.unwrap_or(0))?;
        if fill.count == 0 || fill.rows == 0 {
            return Ok(());
        }
        let size = fill.size as u64;
        let aligned =
            fill.address.is_multiple_of(size) && (fill.rows == 1 || fill.pitch.is_multiple_of(size));
        require(aligned, Status::InvalidValue, || {
            format!(
                "{:#x} with pitch {} is not aligned to elements of {size} bytes",
                fill.address, fill.pitch
            )
        })?;
        fill.check(&state.memory)?;
        let ticket = state.enqueue(stream, Operation::Fill(fill))?;
        self.submitted(state, ticket);
        Ok(())
    }
}

export! {
    |driver| fn cuMemsetD8_v2(dst: u64, value: c_uchar, count: usize) {
        driver.fill(line(dst, &value.to_ne_bytes(), count), None)
    }

    |driver| fn cuMemsetD16_v2(dst: u64, value: c_ushort, count: usize) {
        driver.fill(line(dst, &value.to_ne_bytes(), count), None)
    }

    |driver| fn cuMemsetD32_v2(dst: u64, value: c_uint, count: usize) {
        driver.fill(line(dst, &value.to_ne_bytes(), count), None)
    }

    |driver| fn cuMemsetD8Async(dst: u64, value: c_uchar, count: usize, stream: Handle) {
        driver.fill(line(dst, &value.to_ne_bytes(), count), Some(stream))
    }

    |driver| fn cuMemsetD16Async(dst: u64, value: c_ushort, count: usize, stream: Handle) {
        driver.fill(line(dst, &value.to_ne_bytes(), count), Some(stream))
    }

    |driver| fn cuMemsetD32Async(dst: u64, value: c_uint, count: usize, stream: Handle) {
        driver.fill(line(dst, &value.to_ne_bytes(), count), Some(stream))
    }

    |driver| fn cuMemsetD2D8_v2(dst: u64, pitch: usize, value: c_uchar, width: usize, height: usize) {
        driver.fill(block(dst, pitch, &value.to_ne_bytes(), width, height), None)
    }

    |driver| fn cuMemsetD2D16_v2(dst: u64, pitch: usize, value: c_ushort, width: usize, height: usize) {
        driver.fill(block(dst, pitch, &value.to_ne_bytes(), width, height), None)
    }

    |driver| fn cuMemsetD2D32_v2(dst: u64, pitch: usize, value: c_uint, width: usize, height: usize) {
        driver.fill(block(dst, pitch, &value.to_ne_bytes(), width, height), None)
    }

    |driver| fn cuMemsetD2D8Async(
        dst: u64,
        pitch: usize,
        value: c_uchar,
        width: usize,
        height: usize,
        stream: Handle,
    ) {
        driver.fill(block(dst, pitch, &value.to_ne_bytes(), width, height), Some(stream))
    }

    |driver| fn cuMemsetD2D16Async(
        dst: u64,
        pitch: usize,
        value: c_ushort,
        width: usize,
        height: usize,
        stream: Handle,
    ) {
        driver.fill(block(dst, pitch, &value.to_ne_bytes(), width, height), Some(stream))
    }

    |driver| fn cuMemsetD2D32Async(
        dst: u64,
        pitch: usize,
        value: c_uint,
        width: usize,
        height: usize,
        stream: Handle,
    ) {
        driver.fill(block(dst, pitch, &value.to_ne_bytes(), width, height), Some(stream))
    }
}
