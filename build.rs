//! Compiles `kernels/*.cu` into one fatbin per enabled family and turns the header that host and
//! device share into Rust. It downloads nothing and never asks which GPU is there.
//!
//! Written to `OUT_DIR`:
//!
//! - `kernels.rs`: for each family a constant with its fatbin, or `None` without nvcc
//! - `abi.rs`: the structs and constants of `kernels/include/deepkern/abi.h`
//! - `<family>.fatbin`, and `<family>.ptxas`, what ptxas reports of its kernels
//!
//! Environment (besides `cc`'s and nvcc's own variables):
//!
//! - `NVCC`, `PATH`, `CUDA_HOME`, `CUDA_PATH`: where nvcc is looked for, in this order
//! - `NVCC_CCBIN`: the host compiler for nvcc
//! - `LIBCLANG_PATH`: where bindgen finds libclang
//! - `DEEPKERN_REQUIRE_KERNELS=1`: a missing nvcc is an error
//! - `DEEPKERN_DENY_PTXAS=1`: a spill, or anything else that [`ptxas`] finds, is an error (some of it always is)
//! - `DOCS_RS`: nothing is looked for or compiled

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/family.rs"]
mod family;
#[path = "build/nvcc.rs"]
mod nvcc;
#[path = "build/ptxas.rs"]
mod ptxas;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use family::Family;
use nvcc::Nvcc;

const ENVIRONMENT: [&str; 11] = [
    "NVCC",
    "PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "NVCC_CCBIN",
    "NVCC_APPEND_FLAGS",
    "NVCC_PREPEND_FLAGS",
    "LIBCLANG_PATH",
    "DEEPKERN_REQUIRE_KERNELS",
    "DEEPKERN_DENY_PTXAS",
    "DOCS_RS",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("deepkern: {message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    for name in ENVIRONMENT {
        println!("cargo:rerun-if-env-changed={name}");
    }
    // The working directory is the package's root, so that every path of ours is a relative one.
    let toolchain = Path::new(".toolchain");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let docs_rs = env::var_os("DOCS_RS").is_some();

    let generated = !docs_rs && bindings::generate(&out.join("abi.rs"), toolchain);
    if !generated {
        println!("cargo:rerun-if-changed={}", bindings::CHECKED_IN);
        fs::copy(bindings::CHECKED_IN, out.join("abi.rs"))
            .map_err(|error| format!("{}: {error}", bindings::CHECKED_IN))?;
    }
    // For the test that holds the generated and the checked-in bindings equal.
    println!("cargo:rustc-env=DEEPKERN_ABI_GENERATED={generated}");

    let families = family::enabled()?;
    let nvcc = if docs_rs { None } else { find_nvcc(toolchain)? };
    if let Some(nvcc) = &nvcc {
        compile(&families, nvcc, &out)?;
    }
    embed(&families, nvcc.is_some(), &out)
}

/// Finds nvcc. Its absence is a warning, or an error where kernels are required.
fn find_nvcc(toolchain: &Path) -> Result<Option<Nvcc>, String> {
    let missing = match Nvcc::find(toolchain)? {
        Ok(nvcc) => return Ok(Some(nvcc)),
        Err(missing) => missing,
    };
    let message =
        format!("{missing}. Install CUDA, set NVCC, or (in a checkout of deepkern) run scripts/toolchain.sh");
    if is_set("DEEPKERN_REQUIRE_KERNELS") {
        return Err(message);
    }
    println!("cargo:warning={message}. Built without kernels: calls that need one return an error");
    // In a checkout, look again as soon as scripts/toolchain.sh has been run.
    println!("cargo:rerun-if-changed={}", Nvcc::in_toolchain(toolchain).display());
    Ok(None)
}

/// Compiles all families at once and reports what ptxas made of them.
fn compile(families: &[Family], nvcc: &Nvcc, out: &Path) -> Result<(), String> {
    let reports: Vec<Result<String, String>> = thread::scope(|scope| {
        let started: Vec<_> =
            families.iter().map(|family| scope.spawn(|| family.compile(nvcc, out))).collect();
        started.into_iter().map(|thread| thread.join().expect("does not panic")).collect()
    });

    let mut denied = Vec::new();
    for (family, report) in families.iter().zip(reports) {
        let report = report?;
        for finding in ptxas::findings(&report) {
            let message = format!("{}: {finding}", family.source());
            println!("cargo:warning={message}");
            if finding.is_fatal() || is_set("DEEPKERN_DENY_PTXAS") {
                denied.push(message);
            }
        }
        for warning in report.lines().filter(|line| line.contains("warning")) {
            println!("cargo:warning={warning}");
        }
    }
    if denied.is_empty() {
        return Ok(());
    }
    Err(format!("the kernels must not be built like this:\n{}", denied.join("\n")))
}

/// Writes `kernels.rs`, which `src/kernels.rs` includes.
fn embed(families: &[Family], compiled: bool, out: &Path) -> Result<(), String> {
    let mut code = String::new();
    if compiled {
        code += "/// The driver reads a fatbin in words.\n#[repr(C, align(16))]\nstruct Aligned<T>(T);\n";
    }
    for Family { name } in families {
        let bytes = format!("*include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.fatbin\"))");
        let value = if compiled { format!("Some(&Aligned({bytes}).0)") } else { "None".to_owned() };
        code += &format!("pub(crate) const {}: Option<&[u8]> = {value};\n", name.to_uppercase());
    }
    fs::write(out.join("kernels.rs"), code).map_err(|error| format!("kernels.rs: {error}"))
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| value == "1")
}
