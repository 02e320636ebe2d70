//! From an address to bytes, or to a verdict.

use super::{Cpu, Flow};
use crate::code::{SHARED_START, Windowed};
use crate::memory::RegionKind;
use crate::ptx::ast::Space;
use crate::verdict::{Access, Nearest, Verdict};

/// Where the bytes of one lane's access lie: valid for the size that was
/// asked, aligned to it as the address is.
#[derive(Clone, Copy)]
pub struct Span {
    /// The bytes.
    pub data: *mut u8,
    /// Their definedness; null where everything counts as defined.
    pub shadow: *mut u8,
}

impl Span {
    const NONE: Span = Span { data: std::ptr::null_mut(), shadow: std::ptr::null_mut() };

    /// The span `offset` bytes on.
    ///
    /// # Safety
    /// `offset` must be within the size asked.
    #[inline(always)]
    pub unsafe fn add(self, offset: usize) -> Span {
        // SAFETY: within the span, says the caller. A null shadow stays null.
        unsafe {
            let shadow = if self.shadow.is_null() { self.shadow } else { self.shadow.add(offset) };
            Span { data: self.data.add(offset), shadow }
        }
    }
}

/// The space's name in messages.
pub fn space_name(space: Space) -> &'static str {
    match space {
        Space::Generic => "generic",
        Space::Global => "global",
        Space::Shared => "shared",
        Space::Local => "local",
        Space::Const => "constant",
        Space::Param => "parameter",
    }
}

impl Cpu<'_> {
    /// The spans of all executing lanes' accesses of `size` bytes (a power of two).
    /// Spans of other lanes are null.
    #[inline]
    pub fn spans(
        &mut self,
        space: Space,
        addresses: &[u64; 32],
        size: u32,
        access: Access,
    ) -> Result<[Span; 32], Flow> {
        let mut spans = [Span::NONE; 32];
        let mut rest = self.mask;
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            match self.span(space, lane, addresses[lane], size, access) {
                Ok(span) => spans[lane] = span,
                Err(verdict) => return Err(self.fault(verdict, 1 << lane)),
            }
        }
        Ok(spans)
    }

    /// The span of one lane's access.
    #[inline(always)]
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
        let found = match space {
            Space::Global | Space::Const => self.global(address, size, access),
            Space::Shared => self.block.shared.at(address, u64::from(size)).map(pair),
            Space::Local => self.local(lane, address, size),
            Space::Param => return self.param(address, size, access),
            Space::Generic => match Windowed::of(address) {
                Windowed::Global(a) => self.global(a, size, access),
                Windowed::Shared(a) => self.block.shared.at(a, u64::from(size)).map(pair),
                Windowed::Local(a) => self.local(lane, a, size),
                Windowed::Param(a) => return self.param(a, size, access),
            },
        };
        match found {
            Some(span) if !(span.data.is_null()) => Ok(span),
            Some(_) => Err(Verdict::ReadOnly { space: space_name(space).to_owned(), address }),
            None => Err(self.out_of_bounds(space, lane, address, size, access)),
        }
    }

    #[inline(always)]
    fn global(&mut self, address: u64, size: u32, access: Access) -> Option<Span> {
        let size = u64::from(size);
        let region = match self.block.region {
            Some(r) if r.contains(address, size) => r,
            _ => {
                let r = *self.launch.memory.find(address).filter(|r| r.contains(address, size))?;
                self.block.region = Some(r);
                r
            }
        };
        if region.kind == RegionKind::Constant && access != Access::Read {
            return Some(Span::NONE);
        }
        let offset = (address - region.base) as usize;
        // SAFETY: the region holds `size` bytes at this offset, and lives as
        // long as the launch's map.
        unsafe {
            let shadow = match region.kind.host_writes() {
                true => std::ptr::null_mut(),
                false => region.shadow.add(offset),
            };
            Some(Span { data: region.data.add(offset), shadow })
        }
    }

    fn local(&mut self, lane: usize, address: u64, size: u32) -> Option<Span> {
        self.warp.local.get_mut(lane)?.at(address, u64::from(size)).map(pair)
    }

    fn param(&self, address: u64, size: u32, access: Access) -> Result<Span, Verdict> {
        let params = &self.launch.params;
        let space = space_name(Space::Param).to_owned();
        if access != Access::Read {
            return Err(Verdict::ReadOnly { space, address });
        }
        match params.get(address as usize..).filter(|p| p.len() >= size as usize) {
            // Never written through: writes were refused above.
            Some(p) => Ok(Span { data: p.as_ptr().cast_mut(), shadow: std::ptr::null_mut() }),
            None => Err(Verdict::OutOfBounds {
                access,
                space,
                address,
                size,
                nearest: past(0, params.len() as u64, address, size),
            }),
        }
    }

    #[cold]
    fn out_of_bounds(&self, space: Space, lane: usize, address: u64, size: u32, access: Access) -> Verdict {
        let at = match space {
            Space::Shared => Windowed::Shared(address),
            Space::Local => Windowed::Local(address),
            _ => Windowed::of(address),
        };
        let (name, nearest) = match at {
            Windowed::Shared(a) => {
                let len = self.block.shared.len() as u64;
                ("shared", past(u64::from(SHARED_START), len, a, size))
            }
            Windowed::Local(a) => {
                let len = self.warp.local.get(lane).map_or(0, |l| l.len() as u64);
                ("local", past(0, len, a, size))
            }
            _ => (space_name(space), self.launch.memory.explain(address, u64::from(size))),
        };
        Verdict::OutOfBounds { access, space: name.to_owned(), address, size, nearest }
    }
}

#[inline(always)]
fn pair((data, shadow): (*mut u8, *mut u8)) -> Span {
    Span { data, shadow }
}

fn past(base: u64, len: u64, address: u64, size: u32) -> Nearest {
    if len == 0 {
        Nearest::Nothing
    } else if address < base {
        Nearest::Before { distance: base - address, base, len }
    } else {
        Nearest::Past { distance: (address + u64::from(size)).saturating_sub(base + len), base, len }
    }
}
