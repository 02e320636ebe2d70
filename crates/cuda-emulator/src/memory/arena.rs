//! Reserved address space from which device memory is cut.
//!
//! One reservation has three parts of equal size: the addresses shown to
//! programs, which no one can touch, the data, and the shadow. So a host that
//! dereferences a device pointer faults, as it does with a GPU, and the three
//! addresses of a byte differ by constants.
//!
//! Address space is plentiful: chunks are cut one after the other with gaps
//! between them, and a freed chunk's addresses come back only when all have
//! been used, the oldest first. So use after free is seen for what it is.

use std::collections::VecDeque;
use std::ptr;

use super::MemoryError;

/// What is asked for first; less where the system has less.
const WANTED: u64 = 1 << 40;
const LEAST: u64 = 1 << 28;
const PAGE: u64 = 4096;

/// Where an allocation starts within its first page: aligned to 512 bytes and
/// no more, so that code which wants more than the driver promises is found out.
const LEAD: u64 = 512;

/// The least distance from one allocation's end to the next one's start.
const GUARD: u64 = 64 << 10;

/// Pages of the arena, as offsets from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    start: u64,
    end: u64,
}

/// The reservation, and which of it is given out.
#[derive(Debug)]
pub struct Arena {
    reservation: *mut u8,
    /// The size of each of the three parts.
    size: u64,
    /// Everything from here on was never given out.
    next: u64,
    /// Freed chunks, the oldest first.
    free: VecDeque<Chunk>,
}

// SAFETY: the arena owns its reservation; the pointer is only an address here.
unsafe impl Send for Arena {}

impl Arena {
    /// Reserves 1 TiB of addresses, or as much as the system grants.
    pub fn new() -> Result<Self, MemoryError> {
        let mut size = WANTED;
        loop {
            match Self::with_size(size) {
                Err(_) if size > LEAST => size /= 2,
                result => return result,
            }
        }
    }

    /// Reserves `size` bytes of addresses, a multiple of the page size.
    pub fn with_size(size: u64) -> Result<Self, MemoryError> {
        let bytes = size as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping; nothing else is at its address.
        let start = unsafe { libc::mmap(ptr::null_mut(), 3 * bytes, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(MemoryError::System { bytes: 3 * size, code: last_error() });
        }
        // SAFETY: the upper two thirds of the mapping just made.
        let opened =
            unsafe { libc::mprotect(start.byte_add(bytes), 2 * bytes, libc::PROT_READ | libc::PROT_WRITE) };
        // Rows of a matrix are pages apart: with the usual pages a kernel's copies spend their time looking those up.
        // SAFETY: as above; the system is free to say no.
        unsafe { libc::madvise(start.byte_add(bytes), 2 * bytes, libc::MADV_HUGEPAGE) };
        let arena = Arena { reservation: start.cast(), size, next: 0, free: VecDeque::new() };
        match opened {
            0 => Ok(arena),
            _ => Err(MemoryError::System { bytes: 2 * size, code: last_error() }),
        }
    }

    /// Takes `len` bytes and returns the address to show, aligned to 512
    /// bytes; `None` when no addresses are left. The pages are all zero.
    pub fn take(&mut self, len: u64) -> Option<u64> {
        let needed = LEAD.checked_add(len)?.checked_add(GUARD)?.checked_next_multiple_of(PAGE)?;
        let chunk = if needed <= self.size - self.next {
            let start = self.next;
            self.next += needed;
            Chunk { start, end: start + needed }
        } else {
            self.take_freed(needed).or_else(|| {
                self.merge_freed();
                self.take_freed(needed)
            })?
        };
        Some(self.reservation as u64 + chunk.start + LEAD)
    }

    /// The oldest freed chunk that is large enough; what is left of it stays.
    fn take_freed(&mut self, needed: u64) -> Option<Chunk> {
        let index = self.free.iter().position(|c| c.end - c.start >= needed)?;
        let chunk = &mut self.free[index];
        let taken = Chunk { start: chunk.start, end: chunk.start + needed };
        chunk.start = taken.end;
        if chunk.start == chunk.end {
            self.free.remove(index);
        }
        Some(taken)
    }

    /// Joins freed chunks that touch.
    fn merge_freed(&mut self) {
        let chunks = self.free.make_contiguous();
        chunks.sort_by_key(|c| c.start);
        let mut merged: VecDeque<Chunk> = VecDeque::new();
        for &chunk in &*chunks {
            match merged.back_mut() {
                Some(last) if last.end == chunk.start => last.end = chunk.end,
                _ => merged.push_back(chunk),
            }
        }
        self.free = merged;
    }

    /// Takes back what `take(len)` returned, and returns its pages to the system.
    pub fn give_back(&mut self, shown: u64, len: u64) {
        let start = shown - LEAD - self.reservation as u64;
        let end = start + (LEAD + len + GUARD).next_multiple_of(PAGE);
        let pages = (end - start) as usize;
        for part in [self.size, 2 * self.size] {
            // SAFETY: pages of our own reservation, no longer in use by a region.
            unsafe {
                let at = self.reservation.add((part + start) as usize);
                libc::madvise(at.cast(), pages, libc::MADV_DONTNEED);
            }
        }
        self.free.push_back(Chunk { start, end });
    }

    /// Where the data of a shown address is.
    pub fn data(&self, shown: u64) -> *mut u8 {
        self.reservation.wrapping_add((shown - self.reservation as u64 + self.size) as usize)
    }

    /// Where the shadow of a shown address is.
    pub fn shadow(&self, shown: u64) -> *mut u8 {
        self.data(shown).wrapping_add(self.size as usize)
    }

    /// Whether `address` is one of those shown to programs.
    pub fn shows(&self, address: u64) -> bool {
        address.wrapping_sub(self.reservation as u64) < self.size
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the reservation is ours and whoever drops it has no region left in use.
        unsafe { libc::munmap(self.reservation.cast(), 3 * self.size as usize) };
    }
}

/// Pages of host memory, with inaccessible ones at both ends.
#[derive(Debug)]
pub(super) struct HostPages {
    start: *mut u8,
    /// Length of the mapping, guards included.
    mapped: usize,
}

// SAFETY: as for `Arena`.
unsafe impl Send for HostPages {}
// SAFETY: as above.
unsafe impl Sync for HostPages {}

impl HostPages {
    /// At least `len` bytes of zeroes.
    pub(super) fn new(len: u64) -> Result<Self, MemoryError> {
        let failed = || MemoryError::System { bytes: len, code: last_error() };
        let inner = len.checked_next_multiple_of(PAGE).ok_or_else(failed)? as usize;
        let mapped = inner.checked_add(2 * PAGE as usize).ok_or_else(failed)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping.
        let start = unsafe { libc::mmap(ptr::null_mut(), mapped, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(failed());
        }
        let pages = HostPages { start: start.cast(), mapped };
        // SAFETY: the inner pages of the mapping just made.
        let opened =
            unsafe { libc::mprotect(pages.data().cast(), inner, libc::PROT_READ | libc::PROT_WRITE) };
        if opened == 0 { Ok(pages) } else { Err(failed()) }
    }

    /// The first byte.
    pub(super) fn data(&self) -> *mut u8 {
        self.start.wrapping_add(PAGE as usize)
    }
}

impl Drop for HostPages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone.
        unsafe { libc::munmap(self.start.cast(), self.mapped) };
    }
}

fn last_error() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_only_when_all_are_used_the_oldest_first() {
        let mut arena = Arena::with_size(1 << 20).unwrap();
        let first: Vec<u64> = std::iter::from_fn(|| arena.take(100)).collect();
        assert!(first.len() > 10);
        arena.give_back(first[5], 100);
        arena.give_back(first[2], 100);
        assert_eq!(arena.take(100), Some(first[5]));
        assert_eq!(arena.take(100), Some(first[2]));
        assert_eq!(arena.take(100), None);
    }

    #[test]
    fn neighbours_are_merged_for_a_larger_one() {
        let mut arena = Arena::with_size(1 << 20).unwrap();
        let first: Vec<u64> = std::iter::from_fn(|| arena.take(100)).collect();
        arena.give_back(first[4], 100);
        arena.give_back(first[3], 100);
        assert_eq!(arena.take(60_000), Some(first[3]));
    }

    #[test]
    fn aligned_to_512_bytes_and_no_more() {
        let mut arena = Arena::with_size(1 << 20).unwrap();
        for _ in 0..4 {
            assert_eq!(arena.take(1000).unwrap() % 1024, 512);
        }
    }
}
