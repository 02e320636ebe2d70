//! From an address to bytes, or to a verdict.

use super::pattern::Lanes;
use super::registers::Raw;
use super::stack::STACK_START;
use super::{Cpu, Flow};
use crate::code::{Class, PARAM_WINDOW, SHARED_SIZE, SHARED_START, SHARED_WINDOW, Slot, Windowed};
use crate::memory::RegionKind;
use crate::ptx::ast::Space;
use crate::verdict::{Access, Nearest, Verdict};

/// Where the bytes of one lane's access lie: valid for the size that was
/// asked, aligned to it as the address is.
#[derive(Clone, Copy)]
pub struct Span {
    /// The bytes.
    pub data: *mut u8,
    /// Their definedness.
    pub shadow: *mut u8,
}

/// Where the lanes of a warp access memory. Lanes that do not execute have a
/// copy of another lane's place: it may be read, so that a loop over all lanes
/// needs no branches, but not written.
pub trait Places {
    /// The byte `offset` of a lane's access.
    fn data(&self, lane: usize, offset: usize) -> *mut u8;
    /// Its definedness.
    fn shadow(&self, lane: usize, offset: usize) -> *mut u8;
}

/// The usual case: near each other in one allocation.
pub struct Together {
    /// The program's address of what distances count from.
    start: u64,
    data: *mut u8,
    shadow: *mut u8,
    distances: [u32; 32],
}

/// An address register: 32 bits for the spaces that are small, or 64.
trait Address: Raw + Into<u64> {
    fn plus(self, offset: Self) -> Self;
    fn minus(self, distance: u64) -> Self;
    /// The distance from `start`, its low and its high half.
    fn since(self, start: Self) -> (u32, u32);
    fn low(self) -> u32;
}

impl Address for u32 {
    #[inline(always)]
    fn plus(self, offset: u32) -> u32 {
        self.wrapping_add(offset)
    }

    #[inline(always)]
    fn minus(self, distance: u64) -> u32 {
        self.wrapping_sub(distance as u32)
    }

    #[inline(always)]
    fn since(self, start: u32) -> (u32, u32) {
        (self.wrapping_sub(start), 0)
    }

    #[inline(always)]
    fn low(self) -> u32 {
        self
    }
}

impl Address for u64 {
    #[inline(always)]
    fn plus(self, offset: u64) -> u64 {
        self.wrapping_add(offset)
    }

    #[inline(always)]
    fn minus(self, distance: u64) -> u64 {
        self.wrapping_sub(distance)
    }

    #[inline(always)]
    fn since(self, start: u64) -> (u32, u32) {
        let distance = self.wrapping_sub(start);
        (distance as u32, (distance >> 32) as u32)
    }

    #[inline(always)]
    fn low(self) -> u32 {
        self as u32
    }
}

impl Places for Together {
    #[inline(always)]
    fn data(&self, lane: usize, offset: usize) -> *mut u8 {
        self.data.wrapping_add(self.distances[lane] as usize + offset)
    }

    #[inline(always)]
    fn shadow(&self, lane: usize, offset: usize) -> *mut u8 {
        self.shadow.wrapping_add(self.distances[lane] as usize + offset)
    }
}

impl Together {
    /// How the lanes of `mask` lie, each with `size` bytes.
    #[inline(always)]
    pub fn lanes(&self, mask: u32, size: u32) -> Lanes<'_> {
        Lanes { size, mask, start: self.start, distances: &self.distances }
    }
}

/// Any places.
pub struct Apart([Span; 32]);

impl Places for Apart {
    #[inline(always)]
    fn data(&self, lane: usize, offset: usize) -> *mut u8 {
        self.0[lane].data.wrapping_add(offset)
    }

    #[inline(always)]
    fn shadow(&self, lane: usize, offset: usize) -> *mut u8 {
        self.0[lane].shadow.wrapping_add(offset)
    }
}

/// Memory that is contiguous for the program and for the host.
#[derive(Clone, Copy)]
struct Buffer {
    /// The program's address of its first byte, in the space of the access.
    base: u64,
    len: u64,
    data: *mut u8,
    /// `None` where everything counts as defined.
    shadow: Option<*mut u8>,
    /// The block whose shared memory it is, if that is watched.
    watched: Option<u32>,
    is_global: bool,
}

impl Buffer {
    fn holds(&self, address: u64, size: u64) -> bool {
        let offset = address.wrapping_sub(self.base);
        offset <= self.len && size <= self.len - offset
    }
}

/// The shadow that is written for memory that has none: 32 bytes, the widest access.
pub struct NoShadow(Box<[u128; 2]>);

/// The same for reading.
static DEFINED: [u128; 2] = [u128::MAX; 2];

impl NoShadow {
    /// All defined.
    pub fn new() -> Self {
        Self(Box::new([u128::MAX; 2]))
    }
}

/// The space's name in messages.
pub fn space_name(space: Space) -> &'static str {
    match space {
        Space::Generic => "generic",
        Space::Global => "global",
        Space::Shared => "shared",
        Space::Cluster => "cluster's shared",
        Space::Local => "local",
        Space::Const => "constant",
        Space::Param => "parameter",
    }
}

impl Cpu<'_> {
    /// The places of all executing lanes' accesses of `size` bytes (a power of
    /// two) at the addresses in `slot` plus `offset`, if they are near each
    /// other and nothing is wrong with any.
    #[inline(always)]
    pub fn together(
        &mut self,
        space: Space,
        slot: Slot,
        offset: i64,
        size: u32,
        access: Access,
    ) -> Option<Together> {
        match slot.class() {
            Class::R64 => self.together_at::<u64>(space, slot, offset as u64, size, access),
            _ => self.together_at::<u32>(space, slot, offset as u32, size, access),
        }
    }

    #[inline(always)]
    fn together_at<T: Address>(
        &mut self,
        space: Space,
        slot: Slot,
        offset: T,
        size: u32,
        access: Access,
    ) -> Option<Together> {
        const NEAR: u64 = 1 << 31;
        let mask = self.mask;
        let leader = mask.trailing_zeros() as usize % 32;
        let first = T::row(&self.warp.registers, self.kernel, slot)[leader].plus(offset);
        let buffer = self.buffer(space, first.into())?;
        let shadow = buffer.shadow?;
        if buffer.is_global && !self.is_in_turn(buffer.base, access) {
            return None;
        }
        if access != Access::Read && self.is_read_only(space, first.into()) {
            return None;
        }
        // Distances count from a place before the first lane's.
        let into = Into::<u64>::into(first).wrapping_sub(buffer.base);
        let origin = into.saturating_sub(NEAR);
        let last = buffer.len.checked_sub(size.into())?.checked_sub(origin)?;
        let last = u32::try_from(last).unwrap_or(u32::MAX);
        let start = first.minus(into - origin);
        let row = T::row(&self.warp.registers, self.kernel, slot);
        let mut distances = [0; 32];
        let (mut far, mut wrong, mut unaligned) = (0, false, 0);
        for l in 0..32 {
            let address = if mask >> l & 1 == 1 { row[l].plus(offset) } else { first };
            let (low, high) = address.since(start);
            distances[l] = low;
            far |= high;
            wrong |= low > last;
            unaligned |= address.low();
        }
        let fine = far == 0 && !wrong && unaligned & (size - 1) == 0;
        let from = buffer.base.wrapping_add(origin);
        let meets = match buffer.watched {
            _ if !fine => true,
            Some(rank) => self.meets(rank, &distances, size, access),
            None => buffer.is_global && self.meets_global(from, &distances, size, access),
        };
        (!meets).then(|| Together {
            start: from,
            data: buffer.data.wrapping_add(origin as usize),
            shadow: shadow.wrapping_add(origin as usize),
            distances,
        })
    }

    /// The same lane by lane: for local memory, memory without a shadow, lanes
    /// in several allocations, and to say what is wrong.
    pub fn apart(
        &mut self,
        space: Space,
        addresses: &[u64; 32],
        size: u32,
        access: Access,
    ) -> Result<Apart, Flow> {
        let first = self.mask.trailing_zeros() as usize % 32;
        let mut spans = [None; 32];
        for lane in first..32 {
            if self.mask >> lane & 1 == 0 {
                continue;
            }
            match self.span(space, lane, addresses[lane], size, access) {
                Ok(span) => spans[lane] = Some(span),
                Err(verdict) => return Err(self.fault(verdict, 1 << lane)),
            }
        }
        let null = Span { data: std::ptr::null_mut(), shadow: std::ptr::null_mut() };
        Ok(Apart(std::array::from_fn(|lane| spans[lane].or(spans[first]).unwrap_or(null))))
    }

    /// The span of one lane's access.
    pub fn span(
        &mut self,
        space: Space,
        lane: usize,
        address: u64,
        size: u32,
        access: Access,
    ) -> Result<Span, Verdict> {
        if address & u64::from(size - 1) != 0 {
            let space = space_name(space).to_owned();
            return Err(Verdict::Misaligned { access, space, address, align: size });
        }
        let local = match (space, Windowed::of(address)) {
            (Space::Local, _) => Some(address),
            (Space::Generic, Windowed::Local(offset)) => Some(offset),
            _ => None,
        };
        let (mut watched, mut early) = (None, None);
        let span = match local {
            Some(offset) => self.local(lane, offset, size),
            None => self.buffer(space, address).filter(|b| b.holds(address, size.into())).map(|b| {
                let offset = (address - b.base) as usize;
                watched = b.watched.map(|rank| (rank, offset as u32));
                early = b.is_global.then_some(b.base);
                Span {
                    data: b.data.wrapping_add(offset),
                    shadow: b.shadow.map_or_else(|| self.no_shadow(access), |s| s.wrapping_add(offset)),
                }
            }),
        };
        match span {
            None => Err(self.out_of_bounds(space, lane, address, size, access)),
            Some(_) if access != Access::Read && self.is_read_only(space, address) => {
                Err(Verdict::ReadOnly { space: space_name(space).to_owned(), address })
            }
            Some(span) => {
                if let Some((rank, offset)) = watched {
                    self.access_shared(rank, offset, size, access)?;
                }
                if early.is_some_and(|base| !self.is_in_turn(base, access)) {
                    return Err(Verdict::Early { access, address });
                }
                if early.is_some() {
                    self.access_global(address, size, access)?;
                }
                Ok(span)
            }
        }
    }

    /// The buffer around an address, unless it is local memory.
    #[inline(always)]
    fn buffer(&mut self, space: Space, address: u64) -> Option<Buffer> {
        match space {
            Space::Global | Space::Const => self.global(address),
            Space::Shared => Some(self.shared(0, self.block.rank)),
            Space::Cluster => self.cluster_shared(0, address),
            Space::Param => Some(self.params(0)),
            Space::Local => None,
            Space::Generic => match Windowed::of(address) {
                Windowed::Global(_) => self.global(address),
                Windowed::Shared(at) => self.cluster_shared(SHARED_WINDOW, at),
                Windowed::Param(_) => Some(self.params(PARAM_WINDOW)),
                Windowed::Local(_) => None,
            },
        }
    }

    #[inline(always)]
    fn global(&mut self, address: u64) -> Option<Buffer> {
        let region = match self.block.region {
            Some(region) if region.contains(address, 1) => region,
            _ => {
                let region = *self.launch.memory.find(address)?;
                self.block.region = Some(region);
                region
            }
        };
        let shadow = (!region.kind.host_writes()).then_some(region.shadow);
        Some(Buffer {
            base: region.base,
            len: region.len,
            data: region.data,
            shadow,
            watched: None,
            is_global: true,
        })
    }

    #[inline(always)]
    fn shared(&mut self, window: u64, rank: u32) -> Buffer {
        let shared = &mut self.cluster.shared[rank as usize];
        let (data, shadow) = shared.start();
        let base = window + u64::from(SHARED_START);
        let watched = shared.watch.is_some().then_some(rank);
        Buffer { base, len: shared.len() as u64, data, shadow: Some(shadow), watched, is_global: false }
    }

    /// Shared memory of the block that an address of the cluster's window names.
    #[inline(always)]
    fn cluster_shared(&mut self, window: u64, address: u64) -> Option<Buffer> {
        let (rank, _) = self.shared_place(address)?;
        let part = address & !u64::from(SHARED_SIZE - 1);
        Some(self.shared(window + part, rank))
    }

    /// The block's rank and the address in its shared memory that an address
    /// of the cluster's window names.
    #[inline(always)]
    pub fn shared_place(&self, address: u64) -> Option<(u32, u32)> {
        let within = address as u32 & (SHARED_SIZE - 1);
        match address / u64::from(SHARED_SIZE) {
            0 => Some((self.block.rank, within)),
            n if n <= self.cluster.shared.len() as u64 => Some((n as u32 - 1, within)),
            _ => None,
        }
    }

    #[inline(always)]
    fn params(&self, window: u64) -> Buffer {
        let params = &self.launch.params;
        // Never written through: see `is_read_only`.
        let data = params.as_ptr().cast_mut();
        Buffer { base: window, len: params.len() as u64, data, shadow: None, watched: None, is_global: false }
    }

    /// The block's rank and the address in its shared memory of an access of
    /// `size` bytes, at a multiple of `align`, at a generic address or one of
    /// the block's or the cluster's window.
    pub fn shared_target(
        &self,
        space: Space,
        address: u64,
        size: u32,
        align: u32,
        access: Access,
    ) -> Result<(u32, u32), Verdict> {
        let within = match (space, Windowed::of(address)) {
            (Space::Generic, Windowed::Shared(at)) => at,
            (Space::Generic, _) => {
                let problem = format!("{address:#x} is no address of shared memory");
                return Err(Verdict::Operand { problem });
            }
            _ => address,
        };
        if within % u64::from(align) != 0 {
            let space = space_name(space).to_owned();
            return Err(Verdict::Misaligned { access, space, address, align });
        }
        let place = match space {
            Space::Shared if within >= SHARED_SIZE.into() => None,
            _ => self.shared_place(within),
        };
        let inside = |(rank, at): &(u32, u32)| {
            let len = self.cluster.shared[*rank as usize].len() as u32;
            *at >= SHARED_START && size <= len && at - SHARED_START <= len - size
        };
        place.filter(inside).ok_or_else(|| {
            let len = self.cluster.shared[self.block.rank as usize].len() as u64;
            let nearest = past(SHARED_START.into(), len, within % u64::from(SHARED_SIZE), size);
            Verdict::OutOfBounds { access, space: space_name(space).to_owned(), address, size, nearest }
        })
    }

    /// The same for global memory: the address itself.
    pub fn global_target(&self, address: u64, size: u32, align: u32, access: Access) -> Result<u64, Verdict> {
        if !address.is_multiple_of(u64::from(align)) {
            return Err(Verdict::Misaligned { access, space: "global".to_owned(), address, align });
        }
        match self.launch.memory.find(address) {
            Some(region) if region.contains(address, size.into()) => match region.kind {
                RegionKind::Constant if access != Access::Read => {
                    Err(Verdict::ReadOnly { space: "global".to_owned(), address })
                }
                _ => Ok(address),
            },
            _ => {
                let nearest = self.launch.memory.explain(address, size.into());
                Err(Verdict::OutOfBounds { access, space: "global".to_owned(), address, size, nearest })
            }
        }
    }

    /// May this warp touch an allocation now, or may kernels that were launched before still be at it? They may not
    /// once it has waited for them (`griddepcontrol.wait`), or comes behind a warp that has.
    #[inline(always)]
    fn is_in_turn(&mut self, base: u64, access: Access) -> bool {
        if access != Access::Read && self.block.written.last() != Some(&base) {
            self.block.written.retain(|other| *other != base);
            self.block.written.push(base);
        }
        self.warp.has_waited || self.comes_behind_a_wait() || {
            access == Access::Read && !self.launch.unready.contains(&base)
        }
    }

    /// The same for a copy at an address.
    pub fn copies_in_turn(&mut self, address: u64, access: Access) -> Result<(), Verdict> {
        let base = self.launch.memory.find(address).map_or(address, |region| region.base);
        if self.is_in_turn(base, access) { Ok(()) } else { Err(Verdict::Early { access, address }) }
    }

    #[cold]
    fn comes_behind_a_wait(&mut self) -> bool {
        let clock = &self.warp.clock;
        self.warp.has_waited = self.cluster.waits.iter().any(|mark| clock.has_seen(*mark));
        self.warp.has_waited
    }

    /// `griddepcontrol.wait`
    pub fn wait_for_grids(&mut self) {
        if !self.warp.has_waited {
            self.warp.has_waited = true;
            self.cluster.waits.push(self.warp.clock.mark(self.pc));
        }
    }

    fn local(&mut self, lane: usize, offset: u64, size: u32) -> Option<Span> {
        let (data, shadow) = match offset {
            STACK_START.. => self.warp.stacks.get_mut(lane)?.at(offset, size.into())?,
            _ => self.warp.local.get_mut(lane)?.at(offset, size.into())?,
        };
        Some(Span { data, shadow })
    }

    #[inline(always)]
    fn is_read_only(&self, space: Space, address: u64) -> bool {
        match (space, Windowed::of(address)) {
            (Space::Param | Space::Const, _) | (Space::Generic, Windowed::Param(_)) => true,
            (Space::Global, _) | (Space::Generic, Windowed::Global(_)) => {
                self.block.region.is_some_and(|r| r.kind == RegionKind::Constant && r.contains(address, 1))
            }
            _ => false,
        }
    }

    /// The shadow of memory that has none.
    fn no_shadow(&mut self, access: Access) -> *mut u8 {
        match access {
            Access::Read => DEFINED.as_ptr().cast::<u8>().cast_mut(),
            Access::Write | Access::Atomic => {
                *self.block.no_shadow.0 = DEFINED;
                self.block.no_shadow.0.as_mut_ptr().cast()
            }
        }
    }

    #[cold]
    fn out_of_bounds(&self, space: Space, lane: usize, address: u64, size: u32, access: Access) -> Verdict {
        let at = match space {
            Space::Shared | Space::Cluster => Windowed::Shared(address),
            Space::Local => Windowed::Local(address),
            Space::Param => Windowed::Param(address),
            Space::Global | Space::Const => Windowed::Global(address),
            Space::Generic => Windowed::of(address),
        };
        let (name, nearest) = match at {
            Windowed::Shared(a) => {
                let len = self.cluster.shared[self.block.rank as usize].len() as u64;
                ("shared", past(u64::from(SHARED_START), len, a, size))
            }
            Windowed::Local(a) if a >= STACK_START => {
                let len = self.warp.stacks.get(lane).map_or(0, |s| s.len());
                ("local", past(STACK_START, len, a, size))
            }
            Windowed::Local(a) => {
                let len = self.warp.local.get(lane).map_or(0, |l| l.len() as u64);
                ("local", past(0, len, a, size))
            }
            Windowed::Param(a) => ("parameter", past(0, self.launch.params.len() as u64, a, size)),
            Windowed::Global(a) => (space_name(space), self.launch.memory.explain(a, u64::from(size))),
        };
        Verdict::OutOfBounds { access, space: name.to_owned(), address, size, nearest }
    }
}

fn past(base: u64, len: u64, address: u64, size: u32) -> Nearest {
    if len == 0 {
        Nearest::Nothing
    } else if address < base {
        Nearest::Before { distance: base - address, base, len }
    } else {
        Nearest::Past { distance: address.saturating_add(size.into()).saturating_sub(base + len), base, len }
    }
}
