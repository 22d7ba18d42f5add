//! The few requests that a conversation needs besides its WebSocket.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Address;

/// How long an answer may take.
const TIME: Duration = Duration::from_secs(30);

/// How large an answer may be, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A run that is in the history.
pub(super) struct Told {
    pub(super) content: String,
    pub(super) status: String,
}

/// See the module.
pub(super) struct Http {
    address: Address,
    token: Option<String>,
}

impl Http {
    pub(super) fn new(address: Address, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Makes a session; its id.
    pub(super) async fn create_session(&self, body: &Value) -> anyhow::Result<String> {
        let session = self.send(Method::POST, "/sessions", Some(body)).await?;
        let id = session["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| anyhow!("{} is no Roundhouse host", self.address))
    }

    /// Makes sure that there is this session.
    pub(super) async fn session(&self, id: &str) -> anyhow::Result<()> {
        self.send(Method::GET, &format!("/sessions/{id}"), None)
            .await?;
        Ok(())
    }

    /// What the history says of a run; `None` while it is in progress.
    pub(super) async fn told(&self, session: &str, run: &str) -> anyhow::Result<Option<Told>> {
        let path = format!("/sessions/{session}/messages?limit=20");
        let page = self.send(Method::GET, &path, None).await?;
        let mut messages = page["messages"].as_array().into_iter().flatten();
        let answer =
            messages.find(|message| message["role"] == "assistant" && message["run_id"] == run);
        let text = |answer: &Value, key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        Ok(answer.map(|answer| Told {
            content: text(answer, "content"),
            status: text(answer, "status"),
        }))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.address.path(path))
            .header(header::HOST, self.address.authority());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let (status, text) = timeout(TIME, self.exchange(request?))
            .await
            .map_err(|_| anyhow!("no answer within {} s", TIME.as_secs()))
            .and_then(|answer| answer)
            .with_context(|| format!("the host at {} is not reachable", self.address))?;
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        let detail = answer["detail"].as_str().unwrap_or("it does not say why");
        match status {
            200..=299 => Ok(answer),
            401 if self.token.is_none() => {
                bail!("the host wants a token: name the variable that has it with --token-env")
            }
            401 => bail!("the host does not know this token"),
            404 => bail!("{detail}"),
            _ => bail!("the host answers {status}: {detail}"),
        }
    }

    async fn exchange(&self, request: Request<Body>) -> anyhow::Result<(u16, bytes::Bytes)> {
        let stream = TcpStream::connect(self.address.socket()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let text = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await?;
            Ok::<_, anyhow::Error>((status, text))
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // It may end with the answer's last byte, before the answer was taken.
            ended = &mut connection => { ended?; exchange.await }
        }
    }
}
