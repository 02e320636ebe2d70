//! Shared memory of a block and local memory of a thread, with a shadow byte
//! beside each byte.

use super::watch::Watch;
use crate::code::SHARED_START;

/// Bytes aligned for the widest access, and their definedness (0 undefined,
/// 0xFF defined).
#[derive(Default, Clone)]
pub struct Bytes {
    data: Vec<u128>,
    shadow: Vec<u128>,
    len: usize,
}

impl Bytes {
    /// What undefined memory holds: not zero, so that nothing works by luck.
    const GARBAGE: u128 = u128::from_ne_bytes([0xcd; 16]);

    /// `len` undefined bytes.
    pub fn new(len: usize) -> Self {
        let mut bytes = Self::default();
        bytes.grow(len);
        bytes
    }

    /// At least `len` bytes; new ones are undefined.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            self.data.resize(len.div_ceil(16), Self::GARBAGE);
            self.shadow.resize(len.div_ceil(16), 0);
            self.len = len;
        }
    }

    /// Makes bytes from `start` on undefined.
    pub fn forget(&mut self, start: usize) {
        self.shadow[start / 16..].fill(0);
    }

    /// Pointers to the byte at `offset` and its shadow, if `size` bytes there are inside.
    #[inline(always)]
    pub fn at(&mut self, offset: u64, size: u64) -> Option<(*mut u8, *mut u8)> {
        let len = self.len as u64;
        if offset > len || size > len - offset {
            return None;
        }
        let (data, shadow) = (self.data.as_mut_ptr().cast::<u8>(), self.shadow.as_mut_ptr().cast::<u8>());
        // SAFETY: `offset` is at most the length of both buffers.
        Some(unsafe { (data.add(offset as usize), shadow.add(offset as usize)) })
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// A block's shared memory, from address `SHARED_START`.
pub struct Shared {
    bytes: Bytes,
    /// Who touched it, in kernels that use the async proxy.
    pub watch: Option<Watch>,
}

impl Shared {
    /// `bytes` of undefined memory.
    pub fn new(bytes: u32, watch: Option<Watch>) -> Self {
        Self { bytes: Bytes::new(bytes as usize), watch }
    }

    /// Pointers to the first byte and its shadow.
    #[inline(always)]
    pub fn start(&mut self) -> (*mut u8, *mut u8) {
        (self.bytes.data.as_mut_ptr().cast(), self.bytes.shadow.as_mut_ptr().cast())
    }

    /// Pointers to the byte at a shared address and to its shadow.
    pub fn at(&mut self, address: u32) -> Option<(*mut u8, *mut u8)> {
        self.bytes.at(address.checked_sub(SHARED_START)?.into(), 1)
    }

    /// Makes bytes undefined, if they are there.
    pub fn forget(&mut self, address: u32, len: u32) {
        let offset = address.checked_sub(SHARED_START);
        if let Some((_, shadow)) = offset.and_then(|offset| self.bytes.at(offset.into(), len.into())) {
            // SAFETY: `at` has checked that so many bytes are there.
            unsafe { shadow.write_bytes(0, len as usize) };
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}
