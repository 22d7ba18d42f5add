//! What a plugin's library shows of itself to the dynamic linker.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::process::Command;

/// Anything else could meet a symbol of the same name of another library.
#[test]
#[cfg(target_os = "linux")]
fn a_library_shows_its_entry_and_nothing_else() {
    // The libraries of the dependencies are built beside the test program.
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    for name in [
        "roundhouse_acp",
        "roundhouse_echo",
        "roundhouse_mcp",
        "roundhouse_openai",
        "roundhouse_redact",
        "roundhouse_scripted",
        "roundhouse_toolbox",
        "fixture_faulty",
        "fixture_puppet",
    ] {
        let library = folder.join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"));
        let output = Command::new("nm")
            .args(["-D", "--defined-only", "--format=just-symbols"])
            .arg(&library)
            .output()
            .unwrap_or_else(|error| panic!("nm, a part of binutils, does not run: {error}"));
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {problem}", library.display());
        let symbols = String::from_utf8(output.stdout).unwrap();
        assert_eq!(symbols.trim(), "rh_plugin_v1", "{}", library.display());
    }
}
