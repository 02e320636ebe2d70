//! `src/abi/bindings.rs` is what bindgen makes of `kernels/include/deepkern/abi.h`.

/// What this build uses: fresh from bindgen where there is libclang.
const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/abi.rs"));

#[test]
fn checked_in_bindings_are_current() {
    assert_eq!(
        env!("DEEPKERN_ABI_GENERATED"),
        "true",
        "there was no libclang to generate the bindings with: run scripts/toolchain.sh"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/abi/bindings.rs");
    if std::env::var_os("DEEPKERN_UPDATE_BINDINGS").is_some() {
        std::fs::write(path, GENERATED).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap();
    assert!(checked_in == GENERATED, "src/abi/bindings.rs is not what abi.h says: run `make bindings`");
}
