//! A part of the configuration as written, with the place each value came from.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::fault::{Fault, Source};

/// The source of a value, and the line where it is a file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where the value was written.
    pub source: Source,
    /// The line there, from 1.
    pub line: Option<usize>,
}

impl Place {
    /// The place of what nobody wrote.
    pub(crate) const BUILT_IN: Self = Self {
        source: Source::BuiltIn,
        line: None,
    };
}

/// A table of the configuration, merged from its layers, that remembers for each of its
/// values which layer wrote it.
///
/// Its `Debug` form shows no values, since any of them may be a secret.
#[derive(Clone)]
pub struct Located {
    key: String,
    value: Value,
    places: BTreeMap<String, Place>,
}

impl Located {
    /// `key` is the table's own path; `places` are by JSON pointer into `value`.
    pub(crate) fn new(key: String, value: Value, places: BTreeMap<String, Place>) -> Self {
        Self { key, value, places }
    }

    /// The table's path in the configuration, such as `agents.echo.config`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The table, its keys in the order they were written.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the value at a JSON pointer (`/model/name`; empty for the whole) was
    /// written: the nearest one around it that is known, for a value that is missing.
    #[must_use]
    pub fn place(&self, pointer: &str) -> &Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return place;
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = &pointer[..cut],
                None => return &Place::BUILT_IN,
            }
        }
    }

    /// The folder that a relative path at a JSON pointer starts at; `None` is the working
    /// directory.
    #[must_use]
    pub fn folder(&self, pointer: &str) -> Option<&Path> {
        self.place(pointer).source.folder()
    }

    /// A fault of the value at a JSON pointer. The texts must not hold the value.
    #[must_use]
    pub fn fault(
        &self,
        pointer: &str,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Fault {
        let place = self.place(pointer);
        Fault {
            source: place.source.clone(),
            line: place.line,
            key: key_path(&self.key, pointer),
            problem: problem.into(),
            expected: expected.into(),
        }
    }

    /// The part at a JSON pointer; an empty object where there is none.
    pub(crate) fn part(&self, pointer: &str) -> Self {
        let value = self
            .value
            .pointer(pointer)
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let mut places: BTreeMap<String, Place> = self
            .places
            .iter()
            .filter_map(|(at, place)| {
                let rest = at.strip_prefix(pointer)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| (rest.to_owned(), place.clone()))
            })
            .collect();
        places
            .entry(String::new())
            .or_insert_with(|| self.place(pointer).clone());
        Self {
            key: key_path(&self.key, pointer),
            value,
            places,
        }
    }
}

impl std::fmt::Debug for Located {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Located")
            .field("key", &self.key)
            .field("place", self.place(""))
            .finish_non_exhaustive()
    }
}

/// A key's path as a person writes it: `mappers[0].config`.
pub(crate) fn key_path(base: &str, pointer: &str) -> String {
    let mut path = base.to_owned();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()) {
            path.push('[');
            path.push_str(&segment);
            path.push(']');
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        let bare = !segment.is_empty()
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if bare {
            path.push_str(&segment);
        } else {
            path.push_str(&format!("{segment:?}"));
        }
    }
    path
}

/// One step further down a JSON pointer.
pub(crate) fn step(pointer: &str, segment: &str) -> String {
    format!(
        "{pointer}/{}",
        segment.replace('~', "~0").replace('/', "~1")
    )
}
