//! The table in `tests/README.md` names the tests that there are, all of them.

use std::collections::BTreeSet;
use std::path::Path;

/// `file::test` of every test in a file.
fn tests_in(file: &Path) -> Vec<String> {
    let module = file.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).unwrap();
    let mut tests = Vec::new();
    let mut marked = false;
    for line in text.lines() {
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let name = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
            .and_then(|rest| rest.split('(').next());
        if let Some(name) = name {
            if marked {
                tests.push(format!("{module}::{name}"));
            }
            marked = false;
        }
    }
    tests
}

#[test]
fn it_is_complete() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    let mut add = |file: &Path| {
        for test in tests_in(file) {
            // A name tells which of the folders it is in.
            assert!(tests.insert(test.clone()), "{test} is there twice");
        }
    };
    add(&folder.join("binary/signals.rs"));
    add(&folder.join("binary/killed.rs"));
    for suite in ["tests/it/protocol_v1", "tests/it/protocol_v2"] {
        for entry in std::fs::read_dir(folder.join(suite)).unwrap() {
            add(&entry.unwrap().path());
        }
    }
    tests.remove("table::it_is_complete");
    assert!(tests.len() > 170, "{}", tests.len());

    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let named: BTreeSet<String> = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::") && !name.starts_with("file::"))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = tests.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "not in tests/README.md: {missing:?}");
    assert!(
        unknown.is_empty(),
        "in tests/README.md, but no test: {unknown:?}"
    );
}
