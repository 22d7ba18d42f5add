//! JSON that is passed on as text: checked once, never turned into a tree on the way.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The highest limit of nesting. `[]` has depth 1, a string depth 0.
///
/// serde_json itself reads no deeper, so a higher one would let through what nobody can read.
pub const HIGHEST_MAX_DEPTH: usize = 127;

/// The text of one JSON value, without white space around it.
///
/// It is known to be readable as a [`Value`]: besides the grammar, its escapes are whole characters and
/// its numbers are in range. Two of them are equal when their texts are.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

/// Why a text is not accepted as [`Json`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// The text is not one JSON value.
    #[error("not valid JSON: {0}")]
    Invalid(String),
    /// Arrays and objects are nested deeper than the limit.
    #[error("JSON nested deeper than {0} levels")]
    TooDeep(usize),
}

impl Json {
    /// Checks and copies `text`: one JSON value, nested at most `max_depth` deep
    /// (and never deeper than [`HIGHEST_MAX_DEPTH`]).
    ///
    /// # Errors
    ///
    /// [`JsonFault`]; the stack that is needed does not grow with the text.
    pub fn parse(text: &str, max_depth: usize) -> Result<Self, JsonFault> {
        check(text, max_depth)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(invalid)?;
        Ok(Self(raw.to_owned()))
    }

    /// Like [`Json::parse`] for a text that is already owned, which is kept instead of copied.
    ///
    /// # Errors
    ///
    /// As [`Json::parse`].
    pub fn from_string(text: String, max_depth: usize) -> Result<Self, JsonFault> {
        check(&text, max_depth)?;
        RawValue::from_string(text).map(Self).map_err(invalid)
    }

    /// The text of a value that the host made itself. What comes from outside goes through
    /// [`Json::parse`], which limits the depth.
    #[must_use]
    pub fn from_value(value: &Value) -> Self {
        // A `Value` has string keys and finite numbers, so it always has a text.
        serde_json::value::to_raw_value(value).map_or_else(|_| Self::null(), Self)
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self::from_value(&Value::Object(serde_json::Map::new()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Bytes of the text.
    #[must_use]
    pub fn size(&self) -> usize {
        self.as_str().len()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    /// What stands between an object's braces, without white space at the ends; `None` when it is no object.
    #[must_use]
    pub fn members(&self) -> Option<&str> {
        let inner = self.as_str().strip_prefix('{')?.strip_suffix('}')?;
        Some(inner.trim_matches([' ', '\t', '\n', '\r']))
    }

    /// An object's keys in the order they were written, doubles included; none when it is no object.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        serde_json::from_str::<Keys>(self.as_str()).map_or_else(|_| Vec::new(), |keys| keys.0)
    }

    /// The value as a tree.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // Both constructors have made sure that this succeeds.
        serde_json::from_str(self.as_str()).unwrap_or(Value::Null)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!(true)
    }
}

fn invalid(error: serde_json::Error) -> JsonFault {
    JsonFault::Invalid(error.to_string())
}

fn check(text: &str, max_depth: usize) -> Result<(), JsonFault> {
    let max_depth = max_depth.min(HIGHEST_MAX_DEPTH);
    if deeper_than(text.as_bytes(), max_depth) {
        return Err(JsonFault::TooDeep(max_depth));
    }
    serde_json::from_str::<Readable>(text).map_err(invalid)?;
    Ok(())
}

/// Whether arrays and objects in `text` are nested deeper than `max`.
///
/// A loop over the bytes, so it is safe for any text of any depth. For text that is not JSON the answer
/// has no meaning; it is to be parsed afterwards.
#[must_use]
pub fn deeper_than(text: &[u8], max: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    None | Some(b'"') => break,
                    // Whatever is escaped does not end the string.
                    Some(b'\\') => drop(bytes.next()),
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    false
}

/// Reads a value whole and keeps nothing. Unlike serde's `IgnoredAny` it looks into strings and numbers.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// The keys of an object.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = members.next_key::<String>()? {
                    members.next_value::<serde::de::IgnoredAny>()?;
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(KeysVisitor)
    }
}
