//! A server over streamable HTTP in this process, on the protocol's own Rust SDK, behind a door that goes wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::wait::soon;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HttpFault {
    /// Nothing.
    #[default]
    None,
    /// It answers every request with this status.
    Status(StatusCode),
    /// It answers with a web page.
    Page,
    /// It sends clients elsewhere.
    Redirect,
    /// It takes requests and does not answer.
    Silence,
    /// It answers with more than anybody wants.
    Endless,
}

/// A server. What it is asked, it keeps.
pub struct HttpServer {
    address: SocketAddr,
    door: Arc<Door>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Door {
    fault: Mutex<HttpFault>,
    headers: Mutex<Vec<(String, HeaderMap)>>,
    tools: Arc<Tools>,
}

#[derive(Default)]
struct Tools {
    extra: AtomicBool,
    journal: Mutex<Vec<String>>,
    waiting: AtomicUsize,
}

impl HttpServer {
    /// A server on a port of its own.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start() -> Self {
        Self::serve(bound("127.0.0.1:0").await, Arc::default())
    }

    fn serve(listener: TcpListener, door: Arc<Door>) -> Self {
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => panic!("no address: {error}"),
        };
        let stop = CancellationToken::new();
        let config = StreamableHttpServerConfig::default().with_cancellation_token(stop.clone());
        let tools = Arc::clone(&door.tools);
        let service = StreamableHttpService::new(
            move || Ok(Handler(Arc::clone(&tools))),
            Arc::new(LocalSessionManager::default()),
            config,
        );
        let app = axum::Router::new()
            .nest_service("/mcp", service)
            .layer(middleware::from_fn_with_state(Arc::clone(&door), enter));
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            // Its connections have ended before it comes again, so that none of them is still taken for a good one.
            let serving = axum::serve(listener, app).with_graceful_shutdown(stopped);
            if let Err(error) = serving.await {
                panic!("{error}");
            }
        });
        Self {
            address,
            door,
            stop,
            serving: Some(serving),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// What it does wrong from now on.
    pub fn set_fault(&self, fault: HttpFault) {
        *lock(&self.door.fault) = fault;
    }

    /// The method of each request, and its headers.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, HeaderMap)> {
        lock(&self.door.headers).clone()
    }

    /// What its tools have seen.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        lock(&self.door.tools.journal).clone()
    }

    /// Ends it with all its connections; then it comes again at the same address, without the sessions it had.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub async fn restart(&mut self) {
        self.stop().await;
        let address = self.address.to_string();
        *self = Self::serve(bound(&address).await, Arc::clone(&self.door));
    }

    /// Ends it with all its connections.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            let _ = soon("the end of the server", serving).await;
        }
    }

    /// Comes again where it was.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub async fn start_again(&mut self) {
        let address = self.address.to_string();
        *self = Self::serve(bound(&address).await, Arc::clone(&self.door));
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn bound(address: &str) -> TcpListener {
    match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen on {address}: {error}"),
    }
}

async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let seen = (request.method().to_string(), request.headers().clone());
    lock(&door.headers).push(seen);
    let fault = *lock(&door.fault);
    match fault {
        HttpFault::None => next.run(request).await,
        HttpFault::Status(status) => {
            (status, [(header::WWW_AUTHENTICATE, "Bearer")], "no").into_response()
        }
        HttpFault::Page => axum::response::Html("<p>Welcome!").into_response(),
        HttpFault::Redirect => (
            StatusCode::FOUND,
            [(header::LOCATION, "http://127.0.0.1:1/")],
        )
            .into_response(),
        HttpFault::Silence => std::future::pending().await,
        HttpFault::Endless => {
            let piece = bytes::Bytes::from("x".repeat(1 << 16));
            let endless =
                futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            let body = axum::body::Body::from_stream(endless);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

#[derive(Clone)]
struct Handler(Arc<Tools>);

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("fixture", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &'static str, description: &'static str| {
            let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
            let Value::Object(schema) = schema else {
                unreachable!()
            };
            Tool::new(name, description, schema)
        };
        let mut tools = vec![
            tool("echo", "Says it again."),
            tool("wait", "Answers never."),
            tool("more", "Brings one more tool."),
        ];
        if self.0.extra.load(Ordering::SeqCst) {
            tools.push(tool("extra", "Was not there before."));
        }
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        lock(&self.0.journal).push(format!("call {}", request.name));
        let text = match request.name.as_ref() {
            "echo" => {
                let text = request.arguments.and_then(|args| args.get("text").cloned());
                text.and_then(|text| text.as_str().map(str::to_owned))
                    .unwrap_or_default()
            }
            "wait" => {
                if let Some(token) = context.meta.get_progress_token() {
                    let progress =
                        ProgressNotificationParam::new(token, 1.0).with_message("waiting");
                    let _ = context.peer.notify_progress(progress).await;
                }
                self.0.waiting.fetch_add(1, Ordering::SeqCst);
                context.ct.cancelled().await;
                lock(&self.0.journal).push("cancelled".to_owned());
                "too late".to_owned()
            }
            "more" => {
                self.0.extra.store(true, Ordering::SeqCst);
                let _ = context.peer.notify_tool_list_changed().await;
                "there it is".to_owned()
            }
            "extra" => "new".to_owned(),
            other => return Err(ErrorData::invalid_params(format!("no tool {other}"), None)),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}
