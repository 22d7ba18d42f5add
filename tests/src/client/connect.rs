//! How a client connects.

use std::collections::VecDeque;
use std::net::SocketAddr;

use roundhouse_host::session::SessionId;
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::{Client, Watch};
use crate::order::Order;
use crate::positions::{Asked, Position, Positions};
use crate::wait::PATIENCE;

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Connect {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
    asked: Option<Asked>,
}

impl Connect {
    /// To a session of the host at `address`.
    #[must_use]
    pub fn to(address: SocketAddr, session: SessionId) -> Self {
        Self::to_path(address, &format!("/ws/sessions/{session}"))
    }

    /// To any path.
    #[must_use]
    pub fn to_path(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            path: path.to_owned(),
            headers: Vec::new(),
            receive_buffer: None,
            asked: None,
        }
    }

    /// In version 2.
    #[must_use]
    pub fn v2(self) -> Self {
        self.query("v=2", Asked::Nothing)
    }

    /// In version 2, from this position on.
    #[must_use]
    pub fn after(self, position: &Position) -> Self {
        let query = format!("v=2&epoch={}&after={}", position.epoch, position.seq);
        self.query(&query, Asked::After(position.clone()))
    }

    /// With this query, which the host takes for version 2.
    #[must_use]
    pub fn query(mut self, query: &str, asked: Asked) -> Self {
        self.path = format!("{}?{query}", self.path);
        self.asked = Some(asked);
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With so many bytes of room for what was sent and not read yet, so that not reading has its effect soon.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// When the upgrade is not completed.
    pub async fn open(self) -> Client {
        match self.try_open().await {
            Ok(client) => client,
            Err(error) => panic!("the upgrade was not completed: {error}"),
        }
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When the upgrade is not completed.
    pub async fn try_open(self) -> Result<Client, tungstenite::Error> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(self.address).await?;
        let mut request = format!("ws://{}{}", self.address, self.path).into_client_request()?;
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse()?;
            request.headers_mut().append(name, value.parse()?);
        }
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let upgrade = client_async_with_config(request, stream, Some(config));
        let (socket, response) = match tokio::time::timeout(PATIENCE, upgrade).await {
            Ok(upgraded) => upgraded?,
            Err(_) => panic!("no answer to the upgrade within {PATIENCE:?}"),
        };
        let protocol = response.headers().get("sec-websocket-protocol").cloned();
        Ok(Client {
            socket,
            protocol,
            watch: match self.asked {
                None => Watch::V1(Order::default()),
                Some(asked) => Watch::V2(Positions::new(asked)),
            },
            transcript: VecDeque::new(),
            early: VecDeque::new(),
            is_closed: false,
            keeps: false,
            received: Vec::new(),
            sent: Vec::new(),
        })
    }
}
