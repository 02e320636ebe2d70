//! Launches that may begin before those ahead have ended: what they may do before `griddepcontrol.wait`.

use cuda_emulator::verdict::Verdict;

use crate::device::Device;

/// Runs a kernel `k(ready, unready, out)` with 64 threads, which overlaps another one that writes `unready`. `%p` says
/// which thread is of the first warp.
fn run(body: &str, overlaps: bool) -> Option<Verdict> {
    let ptx = format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.shared .align 16 .b8 tile[256];\n\
         .visible .entry k(.param .u64 p_ready, .param .u64 p_unready, .param .u64 p_out)\n{{\n\
         .reg .pred %p;\n.reg .b32 %t, %r<4>;\n.reg .b64 %ready, %unready, %out, %first;\n\
         ld.param.u64 %ready, [p_ready];\nld.param.u64 %unready, [p_unready];\nld.param.u64 %out, [p_out];\n\
         mov.u32 %t, %tid.x;\nmov.u32 %r1, %ctaid.x;\nmad.lo.u32 %r1, %r1, 64, %t;\n\
         mad.wide.u32 %first, %r1, 16, %out;\nmad.wide.u32 %out, %r1, 4, %out;\nsetp.lt.u32 %p, %t, 32;\n{body}ret;\n}}\n"
    );
    let mut device = Device::new(&ptx);
    let arguments = [device.put(&[1u32; 128]), device.put(&[2u32; 128]), device.put(&[3u32; 512])];
    device.overlaps = overlaps;
    device.unready = vec![arguments[1]];
    device.launch("k", [2, 1, 1], [64, 1, 1], &arguments, 0).err().map(|finding| finding.verdict)
}

const WAIT: &str = "griddepcontrol.wait;\n";

#[test]
fn what_waits_for_the_grids_ahead() {
    let touches = [
        "ld.global.u32 %r0, [%unready];\n",
        "ld.u32 %r0, [%unready];\n",
        "st.global.u32 [%out], %t;\n",
        "atom.global.add.u32 %r0, [%out], 1;\n",
        "red.global.add.u32 [%out], 1;\n",
        "@%p cp.async.bulk.global.shared::cta.bulk_group [%first], [tile], 16;\n@%p cp.async.bulk.commit_group;\n\
         @%p cp.async.bulk.wait_group 0;\n",
    ];
    for touch in touches {
        assert_eq!(run(&format!("{WAIT}{touch}"), true), None, "{touch}");
        assert!(matches!(run(&format!("{touch}{WAIT}"), true), Some(Verdict::Early { .. })), "{touch}");
        // One warp waits; the other comes behind it, or does not.
        let one = format!("@%p {WAIT}");
        assert_eq!(run(&format!("{one}bar.sync 0;\n{touch}"), true), None, "{touch}");
        // A launch that does not overlap need not wait.
        assert_eq!(run(touch, false), None, "{touch}");
    }
    // What nobody ahead writes may be read: weights. And anything may be brought nearer.
    for early in ["ld.global.u32 %r0, [%ready];\n", "cp.async.bulk.prefetch.L2.global [%unready], 64;\n"] {
        assert_eq!(run(&format!("{early}{WAIT}"), true), None, "{early}");
    }
}
