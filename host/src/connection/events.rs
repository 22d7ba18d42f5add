//! A session's events as Server-Sent Events: version 2 for clients that only listen.
//!
//! What such a client gets is what a connection of version 2 gets, each frame as the `data` of an event that is named
//! after the frame's type. A frame with a position has it as the event's id, `EPOCH:SEQ`, so a browser comes back
//! exactly where it was.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use super::v2::brackets;
use crate::protocol::ErrorCode;
use crate::protocol::hello::{Asked, HelloLimits};
use crate::protocol::messages::ServerMessage;
use crate::run::{Cursor, Progress, ReadCounts, SessionHandle, Trimmed};
use crate::session::{Epoch, StoreError};

/// See the module.
pub struct EventFeed {
    epoch: Epoch,
    cursor: Cursor,
}

impl EventFeed {
    /// Joins a session where the client says that it is; `out` gets the greeting and what the client missed.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the store cannot say where the session stands.
    pub async fn open(
        session: &SessionHandle,
        asked: &Asked,
        limits: HelloLimits,
        out: &mut BytesMut,
    ) -> Result<Self, StoreError> {
        let greeting = session.resume(asked).await?;
        for frame in brackets(&greeting, limits) {
            append(out, None, &frame);
        }
        let mut resumed = greeting.resumed;
        let epoch = resumed.kept.epoch;
        let mut message = Vec::new();
        while let Some(seq) = resumed.replay.encode_next(&mut message) {
            append(out, Some((&epoch, seq)), &message);
            message.clear();
        }
        append(out, None, &ServerMessage::ReplayEnd {}.frame());
        let cursor = resumed.cursor;
        Ok(Self { epoch, cursor })
    }

    /// Waits until there are events to read. Cancel safe.
    pub async fn ready(&mut self) {
        self.cursor.ready().await;
    }

    /// Appends the events that are ready to `out`. Answers whether there are more.
    ///
    /// # Errors
    ///
    /// [`Trimmed`] when the client has fallen too far behind to be given every event.
    pub fn pump(&mut self, out: &mut BytesMut) -> Result<bool, Trimmed> {
        let epoch = &self.epoch;
        let progress = self
            .cursor
            .read_each(|seq, frame| append(out, Some((epoch, seq)), frame))?;
        Ok(progress == Progress::More)
    }

    /// What was read since the last call.
    pub fn take_counts(&mut self) -> ReadCounts {
        self.cursor.take_counts()
    }

    /// Appends what says that the stream is alive.
    pub fn heartbeat(&self, out: &mut BytesMut) {
        let last_seq = Some(self.cursor.position());
        append(out, None, &ServerMessage::Heartbeat { last_seq }.frame());
    }
}

/// Appends the last event of a stream that the host ends: an `error` without a position.
pub fn farewell(code: ErrorCode, text: &str, out: &mut BytesMut) {
    let last = ServerMessage::Error {
        message: text,
        code: Some(code),
        retryable: Some(code.is_retryable()),
        run_id: None,
        id: None,
    };
    append(out, None, &last.frame());
}

/// Appends a frame as an event.
fn append(out: &mut BytesMut, position: Option<(&Epoch, u64)>, frame: &[u8]) {
    if let Some(name) = name(frame) {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_u8(b'\n');
    }
    if let Some((epoch, seq)) = position {
        out.put_slice(b"id: ");
        out.put_slice(epoch.as_str().as_bytes());
        // A number has a text.
        let _ = writeln!(out, ":{seq}");
    }
    // An agent's own event may be written on several lines; put together again they are the same JSON.
    for line in frame.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

/// The frame's type, its first key. One that is no single line cannot name an event.
fn name(frame: &[u8]) -> Option<Cow<'_, str>> {
    let rest = frame.strip_prefix(br#"{"type":"#)?;
    let end = |byte: &u8| *byte == b'"' || *byte == b'\\';
    let quoted = rest.strip_prefix(b"\"")?;
    let length = quoted.iter().position(end)?;
    let name: Cow<'_, str> = if quoted[length] == b'"' {
        std::str::from_utf8(&quoted[..length]).ok()?.into()
    } else {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<String>();
        values.next()?.ok()?.into()
    };
    (!name.contains(['\n', '\r', '\0'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: Option<u64>, frame: &str) -> String {
        let mut out = BytesMut::new();
        let epoch = Epoch::new("e1");
        append(
            &mut out,
            position.map(|seq| (&epoch, seq)),
            frame.as_bytes(),
        );
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_frame_becomes_an_event_of_its_type_and_position() {
        let frame = r#"{"type":"stream_delta","delta":"a\nb","seq":7}"#;
        assert_eq!(
            event(Some(7), frame),
            format!("event: stream_delta\nid: e1:7\ndata: {frame}\n\n")
        );
        assert_eq!(
            event(None, r#"{"type":"replay_end"}"#),
            "event: replay_end\ndata: {\"type\":\"replay_end\"}\n\n"
        );
    }

    #[test]
    fn whatever_an_agent_calls_its_event_it_stays_one() {
        assert_eq!(
            event(None, "{\"type\":\"a\",\r\n\"x\":1}"),
            "event: a\ndata: {\"type\":\"a\",\ndata: \ndata: \"x\":1}\n\n"
        );
        assert_eq!(name(br#"{"type":"a\u0062\"c"}"#).as_deref(), Some("ab\"c"));
        assert_eq!(name(br#"{"type":"a\nid: x"}"#), None);
        assert_eq!(name(br#"{"type":7}"#), None);
    }
}
