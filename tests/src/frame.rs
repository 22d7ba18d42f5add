//! Frames of the host, and what they add up to.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

/// The answer to a frame that came while a run is in progress: the one `error` inside a run that does not end it.
pub const BUSY: &str = "Agent is already running for this session.";

/// A text frame that the host sent.
#[derive(Clone, PartialEq)]
pub struct Frame {
    text: String,
    value: Value,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Frame {
    /// Reads a frame as strictly as the contract is: one JSON object, `type` its first key and a text, no key
    /// twice at any depth.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<NoKeyTwice>(text).map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let first = value.as_object().ok_or("not an object")?.iter().next();
        match first {
            Some((key, Value::String(_))) if key == "type" => {}
            _ => return Err("`type` is not the first key, or not a text".to_owned()),
        }
        Ok(Self {
            text: text.to_owned(),
            value,
        })
    }

    /// The frame's bytes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The message.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.value["type"].as_str().unwrap_or_default()
    }

    /// The text of a `stream_delta` or `thinking_delta`.
    #[must_use]
    pub fn delta(&self) -> Option<&str> {
        matches!(self.kind(), "stream_delta" | "thinking_delta")
            .then(|| self.value["delta"].as_str())
            .flatten()
    }

    /// Its position in version 2; `None` when it is no event.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.value.get("seq").and_then(Value::as_u64)
    }

    /// The text of a field; empty when there is none.
    #[must_use]
    pub fn text_at(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    /// Whether it ends a run when it comes inside one of version 1.
    #[must_use]
    pub fn ends_run(&self) -> bool {
        match self.kind() {
            "stream_end" | "stream_stopped" => true,
            "error" => self.value["message"] != BUSY,
            _ => false,
        }
    }
}

/// The messages with neighbouring deltas of one type put together: what a replay, a slow reader and a live reader
/// of the same events have in common.
#[must_use]
pub fn fold<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<Value> {
    fold_values(frames.into_iter().map(|frame| frame.value().clone()))
}

/// [`fold`] of messages.
#[must_use]
pub fn fold_values(messages: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut folded: Vec<Value> = Vec::new();
    for message in messages {
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        if let Some(delta) = message["delta"].as_str()
            && matches!(kind.as_str(), "stream_delta" | "thinking_delta")
        {
            match folded.last_mut() {
                Some(last) if last["type"] == kind.as_str() => {
                    let joined = format!("{}{delta}", last["delta"].as_str().unwrap_or_default());
                    last["delta"] = joined.into();
                }
                _ => folded.push(json!({"type": kind, "delta": delta})),
            }
        } else {
            folded.push(message);
        }
    }
    folded
}

/// The events of a version 2 connection, folded and without their positions: what clients that were at different
/// places at different times have in common.
#[must_use]
pub fn events<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<Value> {
    let events = frames.into_iter().filter(|frame| frame.seq().is_some());
    fold_values(events.map(|frame| {
        let mut value = frame.value().clone();
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("seq");
            fields.shift_remove("seq_from");
        }
        value
    }))
}

/// All `stream_delta`s together.
#[must_use]
pub fn text_of<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> String {
    frames
        .into_iter()
        .filter(|frame| frame.kind() == "stream_delta")
        .filter_map(Frame::delta)
        .collect()
}

/// JSON in which no object has a key twice. Nothing of it is kept.
struct NoKeyTwice;

impl<'de> Deserialize<'de> for NoKeyTwice {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = NoKeyTwice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<NoKeyTwice, E> {
                Ok(NoKeyTwice)
            }

            fn visit_i64<E>(self, _: i64) -> Result<NoKeyTwice, E> {
                Ok(NoKeyTwice)
            }

            fn visit_u64<E>(self, _: u64) -> Result<NoKeyTwice, E> {
                Ok(NoKeyTwice)
            }

            fn visit_f64<E>(self, _: f64) -> Result<NoKeyTwice, E> {
                Ok(NoKeyTwice)
            }

            fn visit_str<E>(self, _: &str) -> Result<NoKeyTwice, E> {
                Ok(NoKeyTwice)
            }

            fn visit_unit<E>(self) -> Result<NoKeyTwice, E> {
                Ok(NoKeyTwice)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<NoKeyTwice, A::Error> {
                while seq.next_element::<NoKeyTwice>()?.is_some() {}
                Ok(NoKeyTwice)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoKeyTwice, A::Error> {
                let mut keys = HashSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    map.next_value::<NoKeyTwice>()?;
                    if let Some(double) = keys.replace(key) {
                        return Err(A::Error::custom(format!("the key `{double}` comes twice")));
                    }
                }
                Ok(NoKeyTwice)
            }
        }

        json.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_strictly() {
        assert_eq!(
            Frame::parse(r#"{"type":"heartbeat"}"#).unwrap().kind(),
            "heartbeat"
        );
        for wrong in [
            "",
            "[]",
            "7",
            r#"{"delta":"x","type":"stream_delta"}"#,
            r#"{"type":7}"#,
            r#"{"type":"a","b":{"c":1,"c":2}}"#,
            r#"{"type":"a"}{"type":"a"}"#,
        ] {
            assert!(Frame::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_neighbours_of_one_type_fold() {
        let frame = |text: &str| Frame::parse(text).unwrap();
        let frames = [
            frame(r#"{"type":"stream_delta","delta":"a"}"#),
            frame(r#"{"type":"stream_delta","delta":"b"}"#),
            frame(r#"{"type":"thinking_delta","delta":"c"}"#),
            frame(r#"{"type":"thinking_end"}"#),
            frame(r#"{"type":"thinking_delta","delta":"d"}"#),
        ];
        assert_eq!(
            fold(&frames),
            [
                json!({"type": "stream_delta", "delta": "ab"}),
                json!({"type": "thinking_delta", "delta": "c"}),
                json!({"type": "thinking_end"}),
                json!({"type": "thinking_delta", "delta": "d"}),
            ]
        );
        assert_eq!(text_of(&frames), "ab");
    }
}
