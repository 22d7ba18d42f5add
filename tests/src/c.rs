//! The plugin in C, compiled with the published header.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the plugin in C into `folder` as `NAME.so`, with macros that say what is wrong with the library.
///
/// # Panics
///
/// When there is no C compiler, or it does not like the code.
#[must_use]
pub fn compile_c(folder: &Path, name: &str, macros: &[&str]) -> PathBuf {
    let out = folder.join(format!("{name}.so"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args([
            "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1",
        ])
        .args(macros.iter().map(|text| format!("-D{text}")))
        .arg("-I")
        .arg(here.join("../plugin-api/include"))
        .arg(here.join("tests/it/plugins/c/plugin.c"))
        .arg("-o")
        .arg(&out)
        .output();
    match output {
        Ok(output) if output.status.success() => out,
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("no C compiler: {error}"),
    }
}
