//! Whole runs and replays.

use super::{Client, Watch};
use crate::frame::Frame;

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
}
