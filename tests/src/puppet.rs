//! An agent that a test leads by the hand: nothing happens in its run but what the test orders.

use std::task::Poll;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::wait::soon;

/// Where a puppet will ask for its orders.
pub struct Strings(TcpListener);

impl Strings {
    /// Holds strings for runs to come.
    ///
    /// # Panics
    ///
    /// When this machine has no port left.
    pub async fn new() -> Self {
        match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => Self(listener),
            Err(error) => panic!("cannot listen: {error}"),
        }
    }

    /// The content of the message that begins such a run.
    ///
    /// # Panics
    ///
    /// Never, in fact.
    #[must_use]
    pub fn content(&self) -> String {
        match self.0.local_addr() {
            Ok(address) => format!("puppet:{address}"),
            Err(error) => panic!("no address: {error}"),
        }
    }

    /// The next run whose agent asks for orders.
    ///
    /// # Panics
    ///
    /// When none does.
    pub async fn take(&self) -> Puppet {
        match soon("the puppet", self.0.accept()).await {
            Ok((socket, _)) => Puppet::new(socket),
            Err(error) => panic!("no puppet: {error}"),
        }
    }
}

impl Strings {
    /// Whether a run's agent has asked for orders that nobody has given yet.
    pub async fn are_pulled(&self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.0.poll_accept(cx).is_ready())).await
    }
}

/// A run whose agent waits for orders. When it is dropped, the run fails.
pub struct Puppet {
    answers: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
}

impl Puppet {
    fn new(socket: TcpStream) -> Self {
        let (answers, orders) = socket.into_split();
        Self {
            answers: BufReader::new(answers).lines(),
            orders,
        }
    }

    /// Gives an order and returns what came of it.
    ///
    /// # Errors
    ///
    /// What the agent was refused.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn order(&mut self, order: &str, argument: Value) -> Result<Value, String> {
        self.begin(order, argument).await;
        self.answer().await
    }

    /// Gives an order without waiting for what comes of it; see [`Puppet::answer`].
    ///
    /// # Panics
    ///
    /// When the agent is gone.
    pub async fn begin(&mut self, order: &str, argument: Value) {
        let line = format!("{}\n", json!({ order: argument }));
        if let Err(error) = soon("an order", self.orders.write_all(line.as_bytes())).await {
            panic!("`{order}` could not be ordered: {error}");
        }
    }

    /// What came of the order that was begun.
    ///
    /// # Errors
    ///
    /// What the agent was refused.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn answer(&mut self) -> Result<Value, String> {
        let line = match soon("the puppet's answer", self.answers.next_line()).await {
            Ok(Some(line)) => line,
            other => panic!("the puppet is gone: {other:?}"),
        };
        match serde_json::from_str::<Value>(&line) {
            Ok(answer) => match answer.get("error").and_then(Value::as_str) {
                Some(error) => Err(error.to_owned()),
                None => Ok(answer["ok"].clone()),
            },
            Err(error) => panic!("the puppet talks nonsense ({error}): {line}"),
        }
    }

    /// Has the agent emit this wire message, which the host has to take.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn emit(&mut self, message: Value) {
        let text = message.to_string();
        if let Err(error) = self.order("emit", message).await {
            panic!("{text} was refused: {error}");
        }
    }

    /// Has the agent emit a `stream_delta`.
    ///
    /// # Panics
    ///
    /// When the host does not take it.
    pub async fn delta(&mut self, text: &str) {
        self.emit(json!({"type": "stream_delta", "delta": text}))
            .await;
    }

    /// Ends the run: the agent has finished, with this content.
    ///
    /// # Panics
    ///
    /// When the agent is gone.
    pub async fn finish(mut self, content: &str) {
        self.begin("finish", json!({ "content": content })).await;
        self.gone().await;
    }

    /// Waits until the agent has let go of its strings.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn gone(mut self) {
        // An answer, or an error in place of an orderly end: either way it is going.
        while let Ok(Some(_)) = soon("the puppet's end", self.answers.next_line()).await {}
    }
}
