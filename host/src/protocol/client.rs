//! What a client sends.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::errors::{self, ErrorCode};
use super::json::deeper_than;
use super::version::Version;
use crate::session::{FileRef, RunId};

/// What a client sends, for the schema. An enum since more types may come.
#[derive(JsonSchema)]
#[schemars(
    tag = "type",
    rename_all = "snake_case",
    title = "Client message",
    description = "What a client sends: one JSON object in one text frame. The host ignores fields that it does not \
        know. What is said to be of version 2 needs a connection that asked for it."
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
        },
        {
            "type": "message", "content": "And then?", "id": "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11",
            "on_busy": "enqueue"
        }
    ]))]
    Message(MessageFrame),
    /// Version 2: asks the run in progress to stop. Answered by `stop_ack`.
    #[schemars(extend("examples" = [
        {"type": "stop"},
        {"type": "stop", "run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10"}
    ]))]
    Stop {
        /// The run that is meant; if another is in progress, nothing is done. Without it, whichever is in progress.
        run_id: Option<RunId>,
    },
}

/// A message with what only version 2 has, for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct MessageFrame {
    #[schemars(flatten)]
    message: ClientMessage,
    /// Version 2: a UUID of the client's choice. The same message sent again under the same id, within a day, does
    /// nothing but tell how its run stands.
    #[schemars(with = "Option<RunId>")]
    id: Option<Uuid>,
    /// Version 2: what to do with the message while a run is in progress. `reject` without it.
    on_busy: Option<OnBusy>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// A run.
    Message(ClientMessage, Delivery),
    /// That the run in progress stops; that it is the one named, if one is.
    Stop(Option<RunId>),
}

/// How a message is to be taken. Version 1 has the defaults alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Option<SentId>,
    /// What to do while a run is in progress.
    pub on_busy: OnBusy,
}

/// The id of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentId {
    /// The id.
    pub id: Uuid,
    /// As the client wrote it, and gets it back.
    pub text: String,
}

/// What to do with a message while a run is in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnBusy {
    /// Refuse it.
    #[default]
    Reject,
    /// Keep it until the runs before it are over.
    Enqueue,
    /// Stop the run in progress, and then take this message before all that wait.
    Interrupt,
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
    /// A message or a stop with a field of version 2 that is not what it must be.
    #[error("{0}")]
    InvalidField(&'static str),
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
            Self::InvalidMessage | Self::InvalidField(_) => ErrorCode::InvalidMessage,
            Self::TooManyImages { .. } => ErrorCode::TooManyImages,
        }
    }
}

/// A frame that is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong.
    pub fault: ClientFault,
    /// The message's id, if that much could be read.
    pub id: Option<SentId>,
}

impl From<ClientFault> for Unreadable {
    fn from(fault: ClientFault) -> Self {
        Self { fault, id: None }
    }
}

/// Parses a text frame.
///
/// Unknown fields are skipped without being built, the last of several equal keys counts, and `images` or
/// `files` that are null or missing are empty. The stack that is needed does not grow with the text. To version 1
/// what is new in version 2 is unknown.
///
/// # Errors
///
/// The first [`ClientFault`] in the order in which they are declared.
pub fn parse_client_frame(
    text: &str,
    limits: ParseLimits,
    version: Version,
) -> Result<ClientRequest, Unreadable> {
    if deeper_than(text.as_bytes(), limits.depth) {
        return Err(ClientFault::InvalidJson.into());
    }
    if !text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with('{')
    {
        let json = serde_json::from_str::<IgnoredAny>(text);
        return Err(Unreadable::from(if json.is_ok() {
            ClientFault::InvalidMessage
        } else {
            ClientFault::InvalidJson
        }));
    }
    let [kind, content, images, files, id, on_busy, run_id] = members(
        text,
        [
            "type", "content", "images", "files", "id", "on_busy", "run_id",
        ],
    )?;
    let is_new = version == Version::V2;
    let id = sent_id(id.filter(|_| is_new));
    let refused = |fault| Unreadable {
        fault,
        id: id.as_ref().ok().cloned().flatten(),
    };
    match string(kind).map_err(refused)?.as_str() {
        "message" => {}
        "stop" if is_new => return stop(run_id).map_err(refused),
        _ => return Err(refused(ClientFault::InvalidMessage)),
    }
    let on_busy = on_busy.filter(|on_busy| is_new && on_busy.get() != "null");
    let on_busy = on_busy.map_or(Ok(OnBusy::default()), |on_busy| {
        let fault = "`on_busy` must be \"reject\", \"enqueue\" or \"interrupt\".";
        serde_json::from_str(on_busy.get()).map_err(|_| refused(ClientFault::InvalidField(fault)))
    })?;
    let message = message(content, images, files, limits).map_err(refused)?;
    let id = id.map_err(ClientFault::InvalidField)?;
    Ok(ClientRequest::Message(message, Delivery { id, on_busy }))
}

/// Reads a message's id; `Err` says what it must be.
fn sent_id(id: Option<&RawValue>) -> Result<Option<SentId>, &'static str> {
    let Some(id) = id.filter(|id| id.get() != "null") else {
        return Ok(None);
    };
    let text: Result<String, _> = serde_json::from_str(id.get());
    text.ok()
        .and_then(|text| {
            Some(SentId {
                id: text.parse().ok()?,
                text,
            })
        })
        .map(Some)
        .ok_or("`id` must be a UUID.")
}

fn stop(run_id: Option<&RawValue>) -> Result<ClientRequest, ClientFault> {
    let Some(run_id) = run_id.filter(|run_id| run_id.get() != "null") else {
        return Ok(ClientRequest::Stop(None));
    };
    serde_json::from_str(run_id.get())
        .map(|run_id| ClientRequest::Stop(Some(run_id)))
        .map_err(|_| ClientFault::InvalidField("`run_id` must be the id of a run."))
}

fn message(
    content: Option<&RawValue>,
    images: Option<&RawValue>,
    files: Option<&RawValue>,
    limits: ParseLimits,
) -> Result<ClientMessage, ClientFault> {
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
