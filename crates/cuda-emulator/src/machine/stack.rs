//! What a thread allocates as it runs (`alloca`): a part of local memory of its
//! own, beside the frames of the functions.

use super::shared::Bytes;

/// The first address of it in the local space: above every frame.
pub const STACK_START: u64 = 1 << 30;
/// Bytes that a thread can have there, as on the devices that are emulated.
pub const STACK_BYTES: u32 = 512 << 10;

/// One thread's stack. Here it grows upwards: programs see only that what they
/// allocate is apart.
#[derive(Default)]
pub struct Stack {
    bytes: Bytes,
    top: u32,
    /// By function that has allocated, the innermost last: its depth in calls,
    /// and where the stack ended when it was called.
    frames: Vec<(u32, u32)>,
}

impl Stack {
    /// `size` undefined bytes for the function at `depth`: their address in the
    /// local space. `None` if there is no room.
    pub fn allocate(&mut self, depth: u32, size: u64, align: u32) -> Option<u64> {
        let start = self.top.checked_next_multiple_of(align)?;
        let end = u32::try_from(size).ok().and_then(|size| start.checked_add(size))?;
        if end > STACK_BYTES {
            return None;
        }
        if self.frames.last().is_none_or(|(of, _)| *of < depth) {
            self.frames.push((depth, self.top));
        }
        self.bytes.grow(end as usize);
        self.bytes.forget(start as usize);
        self.top = end;
        Some(STACK_START + u64::from(start))
    }

    /// The address behind what is allocated.
    pub fn save(&self) -> u64 {
        STACK_START + u64::from(self.top)
    }

    /// Gives up what was allocated since `saved` was the end. Not an end of before: `false`.
    pub fn restore(&mut self, saved: u64) -> bool {
        let top = saved.checked_sub(STACK_START).filter(|top| *top <= u64::from(self.top));
        self.top = top.map_or(self.top, |top| top as u32);
        top.is_some()
    }

    /// The function at `depth` returns: what it has allocated is gone.
    pub fn leave(&mut self, depth: u32) {
        while let Some((_, top)) = self.frames.pop_if(|(of, _)| *of >= depth) {
            self.top = self.top.min(top);
        }
    }

    /// Pointers to a byte and its shadow, if `size` bytes there are allocated.
    pub fn at(&mut self, address: u64, size: u64) -> Option<(*mut u8, *mut u8)> {
        let offset = address.checked_sub(STACK_START)?;
        let is_inside = offset.checked_add(size)? <= u64::from(self.top);
        self.bytes.at(offset, size).filter(|_| is_inside)
    }

    /// Bytes in use.
    pub fn len(&self) -> u64 {
        self.top.into()
    }
}
