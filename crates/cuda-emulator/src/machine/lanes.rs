//! Element-wise operations: a scalar function applied to the lanes of rows.
//!
//! `lane_op!` makes an [`Op`](crate::code::Op) of a scalar function, compiled
//! twice: portable, and with AVX2, where the loop over 32 lanes becomes vector
//! instructions. The result of a lane is undefined if any operand of it is.

use super::registers::{Raw, blend};
use super::{Cpu, Flow};
use crate::code::{Inst, Slot};

/// A type that a lane of a row can hold.
pub trait Lane: Copy {
    /// The row's width.
    type Raw: Raw;
    /// From the row's bits (those above the type's width are ignored).
    fn from_raw(raw: Self::Raw) -> Self;
    /// To the row's bits (those above the type's width are zero).
    fn to_raw(self) -> Self::Raw;
}

macro_rules! lane {
    ($($ty:ty: $raw:ty, |$r:ident| $from:expr, |$v:ident| $to:expr;)*) => {$(
        impl Lane for $ty {
            type Raw = $raw;
            #[inline(always)]
            fn from_raw($r: $raw) -> Self { $from }
            #[inline(always)]
            fn to_raw(self) -> $raw { let $v = self; $to }
        }
    )*};
}

lane! {
    u8: u32, |r| r as u8, |v| u32::from(v);
    i8: u32, |r| r as i8, |v| u32::from(v as u8);
    u16: u32, |r| r as u16, |v| u32::from(v);
    i16: u32, |r| r as i16, |v| u32::from(v as u16);
    u32: u32, |r| r, |v| v;
    i32: u32, |r| r as i32, |v| v as u32;
    f32: u32, |r| f32::from_bits(r), |v| v.to_bits();
    u64: u64, |r| r, |v| v;
    i64: u64, |r| r as i64, |v| v as u64;
    f64: u64, |r| f64::from_bits(r), |v| v.to_bits();
}

/// Reads the row of an operand.
#[inline(always)]
fn row<'a, T: Lane>(cpu: &'a Cpu<'_>, slot: Slot) -> &'a [T::Raw; 32] {
    T::Raw::row(&cpu.warp.registers, cpu.kernel, slot)
}

#[inline(always)]
fn finish<R: Lane>(cpu: &mut Cpu<'_>, i: &Inst, value: &[R::Raw; 32], undefined: u32) {
    let mask = cpu.mask;
    blend(R::Raw::row_mut(&mut cpu.warp.registers, i.dst[0]), mask, value);
    cpu.warp.registers.set_undefined(i.dst[0], mask, undefined);
}

/// dst = f(a)
#[inline(always)]
pub fn map1<A: Lane, R: Lane>(cpu: &mut Cpu<'_>, i: &Inst, f: impl Fn(A) -> R) -> Flow {
    let a = row::<A>(cpu, i.src[0]);
    let mut out = [R::Raw::default(); 32];
    for l in 0..32 {
        out[l] = f(A::from_raw(a[l])).to_raw();
    }
    let undefined = cpu.warp.registers.undefined(i.src[0]);
    finish::<R>(cpu, i, &out, undefined);
    Flow::Next
}

/// dst = f(a, b)
#[inline(always)]
pub fn map2<A: Lane, B: Lane, R: Lane>(cpu: &mut Cpu<'_>, i: &Inst, f: impl Fn(A, B) -> R) -> Flow {
    let (a, b) = (row::<A>(cpu, i.src[0]), row::<B>(cpu, i.src[1]));
    let mut out = [R::Raw::default(); 32];
    for l in 0..32 {
        out[l] = f(A::from_raw(a[l]), B::from_raw(b[l])).to_raw();
    }
    let r = &cpu.warp.registers;
    let undefined = r.undefined(i.src[0]) | r.undefined(i.src[1]);
    finish::<R>(cpu, i, &out, undefined);
    Flow::Next
}

/// dst = f(a, b, c)
#[inline(always)]
pub fn map3<A: Lane, B: Lane, C: Lane, R: Lane>(
    cpu: &mut Cpu<'_>,
    i: &Inst,
    f: impl Fn(A, B, C) -> R,
) -> Flow {
    let (a, b, c) = (row::<A>(cpu, i.src[0]), row::<B>(cpu, i.src[1]), row::<C>(cpu, i.src[2]));
    let mut out = [R::Raw::default(); 32];
    for l in 0..32 {
        out[l] = f(A::from_raw(a[l]), B::from_raw(b[l]), C::from_raw(c[l])).to_raw();
    }
    let r = &cpu.warp.registers;
    let undefined = r.undefined(i.src[0]) | r.undefined(i.src[1]) | r.undefined(i.src[2]);
    finish::<R>(cpu, i, &out, undefined);
    Flow::Next
}

/// dst = f(a, b, c, e)
#[inline(always)]
pub fn map4<A: Lane, B: Lane, C: Lane, E: Lane, R: Lane>(
    cpu: &mut Cpu<'_>,
    i: &Inst,
    f: impl Fn(A, B, C, E) -> R,
) -> Flow {
    let (a, b, c) = (row::<A>(cpu, i.src[0]), row::<B>(cpu, i.src[1]), row::<C>(cpu, i.src[2]));
    let e = row::<E>(cpu, i.src[3]);
    let mut out = [R::Raw::default(); 32];
    for l in 0..32 {
        out[l] = f(A::from_raw(a[l]), B::from_raw(b[l]), C::from_raw(c[l]), E::from_raw(e[l])).to_raw();
    }
    let undefined = i.src.iter().fold(0, |lanes, slot| lanes | cpu.warp.registers.undefined(*slot));
    finish::<R>(cpu, i, &out, undefined);
    Flow::Next
}

/// The lanes for which `f(a, b)` holds.
#[inline(always)]
pub fn test2<A: Lane, B: Lane>(cpu: &Cpu<'_>, i: &Inst, f: impl Fn(A, B) -> bool) -> u32 {
    let (a, b) = (row::<A>(cpu, i.src[0]), row::<B>(cpu, i.src[1]));
    let mut lanes = 0;
    for l in 0..32 {
        lanes |= u32::from(f(A::from_raw(a[l]), B::from_raw(b[l]))) << l;
    }
    lanes
}

/// The lanes for which `f(a)` holds.
#[inline(always)]
pub fn test1<A: Lane>(cpu: &Cpu<'_>, i: &Inst, f: impl Fn(A) -> bool) -> u32 {
    let a = row::<A>(cpu, i.src[0]);
    a.iter().enumerate().fold(0, |lanes, (l, raw)| lanes | u32::from(f(A::from_raw(*raw))) << l)
}

/// An [`Op`](crate::code::Op) of a function `fn(&mut Cpu, &Inst) -> Flow`,
/// compiled for both kinds of CPU. The function must be `#[inline(always)]`.
macro_rules! both {
    ($body:path) => {{
        unsafe fn portable(
            cpu: &mut $crate::machine::Cpu<'_>,
            i: &$crate::code::Inst,
        ) -> $crate::machine::Flow {
            $body(cpu, i)
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"))]
        unsafe fn avx2(cpu: &mut $crate::machine::Cpu<'_>, i: &$crate::code::Inst) -> $crate::machine::Flow {
            $body(cpu, i)
        }
        $crate::code::Op { portable, avx2 }
    }};
}

/// An [`Op`](crate::code::Op) of a scalar function of one to four lanes:
/// `lane_op!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) })`.
macro_rules! lane_op {
    (|$a:ident: $ta:ty| -> $r:ty $body:block) => {{
        #[inline(always)]
        fn body(cpu: &mut $crate::machine::Cpu<'_>, i: &$crate::code::Inst) -> $crate::machine::Flow {
            $crate::machine::lanes::map1(
                cpu,
                i,
                #[inline(always)]
                |$a: $ta| -> $r { $body },
            )
        }
        $crate::machine::lanes::both!(body)
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty| -> $r:ty $body:block) => {{
        #[inline(always)]
        fn body(cpu: &mut $crate::machine::Cpu<'_>, i: &$crate::code::Inst) -> $crate::machine::Flow {
            $crate::machine::lanes::map2(
                cpu,
                i,
                #[inline(always)]
                |$a: $ta, $b: $tb| -> $r { $body },
            )
        }
        $crate::machine::lanes::both!(body)
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty| -> $r:ty $body:block) => {{
        #[inline(always)]
        fn body(cpu: &mut $crate::machine::Cpu<'_>, i: &$crate::code::Inst) -> $crate::machine::Flow {
            $crate::machine::lanes::map3(
                cpu,
                i,
                #[inline(always)]
                |$a: $ta, $b: $tb, $c: $tc| -> $r { $body },
            )
        }
        $crate::machine::lanes::both!(body)
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty, $e:ident: $te:ty| -> $r:ty $body:block) => {{
        #[inline(always)]
        fn body(cpu: &mut $crate::machine::Cpu<'_>, i: &$crate::code::Inst) -> $crate::machine::Flow {
            $crate::machine::lanes::map4(
                cpu,
                i,
                #[inline(always)]
                |$a: $ta, $b: $tb, $c: $tc, $e: $te| -> $r { $body },
            )
        }
        $crate::machine::lanes::both!(body)
    }};
}

pub(crate) use {both, lane_op};
