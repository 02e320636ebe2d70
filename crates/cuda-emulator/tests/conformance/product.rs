//! Products, over whole numbers of any length.

use num_bigint::BigInt;

use super::instruction::check;
use super::values::{three, two};
use super::whole::{Integer, saturated, wrapped};

/// The product's bits from the type's width on, as a number with the product's sign.
fn high<T: Integer>(a: T, b: T) -> BigInt {
    (a.whole() * b.whole()) >> (8 * T::BYTES)
}

fn halves<T: Integer>() {
    let ty = T::NAME;
    check(&format!("mul.lo.{ty} %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<T>(a.whole() * b.whole()));
    check(&format!("mul.hi.{ty} %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<T>(high(a, b)));
    check(&format!("mad.lo.{ty} %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, T)| {
        wrapped::<T>(a.whole() * b.whole() + c.whole())
    });
    check(&format!("mad.hi.{ty} %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, T)| {
        wrapped::<T>(high(a, b) + c.whole())
    });
}

#[test]
fn mul_mad() {
    halves::<u16>();
    halves::<i16>();
    halves::<u32>();
    halves::<i32>();
    halves::<u64>();
    halves::<i64>();
}

fn wide<T: Integer, R: Integer>() {
    let ty = T::NAME;
    check(&format!("mul.wide.{ty} %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<R>(a.whole() * b.whole()));
    check(&format!("mad.wide.{ty} %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, R)| {
        wrapped::<R>(a.whole() * b.whole() + c.whole())
    });
}

#[test]
fn mul_mad_wide() {
    wide::<u16, u32>();
    wide::<i16, i32>();
    wide::<u32, u64>();
    wide::<i32, i64>();
}

#[test]
fn mad_saturated() {
    check("mad.hi.sat.s32 %d, %a, %b, %c;", three(), |(a, b, c): (i32, i32, i32)| {
        saturated::<i32>(high(a, b) + c.whole())
    });
}

/// A number's lowest 24 bits, as a number of the sign that the type has.
fn low24<T: Integer>(a: T) -> BigInt {
    let modulus = 1i64 << 24;
    let low = (a.bits() as i64) % modulus;
    let is_negative = T::NAME.starts_with('s') && low >= modulus / 2;
    BigInt::from(if is_negative { low - modulus } else { low })
}

fn halves24<T: Integer>() {
    let ty = T::NAME;
    let low = |a: T, b: T| low24(a) * low24(b);
    let high = |a: T, b: T| (low24(a) * low24(b)) >> 16;
    check(&format!("mul24.lo.{ty} %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<T>(low(a, b)));
    check(&format!("mul24.hi.{ty} %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<T>(high(a, b)));
    check(&format!("mad24.lo.{ty} %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, T)| {
        wrapped::<T>(low(a, b) + c.whole())
    });
    check(&format!("mad24.hi.{ty} %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, T)| {
        wrapped::<T>(high(a, b) + c.whole())
    });
}

#[test]
fn mul24_mad24() {
    halves24::<u32>();
    halves24::<i32>();
    check("mad24.hi.sat.s32 %d, %a, %b, %c;", three(), |(a, b, c): (i32, i32, i32)| {
        saturated::<i32>(((low24(a) * low24(b)) >> 16) + c.whole())
    });
}

/// Element `n` of `width` bits, with the sign that the type has.
fn element(word: u32, n: u32, width: u32, signed: bool) -> i64 {
    let digits = 1i64 << width;
    let value = i64::from(word) / (1i64 << (width * n)) % digits;
    if signed && value >= digits / 2 { value - digits } else { value }
}

#[test]
fn dp4a_dp2a() {
    for (a_type, b_type) in [("u32", "u32"), ("u32", "s32"), ("s32", "u32"), ("s32", "s32")] {
        let (a_signed, b_signed) = (a_type == "s32", b_type == "s32");
        check(&format!("dp4a.{a_type}.{b_type} %d, %a, %b, %c;"), three(), |(a, b, c): (u32, u32, u32)| {
            let products = (0..4).map(|n| element(a, n, 8, a_signed) * element(b, n, 8, b_signed));
            wrapped::<u32>(BigInt::from(products.sum::<i64>()) + c.whole())
        });
        for (half, first) in [("lo", 0), ("hi", 2)] {
            let code = format!("dp2a.{half}.{a_type}.{b_type} %d, %a, %b, %c;");
            check(&code, three(), |(a, b, c): (u32, u32, u32)| {
                let products =
                    (0..2).map(|n| element(a, n, 16, a_signed) * element(b, first + n, 8, b_signed));
                wrapped::<u32>(BigInt::from(products.sum::<i64>()) + c.whole())
            });
        }
    }
}
