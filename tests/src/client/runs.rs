//! Whole runs and replays.

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::{Client, Watch};
use crate::frame::Frame;
use crate::wait::PATIENCE;

/// As much of a frame as a flood is looked at.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a str,
    #[serde(default)]
    delta: Option<String>,
}

impl Client {
    /// Whether the frame is its run's last one.
    #[must_use]
    pub fn ends_run(&self, frame: &Frame) -> bool {
        match self.watch {
            Watch::V1(_) => frame.ends_run(),
            Watch::V2(_) => frame.kind() == "stream_end",
        }
    }

    /// What comes up to a run's last frame, that included.
    ///
    /// # Panics
    ///
    /// When it does not come in time.
    pub async fn rest_of_run(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let was_last = self.ends_run(&frame);
            frames.push(frame);
            if was_last {
                return frames;
            }
        }
    }

    /// Sends a message and returns its run, from `stream_start` to the last frame.
    ///
    /// # Panics
    ///
    /// When the run is not begun, or does not end in time.
    pub async fn run(&mut self, content: &str) -> Vec<Frame> {
        self.message(content).await;
        self.whole_run().await
    }

    /// A run from `stream_start` to its last frame.
    ///
    /// # Panics
    ///
    /// When it does not begin, or does not end in time.
    pub async fn whole_run(&mut self) -> Vec<Frame> {
        let mut frames = vec![self.expect_kind("stream_start").await];
        frames.extend(self.rest_of_run().await);
        frames
    }

    /// Begins a run: sends a message and waits for `stream_start`.
    ///
    /// # Panics
    ///
    /// When the run is not begun.
    pub async fn begin(&mut self, content: &str) {
        self.message(content).await;
        self.expect_kind("stream_start").await;
    }

    /// The replay: what is between `replay_start` and `replay_end`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn replay(&mut self) -> Vec<Frame> {
        let start = self.expect_kind("replay_start").await;
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            if frame.kind() == "replay_end" {
                assert_eq!(start.value()["count"], frames.len());
                return frames;
            }
            frames.push(frame);
        }
    }

    /// The streamed text of a run that has begun, and its last frame. Of version 1, and without a look at each frame:
    /// for more of them than could be checked.
    ///
    /// # Panics
    ///
    /// When the run does not end, or what comes is no frame.
    pub async fn drink(mut self) -> (String, Value) {
        let mut text = String::new();
        loop {
            let message = match tokio::time::timeout(PATIENCE, self.socket.next()).await {
                Ok(Some(Ok(Message::Text(message)))) => message,
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
                other => self.fail(&format!("no frame: {other:?}")),
            };
            let glance: Glance<'_> = match serde_json::from_str(&message) {
                Ok(glance) => glance,
                Err(error) => self.fail(&format!("not a frame ({error}): {message}")),
            };
            match glance.kind {
                "stream_delta" => text.push_str(&glance.delta.unwrap_or_default()),
                "stream_end" | "stream_stopped" | "error" => {
                    return (text, serde_json::from_str(&message).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}
