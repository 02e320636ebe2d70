//! What is allocated, and the host's ways to read and write it.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use super::MemoryError;
use super::arena::{Arena, HostPages};
use super::map::{AddressMap, Freed, Region, RegionKind};
use crate::verdict::Nearest;

/// Who owns the pages behind a region.
#[derive(Debug)]
enum Backing {
    /// The arena, on account of this device.
    Arena { device: usize },
    /// Pinned or managed, data and shadow; registered, the shadow alone. Maps
    /// share the pages, so that a launch that still runs finds them.
    Host { pages: Arc<[HostPages]> },
}

#[derive(Debug)]
struct Allocation {
    region: Region,
    backing: Backing,
}

/// All memory that the devices of a process can see, in one address space.
///
/// Methods that read and write go through raw pointers and take no lock: a
/// program that races with its own kernels gets what it gets on a GPU.
#[derive(Debug)]
pub struct DeviceMemory {
    arena: Arena,
    live: BTreeMap<u64, Allocation>,
    freed: Arc<Mutex<Freed>>,
    /// Bytes that each device has.
    capacity: u64,
    /// Bytes in use, by device.
    used: Vec<u64>,
    /// For each device the devices whose memory it sees, itself among them.
    peers: Vec<BTreeSet<usize>>,
    /// The last snapshot made for each device, until something changes.
    maps: Vec<Option<Arc<AddressMap>>>,
}

impl DeviceMemory {
    /// Memory for `devices` devices of `capacity` bytes each.
    pub fn new(devices: usize, capacity: u64) -> Result<Self, MemoryError> {
        Ok(DeviceMemory {
            arena: Arena::new()?,
            live: BTreeMap::new(),
            freed: Arc::default(),
            capacity,
            used: vec![0; devices],
            peers: (0..devices).map(|device| BTreeSet::from([device])).collect(),
            maps: vec![None; devices],
        })
    }

    /// Allocates `len` bytes, undefined, on a device; `kind` is one that lives
    /// on the device. An address aligned to 512 bytes.
    pub fn alloc(&mut self, device: usize, len: u64, kind: RegionKind) -> Result<u64, MemoryError> {
        let free = self.capacity - self.used[device];
        let refused = MemoryError::OutOfMemory { requested: len, free };
        if len > free {
            return Err(refused);
        }
        let base = self.arena.take(len).ok_or(refused)?;
        self.freed().forget(base, base + len);
        let (data, shadow) = (self.arena.data(base), self.arena.shadow(base));
        self.used[device] += len;
        self.insert(Allocation {
            region: Region { base, len, data, shadow, kind },
            backing: Backing::Arena { device },
        });
        Ok(base)
    }

    /// Allocates `len` bytes of host memory that every device sees under its
    /// host address. It is born zero and defined.
    pub fn alloc_host(&mut self, len: u64, kind: RegionKind) -> Result<u64, MemoryError> {
        let data = HostPages::new(len)?;
        let shadow = defined_shadow(len)?;
        let base = data.data() as u64;
        self.freed().forget(base, base + len);
        self.insert(Allocation {
            region: Region { base, len, data: data.data(), shadow: shadow.data(), kind },
            backing: Backing::Host { pages: [data, shadow].into() },
        });
        Ok(base)
    }

    /// Lets devices see `len` bytes of the program's own memory.
    ///
    /// # Safety
    /// The range is readable and writable until it is freed here.
    pub unsafe fn register_host(&mut self, data: *mut u8, len: u64) -> Result<(), MemoryError> {
        let base = data as u64;
        let end = base.saturating_add(len);
        let before = self.live.range(..end).next_back();
        if before.is_some_and(|(_, a)| a.region.base + a.region.len > base) {
            return Err(MemoryError::AlreadyRegistered { address: base, bytes: len });
        }
        let shadow = defined_shadow(len)?;
        self.freed().forget(base, end);
        self.insert(Allocation {
            region: Region { base, len, data, shadow: shadow.data(), kind: RegionKind::Pinned },
            backing: Backing::Host { pages: [shadow].into() },
        });
        Ok(())
    }

    /// Frees the allocation that starts at `base`.
    pub fn free(&mut self, base: u64) -> Result<(), MemoryError> {
        let allocation = self.live.remove(&base).ok_or(MemoryError::NotAnAllocation { address: base })?;
        let len = allocation.region.len;
        if let Backing::Arena { device } = allocation.backing {
            self.arena.give_back(base, len);
            self.used[device] -= len;
        }
        self.freed().insert(base, len);
        self.changed();
        Ok(())
    }

    fn insert(&mut self, allocation: Allocation) {
        self.live.insert(allocation.region.base, allocation);
        self.changed();
    }

    fn changed(&mut self) {
        self.maps.fill(None);
    }

    fn freed(&self) -> std::sync::MutexGuard<'_, Freed> {
        self.freed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a device see a peer's memory, or no longer.
    pub fn set_peer(&mut self, device: usize, peer: usize, sees: bool) {
        match sees {
            true => self.peers[device].insert(peer),
            false => self.peers[device].remove(&peer),
        };
        self.changed();
    }

    /// A snapshot of what `device` can see: its own memory, its peers', and the host's.
    pub fn map(&mut self, device: usize) -> Arc<AddressMap> {
        if let Some(map) = &self.maps[device] {
            return map.clone();
        }
        let (mut regions, mut kept) = (Vec::new(), Vec::new());
        for allocation in self.live.values() {
            match &allocation.backing {
                Backing::Arena { device: owner } if !self.peers[device].contains(owner) => continue,
                Backing::Arena { .. } => {}
                Backing::Host { pages } => kept.push(pages.clone()),
            }
            regions.push(allocation.region);
        }
        let map = Arc::new(AddressMap::new(regions, kept, self.freed.clone()));
        self.maps[device] = Some(map.clone());
        map
    }

    /// The live region that holds the byte at `address`.
    pub fn find(&self, address: u64) -> Option<Region> {
        let (_, allocation) = self.live.range(..=address).next_back()?;
        (address - allocation.region.base < allocation.region.len).then_some(allocation.region)
    }

    /// The device on whose account the byte at `address` is; none for host memory.
    pub fn owner(&self, address: u64) -> Option<usize> {
        match self.live.get(&self.find(address)?.base)?.backing {
            Backing::Arena { device } => Some(device),
            _ => None,
        }
    }

    /// Whether `address` is in the range that only devices can touch.
    pub fn is_device_address(&self, address: u64) -> bool {
        self.arena.shows(address)
    }

    /// Bytes that each device has, and bytes in use on this one.
    pub fn usage(&self, device: usize) -> (u64, u64) {
        (self.capacity, self.used[device])
    }

    /// What a range lies nearest to, on any device.
    pub fn explain(&self, address: u64, size: u64) -> Nearest {
        let regions = self.live.values().map(|a| a.region).collect();
        AddressMap::new(regions, Vec::new(), self.freed.clone()).explain(address, size)
    }

    /// The region around a range, with the range's offset in it.
    fn range(&self, address: u64, bytes: u64) -> Result<(Region, usize), MemoryError> {
        let region = self.find(address).filter(|r| r.contains(address, bytes));
        let region = region.ok_or(MemoryError::OutOfBounds { address, bytes })?;
        Ok((region, (address - region.base) as usize))
    }

    /// Whether a range lies inside one live allocation.
    pub fn check(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        match bytes {
            0 => Ok(()),
            _ => self.range(address, bytes).map(drop),
        }
    }

    /// Copies to the host, whatever is defined.
    ///
    /// # Safety
    /// `to` is valid for writes of `bytes` bytes.
    pub unsafe fn read(&self, address: u64, to: *mut u8, bytes: u64) -> Result<(), MemoryError> {
        if bytes > 0 {
            let (region, offset) = self.range(address, bytes)?;
            // SAFETY: inside the region by `range`, and `to` by contract; a
            // host range may be part of the region itself, hence `copy`.
            unsafe { ptr::copy(region.data.add(offset), to, bytes as usize) };
        }
        Ok(())
    }

    /// Copies from the host; the range becomes defined.
    ///
    /// # Safety
    /// `from` is valid for reads of `bytes` bytes.
    pub unsafe fn write(&self, address: u64, from: *const u8, bytes: u64) -> Result<(), MemoryError> {
        if bytes > 0 {
            let (region, offset) = self.range(address, bytes)?;
            // SAFETY: as for `read`.
            unsafe {
                ptr::copy(from, region.data.add(offset), bytes as usize);
                region.shadow.add(offset).write_bytes(0xFF, bytes as usize);
            }
        }
        Ok(())
    }

    /// Repeats a pattern of 1, 2 or 4 bytes `count` times; the range becomes defined.
    pub fn fill(&self, address: u64, pattern: &[u8], count: u64) -> Result<(), MemoryError> {
        let out_of_bounds = MemoryError::OutOfBounds { address, bytes: u64::MAX };
        let bytes = count.checked_mul(pattern.len() as u64).ok_or(out_of_bounds)?;
        if bytes > 0 {
            let (region, offset) = self.range(address, bytes)?;
            // SAFETY: inside the region by `range`; nothing else in the
            // process holds a reference into it.
            unsafe {
                let data = region.data.add(offset);
                match pattern {
                    [byte] => data.write_bytes(*byte, bytes as usize),
                    _ => std::slice::from_raw_parts_mut(data, bytes as usize)
                        .chunks_exact_mut(pattern.len())
                        .for_each(|element| element.copy_from_slice(pattern)),
                }
                region.shadow.add(offset).write_bytes(0xFF, bytes as usize);
            }
        }
        Ok(())
    }

    /// Copies from one place to another, and with the data what is defined of it.
    pub fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), MemoryError> {
        if bytes > 0 {
            let (target, target_offset) = self.range(to, bytes)?;
            let (source, source_offset) = self.range(from, bytes)?;
            // SAFETY: both inside their regions by `range`.
            unsafe {
                let bytes = bytes as usize;
                ptr::copy(source.data.add(source_offset), target.data.add(target_offset), bytes);
                let shadow = target.shadow.add(target_offset);
                match source.kind.host_writes() {
                    true => shadow.write_bytes(0xFF, bytes),
                    false => ptr::copy(source.shadow.add(source_offset), shadow, bytes),
                }
            }
        }
        Ok(())
    }

    /// The first address in a range whose byte is not wholly defined.
    pub fn first_undefined(&self, address: u64, bytes: u64) -> Result<Option<u64>, MemoryError> {
        if bytes == 0 {
            return Ok(None);
        }
        let (region, offset) = self.range(address, bytes)?;
        // SAFETY: inside the region by `range`; no kernel runs while the
        // driver looks, so nothing writes to the shadow.
        let shadow = unsafe { std::slice::from_raw_parts(region.shadow.add(offset), bytes as usize) };
        Ok(shadow.iter().position(|&s| s != 0xFF).map(|i| address + i as u64))
    }
}

/// A shadow that says that all is defined.
fn defined_shadow(len: u64) -> Result<HostPages, MemoryError> {
    let shadow = HostPages::new(len)?;
    // SAFETY: `len` bytes just mapped.
    unsafe { shadow.data().write_bytes(0xFF, len as usize) };
    Ok(shadow)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn memory() -> DeviceMemory {
        DeviceMemory::new(2, 80 * GIB).unwrap()
    }

    fn read(memory: &DeviceMemory, address: u64, bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        // SAFETY: a vector of that length.
        unsafe { memory.read(address, out.as_mut_ptr(), bytes as u64).unwrap() };
        out
    }

    fn write(memory: &DeviceMemory, address: u64, data: &[u8]) -> Result<(), MemoryError> {
        // SAFETY: a slice of that length.
        unsafe { memory.write(address, data.as_ptr(), data.len() as u64) }
    }

    #[test]
    fn fresh_memory_is_undefined_and_what_is_written_is_defined() {
        let mut memory = memory();
        let a = memory.alloc(0, 100, RegionKind::Device).unwrap();
        assert_eq!(memory.first_undefined(a, 100), Ok(Some(a)));
        write(&memory, a, &[1, 2, 3]).unwrap();
        assert_eq!(memory.first_undefined(a, 100), Ok(Some(a + 3)));
        assert_eq!(memory.first_undefined(a, 3), Ok(None));
        memory.fill(a + 4, &[7, 8], 48).unwrap();
        assert_eq!(memory.first_undefined(a, 100), Ok(Some(a + 3)));
        assert_eq!(memory.first_undefined(a + 4, 96), Ok(None));
        assert_eq!(read(&memory, a, 8), [1, 2, 3, 0, 7, 8, 7, 8]);
    }

    #[test]
    fn a_copy_carries_what_is_undefined() {
        let mut memory = memory();
        let a = memory.alloc(0, 4, RegionKind::Device).unwrap();
        let b = memory.alloc(0, 4, RegionKind::Device).unwrap();
        memory.fill(b, &[9], 4).unwrap();
        write(&memory, a, &[5, 6]).unwrap();
        memory.copy(b, a, 4).unwrap();
        assert_eq!(read(&memory, b, 4), [5, 6, 0, 0]);
        assert_eq!(memory.first_undefined(b, 4), Ok(Some(b + 2)));
    }

    #[test]
    fn sparse_allocations_cost_nothing_and_capacity_holds() {
        let mut memory = memory();
        let a = memory.alloc(0, 60 * GIB, RegionKind::Device).unwrap();
        write(&memory, a + 59 * GIB, &[1]).unwrap();
        let refused = memory.alloc(0, 30 * GIB, RegionKind::Device);
        let expected = MemoryError::OutOfMemory { requested: 30 * GIB, free: 20 * GIB };
        assert_eq!(refused, Err(expected));
        memory.alloc(1, 30 * GIB, RegionKind::Device).unwrap();
        memory.free(a).unwrap();
        memory.alloc(0, 80 * GIB, RegionKind::Device).unwrap();
    }

    #[test]
    fn bounds_are_exact_and_a_freed_range_is_remembered() {
        let mut memory = memory();
        let a = memory.alloc(0, 10, RegionKind::Device).unwrap();
        assert!(write(&memory, a, &[0; 10]).is_ok());
        let over = Err(MemoryError::OutOfBounds { address: a + 1, bytes: 10 });
        assert_eq!(write(&memory, a + 1, &[0; 10]), over);
        let map = memory.map(0);
        assert!(map.find(a + 9).is_some() && map.find(a + 10).is_none() && map.find(a - 1).is_none());
        let past = |distance| Nearest::Past { distance, base: a, len: 10 };
        assert_eq!(map.explain(a + 8, 4), past(2));
        assert_eq!(map.explain(a + 12, 4), past(6));
        assert_eq!(map.explain(a - 4, 4), Nearest::Before { distance: 4, base: a, len: 10 });
        memory.free(a).unwrap();
        assert_eq!(memory.free(a), Err(MemoryError::NotAnAllocation { address: a }));
        let map = memory.map(0);
        assert!(map.find(a).is_none());
        assert_eq!(map.explain(a + 4, 4), Nearest::Freed { base: a, len: 10 });
    }

    #[test]
    fn host_memory_is_seen_by_every_device_under_its_own_address() {
        let mut memory = memory();
        let a = memory.alloc_host(5000, RegionKind::Pinned).unwrap();
        assert!(!memory.is_device_address(a));
        // SAFETY: pinned memory is at its shown address.
        unsafe { (a as *mut u8).write(42) };
        assert_eq!(memory.first_undefined(a, 5000), Ok(None));
        for device in 0..2 {
            let map = memory.map(device);
            let region = map.find(a + 4999).unwrap();
            assert_eq!(region.data as u64, region.base);
        }
        let d = memory.alloc(1, 8, RegionKind::Device).unwrap();
        assert!(memory.is_device_address(d));
        assert!(memory.map(0).find(d).is_none() && memory.map(1).find(d).is_some());
        memory.set_peer(0, 1, true);
        assert!(memory.map(0).find(d).is_some());
        memory.copy(d, a, 8).unwrap();
        assert_eq!(read(&memory, d, 2), [42, 0]);
    }

    #[test]
    fn registered_memory_may_not_overlap() {
        let mut memory = memory();
        let mut buffer = vec![3u8; 100];
        let (start, base) = (buffer.as_mut_ptr(), buffer.as_ptr() as u64);
        // SAFETY: the buffer outlives its registration.
        unsafe {
            memory.register_host(start, 100).unwrap();
            assert_eq!(
                memory.register_host(start.add(50), 10),
                Err(MemoryError::AlreadyRegistered { address: base + 50, bytes: 10 })
            );
        }
        assert_eq!(read(&memory, base + 99, 1), [3]);
        memory.free(base).unwrap();
        assert!(memory.find(base).is_none());
    }
}
