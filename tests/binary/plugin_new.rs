//! `roundhouse plugin new`: what it makes builds, passes its own tests, keeps the rules, and is served.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::Path;
use std::process::Command;

use crate::nested::cargo;
use crate::process::{Serving, output};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must succeed; its standard output.
fn good(folder: &Path, args: &[&str]) -> String {
    let ended = output(folder, args);
    assert!(
        ended.status.success(),
        "{args:?}: {}{}",
        text(&ended.stdout),
        text(&ended.stderr)
    );
    text(&ended.stdout)
}

/// Runs a command that must fail; its standard error.
fn bad(folder: &Path, code: i32, args: &[&str]) -> String {
    let ended = output(folder, args);
    assert_eq!(
        ended.status.code(),
        Some(code),
        "{args:?}: {}",
        text(&ended.stdout)
    );
    text(&ended.stderr)
}

#[test]
fn a_new_project_builds_tests_itself_and_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let said = good(
        folder.path(),
        &["plugin", "new", "a-parrot", "--agent", "--tool", "--mapper"],
    );
    assert!(said.contains("cd a-parrot"), "{said}");
    let project = folder.path().join("a-parrot");
    let tested = cargo(&project, &["test"]);
    assert!(tested.contains("4 passed; 0 failed"), "{tested}");
    // Not even a warning, in what is theirs and in what is brought along.
    assert!(!tested.contains("warning"), "{tested}");
    let built = cargo(&project, &["build"]);
    assert!(!built.contains("warning"), "{built}");

    let library = format!("target/debug/{DLL_PREFIX}a_parrot{DLL_SUFFIX}");
    let report = good(&project, &["plugin", "test", &library]);
    assert!(report.contains("passed: 28 checks"), "{report}");
    let checked = good(&project, &["check"]);
    assert!(
        checked.contains("agent a-parrot, toolset a-parrot, mapper a-parrot"),
        "{checked}"
    );
    let host = Serving::start(&project, &[]);
    let url = format!("http://{}", host.address);
    assert_eq!(
        good(&project, &["chat", "--url", &url, "hello"]).trim(),
        "You said: hello"
    );
    shows_its_entry_alone(&project.join(library));
}

/// What the testing kit has must not be in what is built.
fn shows_its_entry_alone(library: &Path) {
    let symbols = |args: &[&str]| {
        let listed = Command::new("nm").args(args).arg(library).output().unwrap();
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        text(&listed.stdout)
    };
    let shown = symbols(&["-D", "--defined-only", "--format=just-symbols"]);
    assert_eq!(shown.trim(), "rh_plugin_v1");
    let all = symbols(&["--defined-only"]);
    assert!(all.contains("plugin_api"), "the symbols are there");
    for kit in ["testing", "import", "in_memory"] {
        assert!(!all.contains(kit), "{kit} is in the library");
    }
}

#[test]
fn each_part_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (part, passed) in [("agent", 2), ("tool", 1), ("mapper", 1)] {
        let name = format!("only-{part}");
        good(
            folder.path(),
            &["plugin", "new", &name, &format!("--{part}")],
        );
        // All of them are written against one copy, or each would be compiled anew.
        let project = folder.path().join(&name);
        let vendor = folder.path().join("vendor");
        if vendor.exists() {
            std::fs::remove_dir_all(project.join("vendor")).unwrap();
        } else {
            std::fs::rename(project.join("vendor"), &vendor).unwrap();
        }
        let manifest = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
        let manifest = manifest.replace("\"vendor/", "\"../vendor/");
        std::fs::write(project.join("Cargo.toml"), manifest).unwrap();
        let tested = cargo(&project, &["test"]);
        assert!(
            tested.contains(&format!("{passed} passed; 0 failed")),
            "{tested}"
        );
        let config = std::fs::read_to_string(project.join("config/roundhouse.toml")).unwrap();
        assert!(
            config.contains(&format!("component = \"{name}/{name}\"")),
            "{config}"
        );
    }
}

#[test]
fn what_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name, part| ["plugin", "new", name, part];
    let said = bad(folder.path(), 1, &new("Parrot", "--agent"));
    assert!(
        said.contains("`Parrot` is no name for a plugin: it starts with a letter"),
        "{said}"
    );
    let said = bad(folder.path(), 1, &new("fn", "--agent"));
    assert!(
        said.contains("`fn` is no name for a plugin: Rust or Cargo have it already"),
        "{said}"
    );
    let said = bad(folder.path(), 2, &["plugin", "new", "parrot"]);
    assert!(said.contains("<--agent|--tool|--mapper>"), "{said}");
    std::fs::write(folder.path().join("taken"), "").unwrap();
    let said = bad(folder.path(), 1, &new("taken", "--agent"));
    assert!(said.contains("`taken` is there already"), "{said}");
    let said = bad(folder.path(), 1, &new("taken/parrot", "--agent"));
    assert!(
        said.contains("`taken") && said.contains("cannot be written"),
        "{said}"
    );
    // A folder in between is made.
    good(folder.path(), &new("plugins/parrot", "--tool"));
    assert!(folder.path().join("plugins/parrot/src/tool.rs").exists());
    let said = bad(folder.path(), 1, &new("plugins/parrot", "--tool"));
    assert!(said.contains("`plugins/parrot` is there already"), "{said}");
}

#[test]
fn the_header_is_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    let printed = good(folder.path(), &["plugin", "header"]);
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/include/roundhouse_plugin.h");
    assert_eq!(printed, std::fs::read_to_string(file).unwrap());
}
