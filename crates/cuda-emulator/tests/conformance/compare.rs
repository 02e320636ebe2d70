//! Integer comparisons, and choice.

use super::instruction::check;
use super::values::{Values, one, three, two};
use super::whole::Integer;

/// What two numbers must be for a comparison to hold.
type Holds<T> = fn(&T, &T) -> bool;

/// The comparisons of a type, by name.
fn comparisons<T: Ord>(ty: &str) -> Vec<(&'static str, Holds<T>)> {
    let mut all: Vec<(&str, Holds<T>)> = vec![("eq", |a, b| a == b), ("ne", |a, b| a != b)];
    if !ty.starts_with('b') {
        let ordered: [(&str, Holds<T>); 4] =
            [("lt", |a, b| a < b), ("le", |a, b| a <= b), ("gt", |a, b| a > b), ("ge", |a, b| a >= b)];
        all.extend(ordered);
    }
    if ty.starts_with('u') {
        let unsigned: [(&str, Holds<T>); 4] =
            [("lo", |a, b| a < b), ("ls", |a, b| a <= b), ("hi", |a, b| a > b), ("hs", |a, b| a >= b)];
        all.extend(unsigned);
    }
    all
}

/// How a comparison is combined with a predicate.
const COMBINATIONS: [(&str, fn(bool, bool) -> bool); 3] =
    [("and", |x, c| x && c), ("or", |x, c| x || c), ("xor", |x, c| x != c)];

/// Pairs among which many are equal, and a word whose lowest bit is a predicate.
fn operands<T: Values>() -> Vec<(T, T, u32)> {
    let equal = one::<T>().into_iter().step_by(50).map(|(a,)| (a, a, 0));
    let pairs = two().into_iter().map(|(a, b)| (a, b, 0));
    let all = equal.chain(pairs).flat_map(|(a, b, _)| [(a, b, 0), (a, b, 1)]);
    all.collect()
}

fn setp<T: Integer + Ord>(ty: &str) {
    const PREDICATE: &str = "setp.ne.u32 %q, %c, 0;\n.reg .pred %s, %t;\n";
    for (word, holds) in comparisons::<T>(ty) {
        check(
            &format!("setp.{word}.{ty} %p, %a, %b;\nselp.u32 %d, 1, 0, %p;"),
            operands(),
            |(a, b, _): (T, T, u32)| holds(&a, &b),
        );
        // Both results: bit 0 and bit 1.
        let both = "selp.u32 %d, 1, 0, %s;\n@%t add.u32 %d, %d, 2;";
        let code = format!("{PREDICATE}setp.{word}.{ty} %s|%t, %a, %b;\n{both}");
        check(&code, operands(), |(a, b, _): (T, T, u32)| if holds(&a, &b) { 1 } else { 2u32 });
        for (name, combine) in COMBINATIONS {
            for (c, negated) in [("%q", false), ("!%q", true)] {
                let code = format!("{PREDICATE}setp.{word}.{name}.{ty} %s|%t, %a, %b, {c};\n{both}");
                check(&code, operands(), |(a, b, c): (T, T, u32)| {
                    let (x, c) = (holds(&a, &b), (c != 0) != negated);
                    u32::from(combine(x, c)) + 2 * u32::from(combine(!x, c))
                });
            }
        }
    }
    let code = format!("{PREDICATE}setp.eq.{ty} _|%t, %a, %b;\nselp.u32 %d, 1, 0, %t;");
    check(&code, operands(), |(a, b, _): (T, T, u32)| a != b);
}

#[test]
fn setp_16_bits() {
    setp::<u16>("b16");
    setp::<u16>("u16");
    setp::<i16>("s16");
}

#[test]
fn setp_32_bits() {
    setp::<u32>("b32");
    setp::<u32>("u32");
    setp::<i32>("s32");
}

#[test]
fn setp_64_bits() {
    setp::<u64>("b64");
    setp::<u64>("u64");
    setp::<i64>("s64");
}

#[test]
fn setp_with_an_immediate() {
    check("setp.lt.s16 %p, %a, -5;\nselp.u32 %d, 1, 0, %p;", one(), |(a,): (i16,)| a < -5);
    check("setp.hs.u64 %p, %a, 0x8000000000000000;\nselp.u32 %d, 1, 0, %p;", one(), |(a,): (u64,)| {
        a >> 63 == 1
    });
    check("setp.ne.b16 %p, %a, -1;\nselp.u32 %d, 1, 0, %p;", one(), |(a,): (u16,)| a != 0xffff);
}

fn set<T: Integer + Ord>(ty: &str) {
    for (word, holds) in comparisons::<T>(ty) {
        for (to, one) in [("u32", u32::MAX), ("s32", u32::MAX), ("f32", 0x3f80_0000)] {
            let result = |holds: bool| if holds { one } else { 0 };
            check(&format!("set.{word}.{to}.{ty} %d, %a, %b;"), operands(), |(a, b, _): (T, T, u32)| {
                result(holds(&a, &b))
            });
        }
        for (name, combine) in COMBINATIONS {
            let code = format!("setp.ne.u32 %q, %c, 0;\nset.{word}.{name}.u32.{ty} %d, %a, %b, !%q;");
            check(
                &code,
                operands(),
                |(a, b, c): (T, T, u32)| {
                    if combine(holds(&a, &b), c == 0) { u32::MAX } else { 0 }
                },
            );
        }
    }
}

#[test]
fn set_of_each_type() {
    set::<u16>("b16");
    set::<u16>("u16");
    set::<i16>("s16");
    set::<u32>("b32");
    set::<u32>("u32");
    set::<i32>("s32");
    set::<u64>("b64");
    set::<u64>("u64");
    set::<i64>("s64");
}

/// Comparisons of floats in `set` are those of `setp`.
#[test]
fn set_of_floats() {
    check("set.lt.u32.f32 %d, %a, %b;", two(), |(a, b): (f32, f32)| if a < b { u32::MAX } else { 0 });
    check("set.neu.f32.f64 %d, %a, %b;", two(), |(a, b): (f64, f64)| if a == b { 0.0f32 } else { 1.0 });
    check("setp.ne.u32 %q, 1, 1;\nset.num.xor.s32.f32 %d, %a, %b, %q;", two(), |(a, b): (f32, f32)| {
        if a.is_nan() || b.is_nan() { 0 } else { -1 }
    });
}

/// The selected operand comes out bit for bit, whatever the type.
fn chosen<T: Values>(types: [&str; 4]) {
    for ty in types {
        let code = format!("setp.ne.u32 %p, %c, 0;\nselp.{ty} %d, %a, %b, %p;");
        check(&code, operands(), |(a, b, c): (T, T, u32)| if c != 0 { a } else { b });
        let code = format!("setp.ne.u32 %p, %c, 0;\nselp.{ty} %d, %a, %b, !%p;");
        check(&code, operands(), |(a, b, c): (T, T, u32)| if c != 0 { b } else { a });
        check(
            &format!("slct.{ty}.s32 %d, %a, %b, %c;"),
            three(),
            |(a, b, c): (T, T, i32)| {
                if c >= 0 { a } else { b }
            },
        );
        // NaN is not at least zero; -0 is.
        check(&format!("slct.{ty}.f32 %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, f32)| {
            let negative = c.to_bits() >> 31 == 1 && c.to_bits() << 1 != 0;
            if c.is_nan() || negative { b } else { a }
        });
        // A subnormal counts as zero of its sign.
        check(&format!("slct.ftz.{ty}.f32 %d, %a, %b, %c;"), three(), |(a, b, c): (T, T, f32)| {
            let negative = c.to_bits() >> 31 == 1 && c.to_bits() << 1 >> 24 != 0;
            if c.is_nan() || negative { b } else { a }
        });
    }
}

#[test]
fn selp_slct() {
    chosen::<u16>(["b16", "u16", "s16", "b16"]);
    chosen::<u32>(["b32", "u32", "s32", "f32"]);
    chosen::<u64>(["b64", "u64", "s64", "f64"]);
}

#[test]
fn selp_of_immediates() {
    check(
        "setp.gt.s32 %p, %a, 0;\nselp.s16 %d, 5, -5, %p;",
        one(),
        |(a,): (i32,)| if a > 0 { 5i16 } else { -5 },
    );
    check(
        "setp.gt.s32 %p, %a, 0;\nselp.b64 %d, -1, 1, %p;",
        one(),
        |(a,): (i32,)| {
            if a > 0 { u64::MAX } else { 1 }
        },
    );
}
