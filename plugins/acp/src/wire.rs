//! JSON-RPC over the standard streams of a process: a message a line.
//!
//! Nothing runs beside the one who uses it. What the process prints is read when the next message is asked for, and no
//! further, so that an agent that is faster than its readers waits in its own `write`; and while a message is waited for,
//! what was said before goes out.

use std::io;
use std::sync::Arc;

use agent_client_protocol_schema::v1;
use bytes::{Buf, BytesMut};
use plugin_api::serde::{Deserialize, Serialize};
use plugin_api::serde_json::{self, json, value::RawValue};
use plugin_api::tokio;
use plugin_api::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use plugin_api::tokio::process::{ChildStdin, ChildStdout};
use plugin_api::tracing;
use thiserror::Error;

use crate::mask::Mask;

/// The longest line: a file of 10 MiB of which each letter is escaped fits.
const MAX_LINE: usize = 64 * 1024 * 1024;
/// What may wait to be written. As long as there is more, nothing is read: whoever takes no answers asks nothing either.
const MAX_WAITING: usize = 64 * 1024 * 1024;
/// Room for what is read at a time, at least.
const READ_BYTES: usize = 8 * 1024;
/// How much of a line that is no message is logged.
const GARBAGE_SHOWN: usize = 200;
/// How many such lines are logged.
const GARBAGE_LOGGED: u32 = 5;
/// So many of them, one after the other, and the process is given up.
const GARBAGE_LINES: u32 = 1000;

/// The process can no longer be spoken with.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("it has closed its output")]
    Closed,
    #[error("it has sent a line of more than {} MiB", MAX_LINE / 1024 / 1024)]
    LongLine,
    #[error("it prints what is no message, {GARBAGE_LINES} lines in a row")]
    Garbage,
    #[error("its streams broke: {0}")]
    Io(#[from] io::Error),
}

/// A message of the process.
#[derive(Debug)]
pub(crate) enum Incoming {
    Request {
        id: v1::RequestId,
        method: String,
        params: Box<RawValue>,
    },
    Notification {
        method: String,
        params: Box<RawValue>,
    },
    Response {
        id: v1::RequestId,
        result: Result<Box<RawValue>, v1::Error>,
    },
}

#[derive(Deserialize)]
#[serde(crate = "plugin_api::serde")]
struct Line {
    #[serde(default, deserialize_with = "present")]
    id: Option<v1::RequestId>,
    method: Option<String>,
    params: Option<Box<RawValue>>,
    result: Option<Box<RawValue>>,
    error: Option<v1::Error>,
}

/// An id that is null is one as well.
fn present<'de, D: plugin_api::serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<v1::RequestId>, D::Error> {
    v1::RequestId::deserialize(deserializer).map(Some)
}

/// The streams of a process.
#[derive(Debug)]
pub(crate) struct Wire<I = ChildStdin, O = ChildStdout> {
    stdin: Option<I>,
    stdout: O,
    /// What was read and not yet used.
    read: BytesMut,
    /// How much of it is known to have no end of a line.
    searched: usize,
    /// What is to be written.
    waiting: BytesMut,
    next_id: i64,
    garbage: u32,
    /// Those since the last message.
    in_a_row: u32,
    last_garbage: String,
    mask: Arc<Mask>,
}

impl<I: AsyncWrite + Unpin, O: AsyncRead + Unpin> Wire<I, O> {
    /// Of what is printed that is no message, nothing is shown that `mask` hides.
    pub(crate) fn new(stdin: I, stdout: O, mask: Arc<Mask>) -> Self {
        Self {
            stdin: Some(stdin),
            stdout,
            read: BytesMut::new(),
            searched: 0,
            waiting: BytesMut::new(),
            next_id: 0,
            garbage: 0,
            in_a_row: 0,
            last_garbage: String::new(),
            mask,
        }
    }

    /// Sends a request. The answer has the id that this returns.
    pub(crate) fn request(&mut self, method: &str, params: &impl Serialize) -> v1::RequestId {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        v1::RequestId::Number(id)
    }

    pub(crate) fn notify(&mut self, method: &str, params: &impl Serialize) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    pub(crate) fn answer(
        &mut self,
        id: &v1::RequestId,
        result: Result<serde_json::Value, v1::Error>,
    ) {
        self.send(&match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
        });
    }

    /// It goes out while the next message is waited for; after [`hang_up`](Self::hang_up) there is nobody to send it to.
    fn send(&mut self, message: &serde_json::Value) {
        if self.stdin.is_none() {
            return;
        }
        self.waiting
            .extend_from_slice(message.to_string().as_bytes());
        self.waiting.extend_from_slice(b"\n");
    }

    /// Tells the process that there is nothing more to come, which ends it.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
        self.waiting.clear();
    }

    /// Whether it can be told anything.
    pub(crate) fn is_open(&self) -> bool {
        self.stdin.is_some()
    }

    /// What it has printed that was no message: nothing, or how often and what at last.
    pub(crate) fn garbage(&self) -> Option<(u32, &str)> {
        (self.garbage > 0).then_some((self.garbage, &self.last_garbage))
    }

    /// The next message. Lines that are none are logged and passed over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing that was read or written is lost.
    pub(crate) async fn next(&mut self) -> Result<Incoming, WireError> {
        loop {
            while let Some(line) = self.line() {
                if let Some(message) = self.message(&line) {
                    self.in_a_row = 0;
                    return Ok(message);
                }
                if self.in_a_row >= GARBAGE_LINES {
                    return Err(WireError::Garbage);
                }
            }
            if self.read.len() > MAX_LINE {
                return Err(WireError::LongLine);
            }
            self.exchange().await?;
        }
    }

    /// Waits until something was written or read.
    async fn exchange(&mut self) -> Result<(), WireError> {
        self.read.reserve(READ_BYTES);
        let stdin = self.stdin.as_mut();
        let waiting = &self.waiting[..];
        let unwritten = waiting.len();
        let writing = async {
            match stdin {
                Some(stdin) => stdin.write(waiting).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            written = writing, if unwritten > 0 => match written {
                // What it has said before it went is still to be read.
                Ok(0) | Err(_) => self.hang_up(),
                Ok(count) => {
                    self.waiting.advance(count);
                    if self.waiting.is_empty() {
                        // Not kept at the size of the largest message.
                        self.waiting = BytesMut::new();
                    }
                }
            },
            read = self.stdout.read_buf(&mut self.read), if unwritten < MAX_WAITING => {
                if read? == 0 {
                    return Err(WireError::Closed);
                }
            }
        }
        Ok(())
    }

    /// Takes the next whole line.
    fn line(&mut self) -> Option<BytesMut> {
        let rest = &self.read[self.searched..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.read.len();
            return None;
        };
        let line = self.read.split_to(self.searched + end + 1);
        self.searched = 0;
        Some(line)
    }

    fn message(&mut self, line: &[u8]) -> Option<Incoming> {
        if line.trim_ascii().is_empty() {
            return None;
        }
        let parsed = serde_json::from_slice::<Line>(line).ok().and_then(incoming);
        if parsed.is_none() {
            self.garbage = self.garbage.saturating_add(1);
            self.in_a_row += 1;
            self.last_garbage = self.mask.line(line, GARBAGE_SHOWN);
            if self.garbage <= GARBAGE_LOGGED {
                tracing::warn!(
                    line = self.last_garbage,
                    "the program printed what is no message"
                );
            }
        }
        parsed
    }
}

fn incoming(line: Line) -> Option<Incoming> {
    let null = || RawValue::NULL.to_owned();
    Some(match line {
        Line {
            id: Some(id),
            method: Some(method),
            params,
            ..
        } => Incoming::Request {
            id,
            method,
            params: params.unwrap_or_else(null),
        },
        Line {
            method: Some(method),
            params,
            ..
        } => Incoming::Notification {
            method,
            params: params.unwrap_or_else(null),
        },
        Line {
            id: Some(id),
            error: Some(error),
            ..
        } => Incoming::Response {
            id,
            result: Err(error),
        },
        Line {
            id: Some(id),
            result,
            ..
        } => Incoming::Response {
            id,
            // An answer that is null, which serde takes for none.
            result: Ok(result.unwrap_or_else(null)),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
