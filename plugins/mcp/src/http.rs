//! Servers over streamable HTTP: which requests are made, and what is wrong with them in words.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use plugin_api::tokio::time::timeout;
use plugin_api::{CreateError, tokio};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Url, redirect};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::{BoxedSseResponse, ExponentialBackoff};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
    StreamableHttpPostResponse, StreamableHttpResponseLimits,
};

use crate::config::{Server, at};
use crate::signals::Signals;
use crate::words::{Secrets, causes};

/// How long the end of a session may take to be told.
const GOODBYE: Duration = Duration::from_secs(2);

/// Calls that are answered without a stream and may wait for their answers at the same time; others wait to be sent.
const CALLS: usize = 64;

/// Headers that the protocol itself has.
const RESERVED: &[&str] = &[
    "accept",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
];

/// The longest wait before a stream of notifications that broke off is asked for again.
const MAX_STREAM_DELAY: Duration = Duration::from_secs(60);

type Headers = HashMap<HeaderName, HeaderValue>;
type Refused = StreamableHttpError<HttpFault>;

/// Why a request has failed, fit to be shown.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HttpFault(String);

/// Where a server is, and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    http: reqwest::Client,
    url: Url,
    secrets: Secrets,
    max_message_bytes: usize,
}

impl Endpoint {
    /// # Errors
    ///
    /// The address or a header is not one, or TLS cannot be set up.
    pub(crate) fn new(name: &str, server: &Server, url: &str) -> Result<Self, CreateError> {
        let url = parsed(name, url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("roundhouse/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(name, server)?)
            // A redirected request would carry the secrets elsewhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(server.connect_timeout());
        if url.scheme() == "http" {
            // Works where the system has no certificates.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| at(name, "url", format_args!("TLS: {}", causes(&error))))?;
        Ok(Self {
            http,
            url,
            secrets: Secrets::new(server.secrets()),
            max_message_bytes: server.max_message_bytes,
        })
    }

    /// A connection, which begins with the first message.
    pub(crate) fn transport(
        &self,
        signals: Arc<Signals>,
    ) -> StreamableHttpClientTransport<Requests> {
        // The address is the requests' own: this one is logged.
        let mut config = StreamableHttpClientTransportConfig::with_uri("the server");
        config.max_sse_event_size = self.max_message_bytes;
        config.max_json_response_size = self.max_message_bytes;
        config.max_concurrent_requests = CALLS;
        // A new session may have other tools; it is begun where they are listed.
        config.reinit_on_expired_session = false;
        let mut again = ExponentialBackoff::default();
        again.max_delay = Some(MAX_STREAM_DELAY);
        config.retry_config = Arc::new(again);
        let requests = Requests {
            endpoint: self.clone(),
            signals,
        };
        StreamableHttpClientTransport::with_client(requests, config)
    }

    fn fault(&self, error: StreamableHttpError<reqwest::Error>) -> Refused {
        let told = |text: String| Refused::Client(HttpFault(self.secrets.without(&text)));
        match error {
            StreamableHttpError::SessionExpired => Refused::SessionExpired,
            StreamableHttpError::ServerDoesNotSupportSse => Refused::ServerDoesNotSupportSse,
            StreamableHttpError::ServerDoesNotSupportDeleteSession => {
                Refused::ServerDoesNotSupportDeleteSession
            }
            StreamableHttpError::Client(error) => told(self.unreachable(error)),
            StreamableHttpError::HttpStatus(error) => {
                told(format!("it answers with HTTP status {}", error.status))
            }
            StreamableHttpError::AuthRequired(_) => told(
                "it asks for authorization (HTTP status 401); `bearer_token` or `headers` must fit"
                    .to_owned(),
            ),
            StreamableHttpError::InsufficientScope(_) => {
                told("it does not allow this with the `bearer_token` (HTTP status 403)".to_owned())
            }
            StreamableHttpError::ResponseBodyTooLarge { max_size } => {
                told(format!("it answers with more than {max_size} bytes"))
            }
            StreamableHttpError::UnexpectedContentType(None) => {
                told("it answers with neither JSON nor a stream of events".to_owned())
            }
            StreamableHttpError::UnexpectedContentType(Some(kind)) => told(format!(
                "it answers with neither JSON nor a stream of events, but with `{kind}`"
            )),
            StreamableHttpError::UnexpectedServerResponse(text) if text.starts_with("HTTP 3") => {
                told("it redirects, which is not followed; `url` must be where it leads".to_owned())
            }
            StreamableHttpError::UnexpectedServerResponse(text) => {
                told(format!("it does not answer as it should: {text}"))
            }
            other => told(causes(&other)),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> String {
        match error.status() {
            Some(status) => format!("it answers with HTTP status {}", status.as_u16()),
            None => format!(
                "{} cannot be reached: {}",
                self.url.origin().ascii_serialization(),
                causes(&error.without_url())
            ),
        }
    }
}

/// The requests of one connection.
#[derive(Clone)]
pub(crate) struct Requests {
    endpoint: Endpoint,
    signals: Arc<Signals>,
}

impl Requests {
    fn url(&self) -> Arc<str> {
        self.endpoint.url.as_str().into()
    }

    /// What is asked, until the connection is closed: nobody waits for the answer then, and a server may never give it.
    async fn while_open<T>(
        &self,
        asking: impl Future<Output = Result<T, StreamableHttpError<reqwest::Error>>>,
    ) -> Result<T, StreamableHttpError<reqwest::Error>> {
        tokio::select! {
            biased;
            answer = asking => answer,
            () = self.signals.closed.cancelled() => Err(StreamableHttpError::UnexpectedEndOfStream),
        }
    }
}

impl StreamableHttpClient for Requests {
    type Error = HttpFault;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Refused> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session, auth, headers, limits)
            .await
    }

    async fn post_message_with_response_limits(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Refused> {
        let first = match &message {
            JsonRpcMessage::Request(request) => matches!(
                request.request,
                ClientRequest::InitializeRequest(_) | ClientRequest::DiscoverRequest(_)
            )
            .then(|| request.id.clone()),
            _ => None,
        };
        let posted = self.endpoint.http.post_message_with_response_limits(
            self.url(),
            message,
            session,
            auth,
            headers,
            limits,
        );
        let posted = self.while_open(posted).await.map(|posted| match posted {
            StreamableHttpPostResponse::Sse(stream, session) => {
                let stream = stream.take_until(self.signals.closed.clone().cancelled_owned());
                StreamableHttpPostResponse::Sse(stream.boxed(), session)
            }
            posted => posted,
        });
        match (posted.map_err(|error| self.endpoint.fault(error)), first) {
            // The SDK would log this as an error each time. As an answer, it comes to whoever connects.
            (Err(error), Some(id)) if !self.signals.closed.is_cancelled() => {
                let text = error.to_string();
                let text = text.strip_prefix("Client error: ").unwrap_or(&text);
                self.signals.set_trouble(text.to_owned());
                let error = ErrorData::internal_error(text.to_owned(), None);
                let answer = JsonRpcMessage::error(error, Some(id));
                Ok(StreamableHttpPostResponse::Json(answer, None))
            }
            (posted, _) => posted,
        }
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), Refused> {
        let deleting = self
            .endpoint
            .http
            .delete_session(self.url(), session, auth, headers);
        match timeout(GOODBYE, deleting).await {
            Ok(Ok(())) => Ok(()),
            // A server that is gone has no session any more, and needs no goodbye.
            Ok(Err(_)) | Err(_) => Err(Refused::ServerDoesNotSupportDeleteSession),
        }
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<BoxedSseResponse, Refused> {
        let most = self.endpoint.max_message_bytes;
        self.get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, most)
            .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        _: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
        max_event_bytes: usize,
    ) -> Result<BoxedSseResponse, Refused> {
        let got = self.endpoint.http.get_stream_with_max_sse_event_size(
            self.url(),
            session,
            last_event,
            auth,
            headers,
            max_event_bytes,
        );
        match self.while_open(got).await {
            Ok(stream) => {
                let closed = self.signals.closed.clone().cancelled_owned();
                Ok(stream.take_until(closed).boxed())
            }
            Err(StreamableHttpError::ServerDoesNotSupportSse) => {
                Err(Refused::ServerDoesNotSupportSse)
            }
            Err(error) => {
                // A server that does not take this may be gone.
                self.signals.suspect.notify_one();
                let refused = matches!(&error, StreamableHttpError::Client(error)
                    if error.status().is_some_and(|status| status.is_client_error()));
                match refused {
                    // Not every server without such a stream says so in the way it should.
                    true => Err(Refused::ServerDoesNotSupportSse),
                    false => Err(self.endpoint.fault(error)),
                }
            }
        }
    }
}

fn parsed(name: &str, url: &str) -> Result<Url, CreateError> {
    // Not shown: it may hold a password.
    let wrong = |problem: &str| at(name, "url", problem);
    let url = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "must not hold a user or a password; use bearer_token or headers",
        ));
    }
    Ok(url)
}

fn headers(server_name: &str, server: &Server) -> Result<HeaderMap, CreateError> {
    let mut headers = HeaderMap::new();
    let mut add = |key: &str, name: HeaderName, prefix: &str, value: &str| {
        let mut header = HeaderValue::from_str(&format!("{prefix}{value}"))
            .map_err(|_| at(server_name, key, "has letters that no header can have"))?;
        header.set_sensitive(true);
        headers.insert(name, header);
        Ok::<_, CreateError>(())
    };
    if let Some(token) = &server.bearer_token {
        let token = token.expose().trim();
        if token.is_empty() {
            return Err(at(server_name, "bearer_token", "must not be empty"));
        }
        add("bearer_token", AUTHORIZATION, "Bearer ", token)?;
    }
    for (name, value) in &server.headers {
        let key = format!("headers.{}", name.escape_debug());
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| at(server_name, &key, "is no name of a header"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(at(server_name, &key, "the protocol itself has this header"));
        }
        add(&key, name, "", value.expose().trim())?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
