//! The tensor core's sums against their definitions: those of the hardware over
//! whole numbers of any length, the exact ones over f64.

use cuda_emulator::numeric::tensor_core::{
    Accumulator, Arithmetic, Format, Operation, ROWS, Unit, multiply_accumulate,
};
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};

// ---- Numbers ---------------------------------------------------------------------------

/// Finite numbers are whole multiples of 2^-UNIT.
const UNIT: i64 = 600;

#[derive(Debug, Clone)]
enum Number {
    Nan,
    /// Negative?
    Infinity(bool),
    /// Its multiple of 2^-UNIT, and its exponent in its format.
    Finite(BigInt, i64),
}

fn power(e: i64) -> BigInt {
    BigInt::from(1) << e
}

/// (bits of the exponent, bits of the significand, lowest bits that do not count)
fn fields(f: Format) -> (u32, u32, u32) {
    match f {
        Format::E4m3 => (4, 3, 0),
        Format::E5m2 => (5, 2, 0),
        Format::F16 => (5, 10, 0),
        Format::Bf16 => (8, 7, 0),
        Format::Tf32 => (8, 10, 13),
        Format::S8 | Format::U8 => panic!("no float"),
    }
}

fn number(code: u32, f: Format) -> Number {
    let (exponent, mantissa, unused) = fields(f);
    let number = decode(code >> unused, exponent, mantissa);
    match (f, code & 0x7f, number) {
        // E4M3 has no infinity, and one NaN.
        (Format::E4m3, 0x7f, _) => Number::Nan,
        (Format::E4m3, magnitude @ 0x78.., _) => {
            finite(code & 0x80 != 0, i64::from(magnitude & 7 | 8), 8 - 3, 8)
        }
        (_, _, number) => number,
    }
}

/// significand * 2^last, with the exponent that it is written with.
fn finite(negative: bool, significand: i64, last: i64, exponent: i64) -> Number {
    let magnitude = BigInt::from(significand) * power(UNIT + last);
    Number::Finite(if negative { -magnitude } else { magnitude }, exponent)
}

fn decode(code: u32, exponent: u32, mantissa: u32) -> Number {
    let bias = (1i64 << (exponent - 1)) - 1;
    let negative = code >> (exponent + mantissa) & 1 == 1;
    let field = i64::from(code >> mantissa & ((1 << exponent) - 1));
    let fraction = i64::from(code & ((1 << mantissa) - 1));
    match field {
        f if f == (1 << exponent) - 1 => {
            if fraction == 0 {
                Number::Infinity(negative)
            } else {
                Number::Nan
            }
        }
        0 => finite(negative, fraction, 1 - bias - i64::from(mantissa), 1 - bias),
        e => finite(negative, fraction | 1 << mantissa, e - bias - i64::from(mantissa), e - bias),
    }
}

/// The code of the number of a format with infinities that is nearest to a multiple of 2^-UNIT: ties to even or
/// towards zero, then `kept` bits behind the leading one.
fn encode(x: &BigInt, exponent: u32, mantissa: u32, kept: u32, nearest: bool) -> u32 {
    let bias = (1i64 << (exponent - 1)) - 1;
    let sign = u32::from(x.is_negative()) << (exponent + mantissa);
    let magnitude = x.abs();
    if magnitude.is_zero() {
        return 0;
    }
    let leading = (magnitude.bits() as i64 - 1 - UNIT).max(1 - bias);
    let spacing = power(UNIT + leading - i64::from(kept));
    let (mut steps, rest) = (&magnitude / &spacing, &magnitude % &spacing);
    if nearest {
        let twice: BigInt = rest * 2;
        if twice > spacing || twice == spacing && &steps % 2 == BigInt::from(1) {
            steps += 1;
        }
    }
    let steps = steps.to_u64().expect("few bits") << (mantissa - kept);
    let code = ((leading + bias - 1) as u64) * (1 << mantissa) + steps;
    let infinity = ((1u64 << exponent) - 1) << mantissa;
    sign | code.min(infinity) as u32
}

// ---- The hardware's sums, by definition -------------------------------------------------

/// NaN and infinities among the products and the accumulator.
fn special(products: &[(Number, Number)], c: &Number) -> Option<Number> {
    let infinity = |a: &Number, b: &Number| match (a, b) {
        (Number::Nan, _) | (_, Number::Nan) => Some(Number::Nan),
        (Number::Infinity(_), Number::Finite(x, _)) | (Number::Finite(x, _), Number::Infinity(_))
            if x.is_zero() =>
        {
            Some(Number::Nan)
        }
        (Number::Infinity(s), Number::Infinity(t)) => Some(Number::Infinity(s != t)),
        (Number::Infinity(s), Number::Finite(x, _)) | (Number::Finite(x, _), Number::Infinity(s)) => {
            Some(Number::Infinity(*s != x.is_negative()))
        }
        (Number::Finite(..), Number::Finite(..)) => None,
    };
    let found: Vec<Number> = products
        .iter()
        .filter_map(|(a, b)| infinity(a, b))
        .chain(Some(c.clone()).filter(|c| !matches!(c, Number::Finite(..))))
        .collect();
    let any = |negative| found.iter().any(|n| matches!(n, Number::Infinity(s) if *s == negative));
    match found.first() {
        None => None,
        _ if found.iter().any(|n| matches!(n, Number::Nan)) || any(true) && any(false) => Some(Number::Nan),
        _ => Some(Number::Infinity(any(true))),
    }
}

/// One sum of a unit: everything aligned to the largest exponent, cut off below `fraction` bits, added.
fn unit(products: &[(Number, Number)], c: &Number, fraction: i64, floor: i64) -> Number {
    if let Some(special) = special(products, c) {
        return special;
    }
    let mut terms = Vec::new();
    let get = |n: &Number| match n {
        Number::Finite(x, e) => (x.clone(), *e),
        _ => panic!("special"),
    };
    for (a, b) in products {
        let ((a, e), (b, f)) = (get(a), get(b));
        terms.push(((a * b) >> UNIT, e + f));
    }
    terms.push(get(c));
    terms.retain(|(x, _)| !x.is_zero());
    let top = terms.iter().map(|(_, e)| *e).fold(floor, i64::max);
    let step = power(UNIT + top - fraction);
    // Division of whole numbers cuts off towards zero.
    let sum: BigInt = terms.iter().map(|(x, _)| x / &step).sum();
    Number::Finite(sum * step, 0)
}

fn f32_of(n: &Number, kept: u32) -> u32 {
    match n {
        Number::Nan => 0x7fff_ffff,
        Number::Infinity(negative) => 0x7f80_0000 | u32::from(*negative) << 31,
        Number::Finite(x, _) => encode(x, 8, 23, kept, false),
    }
}

fn f16_of(n: &Number) -> u32 {
    match n {
        Number::Nan => 0x7fff,
        Number::Infinity(negative) => 0x7c00 | u32::from(*negative) << 15,
        Number::Finite(x, _) => encode(x, 5, 10, 10, true),
    }
}

/// The bits of an element of D.
fn hardware(op: &Operation, a: &[u32], b: &[u32], c: u32) -> u32 {
    let half = op.d == Accumulator::F16;
    let sign = |f| {
        let (exponent, mantissa, unused) = fields(f);
        if op.negate { 1u32 << (exponent + mantissa + unused) } else { 0 }
    };
    let products: Vec<_> =
        a.iter().zip(b).map(|(a, b)| (number(a ^ sign(op.a), op.a), number(*b, op.b))).collect();
    // An f16 accumulator counts with the exponent that it has as an f32.
    let accumulator = |bits: u32| match half {
        false => decode(bits, 8, 23),
        true => match decode(bits, 5, 10) {
            Number::Finite(x, _) => {
                let leading = x.bits() as i64 - 1 - UNIT;
                Number::Finite(x, leading)
            }
            special => special,
        },
    };
    let end = |n: &Number, kept| if half { f16_of(n) } else { f32_of(n, kept) };
    if !op.a.is_fp8() {
        let floor = if half { -21 } else { -133 };
        return end(&unit(&products, &accumulator(c), 25, floor), 23);
    }
    if op.unit == Unit::Warpgroup {
        return end(&unit(&products, &accumulator(c), 13, -500), 13);
    }
    // As f16, whose subnormal numbers are smaller than those of E4M3.
    let as_f16 = |n: &Number| match n {
        Number::Finite(x, _) => Number::Finite(x.clone(), (x.bits() as i64 - 1 - UNIT).max(-14)),
        special => special.clone(),
    };
    let mut sum = 0;
    for first in [0, 2] {
        let part: Vec<_> = (0..op.k)
            .filter(|k| k % 4 / 2 * 2 == first)
            .map(|k| (as_f16(&products[k].0), as_f16(&products[k].1)))
            .collect();
        let floor = if half { -21 } else { -133 };
        sum = end(&unit(&part, &accumulator(sum), 25, floor), 23);
    }
    // An ordinary addition.
    match (accumulator(sum), accumulator(c)) {
        (Number::Finite(x, _), Number::Finite(y, _)) => {
            let zero = x.is_zero() && y.is_zero() && sum & c >> if half { 15 } else { 31 } & 1 == 1;
            match half {
                _ if zero => panic!("no sum is -0"),
                true => encode(&(x + y), 5, 10, 10, true),
                false => encode(&(x + y), 8, 23, 23, true),
            }
        }
        (x, y) => end(&special(&[(x, finite(false, 1, 0, 0))], &y).expect("special"), 23),
    }
}

// ---- Operands ---------------------------------------------------------------------------

/// Random numbers that repeat (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What factors and accumulators are like.
const KINDS: u64 = 9;

fn factor(r: &mut Random, kind: u64, f: Format) -> u32 {
    let (exponent, mantissa, unused) = fields(f);
    let bits = exponent + mantissa;
    let bias = (1u64 << (exponent - 1)) - 1;
    let top = (1u64 << exponent) - if f == Format::E4m3 { 1 } else { 2 };
    let fraction = r.below(1 << mantissa);
    let sign = r.below(2) << bits;
    let with = |field: u64| sign | field << mantissa | fraction;
    let code = match kind {
        // Anything; anything finite.
        0 => r.below(2 << bits),
        1 => with(r.below(top)),
        // Around one, close together and further apart.
        2 => with(bias + r.below(2)),
        3 => with(bias - 3 + r.below(7)),
        // Huge among tiny.
        4 => with(if r.below(4) == 0 { top - 1 } else { r.below(3) }),
        // Subnormal.
        5 => with(0),
        // Mostly zero, of both signs.
        6 => match r.below(4) {
            0 => with(bias + r.below(3) - 1),
            _ => sign,
        },
        // One special one among many.
        7 => match r.below(24) {
            0 => sign | (((1 << exponent) - 1) << mantissa),
            1 => sign | (((1 << exponent) - 1) << mantissa) | fraction,
            _ => with(bias + r.below(3)),
        },
        // Powers of two.
        _ => sign | r.below(top) << mantissa,
    };
    let noise = if unused > 0 { r.below(1 << unused) } else { 0 };
    (code << unused | noise) as u32
}

fn accumulator(r: &mut Random, kind: u64, half: bool) -> u32 {
    let format = if half { Format::F16 } else { Format::Tf32 };
    match r.below(6) {
        0 => 0,
        1 => 1 << if half { 15 } else { 31 },
        2 => factor(r, 0, format),
        3 => factor(r, 5, format),
        _ => factor(r, kind, format),
    }
}

/// Codes as bytes.
fn bytes(codes: &[u32], f: Format) -> Vec<u8> {
    codes.iter().flat_map(|c| c.to_le_bytes()[..f.bytes()].to_vec()).collect()
}

struct Case {
    op: Operation,
    a: Vec<u32>,
    b: Vec<u32>,
    d: Vec<u32>,
}

fn case(r: &mut Random, kind: u64, op: Operation) -> Case {
    let mut a: Vec<_> = (0..ROWS * op.k).map(|_| factor(r, kind, op.a)).collect();
    let mut b: Vec<_> = (0..op.n * op.k).map(|_| factor(r, kind, op.b)).collect();
    if kind % 3 == 0 {
        // Products that cancel: every second one is nearly minus the one before.
        let (exponent, mantissa, unused) = fields(op.a);
        for pair in a.chunks_mut(2) {
            pair[1] = pair[0] ^ 1 << (exponent + mantissa + unused);
        }
        for pair in b.chunks_mut(2) {
            pair[1] = pair[0] ^ u32::from(r.below(3) == 0);
        }
    }
    let d = (0..ROWS * op.n).map(|_| accumulator(r, kind, op.d == Accumulator::F16)).collect();
    Case { op, a, b, d }
}

impl Case {
    fn run(&self, arithmetic: Arithmetic) -> Vec<u32> {
        let mut d = self.d.clone();
        let (a, b) = (bytes(&self.a, self.op.a), bytes(&self.b, self.op.b));
        multiply_accumulate(&self.op, arithmetic, &a, &b, &mut d);
        d
    }

    /// (a's row, b's column, what D held, its index) of each element.
    fn elements(&self) -> impl Iterator<Item = (&[u32], &[u32], u32, usize)> {
        let (n, k) = (self.op.n, self.op.k);
        (0..ROWS * n).map(move |at| {
            let (m, column) = (at / n, at % n);
            (&self.a[m * k..][..k], &self.b[column * k..][..k], self.d[at], at)
        })
    }
}

/// Every kind of floating-point operation.
fn operations() -> Vec<Operation> {
    use Accumulator::{F16, F32};
    let mut all = Vec::new();
    let mut push = |a, b, d, unit, k| {
        let n = [8, 16, 24][all.len() % 3];
        all.push(Operation { a, b, d, unit, negate: all.len() % 4 == 3, n, k });
    };
    for unit in [Unit::Warp, Unit::Warpgroup] {
        for (f, d) in [(Format::F16, F32), (Format::Bf16, F32), (Format::F16, F16)] {
            push(f, f, d, unit, 16);
        }
        push(Format::Bf16, Format::Bf16, F32, unit, 8);
        push(Format::F16, Format::F16, F16, unit, 8);
        push(Format::Tf32, Format::Tf32, F32, unit, 8);
        push(Format::Tf32, Format::Tf32, F32, unit, 4);
        for a in [Format::E4m3, Format::E5m2] {
            for b in [Format::E4m3, Format::E5m2] {
                push(a, b, F32, unit, 32);
                push(a, b, F16, unit, 32);
            }
        }
        push(Format::E4m3, Format::E5m2, F32, unit, 16);
    }
    all
}

#[test]
fn sums_of_the_hardware() {
    let mut r = Random(1);
    for op in operations() {
        for kind in 0..KINDS {
            let case = case(&mut r, kind, op);
            let got = case.run(Arithmetic::Hardware);
            for (a, b, c, at) in case.elements() {
                // The sign of what is cut off to zero is not defined.
                let expected = hardware(&op, a, b, c);
                let zero = expected & if op.d == Accumulator::F16 { 0x7fff } else { 0x7fff_ffff } == 0;
                let same = got[at] == expected || zero && got[at] & 0x7fff_7fff == 0;
                assert!(same, "{op:?} kind {kind}\n{a:x?}\n{b:x?}\n{c:#x}: {:#x} not {expected:#x}", got[at]);
            }
        }
    }
}

/// The value of a float's bits.
fn value(code: u32, f: Format) -> f64 {
    match number(code, f) {
        Number::Nan => f64::NAN,
        Number::Infinity(negative) => f64::INFINITY * if negative { -1.0 } else { 1.0 },
        Number::Finite(x, _) => {
            let shift = x.trailing_zeros().unwrap_or(0);
            (x >> shift).to_f64().expect("few bits") * 2f64.powi((shift as i64 - UNIT) as i32)
        }
    }
}

#[test]
fn exact_sums() {
    let mut r = Random(2);
    for op in operations() {
        let half = op.d == Accumulator::F16;
        let of_accumulator = |bits| match half {
            true => value(bits, Format::F16),
            false => f64::from(f32::from_bits(bits)),
        };
        let sign = if op.negate { -1.0 } else { 1.0 };
        for kind in [1, 2, 3, 6, 8] {
            let mut case = case(&mut r, kind, op);
            case.d
                .iter_mut()
                .for_each(|d| *d = factor(&mut r, 3, if half { Format::F16 } else { Format::Tf32 }));
            let got = case.run(Arithmetic::Exact);
            for (a, b, c, at) in case.elements() {
                let products = a.iter().zip(b).map(|(a, b)| sign * value(*a, op.a) * value(*b, op.b));
                let (sum, size) = products
                    .fold((of_accumulator(c), of_accumulator(c).abs()), |(s, size), p| {
                        (s + p, size + p.abs())
                    });
                // Each addition rounds once.
                let bound = size * (op.k + 1) as f64 * 2f64.powi(-24)
                    + 1e-44
                    + if half { sum.abs() * 2f64.powi(-11) + 2f64.powi(-25) } else { 0.0 };
                let largest = if half { 65504.0 } else { f64::from(f32::MAX) };
                let got = of_accumulator(got[at]);
                let fits = (got - sum).abs() <= bound || size > largest;
                assert!(fits, "{op:?} {a:x?} {b:x?} {c:#x}: {got} not {sum}");
            }
        }
    }
}

/// Small whole numbers: nothing rounds, whatever the arithmetic.
#[test]
fn sums_of_whole_numbers() {
    let mut r = Random(3);
    for op in operations() {
        let codes: Vec<u32> = (0..1u32 << (8 * op.a.bytes().min(2)))
            .map(|c| if op.a == Format::Tf32 { c << 16 } else { c })
            .filter(|c| [-2.0, -1.0, 0.0, 1.0, 2.0].contains(&value(*c, op.a)))
            .collect();
        let in_b = |code: u32| {
            let x = value(code, op.a);
            (0..=0xffffu32)
                .map(|c| if op.b == Format::Tf32 { c << 16 } else { c })
                .find(|c| (op.b.bytes() > 1 || *c < 256) && value(*c, op.b) == x)
                .expect("every format has small whole numbers")
        };
        let b_codes: Vec<u32> = codes.iter().map(|c| in_b(*c)).collect();
        let pick = |r: &mut Random, from: &[u32]| from[r.below(from.len() as u64) as usize];
        let half = op.d == Accumulator::F16;
        let case = Case {
            op,
            a: (0..ROWS * op.k).map(|_| pick(&mut r, &codes)).collect(),
            b: (0..op.n * op.k).map(|_| pick(&mut r, &b_codes)).collect(),
            d: vec![if half { 0x4200 } else { 3f32.to_bits() }; ROWS * op.n],
        };
        for arithmetic in [Arithmetic::Hardware, Arithmetic::Exact] {
            let got = case.run(arithmetic);
            for (a, b, _, at) in case.elements() {
                let sum: f64 = a.iter().zip(b).map(|(a, b)| value(*a, op.a) * value(*b, op.b)).sum();
                let expected = 3.0 + if op.negate { -sum } else { sum };
                let got = match half {
                    true => value(got[at], Format::F16),
                    false => f64::from(f32::from_bits(got[at])),
                };
                assert_eq!(got, expected, "{op:?}");
            }
        }
    }
}

#[test]
fn sums_of_bytes() {
    let mut r = Random(4);
    for (a, b) in [
        (Format::S8, Format::S8),
        (Format::S8, Format::U8),
        (Format::U8, Format::S8),
        (Format::U8, Format::U8),
    ] {
        for (k, n) in [(16, 8), (32, 24)] {
            for saturate in [false, true] {
                let d = Accumulator::S32 { saturate };
                let op = Operation { a, b, d, unit: Unit::Warp, negate: false, n, k };
                let mut byte = || [0, 1, 127, 128, 255, r.below(256) as u32][r.below(6) as usize];
                let (a_codes, b_codes) =
                    ((0..ROWS * k).map(|_| byte()).collect(), (0..n * k).map(|_| byte()).collect());
                let mut start = || [0, i32::MAX, i32::MIN, r.next() as i32][r.below(4) as usize] as u32;
                let case = Case { op, a: a_codes, b: b_codes, d: (0..ROWS * n).map(|_| start()).collect() };
                let got = case.run(Arithmetic::Hardware);
                let value = |code: u32, f| {
                    i128::from(if f == Format::S8 { (code as i8).into() } else { code as i64 })
                };
                for (x, y, c, at) in case.elements() {
                    let sum: i128 = x.iter().zip(y).map(|(x, y)| value(*x, a) * value(*y, b)).sum();
                    let sum = sum + i128::from(c as i32);
                    let expected = if saturate { sum.clamp(i32::MIN.into(), i32::MAX.into()) } else { sum };
                    assert_eq!(got[at], expected as u32, "{op:?}");
                }
            }
        }
    }
}
