//! The programs that tests start.

use std::path::PathBuf;

/// The binary `test-programs`: `roundhouse` itself, and what its first argument names. `None` when it was not built, as
/// for the tests of another package alone.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let built = test.parent()?.parent()?.join("test-programs");
    built.is_file().then_some(built)
}
