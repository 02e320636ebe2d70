//! Regions, and the map from an address to its region.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::arena::HostPages;
use crate::verdict::Nearest;

/// What kind of memory a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegionKind {
    /// From `cuMemAlloc` or a memory pool.
    Device,
    /// Page-locked host memory: the host writes to it without our seeing.
    Pinned,
    /// From `cuMemAllocManaged`: the host writes to it without our seeing.
    Managed,
    /// A module's `.global` variable.
    Global,
    /// A module's `.const` variable: read-only to kernels.
    Constant,
}

impl RegionKind {
    /// Whether the host can write to it directly. Such memory counts as
    /// defined whatever its shadow says, since no write by the host is seen.
    pub fn host_writes(self) -> bool {
        matches!(self, RegionKind::Pinned | RegionKind::Managed)
    }
}

/// One live range of memory that kernels can see.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// The address that programs use.
    pub base: u64,
    /// Length in bytes.
    pub len: u64,
    /// The data: `len` bytes of host memory.
    pub data: *mut u8,
    /// The shadow: `len` bytes, a set bit for each defined bit of data.
    pub shadow: *mut u8,
    /// What it is.
    pub kind: RegionKind,
}

// SAFETY: a region only says where memory is. Whoever dereferences its
// pointers answers for races, as with any memory shared by a device's threads.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Whether all of `size` bytes at `address` are inside.
    pub fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.base && address - self.base <= self.len && size <= self.len - (address - self.base)
    }
}

/// Ranges that were live once: start and length, for messages.
#[derive(Debug, Default)]
pub(super) struct Freed(BTreeMap<u64, u64>);

impl Freed {
    pub(super) fn insert(&mut self, base: u64, len: u64) {
        self.0.insert(base, len);
    }

    /// Forgets what lies in a range that is given out again.
    pub(super) fn forget(&mut self, start: u64, end: u64) {
        let gone: Vec<u64> = self.0.range(start..end).map(|(&base, _)| base).collect();
        for base in gone {
            self.0.remove(&base);
        }
    }
}

/// An immutable, sorted snapshot of what is live: a launch holds one, so its
/// lookups need no lock.
#[derive(Debug, Default)]
pub struct AddressMap {
    live: Vec<Region>,
    /// Host memory among them, which must not go while the map is in use.
    _kept: Vec<Arc<[HostPages]>>,
    /// Shared with the owner of the memory; taken only to explain a fault.
    freed: Arc<Mutex<Freed>>,
}

impl AddressMap {
    /// A map of `live` regions, which are sorted by base and do not overlap.
    pub(super) fn new(live: Vec<Region>, kept: Vec<Arc<[HostPages]>>, freed: Arc<Mutex<Freed>>) -> Self {
        debug_assert!(live.is_sorted_by_key(|region| region.base));
        AddressMap { live, _kept: kept, freed }
    }

    /// The region that holds the byte at `address`.
    pub fn find(&self, address: u64) -> Option<&Region> {
        let region = self.live[..self.live.partition_point(|r| r.base <= address)].last()?;
        (address - region.base < region.len).then_some(region)
    }

    /// All regions, by address.
    pub fn regions(&self) -> &[Region] {
        &self.live
    }

    /// How an access of `size` bytes at `address` lies to what is known: in a
    /// freed range, else by the live range nearest to it.
    pub fn explain(&self, address: u64, size: u64) -> Nearest {
        let end = address.saturating_add(size.max(1));
        let freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((&base, &len)) = freed.0.range(..end).next_back()
            && address < base + len
        {
            return Nearest::Freed { base, len };
        }
        let next = self.live.partition_point(|r| r.base <= address);
        let before = next.checked_sub(1).and_then(|i| self.live.get(i)).map(|r| {
            let (base, len) = (r.base, r.len);
            Nearest::Past { distance: end.saturating_sub(base + len), base, len }
        });
        let after = self.live.get(next).map(|r| {
            let (base, len) = (r.base, r.len);
            Nearest::Before { distance: base - address, base, len }
        });
        let distance = |nearest: &Nearest| match *nearest {
            Nearest::Before { distance, .. } | Nearest::Past { distance, .. } => distance,
            Nearest::Freed { .. } | Nearest::Nothing => u64::MAX,
        };
        before.into_iter().chain(after).min_by_key(distance).unwrap_or(Nearest::Nothing)
    }
}
