//! Words to the caches and the profiler, and the order of grids: nothing that a
//! program can see.

use super::kernel::{Shape, UNTOUCHED, bytes, launch, module, refused};

const DECLARATIONS: &str =
    ".global .align 128 .b8 g[256];\n.const .align 16 .b8 c[64];\n.shared .align 16 .b8 s[64];\n";

#[test]
fn prefetches() {
    let code = "prefetch.L1 [%in];\nprefetch.L2 [%in+32];\nprefetch.global.L1 [%in];\nprefetch.global.L2 [g+8];\n\
        .local .align 4 .b32 x;\nmov.u64 %l0, x;\nprefetch.local.L1 [%l0];\nprefetch.local.L2 [x];\n\
        prefetch.global.L2::evict_last [%in];\nprefetch.global.L2::evict_normal [%in];\nprefetch.L2::evict_last [%in];\n\
        prefetch.tensormap [%in];\nprefetch.const.tensormap [c];\nprefetch.param.tensormap [bytes];\nprefetchu.L1 [%in];\n\
        mov.u64 %l1, 64;\nprefetch.global.L1 [%l1];\nst.global.b32 [%out], 7;";
    let got = launch(&module(DECLARATIONS, code), Shape::threads(32), &[1; 64], 4);
    assert_eq!(got, [7, 0, 0, 0]);
}

/// The rest of memory is as it was; what was discarded holds what is written next.
#[test]
fn lines() {
    for space in ["", ".global"] {
        let code = format!(
            "mad.wide.u32 %l0, %t, 4, %out;\nst.global.b32 [%l0+256], 5;\n\
             setp.eq.u32 %p0, %t, 0;\n@%p0 applypriority{space}.L2::evict_normal [%out+256], 128;\n\
             @%p0 discard{space}.L2 [%out+128], 128;\nbar.sync 0;\nst.global.b32 [%l0+128], %t;"
        );
        let got = bytes(32, &code, &[], 512);
        assert_eq!(got[..128], [UNTOUCHED; 128]);
        assert_eq!(got[128..256], (0..32).flat_map(|t| [t, 0, 0, 0]).collect::<Vec<u8>>());
        assert_eq!(got[256..384], [5, 0, 0, 0].repeat(32));
        assert_eq!(got[384..], [UNTOUCHED; 128]);
    }
}

/// A policy is good for a hint, whatever it is.
#[test]
fn policies() {
    let mut forms = Vec::new();
    for primary in ["evict_last", "evict_normal", "evict_first", "evict_unchanged"] {
        for secondary in ["", ".L2::evict_first", ".L2::evict_unchanged"] {
            let words = format!("L2::{primary}{secondary}.b64 %l0");
            for fraction in ["", ", 1.0", ", 0f3E800000", ", %r1"] {
                forms.push(format!("createpolicy.fractional.{words}{fraction}"));
            }
            forms.push(format!("createpolicy.range.{words}, [%in], 16, 64"));
            forms.push(format!("createpolicy.range.global.{words}, [%in], %r0, %r2"));
        }
    }
    forms.push("createpolicy.cvt.L2.b64 %l0, %l2".to_owned());
    let setup = "mov.b32 %r1, 0f3f000000;\nmov.u32 %r0, 16;\nmov.u32 %r2, 32;\nmov.u64 %l2, 0;\n";
    let body: String = forms
        .iter()
        .map(|form| {
            format!("{form};\nld.global.L2::cache_hint.b32 %r5, [%in], %l0;\nadd.u32 %r4, %r4, %r5;\n")
        })
        .collect();
    let code = format!("{setup}mov.u32 %r4, 0;\n{body}st.global.b32 [%out], %r4;");
    let got = bytes(1, &code, &[1, 0, 0, 0], 4);
    assert_eq!(got, (forms.len() as u32).to_le_bytes());
}

#[test]
fn events_naps_and_grids() {
    let code = "pmevent 0;\npmevent 15;\npmevent.mask 0xffff;\nnanosleep.u32 40;\nnanosleep.u32 %t;\n\
        griddepcontrol.wait;\ngriddepcontrol.launch_dependents;\ngriddepcontrol.launch_dependents;\n\
        mad.wide.u32 %out, %t, 4, %out;\nst.global.b32 [%out], %t;";
    let got = bytes(40, code, &[], 160);
    assert_eq!(got, (0..40u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
}

#[test]
fn what_is_missing() {
    for code in [
        "prefetch.shared.L1 [s]",
        "prefetch.const.L1 [c]",
        "prefetch.local.L2::evict_last [%in]",
        "prefetch.global.L2::evict_first [%in]",
        "prefetch.global.L1::evict_last [%in]",
        "prefetch.global.tensormap [%in]",
        "prefetch.global [%in]",
        "prefetchu.L2 [%in]",
        "prefetchu.global.L1 [%in]",
        "applypriority.global.L2::evict_last [%in], 128",
        "applypriority.global.L2::evict_normal [%in], 64",
        "applypriority.global.L2::evict_normal [%in]",
        "discard.global.L1 [%in], 128",
        "discard.global.L2 [%in], 64",
        "discard.global.L2 [%in]",
        "createpolicy.fractional.L2::evict_last.b64 %l0, 2.0",
        "createpolicy.fractional.L2::evict_last.b64 %l0, 0.0",
        "createpolicy.fractional.L2::evict_last.L2::evict_normal.b64 %l0",
        "createpolicy.fractional.b64 %l0",
        "createpolicy.range.shared.L2::evict_last.b64 %l0, [%in], 16, 32",
        "createpolicy.range.L2::evict_last.b64 %l0, [%in], 16",
        "createpolicy.cvt.L1.b64 %l0, %l1",
        "createpolicy.cvt.L2.b64 %l0",
        "nanosleep.s32 5",
        "pmevent 16",
        "pmevent %r0",
        "pmevent.mask 0x10000",
        "griddepcontrol.resume",
        "griddepcontrol",
    ] {
        refused(DECLARATIONS, &format!("{code};"));
    }
}
