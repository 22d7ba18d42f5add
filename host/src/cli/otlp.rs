//! The HTTP client that exports telemetry: one request a connection, without TLS, to a collector near by.

use async_trait::async_trait;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// The most that an answer may have, in bytes.
const ANSWER: usize = 1024 * 1024;

/// See the module. It may be used on a thread that is not the runtime's.
#[derive(Debug)]
pub(super) struct PlainHttp {
    runtime: Handle,
}

impl PlainHttp {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime }
    }
}

#[async_trait]
impl HttpClient for PlainHttp {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.runtime.spawn(send(request)).await?
    }
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let host = request.uri().host().ok_or("the endpoint names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = request.uri().port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await?;
    let authority = request.uri().authority().map(|all| all.to_string());
    let path = request.uri().path_and_query().map(|all| all.to_string());
    let (mut parts, body) = request.into_parts();
    parts.uri = path.as_deref().unwrap_or("/").parse()?;
    if let Some(authority) = authority {
        parts.headers.insert("host", authority.parse()?);
    }
    let request = Request::from_parts(parts, axum::body::Body::from(body));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(axum::body::Body::new(body), ANSWER).await?;
        Ok::<_, HttpError>(Response::from_parts(parts, body))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => {
            ended?;
            // What was read before the end is still to be handed out.
            exchange.await
        }
    }
}
