//! Instructions that work on tensor maps in memory: whole programs, and what is wrong with others.

use cuda_emulator::code::Program;
use cuda_emulator::machine::tensor_map::{BYTES, ElementType, Fill, Interleave, Swizzle, TensorMap};

use crate::device::Device;

use super::examples::rows;

/// A kernel `test(a, b)`. `%rd1` and `%rd2` hold the parameters, `%r1` the lane, `%r2` the address of `s`: 256 bytes
/// of shared memory, into which the map at `a` has been copied if `copied`.
fn module(copied: bool, body: &str) -> String {
    let copy = "mul.wide.u32 %rd3, %r1, 4;
            add.u64 %rd3, %rd1, %rd3;
            mad.lo.u32 %r3, %r1, 4, %r2;
            ld.global.b32 %r4, [%rd3];
            st.shared.b32 [%r3], %r4;
            bar.sync 0;";
    let copy = if copied { copy } else { "" };
    format!(
        ".version 8.7
        .target sm_90a
        .address_size 64
        .const .align 64 .b8 c[128];
        .global .align 128 .b8 g[256];
        .visible .entry test(.param .u64 a, .param .u64 b)
        {{
            .reg .pred %p<4>;
            .reg .b32 %r<16>;
            .reg .b64 %rd<16>;
            .shared .align 128 .b8 s[256];
            ld.param.u64 %rd1, [a];
            ld.param.u64 %rd2, [b];
            mov.u32 %r1, %laneid;
            mov.u32 %r2, s;
            {copy}
            {body}
            ret;
        }}"
    )
}

/// A map, far from what the tests make of it.
fn before() -> TensorMap {
    rows(ElementType::U8, 64, [32, 3])
}

/// Runs the kernel with the map at `a` and 128 zeros at `b`. Gives the bytes of both afterwards.
fn run(threads: u32, body: &str) -> Result<[Vec<u8>; 2], String> {
    run_with(&before().encode(), threads, &module(true, body))
}

fn run_with(map: &[u8], threads: u32, ptx: &str) -> Result<[Vec<u8>; 2], String> {
    let mut outcome = Err(String::new());
    for seed in 0..3 {
        let mut device = Device::new(ptx);
        let (a, b) = (device.put(map), device.put(&[0u8; BYTES]));
        let result = device.launch("test", [1; 3], [threads, 1, 1], &[a, b], seed);
        outcome = match result {
            Ok(_) => Ok([device.get(a, BYTES), device.get(b, BYTES)]),
            Err(finding) => {
                assert!(finding.place.ptx.contains("// HERE"), "{finding}");
                Err(finding.to_string())
            }
        };
    }
    outcome
}

/// A program with this as its marked line is wrong, and told so.
#[track_caller]
fn caught(threads: u32, body: &str, text: &str) {
    match run(threads, body) {
        Err(message) => assert!(message.contains(text), "`{text}` is not in:\n{message}"),
        Ok(_) => panic!("nothing was found in `{body}`"),
    }
}

/// Every field of a map in shared memory, which is then copied to global memory.
#[test]
fn a_map_is_changed_and_published() {
    let body = "
        setp.ne.u32 %p1, %r1, 0;
        @%p1 bra done;
        mov.b64 %rd4, 0x123450;
        mov.b32 %r5, 2;
        tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%r2], %rd4;
        tensormap.replace.tile.rank.shared::cta.b1024.b32 [%r2], %r5;
        tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%r2], 0, 16;
        tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [s], 2, %r5;
        tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [s], 0, 100;
        mov.b32 %r6, 0;
        tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r2], 1, %r6;
        tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r2+0], 2, 300;
        mov.b64 %rd5, 0x1000000;
        tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%r2], 0, 416;
        tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%r2], 1, %rd5;
        tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [%r2], 1, 8;
        // Generic addresses name shared memory too.
        cvt.u64.u32 %rd6, %r2;
        cvta.shared.u64 %rd6, %rd6;
        tensormap.replace.tile.elemtype.b1024.b32 [%rd6], 7;
        tensormap.replace.tile.interleave_layout.shared::cta.b1024.b32 [%r2], 0;
        tensormap.replace.tile.swizzle_mode.shared::cta.b1024.b32 [%r2], 3;
        tensormap.replace.tile.fill_mode.shared::cta.b1024.b32 [%r2], 1;
    done:
        bar.sync 0;
        tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%rd2], [%r2], 128;
        fence.proxy.tensormap::generic.acquire.gpu [%rd2], 128;";
    let [a, b] = run(32, body).unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(a, before().encode());
    let mut expected = before();
    expected.address = 0x123450;
    expected.rank = 3;
    expected.box_dims = [16, 3, 2, 1, 1];
    expected.dims = [100, 1 << 32, 300, 1, 1];
    expected.strides = [416, 0x100_0000, 0, 0];
    expected.element_strides = [1, 8, 1, 1, 1];
    expected.element = ElementType::F32;
    expected.interleave = Interleave::None;
    expected.swizzle = Swizzle::B128;
    expected.fill = Fill::Nan;
    let bytes: [u8; BYTES] = b.try_into().expect("128 bytes");
    assert_eq!(TensorMap::decode(&bytes).expect("a map"), expected);
}

/// Maps in global memory, by either kind of address, at offsets, and variables.
#[test]
fn a_map_in_global_memory() {
    let body = "
        setp.ne.u32 %p1, %r1, 0;
        @%p1 bra done;
        tensormap.replace.tile.box_dim.global.b1024.b32 [%rd1], 1, 5;
        add.u64 %rd4, %rd1, -128;
        tensormap.replace.tile.global_dim.b1024.b32 [%rd4+128], 1, 77;
        fence.proxy.tensormap::generic.release.gpu;
        fence.proxy.tensormap::generic.acquire.sys [%rd4+128], 128;
    done:
        tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.cta.sync.aligned [g+128], [s], 128;
        tensormap.replace.tile.box_dim.b1024.b32 [g+128], 0, 48;
        mul.wide.u32 %rd5, %r1, 4;
        mov.b64 %rd6, g;
        add.u64 %rd6, %rd6, %rd5;
        ld.global.b32 %r5, [%rd6+128];
        add.u64 %rd5, %rd2, %rd5;
        st.global.b32 [%rd5], %r5;";
    let [a, b] = run(32, body).unwrap_or_else(|message| panic!("{message}"));
    let changed = TensorMap { box_dims: [32, 5, 1, 1, 1], dims: [64, 77, 1, 1, 1], ..before() };
    assert_eq!(a, changed.encode());
    assert_eq!(b, TensorMap { box_dims: [48, 3, 1, 1, 1], ..before() }.encode());
}

/// The dimensions that each lane changes are all changed.
#[test]
fn lanes_change_one_map() {
    let body = "
        setp.gt.u32 %p1, %r1, 2;
        add.u32 %r5, %r1, 20;
        @!%p1 tensormap.replace.tile.global_dim.global.b1024.b32 [%rd1], 0, %r5;
        setp.eq.u32 %p1, %r1, 3;
        @%p1 tensormap.replace.tile.global_dim.global.b1024.b32 [%rd1], 1, %r5;";
    let [a, _] = run(32, body).unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(a, TensorMap { dims: [22, 23, 1, 1, 1], ..before() }.encode());
}

/// The threads of a warp come together for the copy; in a warp that is not full, those there are.
#[test]
fn the_warp_copies_together() {
    let body = "
        setp.lt.u32 %p1, %r1, 7;
        @%p1 bra other;
        tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%rd2], [%r2], 128;
        ret;
    other:
        ret;";
    let [_, b] = run(32, body).unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(b, before().encode(), "threads that have ended are not waited for");
    let apart = body.replace("128;", "128; // HERE").replace("other:", "other: bar.sync 0;");
    let message = run(32, &apart).expect_err("a part of a warp");
    assert!(message.starts_with("error[divergence]"), "{message}");
}

/// What is copied is as defined as its source.
#[test]
fn undefined_bytes_are_copied() {
    let body = "st.shared.b32 [s+128], %r1;
        tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%rd2], [s+128], 128;
        ld.global.b32 %r5, [%rd2];
        ld.global.b32 %r6, [%rd2+4];";
    let use_of =
        |register: &str| format!("{body} setp.eq.u32 %p1, {register}, 0; @%p1 bra done; // HERE\n done:");
    assert!(run(1, &use_of("%r5")).is_ok());
    caught(1, &use_of("%r6"), "undefined");
}

#[test]
fn addresses_that_are_wrong() {
    let rank =
        |space: &str, at: &str| format!("tensormap.replace.tile.rank{space}.b1024.b32 {at}, 1; // HERE");
    caught(32, &rank(".shared::cta", "[%r2+64]"), "multiple of 128");
    caught(32, &rank(".global", "[%rd1+64]"), "multiple of 128");
    caught(32, &rank(".global", "[%rd1+128]"), "128 bytes");
    let constant = "mov.b64 %rd4, c; cvta.const.u64 %rd4, %rd4;";
    caught(32, &format!("{constant} {}", rank("", "[%rd4]")), "read-only");
    caught(32, &rank(".shared::cta", "[%r9]"), "undefined");
    caught(32, &format!("cvta.param.u64 %rd4, 0; {}", rank("", "[%rd4]")), "in global or shared memory");
    let copy = |to: &str, from: &str| {
        format!(
            "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned {to}, {from}, \
             128; // HERE"
        )
    };
    caught(32, &copy("[%rd2+64]", "[%r2]"), "multiple of 128");
    caught(32, &copy("[%rd2]", "[%r2+64]"), "multiple of 128");
    caught(32, &copy("[%rd2+128]", "[%r2]"), "past an allocation");
    caught(32, &copy("[%rd2]", "[%r2+256]"), "past an allocation of 256 bytes");
    caught(32, &format!("{constant} {}", copy("[%rd4]", "[%r2]")), "read-only");
    caught(32, &copy("[%rd9]", "[%r2]"), "undefined");
    caught(32, &copy("[%rd2]", "[%r9]"), "undefined");
    let fence = |at: &str| format!("fence.proxy.tensormap::generic.acquire.gpu {at}, 128; // HERE");
    caught(32, &fence("[%rd1+8]"), "past an allocation");
    caught(32, &fence("[%rd1+-8]"), "before an allocation");
    caught(32, &fence("[s]"), "in global memory");
    caught(32, &fence("[%rd9]"), "undefined");
}

#[test]
fn maps_and_values_that_are_wrong() {
    let other = |copied, body: &str, map: [u8; BYTES]| run_with(&map, 32, &module(copied, body));
    let rank = "tensormap.replace.tile.rank.shared::cta.b1024.b32 [%r2], %r5; // HERE";
    let message = other(true, &format!("mov.b32 %r5, 1; {rank}"), [7; BYTES]).expect_err("no map");
    assert!(message.contains("no tensor map that the driver has made"), "{message}");
    let message = other(false, &format!("mov.b32 %r5, 1; {rank}"), before().encode()).expect_err("undefined");
    assert!(message.contains("some of the tensor map's bytes are undefined"), "{message}");
    caught(32, &format!("mov.b32 %r5, 5; {rank}"), "no rank less one");
    caught(32, rank, "undefined");
    caught(
        32,
        "mov.b64 %rd4, 16; tensormap.replace.tile.global_stride.global.b1024.b64 [%rd1], 4, %rd4; // HERE",
        "no dimension 4",
    );
}

/// No prefetch does anything, whatever is there; but its address is a value.
#[test]
fn prefetches() {
    let body = "
        prefetch.tensormap [%rd1];
        prefetch.tensormap [%rd1+64];
        prefetch.param.tensormap [a];
        prefetch.const.tensormap [c];
        cvta.param.u64 %rd4, 0;
        prefetch.tensormap [%rd4];
        prefetch.L1 [%rd1];
        prefetch.L2 [s];
        prefetch.L2::evict_last [%rd1];
        prefetch.L2::evict_normal [%rd1];
        prefetch.global.L1 [%rd1+4096];
        prefetch.global.L2 [g];
        prefetch.global.L2::evict_last [%rd1];
        prefetch.global.L2::evict_normal [%rd1];
        prefetch.local.L1 [%rd3];
        prefetch.local.L2 [%rd3];
        prefetchu.L1 [%rd1];";
    assert!(run(32, body).is_ok());
    caught(32, "prefetch.tensormap [%rd9]; // HERE", "undefined");
    caught(32, "prefetch.global.L2 [%rd9]; // HERE", "undefined");
}

/// What ptxas refuses, or a later GPU than Hopper has, is refused by its name when the module is loaded.
#[test]
fn forms_that_there_are_not() {
    for form in [
        "tensormap.replace.tile.global_address.shared.b1024.b64 [s], %rd2",
        "tensormap.replace.tile.global_address.shared::cta.b1024.b32 [s], %r2",
        "tensormap.replace.tile.global_address.shared::cta.b1024.b64 [s], 0, %rd2",
        "tensormap.replace.tile.global_address.shared::cta.b64 [s], %rd2",
        "tensormap.replace.global_address.shared::cta.b1024.b64 [s], %rd2",
        "tensormap.replace.tile.rank.shared::cta.b1024.b64 [s], %rd2",
        "tensormap.replace.tile.rank.shared::cluster.b1024.b32 [s], 2",
        "tensormap.replace.tile.rank.local.b1024.b32 [%rd1], 2",
        "tensormap.replace.tile.rank.shared::cta.b1024.b32.b32 [s], 2",
        "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [s], 5, %r2",
        "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [s], %r2, %r2",
        "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [s], %r2",
        "tensormap.replace.tile.global_dim.shared::cta.b1024.b64 [s], 1, %rd2",
        "tensormap.replace.tile.global_stride.shared::cta.b1024.b32 [s], 3, %r2",
        "tensormap.replace.tile.elemtype.shared::cta.b1024.b32 [s], 13",
        "tensormap.replace.tile.elemtype.shared::cta.b1024.b32 [s], %r2",
        "tensormap.replace.tile.interleave_layout.shared::cta.b1024.b32 [s], 3",
        "tensormap.replace.tile.swizzle_mode.shared::cta.b1024.b32 [s], 4",
        "tensormap.replace.tile.swizzle_atomicity.shared::cta.b1024.b32 [s], 0",
        "tensormap.replace.tile.fill_mode.shared::cta.b1024.b32 [s], 2",
        "tensormap.replace.tile.fill_mode.shared::cta.b1024.b32 [s], -1",
        "tensormap.cp_fenceproxy.global.shared.tensormap::generic.release.cta.sync.aligned [g], [s], 128",
        "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [g], [s], 64",
        "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [g], [s], %r2",
        "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.acquire.gpu.sync.aligned [g], [s], 128",
        "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync [g], [s], 128",
        "tensormap.cp_fenceproxy.shared::cta.global.tensormap::generic.release.gpu.sync.aligned [g], [s], 128",
        "tensormap.move.tile [s]",
        "fence.proxy.tensormap::generic.acquire.gpu [g], 64",
        "fence.proxy.tensormap::generic.acquire.gpu",
        "fence.proxy.tensormap::generic.release.gpu [g], 128",
        "fence.proxy.tensormap::generic.release",
        "fence.tensormap::generic.release.gpu",
        "fence.proxy.tensormap",
        "prefetch.global.tensormap [g]",
        "prefetch.shared.L1 [s]",
        "prefetch.global.L1::evict_last [g]",
        "prefetch.local.L2::evict_last [%rd1]",
        "prefetch.global.L2::evict_first [g]",
        "prefetch.const.L1 [c]",
        "prefetch.global.L1 [g], 4",
        "prefetchu.L2 [g]",
        "prefetchu.global.L1 [g]",
    ] {
        let ptx = module(false, &format!("{form};"));
        let opcode = form.split_whitespace().next().unwrap_or_default();
        match Program::load(&ptx, &mut |_| 0x10000) {
            Err(error) => assert!(error.to_string().contains(opcode), "{form}: {error}"),
            Ok(_) => panic!("`{form}` is taken for something"),
        }
    }
}
