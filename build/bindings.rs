//! Turns `kernels/include/deepkern/abi.h` into Rust.
//!
//! bindgen needs libclang, which users often lack. So what it generates is also checked in, and
//! used where there is no libclang; `tests/abi_bindings.rs` holds the two equal.

use std::{env, path::Path};

const HEADER: &str = "kernels/include/deepkern/abi.h";

/// `make bindings` refreshes it.
pub const CHECKED_IN: &str = "src/abi/bindings.rs";

/// Writes the bindings to `path`. False without a libclang that can read the header.
pub fn generate(path: &Path, toolchain: &Path) -> bool {
    println!("cargo:rerun-if-changed={HEADER}");
    if !load_libclang(toolchain) {
        return false;
    }
    let bindings = bindgen::builder()
        .header(HEADER)
        .clang_args(["-x", "c++", "-std=c++17"])
        .allowlist_file(format!(".*{HEADER}"))
        .use_core()
        .rust_target(bindgen::RustTarget::stable(88, 0).expect("bindgen knows Rust 1.88"))
        .rust_edition(bindgen::RustEdition::Edition2024)
        // rustfmt's version must not matter.
        .formatter(bindgen::Formatter::Prettyplease)
        .disable_header_comment()
        .generate();
    match bindings.map(|bindings| bindings.write_to_file(path)) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            println!("cargo:warning={}: {error}", path.display());
            false
        }
        Err(error) => {
            println!("cargo:warning=bindgen could not read {HEADER}: {error}");
            false
        }
    }
}

/// bindgen panics where there is no libclang, and takes one that is already loaded.
fn load_libclang(toolchain: &Path) -> bool {
    if clang_sys::load().is_ok() {
        return true;
    }
    let folder = toolchain.join("clang/native");
    if !folder.is_dir() {
        return false;
    }
    // SAFETY: the build script has no other thread yet.
    unsafe { env::set_var("LIBCLANG_PATH", folder) };
    clang_sys::load().is_ok()
}
