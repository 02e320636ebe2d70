//! Loads and stores: all state spaces, widths and vectors.
//!
//! Memory is read and written element by element with relaxed atomics of the
//! host: kernels may race (a race is a finding of its own, not undefined
//! behaviour of the emulator).

mod decode;
mod qualifiers;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, fence};

pub use decode::{check_hint, decode};
pub use qualifiers::scope_of;

use crate::code::{Class, Inst, Slot};
use crate::machine::access::Places;
use crate::machine::flags::Semantics;
use crate::machine::order::Scope;
use crate::machine::registers::{Raw, blend};
use crate::machine::{Cpu, Flow};
use crate::ptx::ast::Space;
use crate::verdict::{Access, Use};

/// What a load or store needs to know beside its operands, packed into `aux`.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Where.
    pub space: Space,
    /// Bytes of an element: 1, 2, 4, 8.
    pub width: u32,
    /// Elements.
    pub count: u32,
    /// Sign-extend into the register.
    pub signed: bool,
    /// What it does to order, unless it is weak.
    pub semantics: Option<Semantics>,
}

impl Shape {
    /// Bits that `pack` uses.
    pub const BITS: u32 = 21;

    /// As a part of an instruction's `aux`.
    pub fn pack(self) -> u32 {
        let semantics = self
            .semantics
            .map_or(0, |s| (s.scope as u32 + 1) | u32::from(s.releases) << 2 | u32::from(s.acquires) << 3);
        self.space as u32 | self.width << 4 | self.count << 8 | u32::from(self.signed) << 16 | semantics << 17
    }

    /// From an instruction's `aux`.
    #[inline(always)]
    pub fn unpack(aux: u32) -> Self {
        let space = match aux & 15 {
            0 => Space::Generic,
            1 => Space::Global,
            2 => Space::Shared,
            3 => Space::Local,
            4 => Space::Const,
            5 => Space::Param,
            _ => Space::Cluster,
        };
        let scope = match aux >> 17 & 3 {
            0 => None,
            1 => Some(Scope::Cta),
            2 => Some(Scope::Cluster),
            _ => Some(Scope::Gpu),
        };
        let (releases, acquires) = (aux >> 19 & 1 == 1, aux >> 20 & 1 == 1);
        let semantics = scope.map(|scope| Semantics { scope, releases, acquires });
        Self { space, width: aux >> 4 & 15, count: aux >> 8 & 15, signed: aux >> 16 & 1 == 1, semantics }
    }
}

/// Reads `width` bytes.
///
/// # Safety
/// `at` is valid for `width` bytes and aligned to them.
#[inline(always)]
pub unsafe fn read(at: *mut u8, width: u32) -> u64 {
    // SAFETY: as the caller says; atomics have the layout of their integers.
    unsafe {
        match width {
            1 => u64::from(AtomicU8::from_ptr(at).load(Relaxed)),
            2 => u64::from(AtomicU16::from_ptr(at.cast()).load(Relaxed)),
            4 => u64::from(AtomicU32::from_ptr(at.cast()).load(Relaxed)),
            _ => AtomicU64::from_ptr(at.cast()).load(Relaxed),
        }
    }
}

/// Writes `width` bytes.
///
/// # Safety
/// `at` is valid for `width` bytes and aligned to them.
#[inline(always)]
pub unsafe fn write(at: *mut u8, width: u32, value: u64) {
    // SAFETY: as the caller says; atomics have the layout of their integers.
    unsafe {
        match width {
            1 => AtomicU8::from_ptr(at).store(value as u8, Relaxed),
            2 => AtomicU16::from_ptr(at.cast()).store(value as u16, Relaxed),
            4 => AtomicU32::from_ptr(at.cast()).store(value as u32, Relaxed),
            _ => AtomicU64::from_ptr(at.cast()).store(value, Relaxed),
        }
    }
}

/// The shadow of `width` defined bytes.
#[inline(always)]
pub fn defined(width: u32) -> u64 {
    u64::MAX >> (64 - 8 * width)
}

/// Undefined bytes of an element, a bit each, from its shadow.
#[inline(always)]
pub fn undefined_bytes(shadow: u64, width: u32) -> u8 {
    (0..width).fold(0, |bits, byte| bits | u8::from(shadow >> (8 * byte) & 0xff != 0xff) << byte)
}

/// The shadow of an element whose bytes named in `undefined`, a bit each, are undefined.
#[inline(always)]
pub fn shadow_of(undefined: u8, width: u32) -> u64 {
    (0..width).filter(|b| undefined >> b & 1 == 1).fold(defined(width), |s, b| s & !(0xff << (8 * b)))
}

#[inline(always)]
fn load<const WIDTH: u32>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    access(cpu, i, Access::Read, &Load::<WIDTH>)
}

#[inline(always)]
fn store<const WIDTH: u32>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    access(cpu, i, Access::Write, &Store::<WIDTH>)
}

/// What is done at the places of an access.
trait Transfer {
    fn run(&self, cpu: &mut Cpu<'_>, i: &Inst, shape: Shape, places: &impl Places);
}

struct Load<const WIDTH: u32>;
struct Store<const WIDTH: u32>;

#[inline(always)]
fn access(cpu: &mut Cpu<'_>, i: &Inst, access: Access, transfer: &impl Transfer) -> Flow {
    let shape = Shape::unpack(i.aux);
    if let Err(flow) = cpu.require_defined(i.src[0], Use::Address) {
        return flow;
    }
    let size = shape.width * shape.count;
    match cpu.together(shape.space, i.src[0], i.imm, size, access) {
        Some(places) => {
            cpu.count_together(shape.space, &places, size, access);
            transfer.run(cpu, i, shape, &places);
        }
        None => return access_apart(cpu, i, access, transfer),
    }
    Flow::Next
}

#[inline(never)]
fn access_apart(cpu: &mut Cpu<'_>, i: &Inst, access: Access, transfer: &impl Transfer) -> Flow {
    let shape = Shape::unpack(i.aux);
    let addresses = cpu.addresses(i, i.src[0]);
    let size = shape.width * shape.count;
    match cpu.apart(shape.space, &addresses, size, access) {
        Ok(places) => {
            cpu.count_apart(shape.space, &addresses, size, access);
            transfer.run(cpu, i, shape, &places);
        }
        Err(flow) => return flow,
    }
    Flow::Next
}

impl<const WIDTH: u32> Transfer for Load<WIDTH> {
    #[inline(always)]
    fn run(&self, cpu: &mut Cpu<'_>, i: &Inst, shape: Shape, places: &impl Places) {
        for (k, dst) in cpu.results(i).iter().enumerate() {
            let offset = k * WIDTH as usize;
            match dst.class() {
                Class::R32 => load_element::<u32, WIDTH>(cpu, places, shape, offset, *dst, |v| v as u32),
                _ => load_element::<u64, WIDTH>(cpu, places, shape, offset, *dst, |v| v),
            }
        }
    }
}

impl<const WIDTH: u32> Transfer for Store<WIDTH> {
    #[inline(always)]
    fn run(&self, cpu: &mut Cpu<'_>, i: &Inst, _: Shape, places: &impl Places) {
        cpu.block.events += 1;
        for (k, src) in cpu.operands(i).iter().enumerate() {
            let offset = k * WIDTH as usize;
            match src.class() {
                Class::R32 => store_element::<u32, WIDTH>(cpu, places, offset, *src, |v| v.into()),
                _ => store_element::<u64, WIDTH>(cpu, places, offset, *src, |v| v),
            }
        }
    }
}

#[cold]
fn unlikely() {}

#[inline(always)]
fn load_element<T: Raw, const WIDTH: u32>(
    cpu: &mut Cpu<'_>,
    places: &impl Places,
    shape: Shape,
    offset: usize,
    dst: Slot,
    narrow: impl Fn(u64) -> T,
) {
    let mask = cpu.mask;
    // Above the element are the copies of its sign, if the register is wider.
    let is_wider = size_of::<T>() as u32 > WIDTH;
    let above = if is_wider && shape.signed { 64 - 8 * WIDTH } else { 0 };
    let mut partly_undefined = false;
    let mut read_all = |to: &mut [T; 32]| {
        for (lane, to) in to.iter_mut().enumerate() {
            // SAFETY: the places of all lanes may be read, and hold all
            // elements of the access, aligned to the whole.
            let (bits, shadow) =
                unsafe { (read(places.data(lane, offset), WIDTH), read(places.shadow(lane, offset), WIDTH)) };
            *to = narrow(if is_wider { ((bits << above) as i64 >> above) as u64 } else { bits });
            // A branch, which is hardly ever taken, costs less than a sum over the lanes.
            if shadow != defined(WIDTH) {
                unlikely();
                partly_undefined = true;
            }
        }
    };
    let row = T::row_mut(&mut cpu.warp.registers, dst);
    if mask == u32::MAX {
        read_all(row);
    } else {
        let mut value = [T::default(); 32];
        read_all(&mut value);
        blend(row, mask, &value);
    }
    cpu.warp.registers.set_undefined(dst, mask, 0);
    if !partly_undefined {
        return;
    }
    for lane in (0..32).filter(|l| mask >> l & 1 == 1) {
        // SAFETY: as above.
        let shadow = unsafe { read(places.shadow(lane, offset), WIDTH) };
        let mut bytes = undefined_bytes(shadow, WIDTH);
        // A sign-extended value is as undefined as its sign.
        if shape.signed && bytes >> (WIDTH - 1) & 1 == 1 {
            bytes |= 0xff << (WIDTH - 1);
        }
        cpu.warp.registers.set_undefined_bytes(dst, lane, bytes);
    }
}

#[inline(always)]
fn store_element<T: Raw, const WIDTH: u32>(
    cpu: &mut Cpu<'_>,
    places: &impl Places,
    offset: usize,
    src: Slot,
    widen: impl Fn(T) -> u64,
) {
    let registers = &cpu.warp.registers;
    let value = T::row(registers, cpu.kernel, src);
    let mask = cpu.mask;
    let mut all_defined = defined(WIDTH);
    each(mask, |lane| {
        // SAFETY: the places of executing lanes hold all elements of the
        // access, aligned to the whole.
        unsafe {
            write(places.data(lane, offset), WIDTH, widen(value[lane]));
            all_defined &= read(places.shadow(lane, offset), WIDTH);
        }
    });
    // Mostly the shadow need not be written.
    if registers.undefined(src) & mask == 0 && all_defined == defined(WIDTH) {
        return;
    }
    each(mask, |lane| {
        let shadow = shadow_of(registers.undefined_bytes(src, lane), WIDTH);
        // SAFETY: as above.
        unsafe { write(places.shadow(lane, offset), WIDTH, shadow) };
    });
}

/// Calls `f` with each lane of `mask`.
#[inline(always)]
fn each(mask: u32, mut f: impl FnMut(usize)) {
    if mask == u32::MAX {
        (0..32).for_each(f);
    } else {
        (0..32).filter(|l| mask >> l & 1 == 1).for_each(&mut f);
    }
}

/// A load that may meet stores: relaxed, volatile or an acquire.
#[inline(always)]
fn load_strong<const WIDTH: u32>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let shape = Shape::unpack(i.aux);
    let Some(semantics) = shape.semantics else { return load::<WIDTH>(cpu, i) };
    // What is loaded may take the place of the address.
    let addresses = cpu.addresses(i, i.src[0]);
    cpu.semantics = Some(semantics);
    let flow = load::<WIDTH>(cpu, i);
    cpu.semantics = None;
    fence(Acquire);
    cpu.take_over(shape.space, &addresses, semantics);
    flow
}

/// A store that may meet loads: relaxed, volatile or a release.
#[inline(always)]
fn store_strong<const WIDTH: u32>(cpu: &mut Cpu<'_>, i: &Inst) -> Flow {
    let shape = Shape::unpack(i.aux);
    let Some(semantics) = shape.semantics else { return store::<WIDTH>(cpu, i) };
    let addresses = cpu.addresses(i, i.src[0]);
    cpu.hand_on(shape.space, &addresses, semantics);
    fence(Release);
    cpu.semantics = Some(semantics);
    let flow = store::<WIDTH>(cpu, i);
    cpu.semantics = None;
    cpu.warp.clock.released();
    flow
}

/// A state space by its suffix.
pub fn space_of(word: &str) -> Option<Space> {
    Some(match word {
        "global" => Space::Global,
        "shared" | "shared::cta" => Space::Shared,
        "shared::cluster" => Space::Cluster,
        "local" => Space::Local,
        "const" => Space::Const,
        "param" | "param::entry" | "param::func" => Space::Param,
        _ => return None,
    })
}
