//! Bodies of requests as JSON, read with bounds, and refused with the place of the fault.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::protocol::json::deeper_than;
use crate::server::problem::Problem;

/// The most that a JSON body may have, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// How long a JSON body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// How deep a JSON body may be nested.
const MAX_DEPTH: usize = 64;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("the body has more than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the body did not arrive within {} s", BODY_TIME.as_secs())]
    TooSlow,
    #[error("the body was cut short")]
    CutShort,
    #[error("the body must be sent as `application/json`, not {0}")]
    MediaType(String),
    #[error("JSON nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("{}", without_place(.0))]
    Syntax(serde_json::Error),
    #[error("{}", without_place(.error))]
    Data {
        pointer: String,
        error: serde_json::Error,
    },
}

/// serde_json puts the place at the end of its text; here it is told apart from that.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(place) => text[..place].to_owned(),
        None => text,
    }
}

/// The body as a `T`.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read(body).await?;
        Ok(Self(parse(&parts.headers, &body)?))
    }
}

/// The body as a `T`; an empty one is its default.
#[derive(Debug)]
pub(super) struct OptionalJsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read(body).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        Ok(Self(parse(&parts.headers, &body)?))
    }
}

/// The body as a `T` where an object is sent as JSON; the default otherwise. For an endpoint whose callers may always have
/// sent anything.
#[derive(Debug)]
pub(super) struct JsonBodyIfAny<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for JsonBodyIfAny<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read(body).await?;
        let is_json = essence(&parts.headers).eq_ignore_ascii_case(JSON);
        let is_object = || serde_json::from_slice::<HashMap<String, IgnoredAny>>(&body).is_ok();
        if !is_json || deeper_than(&body, MAX_DEPTH) || !is_object() {
            return Ok(Self(T::default()));
        }
        Ok(Self(parse(&parts.headers, &body)?))
    }
}

const JSON: &str = "application/json";

/// The media type of a body, without parameters.
fn essence(headers: &HeaderMap) -> String {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let content_type = content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_owned()
}

async fn read(body: Body) -> Result<Vec<u8>, BodyFault> {
    let reading = async {
        let (mut stream, mut read) = (body.into_data_stream(), Vec::new());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| BodyFault::CutShort)?;
            if read.len() + chunk.len() > MAX_BODY {
                return Err(BodyFault::TooLarge);
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read)
    };
    tokio::time::timeout(BODY_TIME, reading)
        .await
        .unwrap_or(Err(BodyFault::TooSlow))
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, BodyFault> {
    let essence = essence(headers);
    if !essence.eq_ignore_ascii_case(JSON) {
        let found = if essence.is_empty() {
            "without a media type".to_owned()
        } else {
            format!("`{essence}`")
        };
        return Err(BodyFault::MediaType(found));
    }
    if deeper_than(body, MAX_DEPTH) {
        return Err(BodyFault::TooDeep);
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            BodyFault::Data { pointer, error }
        } else {
            BodyFault::Syntax(error)
        }
    })?;
    json.end().map_err(BodyFault::Syntax)?;
    Ok(value)
}

/// The JSON Pointer of a path.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Map, Value};

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read by the tests")]
    struct Thing {
        name: Option<String>,
        more: Option<Map<String, Value>>,
    }

    fn fault(content_type: &str, body: &[u8]) -> BodyFault {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        parse::<Thing>(&headers, body).unwrap_err()
    }

    #[test]
    fn a_fault_says_what_and_where() {
        let BodyFault::Syntax(error) = fault("application/json", b"{\n \"name\": ") else {
            panic!()
        };
        assert_eq!((error.line(), error.column()), (2, 9));
        assert_eq!(without_place(&error), "EOF while parsing a value");

        let BodyFault::Data { pointer, error } =
            fault("application/json; charset=utf-8", br#"{"name": 7}"#)
        else {
            panic!()
        };
        assert_eq!(pointer, "/name");
        assert_eq!(
            without_place(&error),
            "invalid type: integer `7`, expected a string"
        );

        let BodyFault::Data { pointer, error } = fault("application/json", br#"{"nmae": "x"}"#)
        else {
            panic!()
        };
        assert_eq!(pointer, "/nmae");
        assert_eq!(
            without_place(&error),
            "unknown field `nmae`, expected `name` or `more`"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(
            fault("text/plain", b"{}"),
            BodyFault::MediaType(_)
        ));
        assert!(matches!(
            fault("application/json", b"{} x"),
            BodyFault::Syntax(_)
        ));
        assert!(matches!(
            fault("application/json", b"\xff"),
            BodyFault::Syntax(_)
        ));
        assert!(matches!(
            fault("application/json", b"null"),
            BodyFault::Data { .. }
        ));
        let deep = format!("{{\"more\":{}{}}}", "[".repeat(70), "]".repeat(70));
        assert!(matches!(
            fault("application/json", deep.as_bytes()),
            BodyFault::TooDeep
        ));
        assert!(matches!(
            fault("application/json", "[".repeat(100_000).as_bytes()),
            BodyFault::TooDeep
        ));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let body = Body::from(vec![b' '; MAX_BODY + 1]);
        assert!(matches!(read(body).await, Err(BodyFault::TooLarge)));
        assert_eq!(
            read(Body::from(vec![b' '; MAX_BODY])).await.unwrap().len(),
            MAX_BODY
        );
    }
}
