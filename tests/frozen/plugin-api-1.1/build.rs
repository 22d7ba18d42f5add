//! Notes which compiler builds, for the plugin's descriptor; people read it, nothing compares it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output();
    let version = version
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    let version = if version.trim().is_empty() {
        "an unknown rustc"
    } else {
        version.trim()
    };
    println!("cargo:rustc-env=ROUNDHOUSE_RUSTC_VERSION={version}");
}
