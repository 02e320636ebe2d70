//! Where proptest keeps the seeds of failures.

use proptest::test_runner::{FailurePersistence, FileFailurePersistence};

use crate::again;

/// Beside the test; nowhere for failures that are wanted.
pub fn persistence() -> Option<Box<dyn FailurePersistence>> {
    (!again::is_inside()).then(|| Box::new(FileFailurePersistence::WithSource("regressions")) as _)
}
