//! A WebSocket client that keeps watch: every frame has to be well formed, to fit the published schema and to come
//! in an order that the contract allows, whatever the test is about.

mod close;
mod connect;
mod expect;
mod receive;
mod resume;
mod runs;
mod send;

use std::collections::VecDeque;
use std::fmt::Write as _;

use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::http::HeaderValue;

pub use self::close::Close;
pub use self::connect::Connect;
pub use self::resume::Greeting;
use crate::frame::Frame;
use crate::order::Order;
use crate::positions::Positions;

/// Lines of a transcript that are kept.
const TRANSCRIPT_LINES: usize = 400;

/// Characters of a frame that a transcript shows.
const TRANSCRIPT_WIDTH: usize = 240;

/// What a connection may get depends on the version that it speaks.
enum Watch {
    V1(Order),
    V2(Positions),
}

/// See the module.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    protocol: Option<HeaderValue>,
    watch: Watch,
    transcript: VecDeque<String>,
    /// Frames that came while something else was waited for.
    early: VecDeque<Frame>,
    is_closed: bool,
    keeps: bool,
    received: Vec<String>,
    sent: Vec<String>,
}

impl Client {
    /// The subprotocol that the host selected.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_ref().and_then(|name| name.to_str().ok())
    }

    /// Keeps all text frames from now on, in both directions.
    pub fn keep_frames(&mut self) {
        self.keeps = true;
    }

    /// The frames of the host that were kept.
    #[must_use]
    pub fn kept_received(&self) -> &[String] {
        &self.received
    }

    /// The frames that were sent and kept.
    #[must_use]
    pub fn kept_sent(&self) -> &[String] {
        &self.sent
    }

    fn note(&mut self, direction: &str, text: &str) {
        if self.transcript.len() == TRANSCRIPT_LINES {
            self.transcript.pop_front();
        }
        let mut line = format!("{direction} ");
        line.extend(text.chars().take(TRANSCRIPT_WIDTH));
        if text.len() > TRANSCRIPT_WIDTH {
            // Writing to a string cannot fail.
            let _ = write!(line, "… ({} bytes)", text.len());
        }
        self.transcript.push_back(line);
    }

    fn fail(&self, what: &str) -> ! {
        let lines: Vec<_> = self.transcript.iter().map(String::as_str).collect();
        panic!("{what}\n\nthe conversation:\n{}\n", lines.join("\n"));
    }
}
