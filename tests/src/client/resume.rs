//! What a version 2 client does beside version 1's: it is greeted, knows where it is, and gets its frames answered.

use serde_json::{Value, json};

use super::{Client, Connect, Watch};
use crate::frame::Frame;
use crate::positions::{Position, is_event};

/// What a version 2 connection begins with.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The `session_sync`.
    pub hello: Value,
    /// The `replay_start`.
    pub start: Value,
    /// The events between it and `replay_end`.
    pub replay: Vec<Frame>,
}

impl Greeting {
    /// `mode`, `recovered` and `reason`.
    #[must_use]
    pub fn verdict(&self) -> (&str, bool, Option<&str>) {
        (
            self.start["mode"].as_str().unwrap_or_default(),
            self.start["recovered"] == true,
            self.start.get("reason").and_then(Value::as_str),
        )
    }

    /// `from_seq` and `to_seq`.
    #[must_use]
    pub fn range(&self) -> (u64, u64) {
        let number = |key: &str| self.start[key].as_u64().unwrap_or_default();
        (number("from_seq"), number("to_seq"))
    }
}

impl Connect {
    /// Connects and is greeted.
    ///
    /// # Panics
    ///
    /// When it is not, or it does not speak version 2.
    pub async fn greeted(self) -> (Client, Greeting) {
        let mut client = self.open().await;
        let greeting = client.greeting().await;
        (client, greeting)
    }
}

impl Client {
    /// Where a version 2 client is.
    ///
    /// # Panics
    ///
    /// When it speaks version 1.
    #[must_use]
    pub fn position(&self) -> Position {
        match &self.watch {
            Watch::V2(positions) => positions.position(),
            Watch::V1(_) => self.fail("version 1 has no positions"),
        }
    }

    /// What a version 2 connection begins with.
    ///
    /// # Panics
    ///
    /// When it begins with something else.
    pub async fn greeting(&mut self) -> Greeting {
        let hello = self.expect_kind("session_sync").await.value().clone();
        let start = self.expect_kind("replay_start").await.value().clone();
        let mut replay = Vec::new();
        loop {
            let frame = self.next().await;
            if frame.kind() == "replay_end" {
                return Greeting {
                    hello,
                    start,
                    replay,
                };
            }
            replay.push(frame);
        }
    }

    /// Sends a frame and returns its answer: a `message_ack`, a `stop_ack` or an `error`. Events that come meanwhile
    /// are kept for the calls that follow.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn ask(&mut self, message: &Value) -> Value {
        self.send(message).await;
        self.answer().await
    }

    /// The answer to a frame that was sent; see [`Client::ask`].
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn answer(&mut self) -> Value {
        let mut meanwhile = Vec::new();
        loop {
            let frame = self.next().await;
            if is_event(&frame) {
                meanwhile.push(frame);
                continue;
            }
            for frame in meanwhile.into_iter().rev() {
                self.early.push_front(frame);
            }
            return frame.value().clone();
        }
    }

    /// Sends a message that has to be accepted; its run.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn accepted(&mut self, content: &str) -> String {
        let answer = self
            .ask(&json!({"type": "message", "content": content}))
            .await;
        self.run_of(&answer, "accepted")
    }

    /// Sends a message that has to be queued; its run.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn queued(&mut self, content: &str) -> String {
        let message = json!({"type": "message", "content": content, "on_busy": "enqueue"});
        let answer = self.ask(&message).await;
        self.run_of(&answer, "queued")
    }

    fn run_of(&self, answer: &Value, status: &str) -> String {
        if answer["status"] != status {
            self.fail(&format!("not {status}: {answer}"));
        }
        answer["run_id"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends a message that has to be accepted, and returns its run, from `stream_start` to `stream_end`.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn run_v2(&mut self, content: &str) -> Vec<Frame> {
        let run = self.accepted(content).await;
        let frames = self.whole_run().await;
        assert_eq!(frames[0].text_at("run_id"), run);
        frames
    }
}
