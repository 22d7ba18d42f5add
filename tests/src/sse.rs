//! A client of a session's events over HTTP, as Server-Sent Events are read (the WHATWG's `EventSource`).

use std::collections::VecDeque;
use std::net::SocketAddr;

use roundhouse_host::session::SessionId;
use serde_json::Value;

use crate::rest::http_client;
use crate::schema;
use crate::wait::soon;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct SentEvent {
    /// Its name.
    pub event: String,
    /// Its own id; empty when it has none.
    pub id: String,
    /// The frame that is its data.
    pub frame: Value,
}

impl SentEvent {
    /// The positions that it holds, first and last; `None` when it has none.
    #[must_use]
    pub fn positions(&self) -> Option<(u64, u64)> {
        let seq = self.frame["seq"].as_u64()?;
        Some((self.frame["seq_from"].as_u64().unwrap_or(seq), seq))
    }
}

/// A stream that is being read. Every event is checked as it comes.
pub struct EventSource {
    response: reqwest::Response,
    text: String,
    events: VecDeque<SentEvent>,
}

impl EventSource {
    /// Asks the host at `address` for the events of a session, with this query (`?…` or nothing) and these headers. The
    /// status, if it is not 200, comes back as an error.
    ///
    /// # Errors
    ///
    /// The status.
    ///
    /// # Panics
    ///
    /// When there is no answer, or it is no stream of events.
    pub async fn open(
        address: SocketAddr,
        session: SessionId,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let url = format!("http://{address}/sessions/{session}/events{query}");
        let mut request = http_client().get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match soon("a stream of events", request.send()).await {
            Ok(response) => response,
            Err(error) => panic!("no answer: {error}"),
        };
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Ok(Self {
            response,
            text: String::new(),
            events: VecDeque::new(),
        })
    }

    /// The next event; `None` when the host has ended the stream.
    ///
    /// # Panics
    ///
    /// When none comes, or one that it must not be.
    pub async fn next(&mut self) -> Option<SentEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match soon("an event", self.response.chunk()).await {
                Ok(Some(chunk)) => {
                    match std::str::from_utf8(&chunk) {
                        Ok(text) => self.text.push_str(text),
                        Err(error) => panic!("a chunk that is cut inside a character: {error}"),
                    }
                    while let Some((event, rest)) = self.text.split_once("\n\n") {
                        self.events.extend(read(event));
                        self.text = rest.to_owned();
                    }
                }
                Ok(None) => return None,
                Err(error) => panic!("the stream broke: {error}"),
            }
        }
    }

    /// Reads up to the event of this name, with it.
    ///
    /// # Panics
    ///
    /// When the stream ends before.
    pub async fn until(&mut self, name: &str) -> Vec<SentEvent> {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Some(event) => events.push(event),
                None => panic!("the stream ended before `{name}`: {events:?}"),
            }
            if events.last().is_some_and(|last| last.event == name) {
                return events;
            }
        }
    }

    /// Reads on until the host ends the stream.
    pub async fn rest(&mut self) -> Vec<SentEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// An event of its lines; none for what has no data.
fn read(text: &str) -> Option<SentEvent> {
    let (mut event, mut id, mut data) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event),
            "id" => value.clone_into(&mut id),
            "data" => data.push(value),
            "" | "retry" => {}
            _ => panic!("an unknown field: {line}"),
        }
    }
    if data.is_empty() {
        return None;
    }
    let frame: Value = match serde_json::from_str(&data.join("\n")) {
        Ok(frame) => frame,
        Err(error) => panic!("no JSON ({error}): {text}"),
    };
    let faults = schema::server_faults(&frame);
    assert!(faults.is_empty(), "against the schema: {faults:?}: {text}");
    assert_eq!(frame["type"], event.as_str(), "{text}");
    let seq = frame["seq"].as_u64();
    let in_id = id.rsplit_once(':').and_then(|(_, seq)| seq.parse().ok());
    assert_eq!(seq, in_id, "{text}");
    Some(SentEvent { event, id, frame })
}
