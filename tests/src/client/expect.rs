//! The frames that a test waits for.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::Client;
use super::receive::Received;
use crate::frame::Frame;
use crate::soon;

impl Client {
    /// Waits until the host has taken every frame that was sent to it so far. Frames that come meanwhile are kept
    /// for the calls that follow.
    ///
    /// # Panics
    ///
    /// When it does not, or closes the connection.
    pub async fn taken(&mut self) {
        self.send_raw(Message::Ping("taken".into())).await;
        loop {
            match self.receive_any("a pong").await {
                Received::Pong => return,
                Received::Frame(frame) => self.early.push_back(frame),
                Received::Closed(close) => self.fail(&format!("closed ({close:?})")),
            }
        }
    }

    /// The next frame; heartbeats are passed over.
    ///
    /// # Panics
    ///
    /// When there is none in time, the connection closes, or the frame is not what the contract allows.
    pub async fn next(&mut self) -> Frame {
        loop {
            let frame = self.next_with_heartbeats().await;
            if frame.kind() != "heartbeat" {
                return frame;
            }
        }
    }

    /// The next frame, heartbeats included.
    ///
    /// # Panics
    ///
    /// As [`Client::next`].
    pub async fn next_with_heartbeats(&mut self) -> Frame {
        match self.receive("a frame").await {
            Received::Frame(frame) => frame,
            Received::Closed(close) => {
                self.fail(&format!("closed ({close:?}) instead of a frame"));
            }
            Received::Pong => self.fail("a pong that nobody waits for"),
        }
    }

    /// The next frame, which has to be this one.
    ///
    /// # Panics
    ///
    /// When it is another.
    pub async fn expect(&mut self, message: Value) {
        let frame = self.next().await;
        if *frame.value() != message {
            self.fail(&format!("expected {message}"));
        }
    }

    /// The next frame, which has to be an `error` with this text.
    ///
    /// # Panics
    ///
    /// When it is another.
    pub async fn expect_error(&mut self, text: &str) {
        self.expect(json!({"type": "error", "message": text})).await;
    }

    /// The next frame, which has to be of this type.
    ///
    /// # Panics
    ///
    /// When it is of another.
    pub async fn expect_kind(&mut self, kind: &str) -> Frame {
        let frame = self.next().await;
        if frame.kind() != kind {
            self.fail(&format!("expected `{kind}`"));
        }
        frame
    }

    /// The first frame that is like this; those before it are passed over.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    pub async fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Frame {
        // Heartbeats come for ever.
        soon("the frame that is waited for", async {
            loop {
                let frame = self.next().await;
                if is_it(&frame) {
                    return frame;
                }
            }
        })
        .await
    }
}
