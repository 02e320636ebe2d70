//! Loads, stores and reductions over the runs of a box.
//!
//! As elsewhere, memory is touched by relaxed atomics of the host: blocks may race.

use super::tile::{Run, Tile, chunks};
use super::{ElementType, TensorMap};
use crate::machine::ops::atomic::{self, Update};
use crate::machine::ops::memory::{read, write};
use crate::ptx::ast::Type;
use crate::verdict::Verdict;

/// How many rows ahead the host is told what will be read. (More would push each other out of its caches: rows are
/// often a power of two apart.)
const AHEAD: usize = 8;

/// Contiguous bytes on the host, and their definedness.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// The first byte.
    pub data: *mut u8,
    /// Its definedness; none where all counts as defined.
    pub shadow: Option<*mut u8>,
}

impl Memory {
    fn at(self, offset: u32) -> Self {
        let offset = offset as usize;
        Self { data: self.data.wrapping_add(offset), shadow: self.shadow.map(|s| s.wrapping_add(offset)) }
    }

    /// Tells the host that these bytes will be read. The rows of a box are far from each other, so that it would
    /// wait for every one of them.
    #[inline(always)]
    fn prefetch(self, bytes: u32) {
        #[cfg(target_arch = "x86_64")]
        for offset in (0..bytes as usize).step_by(64) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for start in [Some(self.data), self.shadow].into_iter().flatten() {
                // SAFETY: a hint, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset).cast()) };
            }
        }
    }
}

/// What `cp.reduce.async.bulk.tensor` does to an element.
#[derive(Debug, Clone, Copy)]
pub struct Reduction {
    update: Update,
    /// Bytes of an element.
    width: u32,
}

impl Reduction {
    /// The reduction of this name (`add`, `min`, ...) on the elements of a map.
    pub fn new(name: &str, map: &TensorMap) -> Result<Self, Verdict> {
        use ElementType::*;
        let bits = matches!(name, "and" | "or" | "xor");
        let ty = match map.element {
            U32 | S32 if bits => Some(Type::B32),
            U64 | S64 if bits => Some(Type::B64),
            _ if bits => None,
            U32 => Some(Type::U32),
            S32 => Some(Type::S32),
            U64 => Some(Type::U64),
            S64 if name != "add" => Some(Type::S64),
            F16 => Some(Type::F16),
            Bf16 => Some(Type::Bf16),
            F32 | F32Ftz => Some(Type::F32),
            S64 | U8 | U16 | F64 | Tf32 | Tf32Ftz => None,
        };
        let known = matches!(name, "add" | "min" | "max" | "inc" | "dec") || bits;
        let update = match ty.filter(|_| known).and_then(|ty| atomic::operation(name, ty)) {
            // Whether subnormals are flushed is a matter of the type here.
            Some(_) if map.element == F32Ftz => atomic::add_f32_flushing,
            Some(update) => update,
            None => {
                let problem = format!("there is no reduction `{name}` of {:?}", map.element);
                return Err(Verdict::Operand { problem });
            }
        };
        Ok(Self { update, width: map.element.bytes() })
    }

    /// The reduction of this name on numbers of a type, if there is one.
    pub fn of(name: &str, ty: Type) -> Option<Self> {
        let update = match (name, ty) {
            // Plain bulk reductions flush subnormals.
            ("add", Type::F32) => atomic::add_f32_flushing,
            _ => atomic::operation(name, ty)?,
        };
        Some(Self { update, width: ty.bytes() as u32 })
    }

    /// Combines elements, one atomically after the other.
    ///
    /// # Safety
    /// Both are valid for `bytes`, and aligned to an element.
    pub unsafe fn apply(self, from: Memory, to: Memory, bytes: u32) {
        for at in (0..bytes).step_by(self.width as usize) {
            // SAFETY: as the caller says.
            unsafe { reduce(self.update, self.width, from.at(at), to.at(at)) };
        }
    }
}

impl Tile {
    /// Loads the box. `shared` is the memory at the box's shared address; `global` gives that at an address.
    ///
    /// # Safety
    /// `shared` is valid for the length of [`Tile::shared`], and what `global` gives for as many bytes as it is
    /// asked for.
    pub unsafe fn load(&self, shared: Memory, global: &mut dyn FnMut(u64, u32) -> Memory) {
        let (swizzle, fill) = (self.map.swizzle, self.map.fill.pattern());
        let rounds = matches!(self.map.element, ElementType::Tf32 | ElementType::Tf32Ftz);
        let mut pieces = Vec::with_capacity(self.rows() as usize);
        self.pieces(|piece| pieces.push((piece, piece.global.map(|address| global(address, piece.bytes)))));
        for (n, (piece, source)) in pieces.iter().enumerate() {
            if let Some((later, Some(source))) = pieces.get(n + AHEAD) {
                source.prefetch(later.bytes);
            }
            chunks(*piece, swizzle, |run| {
                let to = shared.at(self.offset(run));
                // SAFETY: runs are inside what the caller promises.
                unsafe {
                    match source {
                        None => set(to, fill, run.bytes),
                        Some(from) => {
                            let from = from.at(past(*piece, run));
                            copy(from, to, run.bytes);
                            if rounds {
                                to_tf32(to, run.bytes);
                            }
                        }
                    }
                }
            });
        }
    }

    /// Stores the box; what lies outside the tensor is not written. (A map of TF32 stores the bits as they are.)
    ///
    /// # Safety
    /// As of [`Tile::load`].
    pub unsafe fn store(&self, shared: Memory, global: &mut dyn FnMut(u64, u32) -> Memory) {
        // SAFETY: runs are inside what the caller promises.
        self.outward(shared, global, |from, to, bytes| unsafe { copy(from, to, bytes) });
    }

    /// Combines each element of the tensor with the box's, one atomically after the other.
    ///
    /// # Safety
    /// As of [`Tile::load`].
    pub unsafe fn reduce(
        &self,
        reduction: Reduction,
        shared: Memory,
        global: &mut dyn FnMut(u64, u32) -> Memory,
    ) {
        // SAFETY: runs are inside what the caller promises, and aligned to 16 bytes.
        self.outward(shared, global, |from, to, bytes| unsafe { reduction.apply(from, to, bytes) });
    }

    /// Makes the box's place in shared memory undefined, as it is while a load is in flight.
    ///
    /// # Safety
    /// As of [`Tile::load`].
    pub unsafe fn forget(&self, shared: Memory) {
        let whole = self.shared();
        if self.bytes() == whole.end - whole.start {
            // SAFETY: as the caller says.
            return unsafe { undefine(shared, self.bytes() as u32) };
        }
        self.runs(|run| {
            // SAFETY: runs are inside what the caller promises.
            unsafe { undefine(shared.at(self.offset(run)), run.bytes) };
        });
    }

    /// Calls `f` with source, destination and length of each run inside the tensor.
    fn outward(
        &self,
        shared: Memory,
        global: &mut dyn FnMut(u64, u32) -> Memory,
        f: impl Fn(Memory, Memory, u32),
    ) {
        self.pieces(|piece| {
            let Some(address) = piece.global else { return };
            let destination = global(address, piece.bytes);
            chunks(piece, self.map.swizzle, |run| {
                f(shared.at(self.offset(run)), destination.at(past(piece, run)), run.bytes);
            });
        });
    }

    /// Where a run is in the box's shared memory.
    fn offset(&self, run: Run) -> u32 {
        run.shared.wrapping_sub(self.shared)
    }
}

/// How far a run is into the piece that it is of.
fn past(piece: Run, run: Run) -> u32 {
    run.global.unwrap_or(0).wrapping_sub(piece.global.unwrap_or(0)) as u32
}

/// Calls `f` with offset and width of as few words as make up `bytes` at these addresses.
#[inline(always)]
fn words(bytes: u32, addresses: usize, mut f: impl FnMut(usize, u32)) {
    let bytes = bytes as usize;
    // A piece of a swizzled row, as most are.
    if bytes == 16 && addresses.is_multiple_of(8) {
        f(0, 8);
        return f(8, 8);
    }
    let whole = if addresses.is_multiple_of(8) { bytes & !7 } else { 0 };
    (0..whole).step_by(8).for_each(|at| f(at, 8));
    (whole..bytes).for_each(|at| f(at, 1));
}

/// Copies bytes with their definedness.
///
/// # Safety
/// Both are valid for `bytes`.
#[inline(always)]
pub unsafe fn copy(from: Memory, to: Memory, bytes: u32) {
    // SAFETY: as the caller says; the words are inside and aligned.
    unsafe {
        words(bytes, from.data as usize | to.data as usize, |at, width| {
            write(to.data.add(at), width, read(from.data.add(at), width));
        });
        match (from.shadow, to.shadow) {
            (Some(from), Some(to)) => words(bytes, from as usize | to as usize, |at, width| {
                write(to.add(at), width, read(from.add(at), width));
            }),
            (None, Some(to)) => words(bytes, to as usize, |at, width| write(to.add(at), width, u64::MAX)),
            (_, None) => {}
        }
    }
}

/// Makes bytes undefined.
///
/// # Safety
/// `to` is valid for `bytes`.
pub unsafe fn undefine(to: Memory, bytes: u32) {
    if let Some(shadow) = to.shadow {
        // SAFETY: as the caller says; the words are inside and aligned.
        unsafe { words(bytes, shadow as usize, |at, width| write(shadow.add(at), width, 0)) };
    }
}

/// # Safety
/// `to` is valid for `bytes`.
#[inline(always)]
unsafe fn set(to: Memory, pattern: [u8; 2], bytes: u32) {
    let word = u64::from(u16::from_le_bytes(pattern)) * 0x0001_0001_0001_0001;
    // SAFETY: as the caller says; the words are inside and aligned.
    unsafe {
        words(bytes, to.data as usize, |at, width| write(to.data.add(at), width, word >> (8 * (at % 2))));
        if let Some(to) = to.shadow {
            words(bytes, to as usize, |at, width| write(to.add(at), width, u64::MAX));
        }
    }
}

/// Rounds f32 to TF32, to nearest even; NaN becomes the one of 0x7fffe000, and subnormals stay. The manuals do not
/// say how; this is what a GPU is assumed to do, for both types.
///
/// # Safety
/// `at` is valid for `bytes`, whole elements aligned to 4.
unsafe fn to_tf32(at: Memory, bytes: u32) {
    for offset in (0..bytes).step_by(4) {
        let at = at.at(offset);
        // SAFETY: as the caller says.
        unsafe {
            let bits = read(at.data, 4) as u32;
            let rounded = match f32::from_bits(bits).is_nan() {
                true => 0x7fff_e000,
                false => bits.wrapping_add(0xfff + (bits >> 13 & 1)) & !0x1fff,
            };
            write(at.data, 4, rounded.into());
            // Each bit of the result may depend on any of the operand's.
            if let Some(shadow) = at.shadow.filter(|shadow| read(*shadow, 4) != u64::from(u32::MAX)) {
                write(shadow, 4, 0);
            }
        }
    }
}

/// # Safety
/// Both are valid for `width` bytes, and aligned to them.
unsafe fn reduce(f: Update, width: u32, from: Memory, to: Memory) {
    let all = u64::MAX >> (64 - 8 * width);
    // SAFETY: as the caller says.
    unsafe {
        let operand = read(from.data, width);
        atomic::update(to.data, width, |old| f(old, operand, 0));
        let defined = |shadow: Option<*mut u8>| shadow.is_none_or(|shadow| read(shadow, width) == all);
        if let Some(shadow) = to.shadow.filter(|_| !(defined(from.shadow) && defined(to.shadow))) {
            write(shadow, width, 0);
        }
    }
}
