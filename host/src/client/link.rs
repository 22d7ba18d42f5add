//! One connection.

use std::future::poll_fn;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::fault::Fault;
use super::item::{Frame, Hello};
use super::options::Options;
use super::outbox::Outbox;

/// How long the other side may take to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// So many of the host's intervals may pass in silence. It sends a heartbeat after each.
const SILENT_BEATS: u32 = 3;

/// No interval is so short that a busy machine could not miss it.
const LEAST_SILENCE: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Link {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    stream: SplitStream<WebSocketStream<TcpStream>>,
    /// When something came last.
    heard: Instant,
    /// How long nothing may come.
    silence: Duration,
    /// Frames were given to the sink and not flushed.
    unflushed: bool,
    /// What the host said first, until it says what it replays.
    pub(super) hello: Option<Hello>,
    /// How large a frame the host takes, as soon as it is known.
    pub(super) frame_limit: Option<usize>,
    /// Whether the greeting is over; nothing is sent before.
    pub(super) is_greeted: bool,
    pub(super) since: Instant,
}

impl Link {
    /// Connects. Cancel safe: nothing is left of it.
    pub(super) async fn open(
        options: &Options,
        cursor: Option<(&str, u64)>,
    ) -> Result<Self, Fault> {
        let connecting = async {
            let stream = TcpStream::connect(options.address.socket()).await;
            let stream = stream.map_err(|error| Fault::Connect(error.to_string()))?;
            // A stop must not be held back until what was sent before is acknowledged.
            let _ = stream.set_nodelay(true);
            let upgrade_fault = |error: Error| Fault::Upgrade(error.to_string());
            let authority = options.address.authority();
            let target = options.target(cursor);
            let mut request = format!("ws://{authority}{target}")
                .into_client_request()
                .map_err(upgrade_fault)?;
            if let Some(authorization) = &options.authorization
                && let Ok(mut value) = HeaderValue::from_str(authorization)
            {
                value.set_sensitive(true);
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            let upgraded = client_async_with_config(request, stream, None).await;
            Ok::<_, Fault>(upgraded.map_err(upgrade_fault)?.0)
        };
        let socket = match timeout(options.connect, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Fault::Connect("it took too long".to_owned())),
        };
        let (sink, stream) = socket.split();
        let now = Instant::now();
        Ok(Self {
            sink,
            stream,
            heard: now,
            silence: options.connect,
            unflushed: false,
            hello: None,
            frame_limit: None,
            is_greeted: false,
            since: now,
        })
    }

    /// The host beats in this interval.
    pub(super) fn expect_beats(&mut self, interval: Duration) {
        self.silence = interval.saturating_mul(SILENT_BEATS).max(LEAST_SILENCE);
    }

    /// Waits for a frame of the host, and sends what is to be sent meanwhile. `None` for what is no frame of the
    /// protocol.
    ///
    /// Cancel safe: a frame is taken whole or not at all, in both directions.
    pub(super) async fn next(&mut self, outbox: &mut Outbox) -> Result<Option<Frame>, Fault> {
        let may_send = self.is_greeted && (self.unflushed || outbox.has_unsent());
        let (sink, unflushed) = (&mut self.sink, &mut self.unflushed);
        tokio::select! {
            received = self.stream.next() => {
                self.heard = Instant::now();
                read(received)
            }
            sent = send(sink, outbox, unflushed), if may_send => {
                sent.map(|()| None).map_err(broken)
            }
            () = sleep_until(self.heard + self.silence) => Err(Fault::Silent(self.silence)),
        }
    }

    /// Closes in order.
    pub(super) async fn close(mut self) {
        let closing = async {
            self.sink.send(Message::Close(None)).await?;
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), Error>(())
        };
        // A host that does not answer, or is gone, needs no more care.
        let _ = timeout(CLOSE_WAIT, closing).await;
    }
}

/// Sends what is to be sent. Cancel safe: what was given to the sink counts as sent, and is flushed the next time.
async fn send(
    sink: &mut SplitSink<WebSocketStream<TcpStream>, Message>,
    outbox: &mut Outbox,
    unflushed: &mut bool,
) -> Result<(), Error> {
    while outbox.has_unsent() {
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await?;
        if let Some(frame) = outbox.take_unsent() {
            *unflushed = true;
            sink.start_send_unpin(Message::text(frame))?;
        }
    }
    sink.flush().await?;
    *unflushed = false;
    Ok(())
}

fn read(received: Option<Result<Message, Error>>) -> Result<Option<Frame>, Fault> {
    match received {
        Some(Ok(Message::Text(text))) => Frame::read(&text).map(Some),
        Some(Ok(Message::Close(close))) => Err(match close {
            Some(close) => Fault::Closed {
                code: close.code.into(),
                reason: close.reason.to_string(),
            },
            None => Fault::Broken("closed without a code".to_owned()),
        }),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(broken(error)),
        None => Err(Fault::Broken("it ended".to_owned())),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn broken(error: Error) -> Fault {
    Fault::Broken(error.to_string())
}
