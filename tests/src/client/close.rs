//! The end of a connection, from either side.

use tokio_tungstenite::tungstenite::Message;

use super::Client;
use super::receive::Received;
use crate::frame::Frame;

/// How the host closed a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

impl Client {
    /// The next frame, or how the host closes the connection instead.
    ///
    /// # Errors
    ///
    /// The close.
    ///
    /// # Panics
    ///
    /// When neither comes in time, or the connection breaks off.
    pub async fn next_or_close(&mut self) -> Result<Frame, Close> {
        loop {
            match self.receive("a frame or the close").await {
                Received::Frame(frame) if frame.kind() == "heartbeat" => {}
                Received::Frame(frame) => return Ok(frame),
                Received::Closed(Some(close)) => return Err(close),
                Received::Closed(None) => self.fail("the connection broke off without a close"),
                Received::Pong => {}
            }
        }
    }

    /// Waits for the connection to be closed by the host, with nothing else before it.
    ///
    /// # Panics
    ///
    /// When there is something else, or it is not closed in time, or without a close frame.
    pub async fn closed(&mut self) -> Close {
        loop {
            match self.receive("the close").await {
                Received::Frame(frame) if frame.kind() == "heartbeat" => {}
                Received::Frame(_) => self.fail("a frame instead of the close"),
                Received::Closed(Some(close)) => return close,
                Received::Closed(None) => self.fail("the connection broke off without a close"),
                Received::Pong => {}
            }
        }
    }

    /// What comes until the host closes the connection.
    ///
    /// # Panics
    ///
    /// When it is not closed in time, or without a close frame.
    pub async fn rest(&mut self) -> (Vec<Frame>, Close) {
        let mut frames = Vec::new();
        loop {
            match self.receive("the close").await {
                Received::Frame(frame) => frames.push(frame),
                Received::Closed(Some(close)) => return (frames, close),
                Received::Closed(None) => self.fail("the connection broke off without a close"),
                Received::Pong => {}
            }
        }
    }

    /// What comes until the connection breaks off without a close, as it does when the host dies.
    ///
    /// # Panics
    ///
    /// When it does not break off in time, or is closed in order.
    pub async fn until_broken_off(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.receive("the end of the host").await {
                Received::Frame(frame) => frames.push(frame),
                Received::Closed(None) => return frames,
                Received::Closed(Some(close)) => self.fail(&format!("closed in order: {close:?}")),
                Received::Pong => {}
            }
        }
    }

    /// Closes the connection as a client should, and waits until the host has let go of it.
    ///
    /// # Panics
    ///
    /// When the host does not.
    pub async fn close(mut self) {
        if self.is_closed {
            return;
        }
        self.send_raw(Message::Close(None)).await;
        while let Received::Frame(_) = self.receive("the end of the connection").await {}
    }

    /// Breaks the connection off, as a network does.
    pub fn cut(self) {
        // With nothing to linger for, the system resets the connection instead of ending it in order.
        let _ = self.socket.get_ref().set_zero_linger();
    }
}
