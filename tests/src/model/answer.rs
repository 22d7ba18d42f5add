//! What the server answers, step by step.

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// A part of an answer.
pub enum Step {
    /// These bytes, in one write.
    Bytes(Bytes),
    /// Nothing, until the test lets it go on.
    Wait(oneshot::Receiver<()>),
    /// Nothing any more, while the connection stays open.
    Stall,
    /// The connection breaks.
    Break,
}

/// Holds an answer up until it is opened.
pub struct Gate(oneshot::Sender<()>);

impl Gate {
    /// Lets the answer go on.
    pub fn open(self) {
        // Nobody waits any more when the client is gone.
        let _ = self.0.send(());
    }
}

/// An answer: a status, headers and what is written.
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    steps: Vec<Step>,
}

impl Answer {
    /// A stream of events, to be filled.
    #[must_use]
    pub fn stream() -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
            steps: Vec::new(),
        }
    }

    /// A JSON document.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            steps: Vec::new(),
        }
        .bytes(body.to_string())
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Then these bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// Then an event without a name.
    #[must_use]
    pub fn data(self, value: &Value) -> Self {
        self.bytes(format!("data: {value}\n\n"))
    }

    /// Then an event that has the name of its type.
    #[must_use]
    pub fn event(self, value: &Value) -> Self {
        let name = value["type"].as_str().unwrap_or_default();
        self.bytes(format!("event: {name}\ndata: {value}\n\n"))
    }

    /// Then a comment, as proxies send it to keep a connection alive.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.bytes(format!(": {text}\n\n"))
    }

    /// Then nothing until the gate is opened.
    #[must_use]
    pub fn gate(mut self) -> (Self, Gate) {
        let (sender, receiver) = oneshot::channel();
        self.steps.push(Step::Wait(receiver));
        (self, Gate(sender))
    }

    /// Then nothing any more.
    #[must_use]
    pub fn stall(mut self) -> Self {
        self.steps.push(Step::Stall);
        self
    }

    /// Then the connection breaks.
    #[must_use]
    pub fn broken(mut self) -> Self {
        self.steps.push(Step::Break);
        self
    }

    /// Then what another answer writes.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }

    /// The same, with all bytes in writes of this size, whatever they cut through.
    #[must_use]
    pub fn in_pieces_of(mut self, size: usize) -> Self {
        let mut steps = Vec::new();
        for step in self.steps {
            match step {
                Step::Bytes(mut bytes) => {
                    while !bytes.is_empty() {
                        let piece = bytes.split_to(size.min(bytes.len()));
                        steps.push(Step::Bytes(piece));
                    }
                }
                other => steps.push(other),
            }
        }
        self.steps = steps;
        self
    }

    /// Writes all of it. Whether the client took it.
    pub(super) async fn write(self, to: &mpsc::Sender<Result<Bytes, std::io::Error>>) -> bool {
        for step in self.steps {
            let sent = match step {
                Step::Bytes(bytes) => to.send(Ok(bytes)).await,
                Step::Wait(gate) => {
                    // A test that is over opens nothing any more.
                    let _ = gate.await;
                    Ok(())
                }
                Step::Stall => std::future::pending().await,
                Step::Break => {
                    to.send(Err(std::io::Error::other("broken by the test")))
                        .await
                }
            };
            if sent.is_err() {
                return false;
            }
            // Lets the piece go out by itself.
            tokio::task::yield_now().await;
        }
        true
    }
}
