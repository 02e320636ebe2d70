//! What a stream can be asked to do. The same values are the nodes of graphs.

use std::ffi::c_void;
use std::sync::Arc;

use super::arguments::HostFunction;
use super::launch::Work;
use super::state::Handle;
use crate::machine::Span;
use crate::memory::{DeviceMemory, MemoryError};

/// One operation in a stream or a graph.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Runs a kernel.
    Launch(Arc<Work>),
    /// Copies memory.
    Copy(Copy),
    /// Fills memory.
    Fill(Fill),
    /// Stamps an event.
    Record(Handle),
    /// Does nothing; for what it waits for.
    Wait,
    /// Calls a function of the program.
    Host(HostCall),
    /// Gives back an allocation.
    Free(u64),
}

/// Where an end of a copy is.
#[derive(Debug, Clone)]
pub enum Place {
    /// Memory that devices see.
    Device(u64),
    /// The program's own memory, looked at when the copy runs.
    Host(*mut u8),
    /// The program's memory as it was when the copy was queued.
    Staged(Arc<[u8]>),
}

// SAFETY: a host place is only an address until the copy runs; that it is
// valid then is the program's promise to the API.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// A copy of `rows` rows of `width` bytes.
#[derive(Debug, Clone)]
pub struct Copy {
    pub to: Place,
    pub from: Place,
    pub width: u64,
    pub rows: u64,
    pub to_pitch: u64,
    pub from_pitch: u64,
}

/// A fill of `rows` rows of `count` elements.
#[derive(Debug, Clone)]
pub struct Fill {
    pub address: u64,
    /// The element, in its first `size` bytes.
    pub pattern: [u8; 4],
    pub size: usize,
    pub count: u64,
    pub rows: u64,
    pub pitch: u64,
}

/// A function of the program and its argument.
#[derive(Debug, Clone, Copy)]
pub struct HostCall {
    pub function: HostFunction,
    pub argument: *mut c_void,
}

// SAFETY: the program gave the pair to be called from a thread of the driver.
unsafe impl Send for HostCall {}
// SAFETY: as above.
unsafe impl Sync for HostCall {}

impl Place {
    fn row(&self, offset: u64) -> Place {
        match self {
            Place::Device(address) => Place::Device(address + offset),
            Place::Host(pointer) => Place::Host(pointer.wrapping_add(offset as usize)),
            Place::Staged(bytes) => Place::Host(bytes.as_ptr().wrapping_add(offset as usize).cast_mut()),
        }
    }
}

impl Copy {
    /// A copy of consecutive bytes.
    pub fn line(to: Place, from: Place, bytes: u64) -> Self {
        Copy { to, from, width: bytes, rows: 1, to_pitch: bytes, from_pitch: bytes }
    }

    /// Carries it out.
    pub fn run(&self, memory: &DeviceMemory) -> Result<(), MemoryError> {
        for row in 0..self.rows {
            let to = self.to.row(row * self.to_pitch);
            let from = self.from.row(row * self.from_pitch);
            // SAFETY: host places are valid for the copy by the program's
            // promise, staged ones because they were made as long.
            unsafe {
                match (to, from) {
                    (Place::Device(to), Place::Device(from)) => memory.copy(to, from, self.width)?,
                    (Place::Device(to), Place::Host(from)) => memory.write(to, from, self.width)?,
                    (Place::Host(to), Place::Device(from)) => memory.read(from, to, self.width)?,
                    (Place::Host(to), Place::Host(from)) => std::ptr::copy(from, to, self.width as usize),
                    (Place::Staged(_), _) | (_, Place::Staged(_)) => {}
                }
            }
        }
        Ok(())
    }

    /// The memory of devices that it touches.
    pub fn spans(&self) -> Vec<Span> {
        let row = |nth, place: &Place, pitch, writes| match place {
            Place::Device(address) => Some(Span { address: address + nth * pitch, len: self.width, writes }),
            _ => None,
        };
        let rows = (0..self.rows).flat_map(|nth| {
            [row(nth, &self.from, self.from_pitch, false), row(nth, &self.to, self.to_pitch, true)]
        });
        rows.flatten().filter(|span| span.len > 0).collect()
    }

    /// Refuses ends that are not inside an allocation now.
    pub fn check(&self, memory: &DeviceMemory) -> Result<(), MemoryError> {
        for (place, pitch) in [(&self.to, self.to_pitch), (&self.from, self.from_pitch)] {
            if let &Place::Device(address) = place {
                check_rows(memory, address, self.width, self.rows, pitch)?;
            }
        }
        Ok(())
    }
}

impl Fill {
    /// Carries it out.
    pub fn run(&self, memory: &DeviceMemory) -> Result<(), MemoryError> {
        (0..self.rows).try_for_each(|row| {
            memory.fill(self.address + row * self.pitch, &self.pattern[..self.size], self.count)
        })
    }

    /// The memory of devices that it touches.
    pub fn spans(&self) -> Vec<Span> {
        let len = self.count * self.size as u64;
        let row = |nth| Span { address: self.address + nth * self.pitch, len, writes: true };
        (0..self.rows).map(row).filter(|span| span.len > 0).collect()
    }

    /// Refuses a range that is not inside an allocation now.
    pub fn check(&self, memory: &DeviceMemory) -> Result<(), MemoryError> {
        let width = self.count.saturating_mul(self.size as u64);
        check_rows(memory, self.address, width, self.rows, self.pitch)
    }
}

/// Rows lie in one allocation if the range from the first to the last does.
fn check_rows(
    memory: &DeviceMemory,
    address: u64,
    width: u64,
    rows: u64,
    pitch: u64,
) -> Result<(), MemoryError> {
    match rows {
        0 => Ok(()),
        _ => memory.check(address, pitch.saturating_mul(rows - 1).saturating_add(width)),
    }
}
