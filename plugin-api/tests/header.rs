//! The C header: fresh, and understood by C and C++ compilers the way Rust understands the types.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use plugin_api::abi::types::*;

fn crate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(crate_file("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new()
        .with_config(config)
        .with_src(crate_file("src/abi/types.rs"));
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    as_c_reads(&String::from_utf8(header).unwrap())
}

/// Turns what the comments say to readers of Rust into what readers of C look for.
fn as_c_reads(header: &str) -> String {
    let mut text = header.to_owned();
    // [`RhHost::complete`] and [`RunParams`](crate::wire::RunParams) are links.
    while let Some(start) = text.find("](") {
        let end = start + text[start..].find(')').unwrap();
        text.replace_range(start + 1..=end, "");
    }
    text = text
        .replace("[`", "")
        .replace("`]", "")
        .replace('`', "")
        .replace("::", ".");
    for (rust, c) in [
        ("RhEventSink", "rh_event_sink"),
        ("RhEvent", "rh_event"),
        ("RhAgent", "rh_agent"),
        ("RhCompletion", "rh_completion"),
        ("RhComponent", "rh_component"),
        ("RhEntry", "rh_entry"),
        ("RhHost", "rh_host"),
        ("RhLog", "rh_log"),
        ("RhMapper", "rh_mapper"),
        ("RhPlugin", "rh_plugin"),
        ("RhSink", "rh_sink"),
        ("RhStr", "rh_str"),
        ("RhToolset", "rh_toolset"),
        ("RhWriter", "rh_writer"),
        (" ABI_MINOR of", " RH_ABI_MINOR of"),
        ("See LOG_ERROR", "See RH_LOG_ERROR"),
    ] {
        text = text.replace(rust, c);
    }
    text
}

/// With the variable `UPDATE` set the file is written instead of compared.
#[test]
fn the_checked_in_header_is_fresh() {
    let path = crate_file("include/roundhouse_plugin.h");
    let fresh = generate();
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &fresh).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == fresh,
        "plugin-api/include/roundhouse_plugin.h is stale: run `UPDATE=1 cargo test -p roundhouse-plugin-api --test header`"
    );
}

fn compiles(extension: &str, standard: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("check").with_extension(extension);
    fs::write(&file, source).unwrap();
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(compiler)
        .args([
            standard,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
            "-I",
        ])
        .arg(crate_file("include"))
        .arg(&file)
        .output()
        .expect("a C compiler is needed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Sizes, offsets of last fields and values, as assertions for the compiler.
fn assertions() -> String {
    macro_rules! assertions {
        ($($type:ident $c:literal $last:ident;)*) => {
            [$(format!(
                "RH_ASSERT(sizeof({c}) == {size}); RH_ASSERT(offsetof({c}, {last}) == {offset});\n",
                c = $c,
                size = size_of::<$type>(),
                last = stringify!($last),
                offset = std::mem::offset_of!($type, $last),
            )),*]
            .concat()
        };
    }
    let types = assertions! {
        RhStr "rh_str" len;
        RhWriter "rh_writer" write;
        RhEventSink "rh_event_sink" push;
        RhPlugin "rh_plugin" set_log_level;
        RhComponent "rh_component" vtable;
        RhAgent "rh_agent" resume;
        RhToolset "rh_toolset" cancel;
        RhMapper "rh_mapper" close;
        RhEvent "rh_event" json;
        RhCompletion "rh_completion" json;
        RhSink "rh_sink" done;
        RhLog "rh_log" fields;
        RhHost "rh_host" log;
    };
    let values = [
        ("RH_ABI_MINOR", i64::from(ABI_MINOR)),
        ("RH_COMPONENT_MAPPER", COMPONENT_MAPPER.into()),
        ("RH_EVENT_ERROR", EVENT_ERROR.into()),
        ("RH_EVENT_SUBAGENT", EVENT_SUBAGENT.into()),
        ("RH_MAP_REPLACE", MAP_REPLACE.into()),
        ("RH_STATUS_FAILED", STATUS_FAILED.into()),
        ("RH_FAILED_CONFIG", FAILED_CONFIG.into()),
        ("RH_STOP", STOP.into()),
        ("RH_ERR_CANCELLED", ERR_CANCELLED.into()),
        ("RH_LOG_TRACE", LOG_TRACE.into()),
        ("RH_PLUGIN_PANIC_ABORT", PLUGIN_PANIC_ABORT.into()),
    ];
    let values = values
        .map(|(name, value)| format!("RH_ASSERT({name} == {value});\n"))
        .concat();
    format!("#include \"roundhouse_plugin.h\"\n{types}{values}rh_entry entry = rh_plugin_v1;\n")
}

#[test]
fn it_is_c11() {
    compiles(
        "c",
        "-std=c11",
        &format!(
            "#define RH_ASSERT(fact) _Static_assert(fact, #fact)\n{}",
            assertions()
        ),
    );
}

#[test]
fn it_is_cpp() {
    compiles(
        "cpp",
        "-std=c++11",
        &format!(
            "#define RH_ASSERT(fact) static_assert(fact, #fact)\n{}",
            assertions()
        ),
    );
}
