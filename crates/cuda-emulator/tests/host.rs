//! The API for Rust programs: choosing and installing a driver.
//!
//! Which driver a process has is settled once, so each test runs in a process
//! of its own: it starts itself again, and the child does the work.

use std::path::Path;
use std::process::Command;

use cuda_emulator::{Driver, InstallError, choose, install};
use cudarc::driver::CudaContext;

const CHILD: &str = "HOST_TEST_CHILD";

/// Whether this is the child; if not, runs it with these variables.
fn child(test: &str, environment: &[(&str, &Path)]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && text.contains("1 passed");
    assert!(passed, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// The same with a driver in the search path that claims one device and can do
/// nothing, under both names by which programs open one.
fn with_fake_driver(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let folder = std::env::temp_dir().join(format!("cuda-emulator-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let source = folder.join("driver.c");
    let code = "int cuInit(unsigned flags) { return 0; }\n\
                int cuDeviceGetCount(int *count) { *count = 1; return 0; }\n";
    std::fs::write(&source, code).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    for name in ["libcuda.so", "libcuda.so.1"] {
        let mut command = Command::new(&compiler);
        command.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]);
        let status = command.arg(folder.join(name)).arg(&source).status().unwrap();
        assert!(status.success());
    }
    let is_child = child(test, &[("LD_LIBRARY_PATH", &folder)]);
    std::fs::remove_dir_all(&folder).unwrap();
    is_child
}

#[test]
fn installed_twice_is_installed_once() {
    if !child("installed_twice_is_installed_once", &[]) {
        return;
    }
    install().unwrap();
    install().unwrap();
    assert_eq!(choose(Some("emulator")).unwrap(), Driver::Emulator);
    assert_eq!(choose(None).unwrap(), Driver::Emulator);
    assert!(choose(None).unwrap().to_string().starts_with("device: cuda-emulator"));
    assert!(matches!(choose(Some("cuda")), Err(InstallError::NoRealDriver(_))));
    let context = CudaContext::new(0).unwrap();
    assert_eq!(context.name().unwrap(), "cuda-emulator (sm_90a)");
    assert!(cuda_emulator::take_findings().is_empty());
    assert!(cuda_emulator::last_launch().is_none());
}

#[test]
fn the_emulator_wins_when_chosen() {
    if !with_fake_driver("the_emulator_wins_when_chosen") {
        return;
    }
    assert_eq!(choose(Some("emulator")).unwrap(), Driver::Emulator);
    // cudarc asks for `libcuda.so` first, which the fake one lies ready under.
    let context = CudaContext::new(0).unwrap();
    assert_eq!(context.name().unwrap(), "cuda-emulator (sm_90a)");
}

#[test]
fn the_real_driver_wins_when_chosen() {
    if !with_fake_driver("the_real_driver_wins_when_chosen") {
        return;
    }
    let driver = choose(Some("cuda")).unwrap();
    assert_eq!(driver, Driver::Real { devices: 1 });
    assert_eq!(driver.to_string(), "device: real CUDA driver, 1 device");
    // It is loaded now, and stays.
    assert!(matches!(install(), Err(InstallError::DriverLoaded)));
    assert!(cuda_emulator::findings().is_empty());
    cuda_emulator::require_defined(1, 1).unwrap();
}

#[test]
fn a_library_that_is_none_is_refused() {
    let nowhere = Path::new("/nonexistent/libcuda_emulator.so");
    if !child("a_library_that_is_none_is_refused", &[("CUDA_EMULATOR_LIBRARY", nowhere)]) {
        return;
    }
    let error = install().unwrap_err();
    assert!(error.to_string().contains("CUDA_EMULATOR_LIBRARY"), "{error}");
}

#[test]
fn requests_have_two_names() {
    let error = choose(Some("quantum")).unwrap_err();
    assert!(matches!(&error, InstallError::UnknownRequest(name) if name == "quantum"));
    assert!(error.to_string().contains("\"quantum\""));
}
