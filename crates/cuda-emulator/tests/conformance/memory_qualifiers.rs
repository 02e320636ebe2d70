//! Loads and stores with every combination of qualifiers that the manual's
//! grammar has for this target: none changes what a single thread sees.

use super::kernel::{Shape, launch, module, refused};
use super::values::random_bits;

const SHARED: [&str; 3] = [".shared", ".shared::cta", ".shared::cluster"];
const SCOPES: [&str; 4] = [".cta", ".cluster", ".gpu", ".sys"];
const EVICTION: [&str; 5] =
    [".L1::evict_normal", ".L1::evict_unchanged", ".L1::evict_first", ".L1::evict_last", ".L1::no_allocate"];
const PREFETCH: [&str; 4] = ["", ".L2::64B", ".L2::128B", ".L2::256B"];
const HINT: [&str; 2] = ["", ".L2::cache_hint"];

/// Every word of one list behind every one of another.
fn times(first: &[String], second: &[&str]) -> Vec<String> {
    first.iter().flat_map(|a| second.iter().map(move |b| format!("{a}{b}"))).collect()
}

fn all(lists: &[&[&str]]) -> Vec<String> {
    lists.iter().fold(vec![String::new()], |forms, list| times(&forms, list))
}

/// What the caches are told of an access to global memory.
fn with_eviction() -> Vec<&'static str> {
    [&[""][..], &EVICTION].concat()
}

/// All forms of `ld`, but for vectors and types.
fn load_forms() -> Vec<String> {
    let (weak, global) = (&["", ".weak"], &["", ".global"]);
    let operators = &["", ".ca", ".cg", ".cs", ".lu", ".cv"];
    let others: &[&str] = &[&SHARED[..], &[".const", ".param", ".param::entry"]].concat();
    let orders = all(&[&[".relaxed", ".acquire"], &SCOPES]);
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    [
        all(&[weak, others, operators]),
        all(&[weak, global, operators, &HINT, &PREFETCH]),
        all(&[weak, global, &EVICTION, &HINT, &PREFETCH]),
        all(&[&[".volatile"], &SHARED]),
        all(&[&[".volatile"], global, &PREFETCH]),
        all(&[&orders, &SHARED]),
        all(&[&orders, global, &with_eviction(), &HINT, &PREFETCH]),
        all(&[&[".mmio.relaxed.sys"], global]),
        all(&[&[".global"], &["", ".ca", ".cg", ".cs"], &[".nc"], &HINT, &PREFETCH]),
        all(&[&[".global.nc"], &EVICTION, &HINT, &PREFETCH]),
    ]
    .concat()
}

/// All forms of `st`.
fn store_forms() -> Vec<String> {
    let (weak, global) = (&["", ".weak"], &["", ".global"]);
    let operators = &["", ".wb", ".cg", ".cs", ".wt"];
    let orders = all(&[&[".relaxed", ".release"], &SCOPES]);
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    [
        all(&[weak, &SHARED, operators]),
        all(&[weak, global, operators, &HINT]),
        all(&[weak, global, &EVICTION, &HINT]),
        all(&[&[".volatile"], &SHARED]),
        all(&[&[".volatile"], global]),
        all(&[&orders, &SHARED]),
        all(&[&orders, global, &with_eviction(), &HINT]),
        all(&[&[".mmio.relaxed.sys"], global]),
    ]
    .concat()
}

const DECLARATIONS: &str = ".shared .align 16 .b8 s[16];\n\
     .const .align 16 .b8 c[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};\n";

fn input() -> Vec<u8> {
    random_bits(31).take(16).map(|bits| bits as u8).collect()
}

/// The policy of a hint.
const POLICY: &str = "createpolicy.fractional.L2::evict_last.b64 %l5, 0.5;\n";

fn hint(form: &str) -> &'static str {
    if form.contains("cache_hint") { ", %l5" } else { "" }
}

#[test]
fn loads() {
    let forms = load_forms();
    assert!(forms.len() > 1000);
    let input = input();
    for forms in forms.chunks(100) {
        // One number in all places but constant memory.
        let mut code = format!(
            "{POLICY}ld.global.v4.b32 {{%r0, %r1, %r2, %r3}}, [%in];\nst.shared.v4.b32 [s], {{%r0, %r1, %r2, %r3}};\n"
        );
        for (n, form) in forms.iter().enumerate() {
            let (place, at) = match form {
                f if f.contains(".shared") => ("s", 4),
                f if f.contains(".const") => ("c", 4),
                f if f.contains(".param") => ("bytes", 4),
                _ => ("%in", 4),
            };
            code += &format!(
                "mov.b32 %r4, 0;\nld{form}.b32 %r4, [{place}+{at}]{};\nst.global.b32 [%out+{}], %r4;\n",
                hint(form),
                4 * n
            );
        }
        let got = launch(&module(DECLARATIONS, &code), Shape::threads(1), &input, 4 * forms.len());
        for (form, got) in forms.iter().zip(got.chunks(4)) {
            let expected = if form.contains(".const") { &[5, 6, 7, 8] } else { &input[4..8] };
            assert_eq!(got, expected, "ld{form}");
        }
    }
}

#[test]
fn stores() {
    let input = input();
    for forms in store_forms().chunks(100) {
        let mut code = format!("{POLICY}ld.global.b32 %r4, [%in+4];\n");
        for (n, form) in forms.iter().enumerate() {
            code += &match form.contains(".shared") {
                true => format!(
                    "st.shared.b32 [s+8], 0;\nst{form}.b32 [s+8], %r4;\nld.shared.b32 %r5, [s+8];\nst.global.b32 [%out+{}], %r5;\n",
                    4 * n
                ),
                false => format!("st{form}.b32 [%out+{}], %r4{};\n", 4 * n, hint(form)),
            };
        }
        let got = launch(&module(DECLARATIONS, &code), Shape::threads(1), &input, 4 * forms.len());
        for (form, got) in forms.iter().zip(got.chunks(4)) {
            assert_eq!(got, &input[4..8], "st{form}");
        }
    }
}

/// With vectors and types, and in the order of the manual's examples.
#[test]
fn in_other_company() {
    let input = input();
    let swap = "st.global.v4.b32 [%out], {%r0, %r1, %r2, %r3};";
    for load in [
        "ld.global.nc.L1::no_allocate.L2::128B.v4.f32 {%r0, %r1, %r2, %r3}, [%in];",
        "ld.relaxed.gpu.global.L1::no_allocate.L2::cache_hint.v4.b32 {%r0, %r1, %r2, %r3}, [%in], %l5;",
        "ld.acquire.sys.v4.u32 {%r0, %r1, %r2, %r3}, [%in];",
        "ld.global.acquire.sys.v4.u32 {%r0, %r1, %r2, %r3}, [%in];",
        "ld.global.volatile.v4.s32 {%r0, %r1, %r2, %r3}, [%in];",
        "ld.global.v4.L1::evict_last.u32 {%r0, %r1, %r2, %r3}, [%in];",
        "ld.weak.v4.b32 {%r0, %r1, %r2, %r3}, [%in];",
        "ld.global.relaxed.gpu.b128 %q0, [%in];\nmov.b128 {%r0, %r1, %r2, %r3}, %q0;",
        "ld.mmio.relaxed.sys.global.b128 %q0, [%in];\nmov.b128 {%r0, %r1, %r2, %r3}, %q0;",
    ] {
        let got = super::kernel::bytes(1, &format!("{POLICY}{load}\n{swap}"), &input, 16);
        assert_eq!(got, input, "{load}");
    }
    for store in [
        "st.global.release.gpu.v4.b32 [%out], {%r0, %r1, %r2, %r3};",
        "st.relaxed.cluster.global.L1::no_allocate.L2::cache_hint.v4.f32 [%out], {%r0, %r1, %r2, %r3}, %l5;",
        "st.volatile.v2.u64 [%out], {%l0, %l1};",
        "st.global.wt.v2.f64 [%out], {%l0, %l1};",
        "st.release.sys.global.b128 [%out], %q0;",
    ] {
        let load = "ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%in];\nld.global.v2.b64 {%l0, %l1}, [%in];\nld.global.b128 %q0, [%in];\n";
        let got = super::kernel::bytes(1, &format!("{POLICY}{load}{store}"), &input, 16);
        assert_eq!(got, input, "{store}");
    }
}

/// What one thread releases another that acquires it sees: a flag behind data.
#[test]
fn release_and_acquire() {
    let declarations = ".global .align 4 .b32 data[64];\n.global .align 4 .b32 flag[64];";
    let code = "mov.u32 %r2, %ctaid.x;\nmov.u64 %l0, data;\nmov.u64 %l1, flag;\nshr.u32 %r3, %r2, 1;\n\
        mad.wide.u32 %l0, %r3, 4, %l0;\nmad.wide.u32 %l1, %r3, 4, %l1;\nand.b32 %r4, %r2, 1;\nsetp.eq.u32 %p0, %r4, 0;\n@%p0 bra READ;\n\
        add.u32 %r5, %r3, 77;\nst.global.b32 [%l0], %r5;\nst.release.gpu.global.b32 [%l1], 1;\nbra DONE;\n\
        READ:\nld.acquire.gpu.global.b32 %r6, [%l1];\nsetp.eq.u32 %p1, %r6, 0;\n@%p1 bra READ;\n\
        ld.global.b32 %r7, [%l0];\nmad.wide.u32 %out, %r3, 4, %out;\nst.global.b32 [%out], %r7;\nDONE:";
    let shape = Shape { grid: [128, 1, 1], block: [1; 3], shared: 0 };
    let got = launch(&module(declarations, code), shape, &[], 256);
    let expected: Vec<u8> = (0..64u32).flat_map(|n| (n + 77).to_le_bytes()).collect();
    assert_eq!(got, expected);
}

#[test]
fn what_does_not_go_together() {
    for code in [
        // Order.
        "ld.release.gpu.global.b32 %r0, [%in]",
        "st.acquire.gpu.global.b32 [%in], %r0",
        "ld.relaxed.global.b32 %r0, [%in]",
        "ld.volatile.gpu.global.b32 %r0, [%in]",
        "ld.weak.gpu.global.b32 %r0, [%in]",
        "ld.relaxed.gpu.local.b32 %r0, [%in]",
        "ld.acquire.gpu.const.b32 %r0, [c]",
        "ld.volatile.local.b32 %r0, [%in]",
        "ld.volatile.relaxed.gpu.global.b32 %r0, [%in]",
        "st.release.global.b32 [%in], %r0",
        "ld.mmio.sys.global.b32 %r0, [%in]",
        "ld.mmio.relaxed.gpu.global.b32 %r0, [%in]",
        "ld.mmio.relaxed.sys.shared.b32 %r0, [s]",
        "ld.mmio.relaxed.sys.global.v2.b32 {%r0, %r1}, [%in]",
        "st.mmio.acquire.sys.global.b32 [%in], %r0",
        // Caches.
        "ld.global.wb.b32 %r0, [%in]",
        "st.global.ca.b32 [%in], %r0",
        "st.global.lu.b32 [%in], %r0",
        "ld.global.ca.cg.b32 %r0, [%in]",
        "ld.global.ca.L1::no_allocate.b32 %r0, [%in]",
        "ld.relaxed.gpu.global.cg.b32 %r0, [%in]",
        "ld.volatile.global.ca.b32 %r0, [%in]",
        "ld.volatile.global.L1::evict_last.b32 %r0, [%in]",
        "ld.volatile.global.L2::cache_hint.b32 %r0, [%in], %l0",
        "ld.shared.L1::no_allocate.b32 %r0, [s]",
        "ld.shared.L2::128B.b32 %r0, [s]",
        "ld.shared.L2::cache_hint.b32 %r0, [s], %l0",
        "st.global.L2::128B.b32 [%in], %r0",
        "st.relaxed.gpu.global.wt.b32 [%in], %r0",
        // Of later GPUs.
        "ld.global.L2::evict_last.b32 %r0, [%in]",
        "st.global.L2::evict_first.b32 [%in], %r0",
        // The path that is not coherent.
        "ld.shared.nc.b32 %r0, [s]",
        "ld.nc.b32 %r0, [%in]",
        "st.global.nc.b32 [%in], %r0",
        "ld.global.nc.lu.b32 %r0, [%in]",
        "ld.relaxed.gpu.global.nc.b32 %r0, [%in]",
        "ld.weak.global.nc.b32 %r0, [%in]",
        "ld.volatile.global.nc.b32 %r0, [%in]",
        // The policy of a hint.
        "ld.global.b32 %r0, [%in], %l0",
        "ld.global.L2::cache_hint.b32 %r0, [%in]",
        "ld.global.L2::cache_hint.b32 %r0, [%in], %r1",
        "st.global.L2::cache_hint.b32 [%in], %r0",
        // Words.
        "ld.global.shared.b32 %r0, [%in]",
        "ld.global.everything.b32 %r0, [%in]",
        "ld.global %r0, [%in]",
    ] {
        refused(DECLARATIONS, &format!("{code};"));
    }
}
