//! Embeds the source of `plugin-api`, for `roundhouse plugin new`: a project that it makes depends on nothing that is
//! not published but the copy in its own folder.
//!
//! What is embedded is the crate as it is built here: its manifest, with what it inherits of the workspace written
//! out and without what only its own tests need; its source; and the part of the lock file that it is built with.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const PACKAGE: &str = "roundhouse-plugin-api";

fn main() {
    let root = Path::new(&env("CARGO_MANIFEST_DIR")).join("..");
    let api = root.join("plugin-api");
    for path in [
        "build.rs",
        "../Cargo.toml",
        "../Cargo.lock",
        "../LICENSE-APACHE",
        "../LICENSE-MIT",
        "../plugin-api/Cargo.toml",
        "../plugin-api/build.rs",
        "../plugin-api/include",
        "../plugin-api/src",
    ] {
        println!("cargo:rerun-if-changed={path}");
    }
    let manifest = manifest(
        &read(&api.join("Cargo.toml")),
        &read(&root.join("Cargo.toml")),
    );
    let packages = locked(&read(&root.join("Cargo.lock")), &dependencies(&manifest));

    let mut out = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    let mut file = |name: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "    ({name:?}, {text:?}),");
    };
    file("Cargo.toml", &manifest);
    file("build.rs", &read(&api.join("build.rs")));
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        file(name, &read(&root.join(name)));
    }
    for folder in ["include", "src"] {
        for path in files(&api.join(folder)) {
            let name = path.strip_prefix(&api).unwrap_or(&path);
            let Some(name) = name.to_str() else {
                panic!("{}: not UTF-8", path.display())
            };
            file(name, &read(&path));
        }
    }
    out.push_str("];\n\npub(super) const LOCKED: &[(&str, &str)] = &[\n");
    for (name, text) in packages {
        let _ = writeln!(out, "    ({name:?}, {text:?}),");
    }
    out.push_str("];\n");
    let target = Path::new(&env("OUT_DIR")).join("plugin_api.rs");
    if let Err(error) = fs::write(&target, out) {
        panic!("{}: {error}", target.display());
    }
}

fn env(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) => value,
        Err(error) => panic!("{name}: {error}"),
    }
}

fn read(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// All files under a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let mut paths: Vec<_> = entries
        .map(|entry| match entry {
            Ok(entry) => entry.path(),
            Err(error) => panic!("{}: {error}", folder.display()),
        })
        .collect();
    paths.sort();
    let below = paths.into_iter().flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    below.collect()
}

/// The crate's manifest, standing on its own.
fn manifest(api: &str, workspace: &str) -> String {
    let mut section = "";
    let mut out = String::from("# Made by `roundhouse plugin new`; another host makes another.\n");
    for line in api.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if matches!(section, "[dev-dependencies]" | "[lints]" | "[[bench]]") {
            continue;
        }
        match line.strip_suffix(".workspace = true") {
            Some(name) if section == "[package]" => {
                out.push_str(inherited(workspace, "[workspace.package]", name));
            }
            Some(name) => out.push_str(inherited(workspace, "[workspace.dependencies]", name)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    assert!(
        !out.contains("workspace = true"),
        "plugin-api/Cargo.toml inherits in a form that is not understood here"
    );
    out
}

/// The workspace's own line for `name`.
fn inherited<'a>(workspace: &'a str, section: &str, name: &str) -> &'a str {
    let start = format!("{name} = ");
    let mut lines = workspace
        .lines()
        .skip_while(|line| *line != section)
        .skip(1);
    let found = lines.find(|line| line.starts_with(&start) || line.starts_with('['));
    match found {
        Some(line) if line.starts_with(&start) => line,
        _ => panic!("Cargo.toml: {section} has no `{name}`"),
    }
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<&str> {
    let lines = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]");
    let section = lines.skip(1).take_while(|line| !line.starts_with('['));
    let names = section.filter_map(|line| Some(line.split_once(" = ")?.0));
    names.collect()
}

/// Those packages of a lock file that the crate needs, itself included: name and text of each.
fn locked(lock: &str, direct: &[&str]) -> Vec<(String, String)> {
    let all: Vec<&str> = lock
        .split("[[package]]\n")
        .skip(1)
        .map(str::trim_end)
        .collect();
    let value = |text: &str, key: &str| {
        let start = format!("{key} = \"");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|line| line.strip_suffix('"'))
            .unwrap_or_default()
            .to_owned()
    };
    // `name`, or `name version` where there are several.
    let find = |wanted: &str| -> &str {
        let mut words = wanted.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let found = all.iter().find(|text| {
            value(text, "name") == name
                && version.is_none_or(|version| value(text, "version") == version)
        });
        match found {
            Some(text) => text,
            None => panic!("Cargo.lock has no `{wanted}`"),
        }
    };
    let of_api = listed(find(PACKAGE));
    let is_direct = |wanted: &&&str| direct.contains(&wanted.split(' ').next().unwrap_or_default());
    let mut open: Vec<&str> = of_api.iter().filter(is_direct).copied().collect();
    assert_eq!(
        open.len(),
        direct.len(),
        "Cargo.lock and plugin-api/Cargo.toml differ"
    );

    let own: String = open.iter().map(|name| format!(" \"{name}\",\n")).collect();
    let own = format!(
        "name = \"{PACKAGE}\"\nversion = {:?}\ndependencies = [\n{own}]",
        value(find(PACKAGE), "version")
    );
    let mut seen = BTreeSet::new();
    while let Some(wanted) = open.pop() {
        let text = find(wanted);
        if seen.insert((value(text, "name"), text)) {
            open.extend(listed(text));
        }
    }
    let mut packages: Vec<_> = seen
        .into_iter()
        .map(|(name, text)| (name, text.to_owned()))
        .collect();
    packages.push((PACKAGE.to_owned(), own));
    packages.sort();
    packages
}

/// The dependencies that a package of a lock file lists.
fn listed(package: &str) -> Vec<&str> {
    let lines = package
        .lines()
        .skip_while(|line| *line != "dependencies = [");
    let names = lines.skip(1).take_while(|line| *line != "]");
    names
        .map(|line| line.trim().trim_end_matches(',').trim_matches('"'))
        .collect()
}
