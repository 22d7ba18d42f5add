//! Asking the server: one request, its answer as a stream of events, and what is wrong with it in words.

use std::fmt::Write as _;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt, TryStreamExt};
use plugin_api::serde_json::{self, Value};
use plugin_api::{CreateError, tokio};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, Url, redirect};
use sse_stream::{Sse, SseByteStream};
use thiserror::Error;

use crate::address::{Secrets, headers, url};
use crate::api::{Decoder, Fault, Piece, Reply, message_of};
use crate::config::{Api, Config};

/// The most that an answer may take, in bytes as sent. An answer of 100,000 tokens takes about 30 MiB in chunks.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// The most of a refusal's body that is read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// How long what is said with a refusal may take to come.
const REFUSAL_WAIT: Duration = Duration::from_secs(10);

/// A connection to one API.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    api: Api,
    connect: Duration,
    silence: Duration,
    secrets: Secrets,
}

/// Why the body of an answer ends before its time.
#[derive(Debug, Error)]
enum BodyError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("it has more than {ANSWER_BYTES} bytes")]
    TooLarge,
}

impl Client {
    /// # Errors
    ///
    /// `base_url` or a header is not one, or TLS cannot be set up.
    pub(crate) fn new(config: &Config) -> Result<Self, CreateError> {
        let url = url(&config.base_url, config.api)?;
        let (headers, secrets) = headers(config)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("roundhouse/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // An API does not redirect, and a redirected request would carry the key elsewhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(config.connect())
            .read_timeout(config.silence());
        if url.scheme() == "http" {
            // Works where the system has no certificates.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| CreateError::failed(format_args!("TLS: {}", causes(&error))))?;
        Ok(Self {
            http,
            url,
            api: config.api,
            connect: config.connect(),
            silence: config.silence(),
            secrets,
        })
    }

    /// Sends a request; its answer is read from what this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the answer, closes the connection, so that the server can stop as well.
    pub(crate) async fn ask(&self, body: &Value) -> Result<Answer<'_>, Fault> {
        let response = self.send(body).await?;
        let source = if is_json(&response) {
            Source::Whole(Some(self.read_whole(response).await?))
        } else {
            Source::Events(Box::pin(SseByteStream::new(Box::pin(bounded(response)))))
        };
        Ok(Answer {
            client: self,
            source,
            decoder: Decoder::new(self.api),
        })
    }

    async fn send(&self, body: &Value) -> Result<Response, Fault> {
        let request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("accept", "text/event-stream, application/json")
            .body(body.to_string());
        let response = request.send().await.map_err(|error| {
            match (error.is_timeout(), error.is_connect()) {
                (true, true) => Fault::Unreachable(format!(
                    "there is no connection after {} seconds.",
                    self.connect.as_secs_f32()
                )),
                (true, false) => Fault::Silent(self.silence),
                (false, _) => {
                    Fault::Unreachable(self.secrets.without(&causes(&error.without_url())))
                }
            }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// What a server says that refuses.
    async fn refusal(&self, response: Response) -> Fault {
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let body = beginning(response).await;
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        let message = json.as_ref().and_then(message_of).unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&body);
            let text = text.trim();
            // A page for people, of a proxy in between.
            let is_page = text.starts_with('<');
            if text.is_empty() || is_page {
                status
                    .canonical_reason()
                    .unwrap_or("no reason given")
                    .to_owned()
            } else {
                text.to_owned()
            }
        });
        let code = json.as_ref().and_then(|json| {
            let error = json.get("error").unwrap_or(json);
            [&error["code"], &error["type"]]
                .into_iter()
                .find_map(Value::as_str)
        });
        Fault::Refused {
            status: status.as_u16(),
            message: self.secrets.without(&message),
            code: code.unwrap_or_default().to_owned(),
            retry_after,
        }
    }

    async fn read_whole(&self, response: Response) -> Result<Value, Fault> {
        let body = read_to(response, ANSWER_BYTES)
            .await
            .map_err(|error| self.body_broken(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| Fault::Malformed(format!("it is not JSON ({error})")))
    }

    fn broken(&self, error: &sse_stream::Error) -> Fault {
        match error {
            sse_stream::Error::Body(source) => match source.downcast_ref::<BodyError>() {
                Some(error) => self.body_broken(error),
                None => Fault::Broken(self.secrets.without(&source.to_string())),
            },
            other => Fault::Malformed(other.to_string()),
        }
    }

    fn body_broken(&self, error: &BodyError) -> Fault {
        match error {
            BodyError::Http(error) if error.is_timeout() => Fault::Silent(self.silence),
            BodyError::Http(error) => Fault::Broken(self.secrets.without(&causes(error))),
            BodyError::TooLarge => Fault::Malformed(error.to_string()),
        }
    }

    /// What a server reports may have in it what it was sent.
    fn clean(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Reported {
                message,
                code,
                status,
            } => Fault::Reported {
                message: self.secrets.without(&message),
                code,
                status,
            },
            other => other,
        }
    }
}

/// An answer on its way.
pub(crate) struct Answer<'a> {
    client: &'a Client,
    source: Source,
    decoder: Decoder,
}

enum Source {
    /// From a server that does not stream.
    Whole(Option<Value>),
    Events(Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>),
}

impl Answer<'_> {
    /// What is to be shown next, which may be nothing; `None` when the answer is there.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Piece>>, Fault> {
        let pieces = match &mut self.source {
            Source::Whole(body) => match body.take() {
                Some(body) => self.decoder.whole(&body),
                None => return Ok(None),
            },
            Source::Events(events) => {
                if self.decoder.is_over() {
                    return Ok(None);
                }
                let event = match events.next().await {
                    Some(Ok(event)) => event,
                    Some(Err(error)) => return Err(self.client.broken(&error)),
                    None => return Ok(None),
                };
                match event.data {
                    Some(data) if !data.is_empty() => {
                        let name = event.event.unwrap_or_default();
                        self.decoder.event(&name, &data)
                    }
                    _ => Ok(Vec::new()),
                }
            }
        };
        pieces.map(Some).map_err(|fault| self.client.clean(fault))
    }

    /// The whole answer, once [`next`](Self::next) has given all of it.
    pub(crate) fn finish(self) -> Result<Reply, Fault> {
        self.decoder.finish()
    }
}

fn is_json(response: &Response) -> bool {
    response
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"))
}

/// The body in the pieces in which it comes, as far as it may go.
fn bounded(response: Response) -> impl Stream<Item = Result<bytes::Bytes, BodyError>> {
    let mut left = ANSWER_BYTES;
    response
        .bytes_stream()
        .map_err(BodyError::Http)
        .map(move |chunk| {
            let chunk = chunk?;
            left = left.checked_sub(chunk.len()).ok_or(BodyError::TooLarge)?;
            Ok(chunk)
        })
}

async fn read_to(mut response: Response, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The beginning of what is said with a refusal, as much as comes soon.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = REFUSAL_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == REFUSAL_BYTES {
                return;
            }
        }
    };
    // What has come by then will do.
    let _ = tokio::time::timeout(REFUSAL_WAIT, reading).await;
    body
}

/// `retry-after-ms`, or `Retry-After` as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.trim().parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let after = text(RETRY_AFTER.as_str())?.trim();
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(after).ok()?;
    // One that is past asks for nothing.
    Some(date.duration_since(now).unwrap_or_default())
}

/// An error and what is behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn after(name: &'static str, value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers, now)
    }

    #[test]
    fn servers_say_in_three_ways_when_to_come_back() {
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(
            after("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT"),
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            after("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(
            after("retry-after-ms", "250"),
            Some(Duration::from_millis(250))
        );
        assert_eq!(after("retry-after", "soon"), None);
        assert_eq!(after("retry-after", "-1"), None);
    }
}
