//! The floor: a bare axum WebSocket server with the host's buffers. It sends frames that were encoded
//! beforehand, with one task a client and one flush a batch, and has no plugin, no log and no replay. What the
//! host does beyond this is what its ratio to the floor shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::frames;

/// As the host's.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 16 * 1024;

/// What is written before a flush, in bytes: as much as the host reads of its log at once.
const BATCH: usize = 64 * 1024;

/// How many frames are kept to be sent again and again: as many as the host's window holds of them, and less than
/// a processor's cache.
const KEPT: usize = 4096;

struct Floor {
    start: Utf8Bytes,
    sync: Utf8Bytes,
    deltas: Vec<Utf8Bytes>,
    attach: Vec<Utf8Bytes>,
    /// How many frames every client is to be sent now.
    burst: watch::Sender<u64>,
}

/// Serves until it is killed.
#[tokio::main]
pub(crate) async fn serve(attach: Option<PathBuf>) -> Result<()> {
    let attach = match attach {
        Some(file) => frames_of(&std::fs::read_to_string(file)?)?,
        None => Vec::new(),
    };
    let delta = frames::delta(frames::TEXT);
    let floor = Arc::new(Floor {
        start: frames::START.into(),
        sync: frames::SYNC.into(),
        deltas: frames_of(&format!("{delta}\n").repeat(KEPT))?,
        attach,
        burst: watch::Sender::new(0),
    });
    let app = Router::new()
        .route("/ws/{mode}", any(upgrade))
        .route("/go/{count}", any(go))
        .with_state(floor);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listens on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// The lines as frames that share one allocation, as those of the host's window do.
fn frames_of(text: &str) -> Result<Vec<Utf8Bytes>> {
    let all = Bytes::copy_from_slice(text.as_bytes());
    let mut begin = 0;
    text.lines()
        .map(|line| {
            let frame = all.slice(begin..begin + line.len());
            begin += line.len() + 1;
            Utf8Bytes::try_from(frame).context("a frame is no text")
        })
        .collect()
}

async fn upgrade(
    State(floor): State<Arc<Floor>>,
    Path(mode): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket| async move {
            // A client that is gone needs no more care.
            let _ = match mode.as_str() {
                "burst" => burst(socket, &floor).await,
                "paced" => paced(socket, &floor).await,
                "attach" => send_all(socket, &floor.attach).await,
                _ => idle(socket, &floor).await,
            };
        })
}

/// Has every client be sent so many frames.
async fn go(State(floor): State<Arc<Floor>>, Path(count): Path<u64>) -> &'static str {
    floor.burst.send_replace(count);
    "null"
}

/// Sends as many frames as every client is to be sent, each time it is asked for.
async fn burst(mut socket: WebSocket, floor: &Floor) -> Result<(), axum::Error> {
    let mut asked = floor.burst.subscribe();
    socket.send(Message::Text(floor.start.clone())).await?;
    loop {
        let count = tokio::select! {
            // Nothing is sent but a close.
            _ = socket.recv() => return Ok(()),
            changed = asked.changed() => match changed {
                Ok(()) => *asked.borrow_and_update(),
                Err(_) => return Ok(()),
            },
        };
        let mut frames = floor.deltas.iter().cycle();
        let (mut sent, mut bytes) = (0, 0);
        while sent < count {
            let Some(frame) = frames.next() else { break };
            bytes += frame.len();
            sent += 1;
            socket.feed(Message::Text(frame.clone())).await?;
            if bytes >= BATCH {
                bytes = 0;
                socket.flush().await?;
            }
        }
        socket.flush().await?;
    }
}

/// Sends frames at the rate the client asks for: how many, and the microseconds between two. The time in them is
/// all that cannot be encoded beforehand.
async fn paced(mut socket: WebSocket, floor: &Floor) -> Result<(), axum::Error> {
    let Some(Ok(Message::Text(text))) = socket.recv().await else {
        return Ok(());
    };
    let (count, micros) = text.as_str().split_once(' ').unwrap_or_default();
    let count: u32 = count.parse().unwrap_or_default();
    let pause = Duration::from_micros(micros.parse().unwrap_or_default());
    socket.send(Message::Text(floor.start.clone())).await?;
    let begin = Instant::now();
    for index in 1..=count {
        sleep_until(begin + pause * index).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let frame = frames::delta(&now.unwrap_or_default().as_nanos().to_string());
        socket.send(Message::Text(frame.into())).await?;
    }
    idle(socket, floor).await
}

async fn send_all(mut socket: WebSocket, frames: &[Utf8Bytes]) -> Result<(), axum::Error> {
    for frame in frames {
        socket.feed(Message::Text(frame.clone())).await?;
    }
    socket.flush().await?;
    while let Some(Ok(_)) = socket.recv().await {}
    Ok(())
}

async fn idle(mut socket: WebSocket, floor: &Floor) -> Result<(), axum::Error> {
    socket.send(Message::Text(floor.sync.clone())).await?;
    while let Some(Ok(_)) = socket.recv().await {}
    Ok(())
}
