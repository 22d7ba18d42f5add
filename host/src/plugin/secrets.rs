//! Finds the places of a configuration table that its schema marks as secret, and puts the secrets in.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{Breach, Located, step};

/// The schema keyword that marks a string as a secret.
const MARK: &str = "x-roundhouse-secret";

/// Schemas may refer to themselves; this many steps without going deeper into the value are enough for any
/// that was written by a person.
const STEPS_IN_PLACE: usize = 32;

/// A secret is a key or a password, not a document.
const SECRET_BYTES: u64 = 1024 * 1024;

/// What is expected where a secret belongs.
const FORMS: &str = "expected a string, {env = \"NAME\"} or {file = \"PATH\"}";

/// A copy of `table` in which each `{env = "…"}` and `{file = "…"}` at a place that `schema` marks as secret
/// is replaced by the string it stands for. Relative paths start at the folder of the file that names them.
///
/// Reads files, so it blocks.
///
/// # Errors
///
/// A problem for each that cannot be resolved; none holds a secret.
pub(crate) fn resolve(table: &Located, schema: &Value) -> Result<Value, Vec<Breach>> {
    let mut resolver = Resolver {
        root: schema,
        table,
        problems: Vec::new(),
    };
    let mut value = table.value().clone();
    resolver.visit(schema, &mut value, "", STEPS_IN_PLACE);
    if resolver.problems.is_empty() {
        Ok(value)
    } else {
        Err(resolver.problems)
    }
}

struct Resolver<'a> {
    root: &'a Value,
    table: &'a Located,
    problems: Vec<Breach>,
}

impl<'a> Resolver<'a> {
    fn visit(&mut self, schema: &'a Value, value: &mut Value, pointer: &str, steps: usize) {
        let Some(steps) = steps.checked_sub(1) else {
            return;
        };
        if schema.get(MARK).and_then(Value::as_bool) == Some(true) {
            self.resolve(value, pointer);
            return;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str)
            && let Some(inner) = target
                .strip_prefix('#')
                .and_then(|at| self.root.pointer(at))
        {
            self.visit(inner, value, pointer, steps);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for branch in schema
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.visit(branch, value, pointer, steps);
            }
        }
        for keyword in ["if", "then", "else"] {
            if let Some(branch) = schema.get(keyword) {
                self.visit(branch, value, pointer, steps);
            }
        }
        match value {
            Value::Object(entries) => {
                let properties = schema.get("properties");
                for (name, entry) in entries.iter_mut() {
                    let known = properties.and_then(|known| known.get(name));
                    if let Some(schema) = known.or_else(|| schema.get("additionalProperties")) {
                        let pointer = step(pointer, name);
                        self.visit(schema, entry, &pointer, STEPS_IN_PLACE);
                    }
                }
            }
            Value::Array(items) => {
                let first = schema.get("prefixItems").and_then(Value::as_array);
                for (index, item) in items.iter_mut().enumerate() {
                    let of_its_own = first.and_then(|schemas| schemas.get(index));
                    if let Some(schema) = of_its_own.or_else(|| schema.get("items")) {
                        self.visit(schema, item, &format!("{pointer}/{index}"), STEPS_IN_PLACE);
                    }
                }
            }
            _ => {}
        }
    }

    fn resolve(&mut self, value: &mut Value, pointer: &str) {
        // Anything but a table is the schema's to judge: a plain string, or null for an optional one.
        let Value::Object(entries) = value else {
            return;
        };
        let mut entry = entries.iter();
        let resolved = match (entry.next(), entry.next()) {
            (Some((kind, Value::String(name))), None) if kind == "env" => from_env(name),
            (Some((kind, Value::String(name))), None) if kind == "file" => {
                let path = Path::new(name);
                from_file(
                    &self
                        .table
                        .folder(pointer)
                        .map_or(path.to_owned(), |at| at.join(path)),
                )
            }
            _ => Err("is a secret and has the wrong form".to_owned()),
        };
        match resolved {
            Ok(secret) => *value = Value::String(secret),
            Err(problem) => self.problems.push(Breach {
                pointer: pointer.to_owned(),
                problem,
                expected: FORMS.to_owned(),
            }),
        }
    }
}

fn from_env(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(secret) => Ok(secret),
        Err(std::env::VarError::NotPresent) => Err(format!(
            "names the environment variable `{name}`, which is not set"
        )),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!(
            "names the environment variable `{name}`, which is not UTF-8"
        )),
    }
}

fn from_file(path: &PathBuf) -> Result<String, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path)
        .map_err(|error| format!("names the file `{shown}`, which cannot be read: {error}"))?;
    if !metadata.is_file() || metadata.len() > SECRET_BYTES {
        return Err(format!(
            "names `{shown}`, which is not a file of at most 1 MiB"
        ));
    }
    let bytes = std::fs::read(path)
        .map_err(|error| format!("names the file `{shown}`, which cannot be read: {error}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("names the file `{shown}`, which is not UTF-8"))?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    Ok(text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| {
            line.strip_suffix('\r').unwrap_or(line)
        })
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(value: Value) -> Located {
        Located::new(
            "agents.main.config".to_owned(),
            value,
            std::collections::BTreeMap::new(),
        )
    }

    fn schema() -> Value {
        json!({
            "properties": {
                "key": {"$ref": "#/$defs/Secret"},
                "optional": {"anyOf": [{"$ref": "#/$defs/Secret"}, {"type": "null"}]},
                "many": {"type": "array", "items": {"type": "object", "properties": {"key": {"$ref": "#/$defs/Secret"}}}},
                "named": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Secret"}},
                "plain": {"type": "object"},
                "again": {"$ref": "#"}
            },
            "$defs": {"Secret": {"type": "string", MARK: true}}
        })
    }

    #[test]
    fn secrets_are_found_wherever_the_schema_marks_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from the file\n").unwrap();
        let from = json!({"file": file});
        let table = table(json!({
            "key": from, "optional": from, "many": [{"key": from}, {"key": "plain"}], "named": {"a/b": from},
            "plain": {"file": "kept"}, "again": {"again": {"key": from}}
        }));
        let secret = "from the file";
        let expected = json!({
            "key": secret, "optional": secret, "many": [{"key": secret}, {"key": "plain"}], "named": {"a/b": secret},
            "plain": {"file": "kept"}, "again": {"again": {"key": secret}}
        });
        assert_eq!(resolve(&table, &schema()), Ok(expected));
    }

    #[test]
    fn the_environment_is_read() {
        let table = table(json!({"key": {"env": "PATH"}, "optional": null}));
        let expected = json!({"key": std::env::var("PATH").unwrap(), "optional": null});
        assert_eq!(resolve(&table, &schema()), Ok(expected));
    }

    #[test]
    fn what_cannot_be_resolved_is_named_without_a_value() {
        let table = table(json!({
            "key": {"env": "ROUNDHOUSE_TEST_VARIABLE_THAT_IS_NOT_SET"},
            "optional": {"file": "no/such/file"},
            "named": {"both": {"env": "hunter2", "file": "hunter2"}, "number": {"env": 3}}
        }));
        let problems = resolve(&table, &schema()).unwrap_err();
        let pointers: Vec<&str> = problems
            .iter()
            .map(|problem| problem.pointer.as_str())
            .collect();
        assert_eq!(
            pointers,
            ["/key", "/optional", "/named/both", "/named/number"]
        );
        assert!(
            problems[0]
                .problem
                .contains("ROUNDHOUSE_TEST_VARIABLE_THAT_IS_NOT_SET")
        );
        assert!(problems[1].problem.contains("no/such/file"));
        assert!(!format!("{problems:?}").contains("hunter2"));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let endless = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}});
        let table = table(json!({"key": {"env": "PATH"}}));
        assert_eq!(resolve(&table, &endless), Ok(table.value().clone()));
    }
}
