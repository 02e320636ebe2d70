//! `atom` and `red` on floats: the exact sum, rounded.

use super::atomic::each_its_own;
use super::cells::{Cell, Place, run};
use super::exact::{self, BF16, F16, F32, F64, Format, Number, Rounding};
use super::instruction::Bits;
use super::values::random_bits;

/// The exact sum, rounded to nearest; any NaN where there is none.
fn is_sum(a: u64, b: u64, new: u64, f: Format) -> bool {
    match exact::decode(new, f) {
        Number::Nan => exact::decode(exact::add(a, b, f, Rounding::NearestEven, new), f) == Number::Nan,
        _ => exact::add(a, b, f, Rounding::NearestEven, f.infinity() + 1) == new,
    }
}

#[test]
fn add_of_floats() {
    each_its_own("add", "f64", |_, a: f64, b: f64, new: f64| {
        is_sum(a.to_bits(), b.to_bits(), new.to_bits(), F64)
    });
    // Global memory has no subnormals.
    each_its_own("add", "f32", |is_global, a: f32, b: f32, new: f32| {
        let flush = |x: u64| if is_global { exact::flush(x, F32) } else { x };
        let (a, b) = (flush(a.bits()), flush(b.bits()));
        let sum = exact::add(a, b, F32, Rounding::NearestEven, 0x7fff_ffff);
        if exact::decode(sum, F32) == Number::Nan { new.is_nan() } else { new.bits() == flush(sum) }
    });
    each_its_own("add.noftz", "f16", |_, a: half::f16, b, new| is_sum(a.bits(), b.bits(), new.bits(), F16));
    each_its_own("add.noftz", "bf16", |_, a: half::bf16, b, new| {
        is_sum(a.bits(), b.bits(), new.bits(), BF16)
    });
    for (ty, f) in [("f16x2", F16), ("bf16x2", BF16)] {
        each_its_own("add.noftz", ty, |_, a: u32, b: u32, new: u32| {
            let halves = |x: u32| [u64::from(x & 0xffff), u64::from(x >> 16)];
            let (a, b, new) = (halves(a), halves(b), halves(new));
            (0..2).all(|n| is_sum(a[n], b[n], new[n], f))
        });
    }
}

/// The lesser or greater of two numbers; the number where one is NaN. Either of two zeros.
fn is_extreme(greatest: bool, a: u64, b: u64, new: u64, f: Format) -> bool {
    let key = |x: u64| -> Option<f64> {
        match exact::decode(x, f) {
            Number::Nan => None,
            _ if f == F16 => Some(half::f16::from_bits(x as u16).to_f64()),
            _ => Some(half::bf16::from_bits(x as u16).to_f64()),
        }
    };
    match (key(a), key(b), key(new)) {
        (None, None, None) => true,
        (Some(x), None, Some(new)) | (None, Some(x), Some(new)) => x == new,
        (Some(x), Some(y), Some(new)) => new == if greatest == (x > y) { x } else { y },
        _ => false,
    }
}

/// A vector's elements are updated one by one. `width` bits each, `packed` values in an element.
fn vectors(operation: &str, ty: &str, count: usize, same: impl Fn(u64, u64, u64) -> bool) {
    let (letter, bits) = match ty {
        "f32" | "f16x2" | "bf16x2" => ("r", 32),
        _ => ("h", 16),
    };
    // A packed type's elements are judged by halves.
    let part = if ty == "f32" { 32 } else { 16 };
    let random = |seed: u64| {
        random_bits(seed).zip(random_bits(seed + 1)).map(move |(x, y)| {
            let value = Cell::from(x) << 64 | Cell::from(y);
            // Mostly numbers near each other.
            if x % 4 == 0 || part == 32 {
                value
            } else {
                value & 0x83ff_83ff_83ff_83ff_83ff_83ff_83ff_83ff | 0x3c00
            }
        })
    };
    let cells: Vec<Cell> = random(51).take(300).collect();
    let operands: Vec<Cell> = random(53).take(300).collect();
    let list =
        |first: usize| (0..count).map(|n| format!("%{letter}{}", first + n)).collect::<Vec<_>>().join(", ");
    let each = |f: &dyn Fn(usize) -> String| (0..count).map(f).collect::<String>();
    let load = each(&|n| format!("ld.global.b{bits} %{letter}{n}, [%in+{}];\n", n * bits / 8));
    let store = each(&|n| format!("st.global.b{bits} [%out+{}], %{letter}{};\n", n * bits / 8, count + n));
    for place in [Place::Global, Place::GenericGlobal] {
        let name = format!("{}.{operation}.v{count}.{ty}", place.space());
        for (opcode, result) in [("red", String::new()), ("atom", format!("{{{}}}, ", list(count)))] {
            let store = if opcode == "atom" { store.as_str() } else { "" };
            let code = format!("{load}{opcode}{name} {result}[%at], {{{}}};\n{store}", list(0));
            let after = run(&code, place, &cells, &operands);
            for (n, now) in after.cells.iter().enumerate() {
                let at = |x: Cell, k: usize| (x >> (part * k)) as u64 & u64::MAX >> (64 - part);
                let touched = count * bits / part;
                for k in 0..128 / part {
                    let (a, b, new) = (at(cells[n], k), at(operands[n], k), at(*now, k));
                    let fine = if k < touched { same(a, b, new) } else { a == new };
                    assert!(fine, "{opcode}{name}: part {k} of {a:#x} and {b:#x} gives {new:#x}");
                    assert!(opcode == "red" || k >= touched || at(after.results[n], k) == a, "the old value");
                }
            }
        }
    }
}

#[test]
fn vectors_of_floats() {
    for count in [2, 4] {
        vectors("add", "f32", count, |a, b, new| {
            let (a, b) = (exact::flush(a, F32), exact::flush(b, F32));
            let sum = exact::add(a, b, F32, Rounding::NearestEven, 0x7fff_ffff);
            match exact::decode(sum, F32) {
                Number::Nan => exact::decode(new, F32) == Number::Nan,
                _ => new == exact::flush(sum, F32),
            }
        });
    }
    for (ty, f, counts) in [
        ("f16", F16, &[2, 4, 8][..]),
        ("bf16", BF16, &[2, 4, 8]),
        ("f16x2", F16, &[2, 4]),
        ("bf16x2", BF16, &[2, 4]),
    ] {
        for count in counts {
            vectors("add.noftz", ty, *count, |a, b, new| is_sum(a, b, new, f));
            vectors("min.noftz", ty, *count, |a, b, new| is_extreme(false, a, b, new, f));
            vectors("max.noftz", ty, *count, |a, b, new| is_extreme(true, a, b, new, f));
        }
    }
}
