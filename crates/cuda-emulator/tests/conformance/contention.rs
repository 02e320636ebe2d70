//! Atomics of many threads on one cell.

use super::cells::{Cell, Place, cell, low, run, scalar};
use super::values::{Values, random_bits};
use super::whole::{Integer, wrapped};

/// Threads that share a cell of global memory.
const MANY: usize = 512;

/// Runs `operation` of many threads on one cell, and checks that the values form
/// a chain: every value that was written was read by one thread, but the last,
/// which is there at the end. Returns that one.
#[track_caller]
fn chain<T: Values>(operation: &str, place: Place, start: T, operands: &[T], new: impl Fn(T, T) -> T) -> T {
    let width = T::BYTES;
    let instruction = format!("atom{}.{operation}", place.space());
    let inputs: Vec<Cell> = operands.iter().map(|b| b.bits().into()).collect();
    let after = run(&scalar(&instruction, 8 * width, 1), place, &[cell(start.bits(), width)], &inputs);
    let last = low(after.cells[0], width);
    let read: Vec<u64> = after.results.iter().map(|r| low(*r, width)).collect();
    let written = read.iter().zip(operands).map(|(old, b)| new(T::from_bits(*old), *b).bits());
    let mut there: Vec<u64> = written.chain([start.bits()]).collect();
    let mut seen: Vec<u64> = read.iter().copied().chain([last]).collect();
    there.sort_unstable();
    seen.sort_unstable();
    assert!(there == seen, "{instruction}: {place:?}: what was read is not what was written");
    T::from_bits(last)
}

/// Operands of the threads of a place: those that share a shared cell are in one block.
fn many<T: Values>(place: Place, seed: u64) -> Vec<T> {
    let threads = if place.is_global() { MANY } else { 128 };
    random_bits(seed).map(T::random).take(threads).collect()
}

fn many_at_one<T: Integer + Ord>(place: Place) {
    let ty = T::NAME;
    let operands = many::<T>(place, 61);
    let start = T::random(0x0102_0304_0506_0708);
    if ty != "s64" {
        let sum = operands.iter().fold(start.whole(), |sum, b| sum + b.whole());
        let last =
            chain(&format!("add.{ty}"), place, start, &operands, |a, b| wrapped(a.whole() + b.whole()));
        assert_eq!(last.bits(), wrapped::<T>(sum).bits());
    }
    let all = || operands.iter().copied().chain([start]);
    let last = chain(&format!("min.{ty}"), place, start, &operands, |a, b| a.min(b));
    assert!(Some(last) == all().min());
    let last = chain(&format!("max.{ty}"), place, start, &operands, |a, b| a.max(b));
    assert!(Some(last) == all().max());
}

#[test]
fn many_threads_at_one_integer() {
    for place in Place::ALL {
        many_at_one::<u32>(place);
        many_at_one::<i32>(place);
        many_at_one::<u64>(place);
        many_at_one::<i64>(place);
    }
}

#[test]
fn many_threads_at_one_word() {
    for place in Place::ALL {
        let (words, longs) = (many::<u32>(place, 62), many::<u64>(place, 63));
        let last = chain("exch.b32", place, 1, &words, |_, b| b);
        assert!(words.contains(&last));
        let last = chain("exch.b64", place, 1, &longs, |_, b| b);
        assert!(longs.contains(&last));
        chain("and.b32", place, u32::MAX, &words, |a, b| a & b);
        chain("or.b64", place, 0, &longs, |a, b| a | b);
        let last = chain("xor.b32", place, 5, &words, |a, b| a ^ b);
        assert_eq!(last, words.iter().fold(5, |a, b| a ^ b));
        // Counting around and around.
        let last = chain("inc.u32", place, 3, &vec![9; words.len()], |a, b| if a >= b { 0 } else { a + 1 });
        assert_eq!(last as usize, (3 + words.len()) % 10);
        let last =
            chain("dec.u32", place, 3, &vec![9; words.len()], |a, b| if a == 0 || a > b { b } else { a - 1 });
        assert_eq!(last as usize, (3 + 10 * words.len() - words.len()) % 10);
    }
}

/// Whole numbers, whose sums are exact in any order.
#[test]
fn many_threads_at_one_float() {
    for place in Place::ALL {
        let floats: Vec<f32> = many::<u16>(place, 64).into_iter().map(|x| f32::from(x) - 30_000.0).collect();
        let last = chain("add.f32", place, 0.5, &floats, |a, b| a + b);
        assert_eq!(last, floats.iter().sum::<f32>() + 0.5);
        let doubles: Vec<f64> = floats.iter().map(|x| f64::from(*x) * 1e6).collect();
        let last = chain("add.f64", place, 0.5, &doubles, |a, b| a + b);
        assert_eq!(last, doubles.iter().sum::<f64>() + 0.5);
        let halves = vec![half::f16::from_f32(1.0); floats.len()];
        let last = chain("add.noftz.f16", place, half::f16::from_f32(2.0), &halves, |a, b| a + b);
        assert_eq!(last.to_f32(), 2.0 + halves.len() as f32);
    }
}

/// A lock-free counter: compare and swap until it succeeds.
#[test]
fn many_threads_compare_and_swap() {
    for (bits, letter) in [(16, "h"), (32, "r"), (64, "l")] {
        for place in Place::ALL {
            let space = place.space();
            let code = format!(
                "ld.relaxed.gpu{space}.b{bits} %{letter}1, [%at];\nAGAIN:\nadd.u{bits} %{letter}2, %{letter}1, 1;\n\
                 mov.b{bits} %{letter}3, %{letter}1;\n\
                 atom{space}.cas.b{bits} %{letter}1, [%at], %{letter}3, %{letter}2;\n\
                 setp.ne.u{bits} %p, %{letter}1, %{letter}3;\n@%p bra AGAIN;\n\
                 st.global.b{bits} [%out], %{letter}1;"
            );
            let threads = if place.is_global() { MANY } else { 128 };
            let after = run(&code, place, &[cell(7, bits / 8)], &vec![0; threads]);
            assert_eq!(low(after.cells[0], bits / 8), 7 + threads as u64);
            let mut tickets: Vec<u64> = after.results.iter().map(|r| low(*r, bits / 8)).collect();
            tickets.sort_unstable();
            assert!(tickets.into_iter().eq(7..7 + threads as u64), "each number once");
        }
    }
}

/// 128 bits are exchanged as a whole.
#[test]
fn many_threads_exchange_128_bits() {
    for place in Place::ALL {
        let threads = if place.is_global() { MANY } else { 128 };
        let operands: Vec<Cell> = (1..=threads as u128).map(|n| n << 64 | n).collect();
        let code = format!(
            "ld.global.v2.b64 {{%l1, %l2}}, [%in];\nmov.b128 %x0, {{%l1, %l2}};\n\
             atom{}.exch.b128 %x1, [%at], %x0;\n\
             mov.b128 {{%l1, %l2}}, %x1;\nst.global.v2.b64 [%out], {{%l1, %l2}};",
            place.space()
        );
        let after = run(&code, place, &[0], &operands);
        let mut seen: Vec<Cell> = after.results.into_iter().chain(after.cells).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq((0..=threads as u128).map(|n| n << 64 | n)));
    }
}
