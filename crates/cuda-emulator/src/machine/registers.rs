//! A warp's registers: rows of 32 lanes, and beside each row which lanes are
//! undefined.
//!
//! Definedness has two levels, so that defined data costs one OR an
//! instruction: a bit a lane says "some byte of this lane is undefined", and
//! only then the row's byte masks (a bit a byte) are looked at.

use crate::code::{Class, Kernel, Slot};

/// The rows of one width.
pub struct Bank<T> {
    rows: Vec<[T; 32]>,
    undefined: Vec<u32>,
    bytes: Vec<[u8; 32]>,
}

impl<T: Copy + Default> Bank<T> {
    fn new(rows: usize) -> Self {
        let mut bank = Self { rows: Vec::new(), undefined: Vec::new(), bytes: Vec::new() };
        bank.grow(rows);
        bank
    }

    fn grow(&mut self, rows: usize) {
        if rows > self.rows.len() {
            self.rows.resize(rows, [T::default(); 32]);
            self.undefined.resize(rows, u32::MAX);
            self.bytes.resize(rows, [0xff; 32]);
        }
    }

    fn forget(&mut self, from: usize, mask: u32) {
        for (lanes, bytes) in self.undefined[from..].iter_mut().zip(&mut self.bytes[from..]) {
            *lanes |= mask;
            for (l, b) in bytes.iter_mut().enumerate() {
                if mask >> l & 1 == 1 {
                    *b = 0xff;
                }
            }
        }
    }
}

/// All registers of a warp, for the call frames in use.
pub struct Registers {
    r32: Bank<u32>,
    r64: Bank<u64>,
    pred: Vec<u32>,
    pred_undefined: Vec<u32>,
    /// First row of the running frame, by class.
    base: [usize; 3],
    frame: [usize; 3],
}

impl Registers {
    /// Rows for the first frame of a kernel, all undefined.
    pub fn new(kernel: &Kernel) -> Self {
        let [r32, r64, pred] = kernel.rows;
        Self {
            r32: Bank::new(r32),
            r64: Bank::new(r64),
            pred: vec![0; pred],
            pred_undefined: vec![u32::MAX; pred],
            base: [0; 3],
            frame: kernel.rows,
        }
    }

    /// Makes the frame at `depth` the running one.
    pub fn select_frame(&mut self, depth: u32) {
        for (base, rows) in self.base.iter_mut().zip(self.frame) {
            *base = rows * depth as usize;
        }
    }

    /// Makes sure that the frame at `depth` exists and is undefined for the lanes of `mask`.
    pub fn enter_frame(&mut self, depth: u32, mask: u32) {
        let deep = depth as usize;
        let [r32, r64, pred] = self.frame.map(|rows| rows * (deep + 1));
        self.r32.grow(r32);
        self.r64.grow(r64);
        self.pred.resize(self.pred.len().max(pred), 0);
        self.pred_undefined.resize(self.pred_undefined.len().max(pred), u32::MAX);
        self.r32.forget(self.frame[0] * deep, mask);
        self.r64.forget(self.frame[1] * deep, mask);
        self.pred_undefined[self.frame[2] * deep..].iter_mut().for_each(|u| *u |= mask);
    }

    #[inline(always)]
    fn at(&self, slot: Slot) -> usize {
        self.base[slot.class() as usize] + slot.index()
    }

    /// The number of a 32-bit register's row, of all frames.
    pub fn row_of(&self, slot: Slot) -> usize {
        self.at(slot)
    }

    /// The number of the running frame's first row of 32-bit registers.
    pub fn frame_start(&self) -> usize {
        self.base[Class::R32 as usize]
    }

    /// A predicate row.
    #[inline(always)]
    pub fn pred(&self, kernel: &Kernel, slot: Slot) -> u32 {
        if slot.is_constant() { kernel.constants_pred[slot.index()] } else { self.pred[self.at(slot)] }
    }

    /// Which lanes of a row are not wholly defined.
    #[inline(always)]
    pub fn undefined(&self, slot: Slot) -> u32 {
        if slot.is_constant() {
            return 0;
        }
        let at = self.at(slot);
        match slot.class() {
            Class::R32 => self.r32.undefined[at],
            Class::R64 => self.r64.undefined[at],
            Class::Pred => self.pred_undefined[at],
        }
    }

    /// The undefined bytes of a lane, a bit each; 0 where the lane is defined.
    #[inline]
    pub fn undefined_bytes(&self, slot: Slot, lane: usize) -> u8 {
        if self.undefined(slot) >> lane & 1 == 0 {
            return 0;
        }
        let at = self.at(slot);
        match slot.class() {
            Class::R32 => self.r32.bytes[at][lane] & 0x0f,
            Class::R64 => self.r64.bytes[at][lane],
            Class::Pred => 1,
        }
    }

    /// The undefined lanes of a row, and the byte masks that a predicate has not.
    #[inline(always)]
    fn definedness(&mut self, slot: Slot) -> (&mut u32, Option<&mut [u8; 32]>) {
        let at = self.at(slot);
        match slot.class() {
            Class::R32 => (&mut self.r32.undefined[at], Some(&mut self.r32.bytes[at])),
            Class::R64 => (&mut self.r64.undefined[at], Some(&mut self.r64.bytes[at])),
            Class::Pred => (&mut self.pred_undefined[at], None),
        }
    }

    /// Marks lanes of `mask` in a row: those of `lanes` wholly undefined, the others defined.
    #[inline(always)]
    pub fn set_undefined(&mut self, slot: Slot, mask: u32, lanes: u32) {
        let (flags, bytes) = self.definedness(slot);
        *flags = *flags & !mask | lanes & mask;
        if let Some(bytes) = bytes.filter(|_| lanes & mask != 0) {
            for (l, b) in bytes.iter_mut().enumerate() {
                if (lanes & mask) >> l & 1 == 1 {
                    *b = 0xff;
                }
            }
        }
    }

    /// Sets the undefined bytes of one lane, a bit each.
    #[inline]
    pub fn set_undefined_bytes(&mut self, slot: Slot, lane: usize, undefined: u8) {
        let (flags, bytes) = self.definedness(slot);
        if let Some(bytes) = bytes {
            bytes[lane] = undefined;
        }
        *flags = *flags & !(1 << lane) | u32::from(undefined != 0) << lane;
    }

    /// Writes the lanes of `mask` of a predicate, with their definedness.
    #[inline(always)]
    pub fn set_pred(&mut self, slot: Slot, mask: u32, value: u32, undefined: u32) {
        let at = self.at(slot);
        self.pred[at] = self.pred[at] & !mask | value & mask;
        self.pred_undefined[at] = self.pred_undefined[at] & !mask | undefined & mask;
    }
}

/// The two widths of row, for generic code.
pub trait Raw: Copy + Default + 'static {
    /// The row of a slot: a register's or a constant's.
    fn row<'a>(registers: &'a Registers, kernel: &'a Kernel, slot: Slot) -> &'a [Self; 32];
    /// A register's row, to write.
    fn row_mut(registers: &mut Registers, slot: Slot) -> &mut [Self; 32];
}

impl Raw for u32 {
    #[inline(always)]
    fn row<'a>(registers: &'a Registers, kernel: &'a Kernel, slot: Slot) -> &'a [u32; 32] {
        debug_assert_eq!(slot.class(), Class::R32);
        if slot.is_constant() {
            &kernel.constants32[slot.index()]
        } else {
            &registers.r32.rows[registers.base[0] + slot.index()]
        }
    }

    #[inline(always)]
    fn row_mut(registers: &mut Registers, slot: Slot) -> &mut [u32; 32] {
        debug_assert_eq!(slot.class(), Class::R32);
        &mut registers.r32.rows[registers.base[0] + slot.index()]
    }
}

impl Raw for u64 {
    #[inline(always)]
    fn row<'a>(registers: &'a Registers, kernel: &'a Kernel, slot: Slot) -> &'a [u64; 32] {
        debug_assert_eq!(slot.class(), Class::R64);
        if slot.is_constant() {
            &kernel.constants64[slot.index()]
        } else {
            &registers.r64.rows[registers.base[1] + slot.index()]
        }
    }

    #[inline(always)]
    fn row_mut(registers: &mut Registers, slot: Slot) -> &mut [u64; 32] {
        debug_assert_eq!(slot.class(), Class::R64);
        &mut registers.r64.rows[registers.base[1] + slot.index()]
    }
}

/// Writes `value` to the lanes of `mask`.
#[inline(always)]
pub fn blend<T: Raw>(row: &mut [T; 32], mask: u32, value: &[T; 32]) {
    if mask == u32::MAX {
        *row = *value;
        return;
    }
    for (l, (old, new)) in row.iter_mut().zip(value).enumerate() {
        *old = if mask >> l & 1 == 1 { *new } else { *old };
    }
}
