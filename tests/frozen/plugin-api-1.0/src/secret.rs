//! Configuration values that nobody may read back.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// A secret of a configuration: a password, a token, a key.
///
/// In the operator's file it is a string, or better `{ env = "NAME" }` or `{ file = "PATH" }`, which the
/// host resolves before the component sees it. It prints as `***`, serialized too, and its schema marks it
/// so that nobody prints the value of that key. Comparing secrets is not constant in time.
#[derive(Clone, Default, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl JsonSchema for Secret {
    // Inlined, so that whoever walks a schema finds the mark at the key itself.
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, "x-roundhouse-secret": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_printed_by_nothing() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
    }

    #[test]
    fn the_schema_marks_the_key() {
        #[derive(JsonSchema)]
        struct Config {
            #[expect(dead_code)]
            key: Secret,
            #[expect(dead_code)]
            other: Option<Secret>,
        }
        let schema = schemars::schema_for!(Config);
        let properties = &schema.as_value()["properties"];
        assert_eq!(properties["key"]["x-roundhouse-secret"], true);
        assert_eq!(properties["key"]["writeOnly"], true);
        assert_eq!(properties["other"]["x-roundhouse-secret"], true);
    }
}
