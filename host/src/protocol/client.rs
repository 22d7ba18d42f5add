//! What a client sends.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::errors::{self, ErrorCode};
use super::json::deeper_than;
use crate::session::FileRef;

/// What a client sends, for the schema. An enum since more types may come.
#[derive(JsonSchema)]
#[schemars(
    tag = "type",
    rename_all = "snake_case",
    title = "Client message",
    description = "What a client sends, version 1 of the protocol: one JSON object in one text frame. \
        The host ignores fields that it does not know."
)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ClientFrame {
    /// Begins a run in the session.
    #[schemars(extend("examples" = [
        {"type": "message", "content": "Hello"},
        {
            "type": "message", "content": "What is on this picture, and in this file?",
            "images": ["data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"],
            "files": [{"name": "notes.txt", "path": "/srv/roundhouse/uploads/notes.txt"}]
        }
    ]))]
    Message(ClientMessage),
}

/// A message to the session's agent.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
pub struct ClientMessage {
    /// The text. Not empty.
    #[schemars(length(min = 1))]
    pub content: String,
    /// Images, each as base64, or as a `data:` URL whose part up to the first comma is dropped.
    /// PNG, JPEG, GIF or WebP. Null and an empty list are the same as none.
    #[schemars(with = "Option<Vec<String>>")]
    pub images: Vec<String>,
    /// Files, as the upload answered them. Null and an empty list are the same as none.
    #[schemars(with = "Option<Vec<FileRef>>")]
    pub files: Vec<FileRef>,
}

/// Bounds that hold while a frame is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Levels of arrays and objects.
    pub depth: usize,
    /// Images. No more are kept, so a frame with millions of empty ones costs no more than its own bytes.
    pub images: usize,
}

/// Why a frame is no message. The text is what the client is answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// Not JSON, or nested too deep.
    #[error("{}", errors::INVALID_JSON)]
    InvalidJson,
    /// JSON, but not what a message must be.
    #[error("{}", errors::INVALID_MESSAGE)]
    InvalidMessage,
    /// A message with more images than allowed.
    #[error("{}", errors::too_many_images(*count, *max))]
    TooManyImages {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

impl ClientFault {
    /// The fault's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidJson => ErrorCode::InvalidJson,
            Self::InvalidMessage => ErrorCode::InvalidMessage,
            Self::TooManyImages { .. } => ErrorCode::TooManyImages,
        }
    }
}

/// Parses a text frame.
///
/// Unknown fields are skipped without being built, the last of several equal keys counts, and `images` or
/// `files` that are null or missing are empty. The stack that is needed does not grow with the text.
///
/// # Errors
///
/// The first [`ClientFault`] in the order in which they are declared.
pub fn parse_client_frame(text: &str, limits: ParseLimits) -> Result<ClientMessage, ClientFault> {
    if deeper_than(text.as_bytes(), limits.depth) {
        return Err(ClientFault::InvalidJson);
    }
    if !text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with('{')
    {
        let json = serde_json::from_str::<IgnoredAny>(text);
        return Err(if json.is_ok() {
            ClientFault::InvalidMessage
        } else {
            ClientFault::InvalidJson
        });
    }
    let [kind, content, images, files] = members(text, ["type", "content", "images", "files"])?;
    if string(kind)? != "message" {
        return Err(ClientFault::InvalidMessage);
    }
    let content = string(content)?;
    if content.is_empty() {
        return Err(ClientFault::InvalidMessage);
    }
    let mut message = ClientMessage {
        content,
        images: Vec::new(),
        files: Vec::new(),
    };
    let mut count = 0;
    for_each(images, |image| {
        count += 1;
        if count <= limits.images {
            message.images.push(string(Some(image))?);
        } else if !image.get().starts_with('"') {
            return Err(ClientFault::InvalidMessage);
        }
        Ok(())
    })?;
    for_each(files, |file| {
        if !file.get().starts_with('{') {
            return Err(ClientFault::InvalidMessage);
        }
        let [name, path] = members(file.get(), ["name", "path"])?;
        message.files.push(FileRef {
            name: string(name)?,
            path: string(path)?,
        });
        Ok(())
    })?;
    if count > limits.images {
        return Err(ClientFault::TooManyImages {
            count,
            max: limits.images,
        });
    }
    Ok(message)
}

/// The values of an object's keys, unparsed; the last of several equal ones.
fn members<'a, const N: usize>(
    object: &'a str,
    keys: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], ClientFault> {
    struct Members<const N: usize>([&'static str; N]);

    impl<'de, const N: usize> Visitor<'de> for Members<N> {
        type Value = [Option<&'de RawValue>; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = [None; N];
            while let Some(key) = map.next_key::<Key<'de>>()? {
                match self.0.iter().position(|known| *known == key.0) {
                    Some(place) => values[place] = Some(map.next_value()?),
                    None => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(values)
        }
    }

    let mut json = serde_json::Deserializer::from_str(object);
    let values = json
        .deserialize_map(Members(keys))
        .and_then(|values| json.end().map(|()| values));
    values.map_err(|_| ClientFault::InvalidJson)
}

/// Calls `each` for every element of an array, unparsed; for none when it is missing or null.
fn for_each<'a>(
    array: Option<&'a RawValue>,
    each: impl FnMut(&'a RawValue) -> Result<(), ClientFault>,
) -> Result<(), ClientFault> {
    struct Elements<'f, F> {
        each: F,
        fault: &'f mut Option<ClientFault>,
    }

    impl<'de, F: FnMut(&'de RawValue) -> Result<(), ClientFault>> Visitor<'de> for Elements<'_, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
            while let Some(element) = elements.next_element()? {
                if let Err(fault) = (self.each)(element) {
                    *self.fault = Some(fault);
                    return Err(de::Error::custom("refused"));
                }
            }
            Ok(())
        }
    }

    let Some(array) = array.filter(|array| array.get() != "null") else {
        return Ok(());
    };
    if !array.get().starts_with('[') {
        return Err(ClientFault::InvalidMessage);
    }
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_str(array.get());
    let read = json.deserialize_seq(Elements {
        each,
        fault: &mut fault,
    });
    read.map_err(|_| fault.unwrap_or(ClientFault::InvalidJson))
}

/// A string. One with half of a surrogate pair follows JSON's grammar but is no text: not JSON to us.
fn string(value: Option<&RawValue>) -> Result<String, ClientFault> {
    let value = value
        .filter(|value| value.get().starts_with('"'))
        .ok_or(ClientFault::InvalidMessage)?;
    serde_json::from_str(value.get()).map_err(|_| ClientFault::InvalidJson)
}

/// A key, copied only when it has escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
