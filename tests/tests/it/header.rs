//! The C header only grows: what was published of it is there still, in its place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What of a header binds: constants with their values, and types with their members in order.
#[derive(Debug, Default)]
struct Header {
    constants: BTreeMap<String, String>,
    /// Members of structs; the whole of any other declaration.
    types: BTreeMap<String, Vec<String>>,
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out += before;
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    out + rest
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read(path: &Path) -> Header {
    let text = without_comments(&fs::read_to_string(path).unwrap());
    let mut header = Header::default();
    for line in text.lines() {
        if let Some(constant) = line.strip_prefix("#define ")
            && let Some((name, value)) = constant.split_once(' ')
        {
            header.constants.insert(name.to_owned(), words(value));
        }
    }
    let code: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    let mut rest = code.as_str();
    while let Some((_, after)) = rest.split_once("typedef ") {
        if let Some(members) = after.strip_prefix("struct {") {
            let (members, after) = members.split_once('}').unwrap();
            let (name, after) = after.split_once(';').unwrap();
            let members = members
                .split(';')
                .map(words)
                .filter(|member| !member.is_empty());
            header.types.insert(words(name), members.collect());
            rest = after;
        } else {
            let (whole, after) = after.split_once(';').unwrap();
            header.types.insert(words(whole), Vec::new());
            rest = after;
        }
    }
    header
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The published headers, the oldest first.
fn published() -> Vec<(String, Header)> {
    let mut all: Vec<_> = fs::read_dir(root().join("tests/frozen"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let minor: u32 = name.strip_prefix("plugin-api-1.")?.parse().unwrap();
            let header = read(&entry.path().join("include/roundhouse_plugin.h"));
            Some((minor, (name, header)))
        })
        .collect();
    all.sort_by_key(|(minor, _)| *minor);
    all.into_iter().map(|(_, header)| header).collect()
}

/// These are passed by value, so that a longer one would be another type.
const FIXED: [&str; 3] = ["rh_str", "rh_writer", "rh_event_sink"];

#[test]
fn it_only_grows() {
    let published = published();
    assert!(!published.is_empty());
    let now = read(&root().join("plugin-api/include/roundhouse_plugin.h"));
    for (name, then) in &published {
        assert!(
            then.types.len() > 10 && then.constants.len() > 40,
            "{then:?}"
        );
        for (constant, value) in &then.constants {
            if constant != "RH_ABI_MINOR" {
                assert_eq!(
                    now.constants.get(constant),
                    Some(value),
                    "{constant} of {name}"
                );
            }
        }
        for (type_, members) in &then.types {
            let today = now
                .types
                .get(type_)
                .unwrap_or_else(|| panic!("{type_} of {name} is gone"));
            assert!(
                today.starts_with(members),
                "{type_} of {name}: {members:?} and now {today:?}"
            );
            if FIXED.contains(&type_.as_str()) {
                assert_eq!(today, members, "{type_} is passed by value");
            }
        }
    }
}

/// The latest that was published is the one that there is: a change is a new minor, which is published with it.
#[test]
fn what_there_is_was_published() {
    let published = published();
    let (name, latest) = published.last().unwrap();
    let now = read(&root().join("plugin-api/include/roundhouse_plugin.h"));
    assert_eq!(
        name.strip_prefix("plugin-api-1."),
        now.constants.get("RH_ABI_MINOR").map(String::as_str)
    );
    assert_eq!(latest.types, now.types);
    assert_eq!(latest.constants, now.constants);
}
