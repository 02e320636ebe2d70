//! Where findings are told: stderr, and a file of JSON.

use std::ptr;

use cudarc::driver::sys::{self, CUresult};
use serde_json::Value;

use super::{Context, kernels, logged, ok};

/// Two launches that end with `trap`, each in a context of its own.
fn trap_twice() {
    const PTX: &str = ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k() { trap; }\n";
    for _ in 0..2 {
        let _context = Context::new();
        let kernel = kernels::function(kernels::load(PTX).unwrap(), "k");
        // SAFETY: the kernel has no parameters.
        unsafe {
            ok(sys::cuLaunchKernel(
                kernel,
                1,
                1,
                1,
                1,
                1,
                1,
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            ));
            assert_eq!(sys::cuCtxSynchronize(), CUresult::CUDA_ERROR_LAUNCH_FAILED);
        }
    }
}

fn kind(line: &str) -> Value {
    serde_json::from_str::<Value>(line).unwrap()["kind"].clone()
}

#[test]
fn text_goes_to_stderr() {
    let Some(log) = logged("findings::text_goes_to_stderr", &[]) else { return trap_twice() };
    let report = "cuda-emulator: error[trap]: trap\n --> PTX line 4\n";
    assert_eq!(log.matches(report).count(), 2, "{log}");
}

#[test]
fn json_goes_to_a_file() {
    let path = std::env::temp_dir().join(format!("cuda-emulator-findings-{}.json", std::process::id()));
    std::fs::write(&path, "before\n").unwrap();
    let environment = [("CUDA_EMULATOR_JSON", path.to_str().unwrap())];
    let Some(log) = logged("findings::json_goes_to_a_file", &environment) else { return trap_twice() };
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let [first, one, two] = lines[..] else { panic!("{written}") };
    assert_eq!((first, kind(one), kind(two)), ("before", "trap".into(), "trap".into()));
    assert_eq!(log.matches("error[trap]: trap\n").count(), 2, "{log}");
}

#[test]
fn json_goes_to_stderr() {
    let environment = [("CUDA_EMULATOR_JSON", "-")];
    let Some(log) = logged("findings::json_goes_to_stderr", &environment) else { return trap_twice() };
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.iter().map(|line| kind(line)).collect::<Vec<_>>(), ["trap", "trap"]);
    assert!(!log.contains("cuda-emulator: error"), "{log}");
}

#[test]
fn a_file_that_cannot_be_written_is_said() {
    let test = "findings::a_file_that_cannot_be_written_is_said";
    let nowhere = "/nonexistent/findings.json";
    let Some(log) = logged(test, &[("CUDA_EMULATOR_JSON", nowhere)]) else { return trap_twice() };
    assert_eq!(log.matches("/nonexistent/findings.json cannot be written").count(), 2, "{log}");
    assert_eq!(log.matches("error[trap]: trap\n").count(), 2, "{log}");
}
