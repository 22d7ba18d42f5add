//! The layers of the configuration, merged by figment into one table that remembers where
//! each value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map as FigmentMap, Num, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::{Map, Value};

use super::environment;
use super::fault::{Fault, Source};
use super::located::{Located, Place, step};
use super::toml_file;

/// One layer: a table and where it came from.
pub(super) struct Layer {
    pub(super) source: Source,
    pub(super) table: Map<String, Value>,
    /// Lines by JSON pointer; empty for what is not a file.
    pub(super) lines: BTreeMap<String, usize>,
}

impl Layer {
    pub(super) fn built_in(table: Map<String, Value>) -> Self {
        Self {
            source: Source::BuiltIn,
            table,
            lines: BTreeMap::new(),
        }
    }

    /// Reads a file's layer. `resolve` is the path to open, `shown` the one that faults name.
    pub(super) fn file(resolved: &Path, shown: PathBuf) -> Result<Self, Vec<Fault>> {
        match std::fs::read(resolved) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Self::text(&text, shown),
                Err(_) => Err(vec![whole_file(shown, "is not UTF-8 text")]),
            },
            Err(e) => Err(vec![whole_file(shown, &format!("cannot be read: {e}"))]),
        }
    }

    /// The layer of a TOML text that stands in the file `shown`.
    pub(super) fn text(text: &str, shown: PathBuf) -> Result<Self, Vec<Fault>> {
        match toml_file::parse(text) {
            Ok(file) => Ok(Self {
                source: Source::File(shown),
                table: file.table,
                lines: file.lines,
            }),
            Err(faults) => Err(faults
                .into_iter()
                .map(|fault| Fault {
                    source: Source::File(shown.clone()),
                    line: fault.line,
                    key: super::located::key_path("", &fault.pointer),
                    problem: fault.problem,
                    expected: String::new(),
                })
                .collect()),
        }
    }

    /// A single value at a key's path.
    pub(super) fn single(source: Source, path: &[String], value: Value) -> Self {
        let mut value = value;
        for segment in path.iter().rev() {
            value = Value::Object(Map::from_iter([(segment.clone(), value)]));
        }
        let table = match value {
            Value::Object(table) => table,
            _ => Map::new(),
        };
        Self {
            source,
            table,
            lines: BTreeMap::new(),
        }
    }
}

fn whole_file(path: PathBuf, problem: &str) -> Fault {
    Fault {
        source: Source::File(path),
        line: None,
        key: String::new(),
        problem: problem.to_owned(),
        expected: String::new(),
    }
}

/// The layers of environment variables, one each, so that a fault names its variable.
pub(super) fn environment(
    variables: Vec<(OsString, OsString)>,
    schema: &Value,
) -> (Vec<Layer>, Vec<Fault>) {
    let (settings, faults) = environment::read(variables, schema);
    let layers = settings
        .into_iter()
        .map(|s| Layer::single(Source::Env(s.name), &s.path, s.value))
        .collect();
    (layers, faults)
}

/// Merges layers, the weakest first.
pub(super) fn merge(layers: &[Layer]) -> Located {
    let figment = layers
        .iter()
        .enumerate()
        .fold(Figment::new(), |figment, (index, layer)| {
            figment.merge(Numbered { index, layer })
        });
    // A provider here cannot fail, and an empty path is always there.
    let merged = figment
        .find_value("")
        .unwrap_or_else(|_| Dict::new().into());
    // figment sorts keys; this is what they looked like.
    let mut order = Value::Object(Map::new());
    for layer in layers {
        overlay(&mut order, &Value::Object(layer.table.clone()));
    }
    let mut walk = Walk {
        figment: &figment,
        layers,
        places: BTreeMap::new(),
    };
    let value = walk.json(&merged, &order, String::new());
    Located::new(String::new(), value, walk.places)
}

/// A layer as figment takes it; its number travels as the metadata's name.
struct Numbered<'a> {
    index: usize,
    layer: &'a Layer,
}

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }

    fn data(&self) -> Result<FigmentMap<Profile, Dict>, figment::Error> {
        let dict = FigmentValue::serialize(&self.layer.table)?
            .into_dict()
            .unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// Brings the keys of `above` into `below`, tables merged, all else replaced.
fn overlay(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                match below.get_mut(key) {
                    Some(there) => overlay(there, value),
                    None => {
                        below.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (below, above) => *below = above.clone(),
    }
}

/// Turns figment's merged value into JSON and notes each value's place.
struct Walk<'a> {
    figment: &'a Figment,
    layers: &'a [Layer],
    places: BTreeMap<String, Place>,
}

impl Walk<'_> {
    fn json(&mut self, value: &FigmentValue, order: &Value, pointer: String) -> Value {
        if let Some(place) = self.place(value, &pointer) {
            self.places.insert(pointer.clone(), place);
        }
        match value {
            FigmentValue::String(_, text) => Value::String(text.clone()),
            FigmentValue::Char(_, char) => Value::String(char.to_string()),
            FigmentValue::Bool(_, bool) => Value::Bool(*bool),
            FigmentValue::Num(_, number) => json_number(*number),
            FigmentValue::Empty(..) => Value::Null,
            FigmentValue::Array(_, items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    let order = order.get(index).unwrap_or(&Value::Null);
                    self.json(item, order, step(&pointer, &index.to_string()))
                })
                .collect(),
            FigmentValue::Dict(_, dict) => {
                let mut map = Map::new();
                let written = order.as_object().into_iter().flat_map(Map::keys);
                for key in written.chain(dict.keys()) {
                    if map.contains_key(key) {
                        continue;
                    }
                    if let Some(value) = dict.get(key) {
                        let order = order.get(key).unwrap_or(&Value::Null);
                        map.insert(key.clone(), self.json(value, order, step(&pointer, key)));
                    }
                }
                Value::Object(map)
            }
        }
    }

    fn place(&self, value: &FigmentValue, pointer: &str) -> Option<Place> {
        // Several layers may have a hand in a table; what is missing in it is missing where
        // it is written out, rather than where a variable adds one key.
        if value.as_dict().is_some() {
            let file = self.layers.iter().rev();
            let mut file = file.filter_map(|l| Some((l, *l.lines.get(pointer)?)));
            if let Some((layer, line)) = file.next() {
                return Some(Place {
                    source: layer.source.clone(),
                    line: Some(line),
                });
            }
        }
        let metadata = self.figment.get_metadata(value.tag())?;
        let layer = self.layers.get(metadata.name.parse::<usize>().ok()?)?;
        Some(Place {
            source: layer.source.clone(),
            line: layer.lines.get(pointer).copied(),
        })
    }
}

/// A figment number as JSON.
pub(super) fn json_number(number: Num) -> Value {
    if let Some(n) = number.to_u128().and_then(|n| u64::try_from(n).ok()) {
        Value::from(n)
    } else if let Some(n) = number.to_i128().and_then(|n| i64::try_from(n).ok()) {
        Value::from(n)
    } else {
        // JSON has no infinities; TOML's and the environment's are refused before.
        number.to_f64().map_or(Value::Null, Value::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(path: &str, text: &str) -> Layer {
        Layer::text(text, PathBuf::from(path)).expect("valid TOML")
    }

    #[test]
    fn tables_merge_lists_are_replaced_and_every_value_knows_its_layer() {
        let below = layer("a.toml", "[t]\nzebra = 1\napple = [1, 2]\n[t.inner]\nx = 1");
        let above = layer("b.toml", "[t]\napple = [3]\nnew = -1.5\n");
        let variable = Layer::single(
            Source::Env("V".to_owned()),
            &["t".to_owned(), "inner".to_owned(), "x".to_owned()],
            json!(7),
        );
        let merged = merge(&[below, above, variable]);
        assert_eq!(
            merged.value().to_string(),
            r#"{"t":{"zebra":1,"apple":[3],"inner":{"x":7},"new":-1.5}}"#
        );
        let shown = |pointer: &str| {
            let place = merged.place(pointer);
            (place.source.to_string(), place.line)
        };
        assert_eq!(shown("/t/zebra"), ("a.toml".to_owned(), Some(2)));
        assert_eq!(shown("/t/apple/0"), ("b.toml".to_owned(), Some(2)));
        assert_eq!(shown("/t/inner/x").0, "environment variable V");
        assert_eq!(shown("/t/missing"), ("b.toml".to_owned(), Some(1)));
    }
}
