//! What the build script makes of ptxas's report, on a report that ptxas wrote.

#[path = "../build/ptxas.rs"]
mod ptxas;

use ptxas::{Finding, findings};

/// ptxas on `build_diagnostics/slow.cu`.
const SLOW: &str = include_str!("build_diagnostics/slow.ptxas");

/// The findings that are not messages.
fn resources(report: &str) -> Vec<Finding> {
    findings(report).into_iter().filter(|finding| !matches!(finding, Finding::Message(_))).collect()
}

#[test]
fn spills_and_local_memory_are_found_with_their_kernel() {
    let spill = Finding::Spill { kernel: "spill".into(), stores: 340, loads: 348 };
    let local = Finding::LocalMemory { kernel: "local_array".into(), bytes: 128 };
    assert_eq!(resources(SLOW), [spill, local]);
}

#[test]
fn costly_messages_are_found_though_they_are_only_info() {
    let messages: Vec<String> = findings(SLOW)
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Message(text) => Some(text),
            _ => None,
        })
        .collect();
    let count = |code: &str| messages.iter().filter(|text| text.contains(code)).count();
    assert_eq!(count("(C7508) Potential Performance Loss: 'setmaxnreg' ignored"), 1);
    assert_eq!(count("(C7511) Potential Performance Loss: wgmma.mma_async instructions are serialized"), 1);
    assert_eq!(count("(C7517) warpgroup.wait is injected"), 5);
    assert_eq!(messages.len(), 7);
}

#[test]
fn every_code_from_c7510_to_c7519_counts_at_any_severity_and_no_other() {
    for code in 7500..7530 {
        let costly = code == 7508 || (7510..=7519).contains(&code);
        for severity in ["info    ", "warning ", "error   "] {
            let report = format!("ptxas {severity}: (C{code}) some words in function 'f'\n");
            assert_eq!(findings(&report).len(), usize::from(costly), "{report}");
        }
    }
}

/// What `ptxas -v` says of a kernel without spills.
fn kernel_with(name: &str, registers: u32) -> String {
    format!(
        "ptxas info    : Compiling entry function '{name}' for 'sm_90a'\n\
         ptxas info    : Function properties for {name}\n    \
         0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
         ptxas info    : Used {registers} registers, used 16 barriers\n"
    )
}

/// Registers for a warpgroup of 40 a thread and two of 232.
#[test]
fn kernels_that_hand_registers_over_need_enough_of_them() {
    const KERNEL: &str = include_str!("../kernels/fp8/gemm_hopper.cuh");
    assert!(KERNEL.contains("registers_give<40>()") && KERNEL.contains("registers_take<232>()"));
    assert_eq!(128 * (40 + 2 * 232), 384 * 168);
    let name = "fp8_gemm_hopper_n64_f32";
    assert_eq!(findings(&kernel_with(name, 168)), []);
    assert_eq!(findings(&kernel_with("fp8_gemm_decode_m8_f32", 56)), []);
    let report = kernel_with("fp8_gemm_decode_m8_f32", 56) + &kernel_with(name, 160);
    assert_eq!(findings(&report), [Finding::FewRegisters { kernel: name.into(), registers: 160 }]);
}

#[test]
fn a_kernel_whose_registers_stay_where_they_are_is_an_error() {
    let fatal: Vec<String> =
        findings(SLOW).iter().filter(|finding| finding.is_fatal()).map(Finding::to_string).collect();
    let [ignored] = &fatal[..] else { panic!("{fatal:?}") };
    assert!(ignored.contains("(C7508) Potential Performance Loss: 'setmaxnreg' ignored"), "{ignored}");
    assert!(findings(&kernel_with("fp8_gemm_hopper_n64_f32", 128)).iter().all(Finding::is_fatal));
}

#[test]
fn a_clean_report_has_no_findings() {
    // The functions are one paragraph each; only that of `clean` is left.
    let start = SLOW.find("ptxas info    : Compiling entry function 'clean'").unwrap();
    let end = SLOW.find("ptxas info    : Compiling entry function 'spill'").unwrap();
    let clean = &SLOW[start..end];
    assert!(clean.contains("Used 8 registers"));
    assert_eq!(findings(clean), []);
}

#[test]
fn findings_read_as_sentences() {
    let report = SLOW.to_owned() + &kernel_with("fp8_gemm_hopper_n64_f32", 128);
    let text: Vec<String> = resources(&report).iter().map(Finding::to_string).collect();
    assert_eq!(
        text,
        [
            "spill spills registers: 340 bytes of stores, 348 of loads",
            "local_array uses 128 bytes of local memory",
            "fp8_gemm_hopper_n64_f32 starts with 128 registers a thread and would wait for ever: its setmaxnreg needs 168"
        ]
    );
}
