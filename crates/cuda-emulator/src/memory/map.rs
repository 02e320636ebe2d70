//! Regions, and the map from an address to its region.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What kind of memory a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RegionKind::Device => "device allocation",
            RegionKind::Pinned => "pinned host allocation",
            RegionKind::Managed => "managed allocation",
            RegionKind::Global => "module variable",
            RegionKind::Constant => "constant variable",
        })
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

/// Ranges that were live once, by their start, for messages.
#[derive(Debug, Default)]
pub(super) struct Freed(BTreeMap<u64, (u64, RegionKind)>);

impl Freed {
    pub(super) fn insert(&mut self, base: u64, len: u64, kind: RegionKind) {
        self.0.insert(base, (len, kind));
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
    /// Shared with the owner of the memory; taken only to explain a fault.
    freed: Arc<Mutex<Freed>>,
}

impl AddressMap {
    /// A map of `live` regions, which are sorted by base and do not overlap.
    pub(super) fn new(live: Vec<Region>, freed: Arc<Mutex<Freed>>) -> Self {
        debug_assert!(live.is_sorted_by_key(|region| region.base));
        AddressMap { live, freed }
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

    /// What an access of `size` bytes at `address` lies nearest to: a freed
    /// range that it touches, else the live range next to it.
    pub fn explain(&self, address: u64, size: u64) -> Nearest {
        let end = address.saturating_add(size.max(1));
        let freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        let freed_hit = freed.0.range(..end).next_back();
        if let Some((&base, &(len, kind))) = freed_hit
            && address < base + len
        {
            return Nearest::Range { base, len, kind, freed: true, address, size };
        }
        let next = self.live.partition_point(|r| r.base <= address);
        let distance = |r: &&Region| match address < r.base {
            true => r.base - address,
            false => address - r.base.saturating_add(r.len).min(address),
        };
        let around = [next.checked_sub(1), Some(next)];
        let nearest = around.iter().filter_map(|&i| self.live.get(i?)).min_by_key(distance);
        match nearest {
            Some(r) => Nearest::Range { base: r.base, len: r.len, kind: r.kind, freed: false, address, size },
            None => Nearest::Nothing,
        }
    }
}

/// How an access lies to the nearest range known; prints as a phrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nearest {
    /// Nothing was ever allocated.
    Nothing,
    /// The nearest range, and the access.
    Range {
        /// Where the range starts.
        base: u64,
        /// Its length.
        len: u64,
        /// What it is, or was.
        kind: RegionKind,
        /// It has been freed.
        freed: bool,
        /// Where the access starts.
        address: u64,
        /// The size of the access.
        size: u64,
    },
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Nearest::Range { base, len, kind, freed, address, size } = self else {
            return f.write_str("no memory is allocated");
        };
        let end = base + len;
        if address < base && address.saturating_add(size) <= base {
            write!(f, "{} bytes before", base - address)?;
        } else if address < base {
            write!(f, "starting {} bytes before", base - address)?;
        } else if address >= end {
            write!(f, "{} bytes after the end of", address - end)?;
        } else if address.saturating_add(size) > end {
            let over = address.saturating_add(size) - end;
            write!(f, "at offset {}, {over} bytes over the end of", address - base)?;
        } else {
            write!(f, "at offset {} of", address - base)?;
        }
        let freed = if freed { "freed " } else { "" };
        write!(f, " the {freed}{kind} of {len} bytes at {base:#x}")
    }
}
