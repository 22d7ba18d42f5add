//! A WebSocket client that keeps watch: every frame has to be well formed, to fit the published schema and to come
//! in an order that the contract allows, whatever the test is about.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use roundhouse_host::session::SessionId;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::{
    self,
    coding::{Data, OpCode},
};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::frame::Frame;
use crate::order::Order;
use crate::schema;
use crate::wait::PATIENCE;

/// Lines of a transcript that are kept.
const TRANSCRIPT_LINES: usize = 400;

/// Characters of a frame that a transcript shows.
const TRANSCRIPT_WIDTH: usize = 240;

/// How the host closed a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Connect {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
}

impl Connect {
    /// To a session of the host at `address`.
    #[must_use]
    pub fn to(address: SocketAddr, session: SessionId) -> Self {
        Self::to_path(address, &format!("/ws/sessions/{session}"))
    }

    /// To any path.
    #[must_use]
    pub fn to_path(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            path: path.to_owned(),
            headers: Vec::new(),
            receive_buffer: None,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With so many bytes of room for what was sent and not read yet, so that not reading has its effect soon.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// When the upgrade is not completed.
    pub async fn open(self) -> Client {
        match self.try_open().await {
            Ok(client) => client,
            Err(error) => panic!("the upgrade was not completed: {error}"),
        }
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When the upgrade is not completed.
    pub async fn try_open(self) -> Result<Client, tungstenite::Error> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(self.address).await?;
        let mut request = format!("ws://{}{}", self.address, self.path).into_client_request()?;
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse()?;
            request.headers_mut().append(name, value.parse()?);
        }
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let upgrade = client_async_with_config(request, stream, Some(config));
        let (socket, response) = match tokio::time::timeout(PATIENCE, upgrade).await {
            Ok(upgraded) => upgraded?,
            Err(_) => panic!("no answer to the upgrade within {PATIENCE:?}"),
        };
        let protocol = response.headers().get("sec-websocket-protocol").cloned();
        Ok(Client {
            socket,
            protocol,
            order: Order::default(),
            transcript: VecDeque::new(),
            early: VecDeque::new(),
            is_closed: false,
            keeps: false,
            received: Vec::new(),
            sent: Vec::new(),
        })
    }
}

/// See the module.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    protocol: Option<HeaderValue>,
    order: Order,
    transcript: VecDeque<String>,
    /// Frames that came while something else was waited for.
    early: VecDeque<Frame>,
    is_closed: bool,
    keeps: bool,
    received: Vec<String>,
    sent: Vec<String>,
}

enum Received {
    Frame(Frame),
    Pong,
    Closed(Option<Close>),
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
        loop {
            let frame = self.next().await;
            if is_it(&frame) {
                return frame;
            }
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
            let was_last = frame.ends_run();
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

    async fn receive(&mut self, what: &str) -> Received {
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

    async fn receive_any(&mut self, what: &str) -> Received {
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
        if let Err(fault) = self.order.next(&frame) {
            self.fail(&format!("out of order: {fault}"));
        }
        frame
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
