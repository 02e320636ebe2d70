//! The tests of this binary with what a GPU of another compute capability gets.

use crate::again;

/// All of them pass with its PTX.
pub fn passes_on(capability: &str) {
    if again::is_inside() {
        return;
    }
    let environment = [("CUDA_EMULATOR_CAPABILITY", capability.as_ref())];
    let (status, printed) = again::run(&environment).expect("the tests end");
    assert!(status.success(), "on {capability}:\n{printed}");
}
