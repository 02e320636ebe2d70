//! Operands: the edges of each type, and random ones.

use super::instruction::Bits;
use half::{bf16, f16};

/// A type with edges.
pub trait Values: Bits {
    /// The values at which mistakes show.
    fn edges() -> Vec<Self>;

    /// A value drawn from 64 random bits.
    fn random(bits: u64) -> Self {
        Self::from_bits(bits & (u64::MAX >> (64 - 8 * Self::BYTES)))
    }
}

/// Random numbers that repeat (splitmix64).
pub fn random_bits(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |n| {
        let z = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
}

/// How many random operands each instruction gets.
const RANDOM: usize = 3000;

/// Edges, then random ones; of 16 bits, all there are.
pub fn one<A: Values>() -> Vec<(A,)> {
    if A::BYTES <= 2 {
        return (0..1 << (8 * A::BYTES)).map(|bits| (A::from_bits(bits),)).collect();
    }
    let random = random_bits(1).map(A::random);
    A::edges().into_iter().chain(random.take(RANDOM)).map(|a| (a,)).collect()
}

/// Every edge with every edge, then random ones.
pub fn two<A: Values, B: Values>() -> Vec<(A, B)> {
    let edges = A::edges().into_iter().flat_map(|a| B::edges().into_iter().map(move |b| (a, b)));
    let random = random_bits(2).zip(random_bits(3)).map(|(a, b)| (A::random(a), B::random(b)));
    edges.chain(random.take(RANDOM)).collect()
}

/// Some thousands of triples of edges, then random ones.
pub fn three<A: Values, B: Values, C: Values>() -> Vec<(A, B, C)> {
    let (ea, eb, ec) = (A::edges(), B::edges(), C::edges());
    let pick = |n: u64, of: u64| (n % of) as usize;
    let edges = random_bits(4).map(|n| {
        let (la, lb, lc) = (ea.len() as u64, eb.len() as u64, ec.len() as u64);
        (ea[pick(n, la)], eb[pick(n >> 20, lb)], ec[pick(n >> 40, lc)])
    });
    let random = random_bits(5).zip(random_bits(6)).zip(random_bits(7));
    let random = random.map(|((a, b), c)| (A::random(a), B::random(b), C::random(c)));
    edges.take(2 * RANDOM).chain(random.take(RANDOM)).collect()
}

macro_rules! integer_values {
    ($($ty:ty)*) => {$(
        impl Values for $ty {
            fn edges() -> Vec<Self> {
                let (min, max) = (<$ty>::MIN, <$ty>::MAX);
                let bits = <$ty>::BITS as usize;
                let powers = [1, bits / 4, bits / 2 - 1, bits / 2, bits - 2].map(|e| (1 as $ty) << e);
                let around = powers.into_iter().flat_map(|p| [p.wrapping_sub(1), p, (0 as $ty).wrapping_sub(p)]);
                let minus_one = (0 as $ty).wrapping_sub(1);
                [0, 1, 3, 7, minus_one, min, min.wrapping_add(1), max, max - 1].into_iter().chain(around).collect()
            }
        }
    )*};
}

integer_values!(u8 u16 i16 u32 i32 u64 i64);

/// The edges of a binary floating-point format with `mantissa` stored bits and
/// `exponent` bits, as bits: zeros, the ends of the subnormal and normal numbers,
/// numbers around 1 and around whole and half numbers, infinities, NaNs.
fn float_edges(mantissa: u32, exponent: u32) -> Vec<u64> {
    let bias = (1u64 << (exponent - 1)) - 1;
    let (one, all) = (bias << mantissa, (1u64 << mantissa) - 1);
    let infinity = ((1 << exponent) - 1) << mantissa;
    let number = |e: i64, fraction: u64| ((bias as i64 + e) as u64) << mantissa | fraction;
    let top = 1u64 << (mantissa - 1);
    let mut bits = vec![0, 1, 2, all - 1, all, all + 1, all + 2, 1 << (mantissa / 2)];
    bits.extend([one - 1, one, one + 1, number(0, top), number(1, 0), number(1, top), number(2, top / 2)]);
    bits.extend([
        number(-1, 0),
        number(-1, 1),
        number(-2, all),
        number(-(mantissa as i64), 0),
        number(-1, all),
    ]);
    bits.extend([number(mantissa as i64 - 1, 1), number(mantissa as i64, 1), number(mantissa as i64 + 2, 0)]);
    bits.extend([infinity - 1, infinity - 2, infinity >> 1, (2 << mantissa) + 1, infinity]);
    bits.extend([infinity + 1, infinity | top, infinity | all]);
    let sign = 1 << (mantissa + exponent);
    bits.iter().flat_map(|b| [*b, b | sign]).collect()
}

/// Half of the random numbers lie near 1, so that sums and products of them round.
fn random_float(bits: u64, mantissa: u32, exponent: u32) -> u64 {
    if bits.count_ones().is_multiple_of(2) {
        return bits >> (63 - mantissa - exponent);
    }
    let bias = (1u64 << (exponent - 1)) - 1;
    let near = bias + (bits >> 58 & 15) - 8;
    near << mantissa | bits & ((1 << mantissa) - 1) | (bits >> 57 & 1) << (mantissa + exponent)
}

macro_rules! float_values {
    ($($ty:ty: $mantissa:literal, $exponent:literal;)*) => {$(
        impl Values for $ty {
            fn edges() -> Vec<Self> {
                float_edges($mantissa, $exponent).into_iter().map(<$ty as Bits>::from_bits).collect()
            }
            fn random(bits: u64) -> Self {
                <$ty as Bits>::from_bits(random_float(bits, $mantissa, $exponent))
            }
        }
    )*};
}

float_values! {
    f32: 23, 8;
    f64: 52, 11;
    f16: 10, 5;
    bf16: 7, 8;
}
