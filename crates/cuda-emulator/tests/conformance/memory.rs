//! Loads and stores of every width, type and state space, against slices of bytes.

use super::instruction::refused as refused_instruction;
use super::kernel::{Shape, UNTOUCHED, launch, module, refused};
use super::values::random_bits;

/// Threads of these kernels, and the bytes that each has for itself.
const THREADS: usize = 8;
const SHARE: usize = 16;

/// A way to reach memory: each thread has `SHARE` bytes there.
struct Place {
    /// The suffix of the instruction.
    space: &'static str,
    declarations: String,
    /// Makes the thread's address, and where the memory is not there before the
    /// kernel runs, fills it with the thread's share of the input.
    prologue: String,
    /// The address, in a register.
    address: &'static str,
    writable: bool,
}

/// Every state space, by its name and by generic addresses.
fn places(input: &[u8]) -> Vec<Place> {
    let list = input.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let len = THREADS * SHARE;
    let mut places = Vec::new();
    let mut add = |space, declarations: &str, prologue: &str, address, writable| {
        let (declarations, prologue) = (declarations.to_owned(), prologue.to_owned());
        places.push(Place { space, declarations, prologue, address, writable });
    };
    let fill = |space: &str, base: &str| -> String {
        (0..SHARE)
            .map(|k| format!("ld.global.b8 %h15, [%l9+{k}];\nst.{space}.b8 [{base}+{k}], %h15;\n"))
            .collect()
    };
    let mine = "mad.wide.u32 %l9, %t, 16, %in;\n";
    add(".global", "", mine, "%l9", true);
    add("", "", mine, "%l9", true);
    let global = format!(".global .align 16 .b8 g[{len}] = {{{list}}};");
    let at_global = "mov.u64 %l8, g;\nmad.wide.u32 %l8, %t, 16, %l8;\n";
    add(".global", &global, at_global, "%l8", true);
    let generic = "cvta.global.u64 %l8, g;\nmad.wide.u32 %l8, %t, 16, %l8;\n";
    add("", &global, generic, "%l8", true);

    let shared = format!(".shared .align 16 .b8 s[{len}];");
    let narrow = format!("{mine}mov.u32 %r8, s;\nmad.lo.u32 %r8, %t, 16, %r8;\n{}", fill("shared", "%r8"));
    let wide = format!("{mine}mov.u64 %l8, s;\nmad.wide.u32 %l8, %t, 16, %l8;\n{}", fill("shared", "%l8"));
    for space in [".shared", ".shared::cta", ".shared::cluster"] {
        add(space, &shared, &narrow, "%r8", true);
        add(space, &shared, &wide, "%l8", true);
    }
    add("", &shared, &format!("{wide}cvta.shared.u64 %l8, %l8;\n"), "%l8", true);

    let local = format!(
        "{mine}.local .align 16 .b8 x[16];\nmov.u32 %r8, x;\nmov.u64 %l8, x;\n{}",
        fill("local", "x")
    );
    add(".local", "", &local, "%r8", true);
    add(".local", "", &local, "%l8", true);
    add("", "", &format!("{local}cvta.local.u64 %l8, %l8;\n"), "%l8", true);

    let constant = format!(".const .align 16 .b8 c[{len}] = {{{list}}};");
    let at_constant = "mov.u64 %l8, c;\nmad.wide.u32 %l8, %t, 16, %l8;\n";
    add(".const", &constant, at_constant, "%l8", false);
    add("", &constant, &at_constant.replace("mov", "cvta.const"), "%l8", false);

    let parameter = "mov.u64 %l8, bytes;\nmad.wide.u32 %l8, %t, 16, %l8;\n";
    add(".param", "", parameter, "%l8", false);
    add(".param::entry", "", parameter, "%l8", false);
    add("", "", &parameter.replace("mov", "cvta.param"), "%l8", false);
    places
}

/// Type, bytes, signed.
const TYPES: [(&str, usize, bool); 14] = [
    ("b8", 1, false),
    ("u8", 1, false),
    ("s8", 1, true),
    ("b16", 2, false),
    ("u16", 2, false),
    ("s16", 2, true),
    ("b32", 4, false),
    ("u32", 4, false),
    ("s32", 4, true),
    ("f32", 4, false),
    ("b64", 8, false),
    ("u64", 8, false),
    ("s64", 8, true),
    ("f64", 8, false),
];

/// Registers by their prefix and bytes.
const REGISTERS: [(&str, usize); 5] = [("%b", 1), ("%h", 2), ("%r", 4), ("%l", 8), ("%q", 16)];

fn input() -> Vec<u8> {
    random_bits(30).take(THREADS * SHARE).map(|bits| bits as u8).collect()
}

/// The first `size` bytes of a number, as many as a register has.
fn extended(bytes: &[u8], signed: bool, size: usize) -> Vec<u8> {
    let top = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let above = if signed && top { 0xff } else { 0 };
    bytes.iter().copied().chain(std::iter::repeat(above)).take(size).collect()
}

/// Every type into every register that holds it: above it, zeros or its sign.
#[test]
fn loads() {
    let input = input();
    for place in places(&input) {
        for (ty, size, signed) in TYPES {
            let registers = || REGISTERS.into_iter().filter(move |(_, bytes)| *bytes >= size);
            let mut code = place.prologue.clone();
            for (slot, (register, bytes)) in registers().enumerate() {
                let address = place.address;
                code += &format!("ld{}.{ty} {register}1, [{address}];\n", place.space);
                code += &format!(
                    "mad.wide.u32 %l10, %t, 80, %out;\nst.global.b{} [%l10+{}], {register}1;\n",
                    8 * bytes,
                    16 * slot
                );
            }
            let ptx = module(&place.declarations, &code);
            let got = launch(&ptx, Shape::threads(THREADS as u32), &input, THREADS * 80);
            for (thread, share) in input.chunks(SHARE).enumerate() {
                for (slot, (_, bytes)) in registers().enumerate() {
                    let at = 80 * thread + 16 * slot;
                    let expected = extended(&share[..size], signed, bytes);
                    assert_eq!(
                        got[at..at + bytes],
                        expected,
                        "ld{}.{ty} of thread {thread}:\n{ptx}",
                        place.space
                    );
                }
            }
        }
        let code = format!(
            "{}ld{}.b128 %q1, [{}];\nmad.wide.u32 %l10, %t, 16, %out;\nst.global.b128 [%l10], %q1;",
            place.prologue, place.space, place.address
        );
        let got =
            launch(&module(&place.declarations, &code), Shape::threads(THREADS as u32), &input, input.len());
        assert_eq!(got, input, "ld{}.b128", place.space);
    }
}

/// Vectors of up to 16 bytes: each element goes its way, some nowhere.
#[test]
fn vectors_are_loaded() {
    let input = input();
    for place in places(&input) {
        for (ty, size, signed) in TYPES {
            for count in [2, 4, 8].into_iter().filter(|n| n * size <= SHARE && (*n < 8 || size < 4)) {
                // 64 bits hold any element.
                let every = |k: usize| format!("%l{k}");
                let some = |k: usize| if k.is_multiple_of(2) { "_".to_owned() } else { every(k) };
                for (sinks, name) in [(false, &every as &dyn Fn(usize) -> String), (true, &some)] {
                    let names = (0..count).map(name).collect::<Vec<_>>().join(", ");
                    let mut code = format!(
                        "{}ld{}.v{count}.{ty} {{{names}}}, [{}];\nmad.wide.u32 %l10, %t, 64, %out;\n",
                        place.prologue, place.space, place.address
                    );
                    for k in (0..count).filter(|k| !sinks || k % 2 == 1) {
                        code += &format!("st.global.b64 [%l10+{}], %l{k};\n", 8 * k);
                    }
                    let ptx = module(&place.declarations, &code);
                    let got = launch(&ptx, Shape::threads(THREADS as u32), &input, THREADS * 64);
                    for (thread, share) in input.chunks(SHARE).enumerate() {
                        for k in 0..count {
                            let at = 64 * thread + 8 * k;
                            let expected = match sinks && k % 2 == 0 {
                                true => vec![UNTOUCHED; 8],
                                false => extended(&share[size * k..][..size], signed, 8),
                            };
                            assert_eq!(got[at..at + 8], expected, "element {k} of thread {thread}:\n{ptx}");
                        }
                    }
                }
            }
        }
    }
}

/// The bytes of a number that a register holds, from the lowest on.
#[test]
fn stores() {
    let input = input();
    for place in places(&input).iter().filter(|p| p.writable) {
        for (ty, size, _) in TYPES {
            for (register, bytes) in REGISTERS.into_iter().filter(|(_, bytes)| *bytes >= size) {
                for count in [1, 2, 4, 8].into_iter().filter(|n| n * size <= SHARE && (*n < 8 || size < 4)) {
                    // The values: of element k, the input's bytes from k on, turned round.
                    let mut code = format!("mad.wide.u32 %l11, %t, 16, %in;\n{}", place.prologue);
                    for k in 0..count {
                        code += &format!(
                            "ld.global.b{} {register}{k}, [%l11+{}];\n",
                            8 * bytes.min(8),
                            8 * (k % 2)
                        );
                    }
                    let names = (0..count).map(|k| format!("{register}{k}")).collect::<Vec<_>>().join(", ");
                    let (vector, names) = match count {
                        1 => (String::new(), names),
                        n => (format!(".v{n}"), format!("{{{names}}}")),
                    };
                    code += &format!("st{}{vector}.{ty} [{}], {names};\n", place.space, place.address);
                    code += "mad.wide.u32 %l10, %t, 16, %out;\n";
                    for k in 0..SHARE {
                        code += &format!(
                            "ld{}.b8 %h15, [{}+{k}];\nst.global.b8 [%l10+{k}], %h15;\n",
                            place.space, place.address
                        );
                    }
                    if register == "%q" && count > 4 {
                        continue;
                    }
                    let ptx = module(&place.declarations, &code);
                    let got = launch(&ptx, Shape::threads(THREADS as u32), &input, THREADS * SHARE);
                    for (thread, share) in input.chunks(SHARE).enumerate() {
                        let mut expected = share.to_vec();
                        for k in 0..count {
                            expected[k * size..][..size].copy_from_slice(&share[8 * (k % 2)..][..size]);
                        }
                        assert_eq!(got[SHARE * thread..][..SHARE], expected, "thread {thread}:\n{ptx}");
                    }
                }
            }
        }
        // The words of 16 bytes, turned round.
        let code = format!(
            "{}mad.wide.u32 %l11, %t, 16, %in;\nld.global.v4.b32 {{%r1, %r2, %r3, %r4}}, [%l11];\n\
             mov.b128 %q0, {{%r4, %r3, %r2, %r1}};\nst{2}.b128 [{1}], %q0;\nld{2}.v2.b64 {{%l0, %l1}}, [{1}];\n\
             mad.wide.u32 %l10, %t, 16, %out;\nst.global.v2.b64 [%l10], {{%l0, %l1}};",
            place.prologue, place.address, place.space
        );
        let got =
            launch(&module(&place.declarations, &code), Shape::threads(THREADS as u32), &input, input.len());
        let words = |bytes: &[u8]| bytes.chunks(4).rev().flatten().copied().collect::<Vec<u8>>();
        let expected: Vec<u8> = input.chunks(SHARE).flat_map(words).collect();
        assert_eq!(got, expected, "st{}.b128", place.space);
    }
}

#[test]
fn literals_are_stored() {
    let cases: [(&str, &[u8]); 11] = [
        ("b8 [%out], -2", &[0xfe]),
        ("u16 [%out], 0x1234", &[0x34, 0x12]),
        ("s32 [%out], -2", &[0xfe, 0xff, 0xff, 0xff]),
        ("b64 [%out], -2", &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("b32 [%out], 0f3f800000", &[0, 0, 0x80, 0x3f]),
        ("f32 [%out], 1.0", &[0, 0, 0x80, 0x3f]),
        ("f64 [%out], 0f3f800000", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        ("b64 [%out], 1.0", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        ("v2.b16 [%out], {1, -1}", &[1, 0, 0xff, 0xff]),
        ("v4.b8 [%out], {1, 2, 3, 4}", &[1, 2, 3, 4]),
        ("b128 [%out], -5", &[0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (form, expected) in cases {
        let got = super::kernel::bytes(1, &format!("st.global.{form};"), &[], 16);
        assert_eq!(&got[..expected.len()], expected, "{form}");
        assert!(got[expected.len()..].iter().all(|byte| *byte == UNTOUCHED), "{form}");
    }
}

/// `[register+offset]` and `[variable+offset]`, forwards and backwards.
#[test]
fn addressing_modes() {
    let input = input();
    let declarations = ".shared .align 16 .b8 s[64];\n.const .align 16 .b8 c[8] = {1, 2, 3, 4, 5, 6, 7, 8};";
    let code = ".local .align 16 .b8 x[32];\n\
        add.u64 %l0, %in, 64;\nld.global.b32 %r0, [%l0+-60];\nst.global.b32 [%out], %r0;\n\
        ld.global.b32 %r0, [%in+8];\nst.shared.b32 [s+20], %r0;\nmov.u32 %r1, s;\nadd.u32 %r1, %r1, 24;\n\
        ld.shared.b32 %r2, [%r1+-4];\nst.global.b32 [%out+4], %r2;\n\
        ld.const.b16 %h0, [c+6];\nst.global.b16 [%out+8], %h0;\n\
        ld.param.b16 %h0, [bytes+10];\nst.global.b16 [%out+10], %h0;\n\
        ld.global.b32 %r0, [%in+12];\nst.local.b32 [x+4], %r0;\nld.local.b32 %r3, [x+4];\nst.global.b32 [%out+12], %r3;\n\
        ld.b32 %r0, [s+20];\nst.global.b32 [%out+16], %r0;";
    let got = launch(&module(declarations, code), Shape::threads(1), &input, 20);
    let expected = [&input[4..8], &input[8..12], &[7, 8], &input[10..12], &input[12..16], &input[8..12]];
    assert_eq!(got, expected.concat());
}

/// Vector registers stand for their parts.
#[test]
fn vector_registers() {
    let code = ".reg .v4 .b32 %v;\n.reg .v2 .f64 %w;\nld.global.v4.b32 %v, [%in];\nst.global.v2.b32 [%out], {%v.y, %v.x};\n\
        st.global.v4.b32 [%out+16], %v;\nld.global.v2.f64 %w, [%in+16];\nst.global.v2.f64 [%out+32], %w;";
    let input = input();
    let got = super::kernel::bytes(1, code, &input, 48);
    assert_eq!(got[..8], [&input[4..8], &input[..4]].concat());
    assert_eq!(got[16..], input[..32]);
}

/// A narrow register holds no more than its bits, whatever is made of them later.
#[test]
fn signs_stay_in_the_register() {
    let code = "ld.global.v2.s8 {%b1, %b2}, [%in];\nld.global.v2.s8 {%h1, %h2}, [%in+2];\nld.global.s16 %h3, [%in+4];\n\
        mov.b32 %r1, {%h1, %h2};\nmov.b32 %r2, {%h3, 0};\nmov.b16 %h4, {%b2, %b1};\nst.global.v2.b32 [%out], {%r1, %r2};\nst.global.b16 [%out+8], %h4;";
    let got = super::kernel::bytes(1, code, &[0xf1, 0xf2, 0xf3, 0x74, 0xf5, 0xf6], 10);
    assert_eq!(got, [0xf3, 0xff, 0x74, 0, 0xf5, 0xf6, 0, 0, 0xf2, 0xf1]);
}

/// The address may be in a register that is loaded.
#[test]
fn a_load_over_its_own_address() {
    let code = "ld.global.v2.b64 {%in, %l1}, [%in];\nst.global.v2.b64 [%out], {%in, %l1};";
    assert_eq!(super::kernel::bytes(1, code, &input(), 16), input()[..16]);
}

/// `ldu`: from addresses that are the same for all threads.
#[test]
fn uniform_loads() {
    let input = input();
    for space in ["", ".global"] {
        let code = format!(
            "ldu{space}.b32 %r0, [%in+4];\nldu{space}.v4.s8 {{%r1, %r2, %r3, %r4}}, [%in+8];\nldu{space}.v2.f64 {{%l0, %l1}}, [%in+16];\n\
             ldu{space}.b128 %q0, [%in+32];\nmad.wide.u32 %out, %t, 64, %out;\nst.global.b32 [%out], %r0;\n\
             st.global.v4.b32 [%out+16], {{%r1, %r2, %r3, %r4}};\nst.global.v2.b64 [%out+32], {{%l0, %l1}};\nst.global.b128 [%out+48], %q0;"
        );
        let got = super::kernel::bytes(2, &code, &input, 128);
        for got in got.chunks(64) {
            assert_eq!(got[..4], input[4..8]);
            assert_eq!(
                got[16..32],
                input[8..12].iter().flat_map(|b| extended(&[*b], true, 4)).collect::<Vec<_>>()
            );
            assert_eq!(got[32..48], input[16..32]);
            assert_eq!(got[48..64], input[32..48]);
        }
    }
}

/// Arguments and results of calls lie in parameter space too.
#[test]
fn parameters_of_functions() {
    for (store, load) in [("st.param", "ld.param"), ("st.param::func", "ld.param::func")] {
        let declarations = format!(
            ".func (.param .align 16 .b8 r[16]) turn(.param .align 16 .b8 x[16], .param .b16 y)\n{{\n.reg .b32 %a<4>;\n.reg .b16 %h;\n.reg .b32 %s;\n\
             {load}.v4.b32 {{%a0, %a1, %a2, %a3}}, [x];\n{load}.s16 %s, [y];\nadd.u32 %a3, %a3, %s;\n\
             {store}.v2.b32 [r], {{%a3, %a2}};\n{store}.b32 [r+8], %a1;\n{store}.b32 [r+12], %a0;\nret;\n}}"
        );
        let code = format!(
            "ld.global.v4.b32 {{%r0, %r1, %r2, %r3}}, [%in];\n{{\n.param .align 16 .b8 x[16];\n.param .b16 y;\n.param .align 16 .b8 r[16];\n\
             {store}.v4.b32 [x], {{%r0, %r1, %r2, %r3}};\n{store}.b16 [y], -1;\ncall (r), turn, (x, y);\n{load}.v4.b32 {{%r0, %r1, %r2, %r3}}, [r];\n}}\n\
             st.global.v4.b32 [%out], {{%r0, %r1, %r2, %r3}};"
        );
        let input = input();
        let got = launch(&module(&declarations, &code), Shape::threads(1), &input, 16);
        let word = |n: usize| u32::from_le_bytes(input[4 * n..][..4].try_into().expect("four"));
        let expected = [word(3).wrapping_sub(1), word(2), word(1), word(0)];
        assert_eq!(got, expected.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
    }
}

/// Each thread's local memory is its own; the shared is one.
#[test]
fn whose_memory_it_is() {
    let declarations = ".shared .align 4 .b32 s[32];";
    let code = ".local .align 4 .b32 x;\nst.local.b32 [x], %t;\nmov.u32 %r1, s;\nmad.lo.u32 %r1, %t, 4, %r1;\nst.shared.b32 [%r1], %t;\n\
        bar.sync 0;\nxor.b32 %r2, %t, 5;\nmov.u32 %r1, s;\nmad.lo.u32 %r1, %r2, 4, %r1;\nld.shared.b32 %r3, [%r1];\nld.local.b32 %r4, [x];\n\
        mad.wide.u32 %out, %t, 8, %out;\nst.global.v2.b32 [%out], {%r3, %r4};";
    let got = launch(&module(declarations, code), Shape::threads(32), &[], 256);
    let expected: Vec<u8> =
        (0..32u32).flat_map(|t| [(t ^ 5).to_le_bytes(), t.to_le_bytes()].concat()).collect();
    assert_eq!(got, expected);
}

/// A guard that is false: nothing is touched, not even an address that is not there.
#[test]
fn guarded() {
    let code = "mov.u64 %l0, 64;\nsetp.eq.u32 %p0, %t, 3;\nmad.wide.u32 %l1, %t, 4, %out;\n@%p0 st.global.b32 [%l1], %t;\n\
        @!%p0 mov.u64 %l1, 64;\nmov.u32 %r1, 7;\n@%p0 ld.global.b32 %r1, [%l1];\nmad.wide.u32 %l1, %t, 4, %out;\n\
        st.global.b32 [%l1+32], %r1;";
    let got = super::kernel::bytes(8, code, &[], 64);
    let expected: Vec<u8> = (0..8).flat_map(|t| if t == 3 { [3, 0, 0, 0] } else { [UNTOUCHED; 4] }).collect();
    assert_eq!(got[..32], expected);
    assert_eq!(got[32..], (0..8).flat_map(|t| [if t == 3 { 3 } else { 7 }, 0, 0, 0]).collect::<Vec<u8>>());
}

#[test]
fn what_is_missing() {
    let declarations =
        ".shared .align 16 .b8 s[64];\n.const .align 16 .b8 c[64];\n.global .align 16 .b8 g[64];";
    for code in [
        // Widths.
        "ld.global.b32 %h0, [%in]",
        "ld.global.u64 %r0, [%in]",
        "st.global.b64 [%in], %r0",
        "ld.global.b32 %p0, [%in]",
        "ld.global.v2.b64 %l0, [%in]",
        "ld.global.v2.b32 {%r0, %r1, %r2}, [%in]",
        "ld.global.v2.b128 {%q0, %q1}, [%in]",
        "ld.global.v3.b32 {%r0, %r1, %r2}, [%in]",
        "ld.global.v2.b32 {%r0, %l0}, [%in]",
        "st.global.v2.b16 [%in], {%h0, %r0}",
        // Of later GPUs.
        "ld.global.v8.b32 {%r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7}, [%in]",
        "ld.global.v4.b64 {%l0, %l1, %l2, %l3}, [%in]",
        "st.global.v8.f32 [%in], {%r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7}",
        // Types.
        "ld.global.f16 %h0, [%in]",
        "ld.global.bf16x2 %r0, [%in]",
        "ld.global.pred %p0, [%in]",
        "st.global.f32 [%in], 1",
        "st.global.b32 [%in], 1.0",
        "st.global.u32 [%in], 0f3f800000",
        "st.global.u64 [%in], 1.0",
        "st.global.b32 [%in], %nothing",
        // Spaces.
        "ld.global.b32 %r0, [s]",
        "ld.shared.b32 %r0, [g]",
        "ld.global.b32 %r0, [c]",
        "st.const.b32 [c], %r0",
        "st.global.b32 [c], %r0",
        "st.param.b32 [bytes], %r0",
        "st.param::entry.b32 [bytes], %r0",
        "ldu.shared.b32 %r0, [s]",
        "ldu.global.v8.b8 {%h0, %h1, %h2, %h3, %h4, %h5, %h6, %h7}, [%in]",
        "ldu.global.ca.b32 %r0, [%in]",
        "ldu.weak.global.b32 %r0, [%in]",
        "ld.global.b32 _, [%in]",
    ] {
        refused(declarations, &format!("{code};"));
    }
    refused_instruction("ld.global.b32 %d, [%a], %b;");
}
