//! Bits counted, found and moved, one by one.

use super::instruction::{Bits, check};
use super::values::{Values, one, random_bits, three, two};

/// The bits of a number, lowest first.
fn bits<T: Bits>(x: T) -> Vec<bool> {
    (0..8 * T::BYTES).map(|n| x.bits() >> n & 1 == 1).collect()
}

fn number<T: Bits>(bits: &[bool]) -> T {
    T::from_bits(bits.iter().rev().fold(0, |x, bit| 2 * x + u64::from(*bit)))
}

/// Operands with every single bit, and everything from a bit upwards or downwards.
fn patterns<T: Values>() -> Vec<(T,)> {
    let width = 8 * T::BYTES;
    let all = u64::MAX >> (64 - width);
    let single = (0..width).flat_map(|n| [1 << n, all << n & all, all >> n, all ^ 1 << n]);
    single.map(|bits| (T::from_bits(bits),)).chain(one()).collect()
}

fn counts<T: Values>(ty: &str) {
    check(&format!("popc.{ty} %d, %a;"), patterns(), |(a,): (T,)| {
        bits(a).iter().filter(|bit| **bit).count() as u32
    });
    check(&format!("clz.{ty} %d, %a;"), patterns(), |(a,): (T,)| {
        bits(a).iter().rev().take_while(|bit| !**bit).count() as u32
    });
    check(&format!("brev.{ty} %d, %a;"), patterns(), |(a,): (T,)| {
        number::<T>(&bits(a).into_iter().rev().collect::<Vec<_>>())
    });
}

#[test]
fn popc_clz_brev() {
    counts::<u32>("b32");
    counts::<u64>("b64");
}

fn found<T: Values>(ty: &str) {
    let highest = |a: T| {
        let sign = ty.starts_with('s') && bits(a)[8 * T::BYTES - 1];
        bits(a).iter().rposition(|bit| *bit != sign)
    };
    check(&format!("bfind.{ty} %d, %a;"), patterns(), |(a,): (T,)| highest(a).map_or(u32::MAX, |n| n as u32));
    check(&format!("bfind.shiftamt.{ty} %d, %a;"), patterns(), |(a,): (T,)| {
        highest(a).map_or(u32::MAX, |n| (8 * T::BYTES - 1 - n) as u32)
    });
}

#[test]
fn bfind() {
    found::<u32>("u32");
    found::<i32>("s32");
    found::<u64>("u64");
    found::<i64>("s64");
}

/// Positions and lengths: inside and around a word, and with bits above the byte that counts. (Of 64 bits GPUs take
/// those above too, which the manual does not.)
fn fields<T: Values>() -> Vec<(T, u32, u32)> {
    let near = random_bits(11).map(|n| {
        let high = if n >> 60 == 0 { 0x100 } else { 0 };
        (T::random(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), (n % 71) as u32 | high, (n >> 20) as u32 % 71)
    });
    let edges = T::edges().into_iter().flat_map(|a| {
        [0, 1, 31, 32, 33, 63, 64, 65, 254, 255]
            .into_iter()
            .flat_map(move |at| [0, 1, 2, 31, 32, 33, 63, 64, 65, 255].map(|n| (a, at, n)))
    });
    let above = if T::BYTES == 8 { 0xff } else { u32::MAX };
    let all = edges.chain(near.take(6000)).chain(three());
    all.map(|(a, at, n)| (a, at & above, n & above)).collect()
}

fn extracted<T: Values>(ty: &str) {
    check(&format!("bfe.{ty} %d, %a, %b, %c;"), fields(), |(a, at, n): (T, u32, u32)| {
        let (source, at, n) = (bits(a), at as usize % 256, n as usize % 256);
        let top = source.len() - 1;
        let sign = ty.starts_with('s') && n > 0 && source[(at + n - 1).min(top)];
        let field = |k: usize| if k < n && at + k <= top { source[at + k] } else { sign };
        number::<T>(&(0..=top).map(field).collect::<Vec<_>>())
    });
}

#[test]
fn bfe() {
    extracted::<u32>("u32");
    extracted::<i32>("s32");
    extracted::<u64>("u64");
    extracted::<i64>("s64");
}

fn inserted<T: Values>(ty: &str) {
    let into = random_bits(12).map(T::random);
    let inputs: Vec<(T, T, u32, u32)> =
        fields::<T>().into_iter().zip(into).map(|((a, at, n), b)| (a, b, at, n)).collect();
    check(&format!("bfi.{ty} %d, %a, %b, %c, %e;"), inputs, |(a, b, at, n): (T, T, u32, u32)| {
        let (field, mut result) = (bits(a), bits(b));
        for (k, bit) in field.into_iter().enumerate().take(n as usize % 256) {
            if let Some(place) = result.get_mut(at as usize % 256 + k) {
                *place = bit;
            }
        }
        number::<T>(&result)
    });
}

#[test]
fn bfi() {
    inserted::<u32>("b32");
    inserted::<u64>("b64");
}

/// A number and a small one, on both sides of 32.
fn with_amounts() -> Vec<(u32, u32)> {
    let square = (0..70).flat_map(|a| (0..70).map(move |b| (a, b)));
    let random = random_bits(13).map(|n| (n as u32, (n >> 32) as u32 % 70));
    square.chain(random.take(3000)).chain(two()).collect()
}

#[test]
fn bmsk() {
    for (mode, wraps) in [("clamp", false), ("wrap", true)] {
        check(&format!("bmsk.{mode}.b32 %d, %a, %b;"), with_amounts(), |(at, n): (u32, u32)| {
            let (at, n) = if wraps { (at % 32, n % 32) } else { (at, n) };
            let inside = |bit: u64| bit >= at.into() && bit < u64::from(at) + u64::from(n);
            number::<u32>(&(0..32).map(inside).collect::<Vec<_>>())
        });
    }
}

#[test]
fn szext() {
    for (mode, wraps) in [("clamp", false), ("wrap", true)] {
        for ty in ["u32", "s32"] {
            check(&format!("szext.{mode}.{ty} %d, %a, %b;"), with_amounts(), |(a, n): (u32, u32)| {
                let n = if wraps { n % 32 } else { n.min(32) } as usize;
                let mut result = bits(a);
                let sign = ty == "s32" && n > 0 && result[n - 1];
                result[n..].fill(sign);
                number::<u32>(&result)
            });
        }
    }
}

#[test]
fn fns() {
    let masks = random_bits(14).zip(random_bits(15)).map(|(x, y)| {
        let mask = match x >> 60 {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << (x >> 32 & 31),
            3..8 => (x & x >> 20) as u32,
            _ => x as u32,
        };
        (mask, y as u32 % 32, (y >> 20) as i32 % 40)
    });
    let far = [(u32::MAX, 0, i32::MAX), (u32::MAX, 31, i32::MIN), (u32::MAX, 0, 32), (u32::MAX, 31, -32)];
    let far = far.into_iter().chain([(u32::MAX, 0, 33), (u32::MAX, 31, -33), (1, 0, i32::MIN)]);
    check("fns.b32 %d, %a, %b, %c;", far.chain(masks.take(8000)), |(mask, base, offset): (u32, u32, i32)| {
        let set = |at: i64| mask >> at & 1 == 1;
        let base = i64::from(base);
        let found = match offset {
            0 => Some(base).filter(|at| set(*at)),
            1.. => (base..32).filter(|at| set(*at)).nth(offset as usize - 1),
            _ => (0..=base).rev().filter(|at| set(*at)).nth(offset.unsigned_abs() as usize - 1),
        };
        found.map_or(u32::MAX, |at| at as u32)
    });
}

/// The eight bytes of two words.
fn bytes(a: u32, b: u32) -> Vec<u8> {
    [a.to_le_bytes(), b.to_le_bytes()].concat()
}

#[test]
fn prmt() {
    let selectors = random_bits(16).zip(random_bits(17)).map(|(x, y)| (x as u32, (x >> 32) as u32, y as u32));
    check("prmt.b32 %d, %a, %b, %c;", selectors.take(20_000), |(a, b, c): (u32, u32, u32)| {
        let choice = |n: usize| {
            let nibble = c.to_le_bytes()[n / 2] / [1, 16][n % 2] % 16;
            let byte = bytes(a, b)[usize::from(nibble % 8)];
            match (nibble >= 8, byte >= 0x80) {
                (false, _) => byte,
                (true, sign) => {
                    if sign {
                        0xff
                    } else {
                        0
                    }
                }
            }
        };
        u32::from_le_bytes([choice(0), choice(1), choice(2), choice(3)])
    });
}

/// The manual's tables: for each value of the control, the bytes chosen, highest first.
#[test]
fn prmt_modes() {
    let tables = [
        ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
        ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
        ("rc8", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
        ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
    ];
    for (mode, table) in tables {
        check(&format!("prmt.b32.{mode} %d, %a, %b, %c;"), three(), |(a, b, c): (u32, u32, u32)| {
            let chosen = table[c as usize % 4].map(|n: usize| bytes(a, b)[n]);
            u32::from_be_bytes(chosen)
        });
    }
}
