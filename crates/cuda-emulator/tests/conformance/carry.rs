//! Extended precision: numbers of several words, over whole numbers of any length.

use num_bigint::BigInt;

use super::instruction::check;
use super::values::{Values, random_bits, three, two};
use super::whole::{Integer, wrapped};

/// Four operands: pairs of words.
fn pairs<T: Values>() -> Vec<(T, T, T, T)> {
    let more = random_bits(8).map(T::random);
    let edges = T::edges();
    let edge = random_bits(9).map(|n| edges[n as usize % edges.len()]);
    let last = more.zip(edge).enumerate().map(|(n, (random, edge))| if n % 2 == 0 { edge } else { random });
    three().into_iter().zip(last).map(|((a, b, c), e)| (a, b, c, e)).collect()
}

/// `%d` = the word `n` of the sum or difference of {a, b} and {c, e}, lower words first.
fn two_words<T: Integer>() {
    let ty = T::NAME;
    let bits = 8 * T::BYTES;
    let unsigned = |x: T| BigInt::from(x.bits());
    let number = |low: T, high: T| unsigned(low) + (unsigned(high) << bits);
    let chain = |opcode: &str, last: &str| {
        format!("{opcode}.cc.{ty} %d, %a, %c;\n{opcode}c{last}.{ty} %d, %b, %e;\n")
    };
    check(&chain("add", ""), pairs(), |(a, b, c, e): (T, T, T, T)| {
        wrapped::<T>((number(a, b) + number(c, e)) >> bits)
    });
    check(&chain("sub", ""), pairs(), |(a, b, c, e): (T, T, T, T)| {
        wrapped::<T>((number(a, b) - number(c, e)) >> bits)
    });
    // What is carried, or borrowed, beyond the second word.
    let beyond = |opcode: &str| format!("{}{opcode}c.{ty} %d, 0, 0;", chain(opcode, ".cc"));
    check(&beyond("add"), pairs(), |(a, b, c, e): (T, T, T, T)| {
        wrapped::<T>((number(a, b) + number(c, e)) >> (2 * bits))
    });
    check(&beyond("sub"), pairs(), |(a, b, c, e): (T, T, T, T)| {
        wrapped::<T>((number(a, b) - number(c, e)) >> (2 * bits))
    });
    // The first word is the same as without a carry.
    check(&format!("add.cc.{ty} %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<T>(a.whole() + b.whole()));
    check(&format!("sub.{ty}.cc %d, %a, %b;"), two(), |(a, b): (T, T)| wrapped::<T>(a.whole() - b.whole()));
}

#[test]
fn sums_and_differences() {
    two_words::<u32>();
    two_words::<i32>();
    two_words::<u64>();
    two_words::<i64>();
}

/// A sum with a product's half, and the carry of a first sum: all of `mad.cc`, `madc`, `madc.cc`.
fn products<T: Integer>() {
    let ty = T::NAME;
    let bits = 8 * T::BYTES;
    let unsigned = |x: T| BigInt::from(x.bits());
    for half in ["lo", "hi"] {
        let part = |a: T, b: T| {
            let product = a.whole() * b.whole();
            unsigned(wrapped::<T>(if half == "hi" { product >> bits } else { product }))
        };
        let carried = |sum: BigInt| sum >> bits;
        check(&format!("mad.{half}.cc.{ty} %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, T)| {
            wrapped::<T>(part(a, b) + unsigned(c))
        });
        let code = format!("mad.{half}.cc.{ty} %d, %a, %b, %c;\naddc.{ty} %d, 0, 0;");
        check(&code, three(), |(a, b, c): (T, T, T)| wrapped::<T>(carried(part(a, b) + unsigned(c))));
        let first = |a: T, e: T| carried(unsigned(a) + unsigned(e));
        let code = format!("add.cc.{ty} %d, %a, %e;\nmadc.{half}.{ty} %d, %a, %b, %c;");
        check(&code, pairs(), |(a, b, c, e): (T, T, T, T)| {
            wrapped::<T>(part(a, b) + unsigned(c) + first(a, e))
        });
        let code =
            format!("add.cc.{ty} %d, %a, %e;\nmadc.{half}.cc.{ty} %d, %a, %b, %c;\naddc.{ty} %d, 0, 0;");
        check(&code, pairs(), |(a, b, c, e): (T, T, T, T)| {
            wrapped::<T>(carried(part(a, b) + unsigned(c) + first(a, e)))
        });
    }
}

#[test]
fn sums_with_products() {
    products::<u32>();
    products::<i32>();
    products::<u64>();
    products::<i64>();
}

/// The manual's example: a product of two numbers of 64 bits, in words of 32.
#[test]
fn a_product_of_several_words() {
    let code = |word: usize| {
        format!(
            ".reg .u32 %x<4>, %y<4>;\n\
             mul.lo.u32 %x0, %a, %c;\nmul.hi.u32 %x1, %a, %c;\n\
             mad.lo.cc.u32 %x1, %b, %c, %x1;\nmadc.hi.u32 %x2, %b, %c, 0;\n\
             mad.lo.cc.u32 %x1, %a, %e, %x1;\nmadc.hi.cc.u32 %x2, %a, %e, %x2;\naddc.u32 %x3, 0, 0;\n\
             mad.lo.cc.u32 %x2, %b, %e, %x2;\nmadc.hi.u32 %x3, %b, %e, %x3;\n\
             mov.u32 %d, %x{word};"
        )
    };
    for word in 0..4 {
        check(&code(word), pairs(), |(a, b, c, e): (u32, u32, u32, u32)| {
            let number = |low: u32, high: u32| BigInt::from(low) + (BigInt::from(high) << 32);
            wrapped::<u32>((number(a, b) * number(c, e)) >> (32 * word))
        });
    }
}

/// A guarded instruction leaves the flag alone where its guard is false.
#[test]
fn a_guarded_carry() {
    let code = "setp.lt.u32 %p, %a, %b;\nadd.cc.u32 %d, %a, %b;\n\
                @%p add.cc.u32 %d, %b, %c;\naddc.u32 %d, 0, 0;";
    check(code, three(), |(a, b, c): (u32, u32, u32)| {
        let carried = |x: u32, y: u32| u32::from(u64::from(x) + u64::from(y) > u64::from(u32::MAX));
        if a < b { carried(b, c) } else { carried(a, b) }
    });
}

/// The flag is a carry, also of a difference, which is the sum with the
/// complement and one. (Seen on GPUs; by the manual's words it would be a borrow.)
#[test]
fn a_chain_that_mixes_sums_and_differences() {
    let code = "sub.cc.u32 %d, %a, %b;\naddc.u32 %d, %c, 0;";
    check(code, three(), |(a, b, c): (u32, u32, u32)| wrapped::<u32>(c.whole() + i32::from(a >= b)));
    let code = "add.cc.u32 %d, %a, %b;\nsubc.u32 %d, %c, 0;";
    check(code, three(), |(a, b, c): (u32, u32, u32)| {
        let carries = a.whole() + b.whole() > u32::MAX.whole();
        wrapped::<u32>(c.whole() - i32::from(!carries))
    });
}
