//! What comes to a client, each frame checked as it comes.

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use super::{Client, Close, Watch};
use crate::frame::Frame;
use crate::schema;
use crate::wait::PATIENCE;

pub(super) enum Received {
    Frame(Frame),
    Pong,
    Closed(Option<Close>),
}

impl Client {
    pub(super) async fn receive(&mut self, what: &str) -> Received {
        if let Some(frame) = self.early.pop_front() {
            return Received::Frame(frame);
        }
        loop {
            match self.receive_any(what).await {
                Received::Pong => {}
                received => return received,
            }
        }
    }

    pub(super) async fn receive_any(&mut self, what: &str) -> Received {
        loop {
            let message = match tokio::time::timeout(PATIENCE, self.socket.next()).await {
                Ok(message) => message,
                Err(_) => self.fail(&format!("waited {PATIENCE:?} for {what}")),
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    self.note("←", &text);
                    return Received::Frame(self.check(&text));
                }
                Some(Ok(Message::Close(close))) => {
                    let close = close.map(|close| Close {
                        code: close.code.into(),
                        reason: close.reason.to_string(),
                    });
                    self.note("←", &format!("{close:?}"));
                    self.finish_close().await;
                    return Received::Closed(close);
                }
                Some(Ok(Message::Pong(_))) => return Received::Pong,
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(other)) => self.fail(&format!("neither text nor close: {other:?}")),
                None => {
                    self.is_closed = true;
                    return Received::Closed(None);
                }
                Some(Err(error)) => {
                    self.note("←", &format!("{error}"));
                    self.is_closed = true;
                    return Received::Closed(None);
                }
            }
        }
    }

    /// Answers the host's close and waits until the host has let go of the connection.
    async fn finish_close(&mut self) {
        self.is_closed = true;
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        if tokio::time::timeout(PATIENCE, end).await.is_err() {
            self.fail("the host does not let go of a closed connection");
        }
    }

    fn check(&mut self, text: &str) -> Frame {
        if self.keeps {
            self.received.push(text.to_owned());
        }
        let frame = match Frame::parse(text) {
            Ok(frame) => frame,
            Err(fault) => self.fail(&format!("not a frame: {fault}")),
        };
        let faults = schema::server_faults(frame.value());
        if !faults.is_empty() {
            self.fail(&format!("against the schema: {faults:?}"));
        }
        let followed = match &mut self.watch {
            Watch::V1(order) => order.next(&frame),
            Watch::V2(positions) => positions.next(&frame),
        };
        if let Err(fault) = followed {
            self.fail(&format!("out of order: {fault}"));
        }
        // What version 1 has is in version 2 as it was, with fields added.
        if !matches!(frame.kind(), "message_ack" | "stop_ack") {
            let faults = schema::frozen_faults(frame.value());
            if !faults.is_empty() {
                self.fail(&format!("against version 1's schema: {faults:?}"));
            }
        }
        frame
    }
}
