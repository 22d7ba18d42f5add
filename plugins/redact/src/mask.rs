//! Masking in text and JSON.

use std::borrow::Cow;

use plugin_api::CreateError;
use plugin_api::serde_json::{Map, Value};
use regex::{NoExpand, Regex};

/// Patterns, and what takes the place of what they match.
#[derive(Debug)]
pub(crate) struct Masker {
    patterns: Vec<Regex>,
    replacement: String,
}

impl Masker {
    /// Faults name a pattern by its place in the list, never by its text: it may be the very secret to mask.
    pub(crate) fn new(patterns: &[String], replacement: String) -> Result<Self, CreateError> {
        if patterns.is_empty() {
            return Err(CreateError::config(
                "`patterns` is empty; without it nothing would be masked",
            ));
        }
        let patterns = patterns.iter().enumerate().map(|(index, pattern)| {
            compile(pattern)
                .map_err(|problem| CreateError::config(format!("`patterns[{index}]` {problem}")))
        });
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
            replacement,
        })
    }

    fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for pattern in &self.patterns {
            if let Cow::Owned(next) = pattern.replace_all(&masked, NoExpand(&self.replacement)) {
                masked = Cow::Owned(next);
            }
        }
        masked
    }

    /// Masks in a text. Whether it was changed.
    pub(crate) fn mask_text(&self, text: &mut String) -> bool {
        let Cow::Owned(masked) = self.masked(text) else {
            return false;
        };
        *text = masked;
        true
    }

    /// Masks at any depth. Whether anything was changed.
    pub(crate) fn mask_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.mask_text(text),
            Value::Number(number) => {
                let Cow::Owned(masked) = self.masked(&number.to_string()) else {
                    return false;
                };
                *value = Value::String(masked);
                true
            }
            Value::Array(items) => {
                let mut changed = false;
                for item in items {
                    changed |= self.mask_value(item);
                }
                changed
            }
            Value::Object(object) => self.mask_object(object),
            Value::Null | Value::Bool(_) => false,
        }
    }

    /// Masks in keys and values at any depth. Whether anything was changed.
    pub(crate) fn mask_object(&self, object: &mut Map<String, Value>) -> bool {
        let mut changed = false;
        for value in object.values_mut() {
            changed |= self.mask_value(value);
        }
        let in_keys = object
            .keys()
            .any(|key| matches!(self.masked(key), Cow::Owned(_)));
        if in_keys {
            let mut masked = Map::with_capacity(object.len());
            for (key, value) in std::mem::take(object) {
                masked.insert(free_key(&masked, &self.masked(&key)), value);
            }
            *object = masked;
        }
        changed || in_keys
    }
}

/// The key, with a number where it is taken: keys that differ may be the same once masked.
fn free_key(object: &Map<String, Value>, key: &str) -> String {
    let numbered = (2_u64..).map(|number| format!("{key} ({number})"));
    std::iter::once(key.to_owned())
        .chain(numbered)
        .find(|key| !object.contains_key(key))
        .unwrap_or_default()
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let regex = Regex::new(pattern).map_err(|error| reason(&error))?;
    if regex.is_match("") {
        return Err("matches the empty text, and so between any two characters".to_owned());
    }
    Ok(regex)
}

/// What is wrong with a pattern, without its text.
fn reason(error: &regex::Error) -> String {
    match error {
        // The message shows the pattern, and then says in its last line what is wrong with it.
        regex::Error::Syntax(message) => {
            let last = message.lines().last().unwrap_or_default();
            match last.strip_prefix("error: ") {
                Some(problem) => format!("is not a regular expression: {problem}"),
                None => "is not a regular expression".to_owned(),
            }
        }
        regex::Error::CompiledTooBig(limit) => {
            format!("is too large: compiled it takes more than {limit} bytes")
        }
        _ => "is not a regular expression".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    fn masker(patterns: &[&str]) -> Result<Masker, String> {
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Masker::new(&patterns, "*".to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bad_pattern_is_told_by_its_place_and_not_by_its_text() {
        for (pattern, problem) in [
            ("hunter2(", "is not a regular expression: unclosed group"),
            (
                "hunter2\\y",
                "is not a regular expression: unrecognized escape sequence",
            ),
            (
                "hunter2\n(?P<hunter2",
                "is not a regular expression: unclosed capture group name",
            ),
            (
                "(?=hunter2)",
                "is not a regular expression: look-around, including look-ahead and look-behind, \
              is not supported",
            ),
            (
                "(hunter2)*",
                "matches the empty text, and so between any two characters",
            ),
            (
                "\\w{9999}{99}",
                "is too large: compiled it takes more than 10485760 bytes",
            ),
        ] {
            let told = masker(&["ok", pattern]).unwrap_err();
            assert_eq!(told, format!("configuration: `patterns[1]` {problem}"));
        }
    }

    #[test]
    fn numbers_and_keys_are_masked_too() {
        let masker = masker(&["4111", "secret"]).unwrap();
        let mut value = json!({"card": 41110, "ok": 1, "a secret": {"secret": true}, "secret": null, "*": 0,
            "none": false});
        assert!(masker.mask_value(&mut value));
        assert_eq!(
            value,
            json!({"card": "*0", "ok": 1, "a *": {"*": true}, "*": null, "* (2)": 0, "none": false})
        );
    }

    #[test]
    fn whether_anything_changed_is_told() {
        let masker = masker(&["x"]).unwrap();
        for (mut value, changed) in [
            (json!(["x", "a"]), true),
            (json!(["a", "x"]), true),
            (json!({"a": "x", "b": "a"}), true),
            (json!({"a": ["b", 1, null, true], "c": {}}), false),
            (json!("x"), true),
            (json!(null), false),
        ] {
            let before = value.clone();
            assert_eq!(masker.mask_value(&mut value), changed, "{before}");
            assert_eq!(before != value, changed);
        }
    }
}
