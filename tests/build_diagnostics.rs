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
    let text: Vec<String> = resources(SLOW).iter().map(Finding::to_string).collect();
    assert_eq!(
        text,
        [
            "spill spills registers: 340 bytes of stores, 348 of loads",
            "local_array uses 128 bytes of local memory"
        ]
    );
}
