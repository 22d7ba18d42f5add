//! Other processes, as the system shows them.

use std::fmt::Display;

/// Whether a process is neither there nor waiting to be reaped by somebody who does not.
#[must_use]
pub fn is_gone(pid: impl Display) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with('Z')))
        .unwrap_or(true)
}
