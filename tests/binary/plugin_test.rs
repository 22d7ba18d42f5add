//! `roundhouse plugin test`: libraries that keep the rules pass, and one that breaks a rule is told which.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{output, roundhouse};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A plugin in C, which breaks the rule that `FAULT` names and no other.
fn nonconforming(folder: &Path) -> PathBuf {
    let library = folder.join("nonconforming.so");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-O1",
            "-pthread",
            "-D_GNU_SOURCE",
        ])
        .arg("-I")
        .arg(root().join("plugin-api/include"))
        .arg(root().join("tests/binary/nonconforming/plugin.c"))
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{problem}");
    library
}

/// What a test came to: whether it has passed, and kind, check, outcome and detail of each check.
struct Tested {
    passed: bool,
    checks: Vec<[String; 4]>,
}

fn tested(folder: &Path, fault: &str, args: &[&str]) -> Tested {
    let args = [&["plugin", "test", "--json"], args].concat();
    let ended = roundhouse(folder, &args)
        .env("FAULT", fault)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{said}"));
    let passed = report["passed"].as_bool().unwrap();
    assert_eq!(ended.status.code(), Some(i32::from(!passed)), "{report:#}");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks
        .map(|check| ["kind", "check", "outcome", "detail"].map(|key| text(check, key)))
        .collect();
    Tested { passed, checks }
}

#[test]
fn the_shipped_plugins_pass() {
    let root = root();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("all.toml");
    let text = r#"
        default_agent = "echo"
        [agents.echo]
        component = "echo/echo"
        [plugins.libraries]
        echo.file = "roundhouse_echo"
        mcp.file = "roundhouse_mcp"
        redact.file = "roundhouse_redact"
        scripted.file = "roundhouse_scripted"
        toolbox.file = "roundhouse_toolbox"
        [[mappers]]
        component = "redact/redact"
        config = { patterns = ["sk-[A-Za-z0-9]+"] }
    "#;
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    std::thread::scope(|threads| {
        for name in ["echo", "mcp", "redact", "scripted", "toolbox"] {
            let root = &root;
            threads.spawn(move || {
                let args = [name, "--config", config];
                let Tested { passed, checks } = tested(root, "", &args);
                assert!(passed, "{name}: {checks:#?}");
                assert!(checks.len() >= 9, "{name}: {checks:#?}");
            });
        }
    });
}

#[test]
fn a_plugin_in_c_that_keeps_the_rules_passes() {
    let folder = tempfile::tempdir().unwrap();
    let library = nonconforming(folder.path());
    let library = library.to_str().unwrap();
    let Tested { passed, checks } = tested(folder.path(), "", &[library]);
    assert!(passed, "{checks:#?}");
    let of = |kind: &str| {
        let of_kind = checks.iter().filter(|[of, ..]| of == kind);
        of_kind
            .map(|[_, check, ..]| check.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(of(""), "descriptor schemas");
    assert_eq!(
        of("agent"),
        "starts works slow concurrent stop bad-config hostile-input after-end memory ends"
    );
    assert_eq!(
        of("toolset"),
        "starts works concurrent stop bad-config hostile-input after-end memory ends"
    );
    assert_eq!(
        of("mapper"),
        "starts works concurrent bad-config hostile-input memory ends"
    );
    // No panic was to be had of it, and that is told.
    let unproven: Vec<_> = checks
        .iter()
        .filter(|[.., outcome, _]| outcome == "not_provoked")
        .map(|[kind, check, ..]| format!("{kind} {check}"))
        .collect();
    for check in [
        "agent hostile-input",
        "toolset hostile-input",
        "mapper hostile-input",
    ] {
        assert!(unproven.iter().any(|found| found == check), "{unproven:?}");
    }
}

#[test]
fn each_fault_fails_its_check_with_the_right_words() {
    // Fault, kind, check, and words of what is told.
    let faults = [
        (
            "crash",
            "",
            "descriptor",
            "it crashed the process (signal 6) while opening it",
        ),
        (
            "descriptor",
            "",
            "descriptor",
            "answers another address each time",
        ),
        (
            "schemas",
            "",
            "schemas",
            "the schema of its configuration is not a valid JSON Schema",
        ),
        (
            "starts",
            "agent",
            "starts",
            "`create` did not end within 10 s",
        ),
        (
            "no-instance",
            "toolset",
            "starts",
            "finished without an instance",
        ),
        (
            "works",
            "agent",
            "works",
            "the outcome is not what it must be",
        ),
        (
            "event",
            "agent",
            "works",
            "`stream_end` is the host's own event",
        ),
        (
            "tool-schema",
            "toolset",
            "works",
            "the schema of the arguments of `upper` is not a valid",
        ),
        (
            "tool-result",
            "toolset",
            "works",
            "the result of `upper` is not what it must be",
        ),
        (
            "mapper-drops",
            "mapper",
            "works",
            "`stream_end` is the host's own, and was dropped",
        ),
        (
            "mapper-answer",
            "mapper",
            "works",
            "the mapper answered 4711",
        ),
        (
            "slow",
            "agent",
            "slow",
            "did not go on within 10 s of its `resume`",
        ),
        (
            "concurrent",
            "agent",
            "concurrent",
            "the outcome is not what it must be",
        ),
        (
            "stop",
            "agent",
            "stop",
            "did not end by itself within the 2 s that it had",
        ),
        (
            "bad-config-internal",
            "agent",
            "bad-config",
            "a fault that nobody foresaw",
        ),
        (
            "bad-config-secret",
            "agent",
            "bad-config",
            "a text that repeats the value",
        ),
        (
            "bad-config-crash",
            "mapper",
            "bad-config",
            "it crashed the process (signal 6) while",
        ),
        (
            "hostile-input",
            "agent",
            "hostile-input",
            "it crashed the process (signal 6) while a run with no parameters",
        ),
        (
            "hang",
            "agent",
            "works",
            "it hung, and was ended after 3 s, while calling `run`",
        ),
        ("twice", "agent", "after-end", "it was completed twice"),
        (
            "after-end",
            "agent",
            "after-end",
            "an event came after the end",
        ),
        ("memory", "agent", "memory", "memory is lost"),
        ("mapper-memory", "mapper", "memory", "memory is lost"),
        (
            "ends",
            "mapper",
            "ends",
            "`shutdown` did not end within 10 s",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let library = nonconforming(folder.path());
    let library = library.to_str().unwrap();
    // Most of the time is waited.
    std::thread::scope(|threads| {
        for (fault, kind, check, words) in faults {
            let folder = folder.path();
            threads.spawn(move || {
                let only = if kind.is_empty() { "starts" } else { check };
                let limit = if fault == "hang" { "3" } else { "120" };
                let args = [library, "--only", only, "--time-limit", limit];
                let Tested { passed, checks } = tested(folder, fault, &args);
                assert!(!passed, "{fault}: {checks:#?}");
                let found = checks
                    .iter()
                    .find(|found| found[0] == kind && found[1] == check);
                let [.., outcome, detail] = found.unwrap_or_else(|| panic!("{fault}: {checks:#?}"));
                assert_eq!(outcome, "failed", "{fault}: {detail}");
                assert!(detail.contains(words), "{fault}: {detail}");
            });
        }
    });
}

#[test]
fn a_panic_that_becomes_an_error_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // One of its tools panics, whatever it is given.
    let Tested { checks, .. } = tested(
        folder.path(),
        "",
        &["fixture_faulty", "--only", "hostile-input"],
    );
    let tools = checks
        .iter()
        .find(|[kind, check, ..]| kind == "toolset" && check == "hostile-input");
    let [.., outcome, detail] = tools.unwrap();
    assert_eq!(outcome, "passed", "{detail}");
    let panics = detail.split(' ').rev().nth(3).unwrap();
    assert!(detail.ends_with(" panics became errors"), "{detail}");
    // Not those whose arguments are no JSON.
    assert!(panics.parse::<u32>().unwrap() >= 5, "{detail}");
}

#[test]
fn the_report_is_for_people_too() {
    let folder = tempfile::tempdir().unwrap();
    let ended = output(folder.path(), &["plugin", "test", "roundhouse_redact"]);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    for part in [
        "roundhouse-redact ",
        "mapper `redact`",
        "not run",
        "patterns",
        "--config",
        "incomplete: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let ended = output(
        folder.path(),
        &["plugin", "test", "roundhouse_echo", "--only", "starts"],
    );
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("passed: 3 checks"), "{said}");
    let ended = output(
        folder.path(),
        &["plugin", "test", "roundhouse_echo", "--only", "start"],
    );
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(
        said.contains("there is no check `start`; there are: starts, works"),
        "{said}"
    );
    let ended = output(folder.path(), &["plugin", "test", "./missing.so"]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(said.contains("there is no file `./missing.so`"), "{said}");
}
