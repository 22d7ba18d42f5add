//! What a library logs, in the host's own log.

use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::stage::{FAULTY, Stage, answer, until};

/// Keeps the lines of the fixture's own target.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(format!(
            "{} {}",
            event.metadata().level(),
            event.metadata().target()
        ));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

/// The only test of this program that says where logs go: libraries log from threads of their own, so it can be said
/// only for all of them.
#[tokio::test]
async fn lines_arrive_with_their_level_target_fields_and_run() {
    let kept = Kept::default();
    let filter = tracing_subscriber::EnvFilter::new("off,fixture_faulty::told=info");
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(kept.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "{FAULTY}[agents.main]\ncomponent = \"faulty/agent\"\n"
        ))
        .await;
    answer(catalog.agent("main").unwrap(), "log all is well").await;
    until("the line", || !kept.0.lock().unwrap().is_empty()).await;
    assert_eq!(
        kept.0.lock().unwrap()[..],
        [
            r#"INFO fixture_faulty::told message="all is well" plugin="faulty" agent="main" session_id="session" run_id="run" answer=42"#
        ]
    );
}
