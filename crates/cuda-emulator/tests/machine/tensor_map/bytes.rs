//! Memory with its definedness, as boxes are copied from and to it.

use cuda_emulator::machine::tensor_map::Memory;

/// Bytes with their definedness, at an address. Aligned as memory of a device is.
#[derive(Clone, PartialEq)]
pub struct Bytes {
    pub address: u64,
    pub len: usize,
    data: Vec<u128>,
    shadow: Vec<u128>,
}

impl Bytes {
    pub fn new(address: u64, len: usize, value: impl Fn(usize) -> u8, defined: impl Fn(usize) -> u8) -> Self {
        let words = |byte: &dyn Fn(usize) -> u8| {
            (0..len.div_ceil(16))
                .map(|w| u128::from_le_bytes(std::array::from_fn(|i| byte(16 * w + i))))
                .collect::<Vec<_>>()
        };
        Self { address, len, data: words(&value), shadow: words(&defined) }
    }

    /// The memory at an address; all of `bytes` must be inside.
    pub fn at(&mut self, address: u64, bytes: u32) -> Memory {
        let offset = address.checked_sub(self.address).expect("not before the tensor") as usize;
        assert!(offset + bytes as usize <= self.len, "not past the tensor: {offset} {bytes} {}", self.len);
        Memory {
            data: self.data.as_mut_ptr().cast::<u8>().wrapping_add(offset),
            shadow: Some(self.shadow.as_mut_ptr().cast::<u8>().wrapping_add(offset)),
        }
    }

    pub fn get(&self, address: u64) -> (u8, u8) {
        let offset = (address - self.address) as usize;
        let byte = |words: &[u128]| words[offset / 16].to_le_bytes()[offset % 16];
        (byte(&self.data), byte(&self.shadow))
    }

    pub fn set(&mut self, address: u64, (value, defined): (u8, u8)) {
        let offset = (address - self.address) as usize;
        for (words, byte) in [(&mut self.data, value), (&mut self.shadow, defined)] {
            let mut bytes = words[offset / 16].to_le_bytes();
            bytes[offset % 16] = byte;
            words[offset / 16] = u128::from_le_bytes(bytes);
        }
    }

    pub fn element<const N: usize>(&self, address: u64) -> [u8; N] {
        std::array::from_fn(|i| self.get(address + i as u64).0)
    }

    #[track_caller]
    pub fn assert_eq(&self, expected: &Self) {
        let addresses = self.address..self.address + self.len as u64;
        let differs = addresses.clone().find(|a| self.get(*a) != expected.get(*a));
        if let Some(a) = differs {
            panic!("{a:#x} holds {:x?}, not {:x?}", self.get(a), expected.get(a));
        }
    }
}
