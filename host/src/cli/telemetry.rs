//! Where log lines and spans go.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::otlp::PlainHttp;
use crate::config::{Config, LogFormat};
use crate::spans;

/// How long one export may take, and what is left of all of them when the host ends.
const EXPORT_TIME: Duration = Duration::from_secs(5);

/// What has to be ended with the process.
pub(super) struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Writes log lines to standard error, as configured, coloured only on a terminal; exports spans, if that is
/// configured, over `runtime`.
pub(super) fn start(config: &Config, runtime: &Handle) -> anyhow::Result<Telemetry> {
    let is_exported = |target: &str| target == spans::TARGET;
    let filter = EnvFilter::try_new(&config.log.filter)?;
    // Without it every disabled line of every library would be looked at, instead of an atomic load.
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let lines = lines.with_filter(filter).with_filter(
        filter_fn(move |about| !is_exported(about.target())).with_max_level_hint(most),
    );
    let endpoint = config.telemetry.otlp_endpoint.as_deref();
    let provider = endpoint.map(|to| provider(to, runtime)).transpose()?;
    let exported = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("roundhouse"))
            .with_location(false)
            .with_threads(false)
            .with_filter(
                filter_fn(move |about| is_exported(about.target()))
                    .with_max_level_hint(LevelFilter::INFO),
            )
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(exported)
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))?;
    Ok(Telemetry { provider })
}

fn provider(endpoint: &str, runtime: &Handle) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(PlainHttp::new(runtime.clone()))
        .with_headers(HashMap::new())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_TIME)
        .with_endpoint(endpoint)
        .build()?;
    let resource = Resource::builder().with_service_name("roundhouse").build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

impl Telemetry {
    /// Exports what is left, for a bounded time. Blocks; the runtime must still run.
    pub(super) fn end(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(EXPORT_TIME)
        {
            tracing::warn!(%error, "not all spans were exported");
        }
    }
}
