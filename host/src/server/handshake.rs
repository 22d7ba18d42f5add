//! The handshake that makes a WebSocket of a request (RFC 6455, section 4.2), and the socket itself.
//!
//! It is done here and not by the web framework, because frames that were encoded once are written to the stream as they
//! are ([`frames`](crate::protocol::frames)), and the framework keeps the stream to itself.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::auth::BEARER_PROTOCOL;
use super::problem::Problem;
use super::wire::WatchedStream;

/// A client's WebSocket. It reads and answers by itself what the protocol asks for; text frames are written past it.
pub(super) type Socket = WebSocketStream<WatchedStream>;

/// Read buffer of a connection, in bytes: client messages are short, and idle connections many. A
/// long one is read in so many more steps, which costs less than looking at what is in it.
const READ_BUFFER: usize = 1024;

/// A request that asks for a WebSocket.
pub(super) struct Handshake {
    accept: HeaderValue,
    /// The client names the protocol with which it sends a token.
    is_bearer: bool,
    upgrading: OnUpgrade,
}

/// The stream of a WebSocket that is to be, once the answer to its request was written.
pub(super) struct Upgrading(OnUpgrade);

/// A request asks for no WebSocket.
#[derive(Debug, thiserror::Error)]
enum HandshakeFault {
    #[error("a WebSocket begins with GET")]
    NotGet,
    #[error("the header `{0}` must be `{1}`")]
    Header(HeaderName, &'static str),
    #[error("the header `sec-websocket-key` is missing")]
    NoKey,
    #[error("this connection cannot become a WebSocket")]
    NotUpgradable,
}

/// A connection did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    /// It was lost before.
    #[error("the connection was lost before it became a WebSocket")]
    Lost(#[source] hyper::Error),
    /// It is none of this server's own.
    #[error("the connection is not one that this server accepted")]
    Foreign,
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = || {
            if parts.method != Method::GET {
                return Err(HandshakeFault::NotGet);
            }
            for (name, value) in [
                (header::CONNECTION, "upgrade"),
                (header::UPGRADE, "websocket"),
                (header::SEC_WEBSOCKET_VERSION, "13"),
            ] {
                if !lists(&parts.headers, &name, value) {
                    return Err(HandshakeFault::Header(name, value));
                }
            }
            let key = parts.headers.get(header::SEC_WEBSOCKET_KEY);
            let key = derive_accept_key(key.ok_or(HandshakeFault::NoKey)?.as_bytes());
            HeaderValue::from_str(&key).map_err(|_| HandshakeFault::NoKey)
        };
        let accept = read().map_err(|fault| Problem::upgrade_required(&fault))?;
        let is_bearer = lists(
            &parts.headers,
            &header::SEC_WEBSOCKET_PROTOCOL,
            BEARER_PROTOCOL,
        );
        let upgrading = parts.extensions.remove::<OnUpgrade>();
        Ok(Self {
            accept,
            is_bearer,
            upgrading: upgrading
                .ok_or_else(|| Problem::upgrade_required(&HandshakeFault::NotUpgradable))?,
        })
    }
}

/// Whether a header names `value`, alone or in a list.
fn lists(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
}

impl Handshake {
    /// The answer, and what becomes of the connection when it is written.
    pub(super) fn accept(self) -> (Response, Upgrading) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.is_bearer {
            headers.insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(BEARER_PROTOCOL),
            );
        }
        (response, Upgrading(self.upgrading))
    }
}

impl Upgrading {
    /// Waits for the socket; a frame of more than `most` bytes will break it. Cancel safe.
    pub(super) async fn socket(self, most: usize) -> Result<Socket, UpgradeError> {
        let upgraded = self.0.await.map_err(UpgradeError::Lost)?;
        let parts = upgraded.downcast::<TokioIo<WatchedStream>>();
        let parts = parts.map_err(|_| UpgradeError::Foreign)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // What the socket itself writes, pongs and closes, goes out at once.
            .write_buffer_size(0)
            .max_frame_size(Some(most))
            .max_message_size(Some(most));
        let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
        Ok(WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await)
    }
}
