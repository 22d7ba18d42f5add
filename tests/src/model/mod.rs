//! A server that speaks the wire format of OpenAI's APIs, Chat Completions and Responses. What it answers is each
//! test's own, down to the byte; what it is asked it judges as the real one does.

mod answer;
pub mod chat;
mod judge;
pub mod responses;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use self::answer::{Answer, Gate, Step};
use crate::wait::soon;

/// The key that the server asks for.
pub const KEY: &str = "sk-test-0123456789abcdef";

/// A request that the server got.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
}

/// See the module.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Asked>>,
    /// How many requests have come.
    count: watch::Sender<usize>,
    /// How many answers the client has not read to their end.
    left: watch::Sender<usize>,
}

impl ModelServer {
    /// Starts a server on a port of its own.
    ///
    /// # Panics
    ///
    /// When this machine has no port left.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            asked: Mutex::default(),
            count: watch::Sender::new(0),
            left: watch::Sender::new(0),
        });
        let listener = match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => listener,
            Err(error) => panic!("cannot listen: {error}"),
        };
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => panic!("no address: {error}"),
        };
        let router = Router::new()
            .route("/v1/chat/completions", post(serve))
            .route("/v1/responses", post(serve))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                panic!("the model's server has ended: {error}");
            }
        });
        Self {
            address,
            shared,
            serving,
        }
    }

    /// What `base_url` is for it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What the next request that has no answer yet is answered.
    pub fn answer(&self, answer: Answer) {
        lock(&self.shared.answers).push_back(answer);
    }

    /// The requests that have come.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// The body of a request, counted from 0.
    ///
    /// # Panics
    ///
    /// When there were fewer.
    #[must_use]
    pub fn body(&self, index: usize) -> Value {
        match self.asked().get(index) {
            Some(asked) => asked.body.clone(),
            None => panic!("the model was not asked {} times", index + 1),
        }
    }

    /// Waits until so many requests have come.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub async fn asked_times(&self, times: usize) {
        let mut count = self.shared.count.subscribe();
        let reached = count.wait_for(|count| *count >= times);
        if soon("a request to the model", reached).await.is_err() {
            panic!("the model's server is gone");
        }
    }

    /// Waits until so many answers were not read to their end.
    ///
    /// # Panics
    ///
    /// When they are.
    pub async fn left_times(&self, times: usize) {
        let mut left = self.shared.left.subscribe();
        let reached = left.wait_for(|left| *left >= times);
        if soon("the end of a request to the model", reached)
            .await
            .is_err()
        {
            panic!("the model's server is gone");
        }
    }

    /// Makes sure that every answer was asked for.
    ///
    /// # Panics
    ///
    /// When some are left.
    pub fn spent(&self) {
        let left = lock(&self.shared.answers).len();
        assert_eq!(left, 0, "answers that nobody has asked for");
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked {
        path: uri.path().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let fault = judge::fault(&asked);
    lock(&shared.asked).push(asked);
    shared.count.send_modify(|count| *count += 1);
    if let Some((status, message)) = fault {
        return refusal(status, &message);
    }
    let answer = lock(&shared.answers).pop_front();
    match answer {
        Some(answer) => respond(answer, &shared),
        None => refusal(418, "the test has no answer to this request"),
    }
}

/// A refusal in the words of the real API.
fn refusal(status: u16, message: &str) -> Response {
    let kind = "invalid_request_error";
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": null}});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}

fn respond(answer: Answer, shared: &Arc<Shared>) -> Response {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let (sender, receiver) = mpsc::channel(1);
    let shared = Arc::clone(shared);
    // Ends with the answer, or when the client is gone.
    tokio::spawn(async move {
        let written = answer.write(&sender);
        let is_left = tokio::select! {
            biased;
            whole = written => !whole,
            () = sender.closed() => true,
        };
        if is_left {
            shared.left.send_modify(|left| *left += 1);
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    match response.body(Body::from_stream(stream)) {
        Ok(response) => response,
        Err(error) => panic!("no answer: {error}"),
    }
}
