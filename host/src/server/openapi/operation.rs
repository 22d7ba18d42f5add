//! One operation of the HTTP interface, described by the types that serve it.

use axum::http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::server::problem::ProblemKind;

/// The schema of a type, made by the generator that collects the document's components.
pub(in crate::server) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an operation takes and answers.
#[derive(Clone, Debug)]
pub(in crate::server) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) tag: &'static str,
    /// Everybody may, without a token.
    pub(super) public: bool,
    pub(super) query: Option<SchemaOf>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<ProblemKind>,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) content_type: &'static str,
    pub(super) schema: SchemaOf,
}

/// One way in which an operation goes well.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) description: &'static str,
    /// Content types and what they hold; none for an answer without a body.
    pub(super) content: Vec<(&'static str, SchemaOf)>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

impl Operation {
    /// An operation named `id`; `summary` is a line about it.
    pub(in crate::server) fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            description: "",
            tag: "",
            public: false,
            query: None,
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(in crate::server) fn method(&self) -> &Method {
        &self.method
    }

    pub(in crate::server) fn path(&self) -> &'static str {
        self.path
    }

    pub(in crate::server) fn is_public(&self) -> bool {
        self.public
    }

    /// More about it than the summary says.
    pub(in crate::server) fn description(mut self, text: &'static str) -> Self {
        self.description = text;
        self
    }

    /// The group that it is listed in.
    pub(in crate::server) fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// Everybody may, without a token.
    pub(in crate::server) fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// The query's parameters are the fields of `T`.
    pub(in crate::server) fn query<T: JsonSchema>(mut self) -> Self {
        // A root schema, since its properties are taken apart.
        self.query = Some(T::json_schema);
        self
    }

    /// The body is a `T` as JSON.
    pub(in crate::server) fn body<T: JsonSchema>(self, required: bool) -> Self {
        self.body_as::<T>(required, "application/json")
    }

    /// The body is a `T` in another form than JSON.
    pub(in crate::server) fn body_as<T: JsonSchema>(
        mut self,
        required: bool,
        content_type: &'static str,
    ) -> Self {
        self.body = Some(Body {
            required,
            content_type,
            schema: SchemaGenerator::subschema_for::<T>,
        });
        self
    }

    /// It may answer `status` with a `T` as JSON.
    pub(in crate::server) fn answer<T: JsonSchema>(
        self,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        self.answer_as::<T>(status, description, "application/json")
    }

    /// It may answer `status` with a `T` under this content type. Said twice of a status, it may be either.
    pub(in crate::server) fn answer_as<T: JsonSchema>(
        mut self,
        status: StatusCode,
        description: &'static str,
        content_type: &'static str,
    ) -> Self {
        let schema: SchemaOf = SchemaGenerator::subschema_for::<T>;
        if let Some(answer) = self
            .answers
            .iter_mut()
            .find(|answer| answer.status == status)
        {
            answer.content.push((content_type, schema));
            return self;
        }
        self.answers.push(Answer {
            status,
            description,
            content: vec![(content_type, schema)],
            headers: Vec::new(),
        });
        self
    }

    /// It may answer `status` without a body.
    pub(in crate::server) fn empty_answer(
        mut self,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        self.answers.push(Answer {
            status,
            description,
            content: Vec::new(),
            headers: Vec::new(),
        });
        self
    }

    /// The answer described last has this header field.
    pub(in crate::server) fn header(
        mut self,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, description));
        }
        self
    }

    /// It may fail in these ways, besides those that all like it share.
    pub(in crate::server) fn problems(mut self, kinds: &[ProblemKind]) -> Self {
        self.problems.extend_from_slice(kinds);
        self
    }

    /// Every way in which it may fail.
    pub(super) fn all_problems(&self) -> Vec<ProblemKind> {
        let mut all = self.problems.clone();
        if self.query.is_some() {
            all.push(ProblemKind::InvalidQuery);
        }
        if self
            .body
            .as_ref()
            .is_some_and(|body| body.content_type == "application/json")
        {
            all.extend([
                ProblemKind::InvalidJson,
                ProblemKind::RequestTimeout,
                ProblemKind::BodyTooLarge,
                ProblemKind::UnsupportedMediaType,
                ProblemKind::InvalidBody,
            ]);
        }
        if !self.public {
            all.extend([
                ProblemKind::NotAuthenticated,
                ProblemKind::Internal,
                ProblemKind::Unavailable,
            ]);
            if self.method != Method::GET {
                all.extend([ProblemKind::OriginNotAllowed, ProblemKind::StorageFull]);
            }
        }
        all.sort_by_key(|kind| (kind.status(), kind.name()));
        all.dedup();
        all
    }
}
