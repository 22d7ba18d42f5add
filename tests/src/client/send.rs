//! What a client sends.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::{
    self,
    coding::{Data, OpCode},
};

use super::Client;
use crate::schema;
use crate::wait::PATIENCE;

impl Client {
    /// Sends a message with this content.
    pub async fn message(&mut self, content: &str) {
        self.send(&json!({"type": "message", "content": content}))
            .await;
    }

    /// Sends a well-formed message.
    ///
    /// # Panics
    ///
    /// When it does not fit the published schema, or cannot be sent.
    pub async fn send(&mut self, message: &Value) {
        let faults = schema::client_faults(message);
        if !faults.is_empty() {
            self.fail(&format!("sending {message} against the schema: {faults:?}"));
        }
        self.send_text(&message.to_string()).await;
    }

    /// Sends a text frame, whatever is in it.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub async fn send_text(&mut self, text: &str) {
        self.note("→", text);
        if self.keeps {
            self.sent.push(text.to_owned());
        }
        self.send_raw(Message::text(text)).await;
    }

    /// Sends a binary frame.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub async fn send_binary(&mut self, data: &[u8]) {
        self.note("→", &format!("{} bytes", data.len()));
        self.send_raw(Message::binary(data.to_vec())).await;
    }

    /// Sends a text in so many fragments.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub async fn send_fragments(&mut self, text: &str, count: usize) {
        self.note("→", &format!("in {count} fragments: {text}"));
        let size = text.len().div_ceil(count).max(1);
        let mut opcode = OpCode::Data(Data::Text);
        let pieces = text.as_bytes().chunks(size);
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.enumerate() {
            let fragment = frame::Frame::message(piece.to_vec(), opcode, index == last);
            self.send_raw(Message::Frame(fragment)).await;
            opcode = OpCode::Data(Data::Continue);
        }
    }

    /// Sends a text that the host may refuse to read to its end.
    ///
    /// # Panics
    ///
    /// When the host neither reads nor refuses.
    pub async fn send_too_much(&mut self, text: &str) {
        self.note("→", text);
        let sent = tokio::time::timeout(PATIENCE, self.socket.send(Message::text(text))).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.note("→", &format!("cut off: {error}")),
            Err(_) => self.fail("sending: the host does not read"),
        }
    }

    /// Sends any message.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub async fn send_raw(&mut self, message: Message) {
        match tokio::time::timeout(PATIENCE, self.socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(&format!("sending: {error}")),
            Err(_) => self.fail("sending: the host does not read"),
        }
    }
}
