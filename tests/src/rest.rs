//! The HTTP side of a host.

use std::net::SocketAddr;

use reqwest::Method;
use roundhouse_host::session::SessionId;
use serde_json::Value;

use crate::wait::soon;

/// An HTTP client of one host.
#[derive(Clone, Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null when there is none.
    pub body: Value,
}

/// An HTTP client for `http:` alone: it does not read the system's certificates, which takes a while.
///
/// # Panics
///
/// Never, in fact.
#[must_use]
pub fn http_client() -> reqwest::Client {
    match reqwest::Client::builder().tls_certs_only([]).build() {
        Ok(client) => client,
        Err(error) => panic!("no HTTP client: {error}"),
    }
}

impl Rest {
    /// A client of the host at `address`.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        Self {
            http: http_client(),
            base: format!("http://{address}"),
            headers: Vec::new(),
        }
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `GET`.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `GET` of what is no JSON.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn text(&self, path: &str) -> String {
        let answer = async {
            let response = self.request(Method::GET, path).send().await?;
            response.text().await
        };
        match soon("an answer", answer).await {
            Ok(text) => text,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// `POST` with a JSON body.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `PATCH` with a JSON body.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Makes a session.
    ///
    /// # Panics
    ///
    /// When the host refuses.
    pub async fn create_session(&self, body: &Value) -> SessionId {
        let answer = self.post("/sessions", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        match answer.body["id"].as_str().unwrap_or_default().parse() {
            Ok(id) => id,
            Err(error) => panic!("not an id: {error}"),
        }
    }

    /// Asks a session's run to stop.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn stop(&self, session: impl std::fmt::Display) -> Answer {
        self.send(Method::POST, &format!("/sessions/{session}/stop"), None)
            .await
    }

    /// Uploads files, each a name and what is in it; the answer is what `files` of a message takes.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn upload(&self, session: SessionId, files: &[(&str, &[u8])]) -> Answer {
        let mut form = reqwest::multipart::Form::new();
        for (name, bytes) in files {
            let part =
                reqwest::multipart::Part::bytes(bytes.to_vec()).file_name((*name).to_owned());
            form = form.part("file", part);
        }
        let request = self
            .request(Method::POST, &format!("/sessions/{session}/files"))
            .multipart(form);
        Self::answer(request).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::answer(request).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let answer = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        let (status, body) = match soon("an answer", answer).await {
            Ok(answer) => answer,
            Err(error) => panic!("no answer: {error}"),
        };
        let body = match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => Value::Null,
        };
        Answer { status, body }
    }
}
