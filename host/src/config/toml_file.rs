//! A TOML text as JSON, with the line of every value.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::located::step;

/// A parsed file.
pub(super) struct TomlFile {
    /// The top-level table, keys in the order they were written.
    pub(super) table: Map<String, Value>,
    /// Line, from 1, by JSON pointer.
    pub(super) lines: BTreeMap<String, usize>,
}

/// A place where a text is not TOML, or says what JSON cannot.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    pub(super) line: Option<usize>,
    /// JSON pointer of the value at fault; empty for a fault of the syntax.
    pub(super) pointer: String,
    /// What is wrong; never the line's content.
    pub(super) problem: String,
}

/// Parses `text`, or says everything that is wrong with its syntax.
pub(super) fn parse(text: &str) -> Result<TomlFile, Vec<SyntaxFault>> {
    let lines = Lines::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        lines: &lines,
        places: BTreeMap::new(),
        faults: Vec::new(),
    };
    // The parser's message is about the grammar; its `Display` would quote the line.
    reader.faults.extend(errors.iter().map(|e| SyntaxFault {
        line: e.span().map(|span| lines.of(span.start)),
        pointer: String::new(),
        problem: format!("is not valid TOML: {}", e.message().replace('\n', ", ")),
    }));
    // What follows the first fault of a line is mostly its consequence.
    reader.faults.dedup_by_key(|fault| fault.line);
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let table = reader.table(document.get_ref(), "");
    if reader.faults.is_empty() {
        Ok(TomlFile {
            table,
            lines: reader.places,
        })
    } else {
        Err(reader.faults)
    }
}

/// Turns byte offsets into lines.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}

struct Reader<'a> {
    lines: &'a Lines,
    places: BTreeMap<String, usize>,
    faults: Vec<SyntaxFault>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Map<String, Value> {
        let mut map = Map::new();
        for (key, value) in table {
            let key: &Spanned<DeString<'_>> = key;
            let pointer = step(pointer, key.get_ref());
            let line = self.lines.of(key.span().start);
            self.places.insert(pointer.clone(), line);
            map.insert(
                key.get_ref().to_string(),
                self.value(value.get_ref(), &pointer, line),
            );
        }
        map
    }

    fn value(&mut self, value: &DeValue<'_>, pointer: &str, line: usize) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                match i64::from_str_radix(&digits, integer.radix()) {
                    Ok(number) => Value::from(number),
                    Err(_) => self.fault(pointer, line, "is too large a number"),
                }
            }
            DeValue::Float(float) => {
                let digits = float.as_str().replace('_', "");
                let number = digits.parse().ok().and_then(Number::from_f64);
                match number {
                    Some(number) => Value::Number(number),
                    None => self.fault(pointer, line, "is not a finite number"),
                }
            }
            DeValue::Datetime(_) => self.fault(
                pointer,
                line,
                "is a TOML date or time, which no key takes; put it in quotes",
            ),
            DeValue::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    let pointer = step(pointer, &index.to_string());
                    let line = self.lines.of(item.span().start);
                    self.places.insert(pointer.clone(), line);
                    self.value(item.get_ref(), &pointer, line)
                })
                .collect(),
            DeValue::Table(table) => Value::Object(self.table(table, pointer)),
        }
    }

    fn fault(&mut self, pointer: &str, line: usize, problem: &str) -> Value {
        self.faults.push(SyntaxFault {
            line: Some(line),
            pointer: pointer.to_owned(),
            problem: problem.to_owned(),
        });
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const TEXT: &str = r#"
top = 1
[agents.echo]
component = "echo/echo"
config = { zebra = 0x1F, apple = 1_000.5 }
tools = [
  "a",
  "b",
]
[[mappers]]
component = "x/y"
[[mappers]]
component = "z/y"
"#;

    #[test]
    fn values_keep_their_order_and_lines() {
        let file = parse(TEXT).expect("valid");
        assert_eq!(
            serde_json::to_string(&file.table["agents"]).expect("serializes"),
            r#"{"echo":{"component":"echo/echo","config":{"zebra":31,"apple":1000.5},"tools":["a","b"]}}"#
        );
        assert_eq!(
            file.table["mappers"],
            json!([{"component": "x/y"}, {"component": "z/y"}])
        );
        let line = |pointer: &str| file.lines.get(pointer).copied();
        assert_eq!(line("/top"), Some(2));
        assert_eq!(line("/agents/echo"), Some(3));
        assert_eq!(line("/agents/echo/config/apple"), Some(5));
        assert_eq!(line("/agents/echo/tools/1"), Some(8));
        assert_eq!(line("/mappers/1/component"), Some(13));
    }

    #[test]
    fn every_syntax_fault_has_its_line_and_quotes_nothing() {
        let text = "a = 1\nb = \"sk-hidden\nc = sk-hidden\nd = 2\nd = 3\n";
        let faults = parse(text).err().expect("invalid");
        let lines: Vec<_> = faults.iter().map(|f| f.line).collect();
        assert!(
            lines.contains(&Some(2)) && lines.contains(&Some(3)),
            "{faults:?}"
        );
        for fault in &faults {
            assert!(!fault.problem.contains("sk-hidden"), "{fault:?}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_a_fault() {
        let text = "a = inf\nb = 2020-01-01\nc = 99999999999999999999\n";
        let faults = parse(text).err().expect("invalid");
        let found: Vec<_> = faults
            .iter()
            .map(|f| (f.line, f.pointer.as_str()))
            .collect();
        assert_eq!(found, [(Some(1), "/a"), (Some(2), "/b"), (Some(3), "/c")]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[a-c\\[\\]{}=\", .0-9\\n#'_-]{0,60}") {
            let _ = parse(&text);
        }
    }
}
