//! The rooms of the host and the arrows between them: each imports only from the floors below it.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, and what its files must not name.
struct Room {
    path: &'static str,
    forbidden: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        path: "host/src/session",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::guard",
            "crate::protocol",
            "crate::plugin",
            "crate::config",
            "axum::",
        ],
    },
    Room {
        path: "host/src/metrics.rs",
        forbidden: &["crate::", "axum::", "tokio::"],
    },
    Room {
        path: "host/src/confine.rs",
        forbidden: &["crate::", "axum::", "tokio::"],
    },
    Room {
        path: "host/src/child_guard",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::guard",
            "crate::protocol",
            "crate::plugin",
            "crate::config",
            "crate::session",
            "axum::",
            "tokio::",
        ],
    },
    Room {
        path: "host/src/config",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::guard",
            "crate::protocol",
            "crate::plugin",
            "crate::session",
            "axum::",
            "tokio::",
        ],
    },
    Room {
        path: "host/src/protocol",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::guard",
            "crate::plugin",
            "crate::config",
            "axum::",
            "tokio::",
            "std::fs",
            "std::net",
        ],
    },
    Room {
        path: "host/src/plugin",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::guard",
            "crate::protocol",
            "crate::session",
            "axum::",
        ],
    },
    Room {
        path: "host/src/guard",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::plugin",
            "axum::",
            "tokio::",
        ],
    },
    Room {
        path: "host/src/run",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::guard",
            "axum::",
        ],
    },
    Room {
        path: "host/src/project",
        forbidden: &["crate::", "axum::"],
    },
    Room {
        path: "host/src/conformance",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::client",
            "crate::guard",
            "crate::session",
            "axum::",
            "tokio::",
        ],
    },
    Room {
        path: "host/src/connection",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::plugin",
            "axum::",
            "tungstenite::",
        ],
    },
    Room {
        path: "host/src/client",
        forbidden: &[
            "crate::cli",
            "crate::server",
            "crate::connection",
            "crate::run",
            "crate::guard",
            "crate::plugin",
            "crate::session",
            "crate::config",
            "axum::",
        ],
    },
    Room {
        path: "host/src/server",
        forbidden: &["crate::cli", "crate::client"],
    },
    Room {
        path: "plugin-api/src",
        forbidden: &["roundhouse_host", "axum::"],
    },
    Room {
        path: "plugins",
        forbidden: &["roundhouse_host", "plugin_api::abi"],
    },
];

/// Where unsafe code may stand.
const UNSAFE_ROOMS: &[&str] = &["plugin-api/src/abi", "host/src/plugin"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files at `path`, which may be one.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let path = entry.unwrap().path();
        // A room's tests may look outside.
        if path.is_dir() && path.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Lines of code, numbered from 1, without comments.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned());
    (1..).zip(lines).collect()
}

#[test]
fn every_room_imports_only_from_the_floors_below() {
    let mut found = Vec::new();
    for room in ROOMS {
        let files = rust_files(&root().join(room.path));
        assert!(!files.is_empty(), "{} has no files", room.path);
        for file in files {
            for (number, line) in code(&file) {
                for name in room.forbidden.iter().filter(|name| line.contains(**name)) {
                    found.push(format!("{}:{number}: {name}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_stands_in_two_rooms_only() {
    let mut found = Vec::new();
    for folder in ["host/src", "plugin-api/src", "plugins"] {
        for file in rust_files(&root().join(folder)) {
            let allowed = UNSAFE_ROOMS
                .iter()
                .any(|room| file.starts_with(root().join(room)));
            for (number, line) in code(&file) {
                let word = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                if !allowed && word.into_iter().any(|word| word == "unsafe") {
                    found.push(format!("{}:{number}", file.display()));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "unsafe outside its rooms:\n{}",
        found.join("\n")
    );
}
