//! Parameters of a query.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::server::problem::Problem;
use crate::session::page::MAX_PAGE;
use crate::session::{Cursor, InvalidCursor, PageRequest};

/// Why a query is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryFault {
    #[error("{}", innermost(.0))]
    Unreadable(QueryRejection),
    #[error("cursor: {0}")]
    Cursor(#[from] InvalidCursor),
}

/// The text that names the parameter, without axum's words around it.
fn innermost(rejection: &QueryRejection) -> String {
    std::error::Error::source(rejection).map_or_else(|| rejection.body_text(), ToString::to_string)
}

/// The query as a `T`.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(QueryFault::Unreadable)?;
        Ok(Self(params))
    }
}

/// How many entries a page has at most.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Limit(u32);

impl Limit {
    const DEFAULT: u32 = 100;

    pub(super) const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(Self::DEFAULT)
    }
}

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(limit: u32) -> Result<Self, String> {
        if (1..=MAX_PAGE).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("must be from 1 to {MAX_PAGE}"))
        }
    }
}

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": Self::DEFAULT})
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// How many entries at most.
    #[serde(default)]
    #[schemars(with = "Option<Limit>", extend("type" = "integer"))]
    limit: Limit,
    /// What the page before this one has as `next`; left out for the first page.
    #[schemars(with = "String")]
    #[serde(default)]
    cursor: Option<String>,
}

impl PageParams {
    pub(super) fn request(&self) -> Result<PageRequest, QueryFault> {
        let cursor = self.cursor.as_deref().map(Cursor::parse).transpose()?;
        Ok(PageRequest {
            cursor,
            limit: self.limit.get(),
        })
    }
}
