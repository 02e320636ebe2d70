//! `atom` and `red`: what each does to a cell.

use super::cells::{Cell, Place, cell, low, run, scalar};
use super::values::{Values, random_bits, three, two};
use super::whole::{Integer, wrapped};

/// `atom` and `red`, a cell for each thread: `same` says whether a value that a
/// cell holds is the new one of an old value and an operand, in global memory or not.
#[track_caller]
pub fn each_its_own<T: Values>(operation: &str, ty: &str, same: impl Fn(bool, T, T, T) -> bool) {
    let width = T::BYTES;
    let pairs: Vec<(T, T)> = two();
    let cells: Vec<Cell> = pairs.iter().map(|(a, _)| cell(a.bits(), width)).collect();
    let operands: Vec<Cell> = pairs.iter().map(|(_, b)| b.bits().into()).collect();
    let mut judged: [Option<Vec<Cell>>; 2] = [None, None];
    for place in Place::ALL {
        for opcode in ["atom", "red"] {
            if opcode == "red" && operation == "exch" {
                continue;
            }
            let instruction = format!("{opcode}{}.{operation}.{ty}", place.space());
            let after = run(&scalar(&instruction, 8 * width, 1), place, &cells, &operands);
            for ((a, _), result) in pairs.iter().zip(&after.results) {
                assert!(
                    opcode == "red" || low(*result, width) == a.bits(),
                    "{instruction} gives the old value"
                );
            }
            // Once for global and once for shared memory; `red` and generic addresses do the same.
            if let Some(judged) = &judged[usize::from(place.is_global())] {
                assert!(*judged == after.cells, "{instruction}: {place:?}");
                continue;
            }
            for ((a, b), now) in pairs.iter().zip(&after.cells) {
                let new = T::from_bits(low(*now, width));
                let fine = same(place.is_global(), *a, *b, new);
                assert!(fine, "{instruction} of {a:?} and {b:?} gives {new:?}, {place:?}");
                assert_eq!(*now, cell(new.bits(), width), "{instruction} leaves the bytes around alone");
            }
            judged[usize::from(place.is_global())] = Some(after.cells);
        }
    }
}

/// The same in every place, with one new value.
#[track_caller]
fn defined<T: Values>(operation: &str, ty: &str, definition: impl Fn(T, T) -> T) {
    each_its_own(operation, ty, |_, a: T, b: T, new: T| new.bits() == definition(a, b).bits());
}

#[test]
fn add() {
    defined("add", "u32", |a: u32, b| wrapped(a.whole() + b.whole()));
    defined("add", "s32", |a: i32, b| wrapped(a.whole() + b.whole()));
    defined("add", "u64", |a: u64, b| wrapped(a.whole() + b.whole()));
}

fn min_max_of<T: Integer + Ord>() {
    defined("min", T::NAME, |a: T, b| if a < b { a } else { b });
    defined("max", T::NAME, |a: T, b| if a < b { b } else { a });
}

#[test]
fn min_max() {
    min_max_of::<u32>();
    min_max_of::<i32>();
    min_max_of::<u64>();
    min_max_of::<i64>();
}

/// Counting within the range from 0 to the operand.
#[test]
fn inc_dec() {
    defined("inc", "u32", |a: u32, b| if a >= b { 0 } else { a + 1 });
    defined("dec", "u32", |a: u32, b| if a == 0 || a > b { b } else { a - 1 });
}

fn bitwise<T: Values>(ty: &str) {
    let per_bit = |f: fn(bool, bool) -> bool| {
        move |a: T, b: T| {
            let bit = |x: T, n: usize| x.bits() >> n & 1 == 1;
            T::from_bits((0..8 * T::BYTES).map(|n| u64::from(f(bit(a, n), bit(b, n))) << n).sum())
        }
    };
    defined("and", ty, per_bit(|a, b| a && b));
    defined("or", ty, per_bit(|a, b| a || b));
    defined("xor", ty, per_bit(|a, b| a != b));
    defined("exch", ty, |_: T, b| b);
}

#[test]
fn and_or_xor_exch() {
    bitwise::<u32>("b32");
    bitwise::<u64>("b64");
}

fn compare_and_swap<T: Values + PartialEq>(ty: &str) {
    let width = T::BYTES;
    // Many of them equal.
    let triples: Vec<(T, T, T)> = three()
        .into_iter()
        .enumerate()
        .map(|(n, (a, b, c))| (a, if n % 2 == 0 { a } else { b }, c))
        .collect();
    let cells: Vec<Cell> = triples.iter().map(|(a, ..)| cell(a.bits(), width)).collect();
    let operands: Vec<Cell> =
        triples.iter().map(|(_, b, c)| Cell::from(b.bits()) | Cell::from(c.bits()) << 64).collect();
    for place in Place::ALL {
        let instruction = format!("atom{}.cas.{ty}", place.space());
        let after = run(&scalar(&instruction, 8 * width, 2), place, &cells, &operands);
        for (((a, b, c), result), now) in triples.iter().zip(after.results).zip(after.cells) {
            let new = if a == b { c } else { a };
            assert_eq!(now, cell(new.bits(), width), "{instruction} of {a:?}, {b:?}, {c:?}, {place:?}");
            assert_eq!(low(result, width), a.bits(), "{instruction} gives the old value");
        }
    }
}

#[test]
fn cas() {
    compare_and_swap::<u16>("b16");
    compare_and_swap::<u32>("b32");
    compare_and_swap::<u64>("b64");
}

#[test]
fn exch_and_cas_of_128_bits() {
    let random = |seed: u64| {
        random_bits(seed).zip(random_bits(seed + 1)).map(|(x, y)| Cell::from(x) << 64 | Cell::from(y))
    };
    let cells: Vec<Cell> = random(41).take(400).collect();
    let operands: Vec<Cell> = random(43).take(400).collect();
    let load = "ld.global.v2.b64 {%l1, %l2}, [%in];\nmov.b128 %x0, {%l1, %l2};\n";
    let store = "mov.b128 {%l1, %l2}, %x1;\nst.global.v2.b64 [%out], {%l1, %l2};";
    for place in Place::ALL {
        let space = place.space();
        let code = format!("{load}atom{space}.exch.b128 %x1, [%at], %x0;\n{store}");
        let after = run(&code, place, &cells, &operands);
        assert_eq!((&after.cells, &after.results), (&operands, &cells), "{place:?}");
        // Half of the threads expect what is there; the others differ in one bit, low or high.
        let expected: Vec<Cell> =
            cells.iter().enumerate().map(|(n, c)| if n % 2 == 0 { *c } else { c ^ 1 << (n % 128) }).collect();
        let code = format!(
            "{load}mov.b64 %l3, -1;\nmov.b64 %l4, 7;\nmov.b128 %x2, {{%l3, %l4}};\n\
             atom{space}.cas.b128 %x1, [%at], %x0, %x2;\n{store}"
        );
        let after = run(&code, place, &cells, &expected);
        assert_eq!(after.results, cells, "{place:?}");
        for (n, (now, old)) in after.cells.iter().zip(&cells).enumerate() {
            assert_eq!(*now, if n % 2 == 0 { 7 << 64 | Cell::from(u64::MAX) } else { *old }, "{place:?}");
        }
    }
}

// ---- What may be said beside the operation ---------------------------------------------

/// Orders, scopes, hints, in the places where programs put them.
#[test]
fn words_that_change_no_value() {
    let pairs = [(0x8000_0001u32, 0xffff_fff0u32), (3, 4)];
    let cells: Vec<Cell> = pairs.iter().map(|(a, _)| cell((*a).into(), 4)).collect();
    let operands: Vec<Cell> = pairs.iter().map(|(_, b)| (*b).into()).collect();
    for instruction in [
        "atom.relaxed.gpu.global.add.u32",
        "atom.acquire.cta.global.add.u32",
        "atom.release.sys.global.add.u32",
        "atom.acq_rel.cluster.global.add.u32",
        "atom.global.gpu.add.u32",
        "atom.add.acq_rel.gpu.u32",
        "atom.global.add.release.sys.s32",
        "red.relaxed.gpu.global.add.u32",
        "red.release.gpu.global.add.u32",
        "red.global.add.u32",
    ] {
        let after = run(&scalar(instruction, 32, 1), Place::Global, &cells, &operands);
        for ((a, b), now) in pairs.iter().zip(after.cells) {
            assert_eq!(now, cell((u64::from(*a) + u64::from(*b)) % (1 << 32), 4), "{instruction}");
        }
    }
    let hinted = "ld.global.b32 %r1, [%in];\nmov.b64 %l1, 0;\n\
                  atom.global.add.L2::cache_hint.u32 %r2, [%at], %r1, %l1;\n\
                  red.global.xor.L2::cache_hint.b32 [%at], %r1, %l1;\nst.global.b32 [%out], %r2;";
    let after = run(hinted, Place::Global, &[cell(5, 4)], &[9]);
    assert_eq!((after.cells[0], low(after.results[0], 4)), (cell((5 + 9) ^ 9, 4), 5));
    let shared = run(&scalar("atom.shared::cta.add.u32", 32, 1), Place::Shared, &[cell(5, 4)], &[9]);
    assert_eq!(shared.cells[0], cell(14, 4));
    let dropped = "ld.global.b32 %r1, [%in];\natom.global.add.u32 _, [%at], %r1;";
    assert_eq!(run(dropped, Place::Global, &[cell(5, 4)], &[9]).cells[0], cell(14, 4));
}
