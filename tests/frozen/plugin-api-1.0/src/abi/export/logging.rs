//! The author's `tracing` events, on their way to the host's log.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;

use super::super::guard::catch;
use super::super::types::{LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_TRACE, LOG_WARN};
use super::host::host;

tokio::task_local! {
    /// The scope that the present task belongs to.
    static SCOPE: u64;
}

thread_local! {
    /// Set while a line is being handed over: what the host logs meanwhile must not come back here when
    /// both sides are linked into one program.
    static HANDING_OVER: Cell<bool> = const { Cell::new(false) };
}

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Runs a future as part of a scope: what it logs is that scope's.
pub(super) fn in_scope<F: Future>(scope: u64, future: F) -> impl Future<Output = F::Output> {
    SCOPE.scope(scope, future)
}

/// Makes the library's `tracing` events go to the host. In a program that has a subscriber of its own
/// (library and host linked together, in tests) that one stays.
pub(super) fn install() {
    LEVEL.get_or_init(|| {
        // Nothing until the host says what it wants.
        let (filter, handle) = reload::Layer::new(LevelFilter::OFF);
        let _ =
            tracing::subscriber::set_global_default(Registry::default().with(filter).with(ToHost));
        handle
    });
}

/// [`RhPlugin::set_log_level`](super::super::types::RhPlugin::set_log_level) of every library.
pub(super) unsafe extern "C" fn set_level(level: u32) {
    let level = match level {
        0 => LevelFilter::OFF,
        LOG_ERROR => LevelFilter::ERROR,
        LOG_WARN => LevelFilter::WARN,
        LOG_INFO => LevelFilter::INFO,
        LOG_DEBUG => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let _ = catch(|| {
        if let Some(handle) = LEVEL.get() {
            // Fails only where another subscriber was first; then there is nothing to set. This renews what
            // `tracing` keeps at each place that logs, so that a disabled one costs one load.
            let _ = handle.modify(|filter| *filter = level);
        }
    });
}

/// A span's own note of the scope in which it began, for tasks that the author spawns with it.
struct BegunIn(u64);

struct ToHost;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ToHost {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let (Ok(scope), Some(span)) = (SCOPE.try_with(|scope| *scope), context.span(id)) {
            span.extensions_mut().insert(BegunIn(scope));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(host) = host() else { return };
        if HANDING_OVER.replace(true) {
            return;
        }
        let scope = SCOPE.try_with(|scope| *scope).ok().or_else(|| {
            let mut spans = context.event_scope(event)?;
            spans.find_map(|span| span.extensions().get::<BegunIn>().map(|begun| begun.0))
        });
        let mut line = Line::default();
        // The author's own `Debug` and `Display` may panic.
        if let Err(panic) = catch(|| event.record(&mut line)) {
            line.message
                .push_str(&format!(" [a field panicked: {panic}]"));
        }
        let fields = if line.fields.is_empty() {
            String::new()
        } else {
            Value::Object(line.fields).to_string()
        };
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => LOG_ERROR,
            Level::WARN => LOG_WARN,
            Level::INFO => LOG_INFO,
            Level::DEBUG => LOG_DEBUG,
            Level::TRACE => LOG_TRACE,
        };
        host.log(
            scope.unwrap_or(0),
            level,
            metadata.target(),
            &line.message,
            &fields,
        );
        HANDING_OVER.set(false);
    }
}

/// The message and the fields of an event.
#[derive(Default)]
struct Line {
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        let value = value.into();
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string());
    }
}
