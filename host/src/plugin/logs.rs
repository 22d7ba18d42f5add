//! Carries the log lines of libraries into the host's own `tracing`.
//!
//! `tracing` wants each place that logs, with its level, target and field names, to be static. Those of a
//! library are known only when a line arrives, so a place is made for each new combination and kept for
//! ever; their number is bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};

use serde_json::{Map, Value};
use tracing::callsite::{Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, dispatcher, field};

/// More combinations than any set of honest plugins has. A library that makes up targets or field names
/// beyond this is logged under the target [`OVERFLOW_TARGET`], its fields as one.
const PLACES_KEPT: usize = 4096;

/// See [`PLACES_KEPT`].
const OVERFLOW_TARGET: &str = "plugin";

/// Fields of a line that become fields of their own. With more they become one.
const FIELDS_KEPT: usize = 24;

/// What every place has, before the line's own fields.
const COMMON: [&str; 5] = ["message", "plugin", "agent", "session_id", "run_id"];

/// The most fields of a place.
const FIELDS: usize = COMMON.len() + FIELDS_KEPT;

/// A log line of a library, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) message: &'a str,
    /// A JSON object, or empty.
    pub(crate) fields: &'a str,
    /// The library's configured name.
    pub(crate) plugin: &'a str,
    /// Empty when the line belongs to no run or call.
    pub(crate) agent: &'a str,
    pub(crate) session_id: &'a str,
    pub(crate) run_id: &'a str,
}

/// Hands the line to the current subscriber.
pub(crate) fn write(line: &Line<'_>) {
    // Cheaper than parsing what nobody wants to see.
    if line.level > tracing::level_filters::LevelFilter::current() {
        return;
    }
    let own = own_fields(line.fields);
    let names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let place = place_of(line.level, line.target, &names);
    let common = [
        line.message,
        line.plugin,
        line.agent,
        line.session_id,
        line.run_id,
    ];
    let values: Vec<Box<dyn field::Value + '_>> = if place.overflow {
        vec![Box::new(line.target), Box::new(line.fields)]
    } else {
        own.into_iter().map(|(_, value)| boxed(value)).collect()
    };
    place.dispatch(&common, &values);
}

/// The line's fields under names that do not clash with those of every place.
fn own_fields(fields: &str) -> Vec<(String, Value)> {
    if fields.is_empty() {
        return Vec::new();
    }
    let whole = || vec![("fields".to_owned(), Value::String(fields.to_owned()))];
    match serde_json::from_str::<Map<String, Value>>(fields) {
        Ok(map) if map.len() <= FIELDS_KEPT => {
            let rename = |name: String| {
                if COMMON.contains(&name.as_str()) {
                    format!("plugin.{name}")
                } else {
                    name
                }
            };
            map.into_iter()
                .map(|(name, value)| (rename(name), value))
                .collect()
        }
        _ => whole(),
    }
}

fn boxed(value: Value) -> Box<dyn field::Value> {
    match value {
        Value::String(text) => Box::new(text),
        Value::Bool(yes) => Box::new(yes),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Box::new(number),
            (_, Some(number), _) => Box::new(number),
            (_, _, number) => Box::new(number.unwrap_or(f64::NAN)),
        },
        other => Box::new(other.to_string()),
    }
}

/// A place that logs, as `tracing` knows it.
struct Place {
    metadata: OnceLock<Metadata<'static>>,
    interest: AtomicU8,
    overflow: bool,
}

const NEVER: u8 = 0;
const SOMETIMES: u8 = 1;
const ALWAYS: u8 = 2;

/// The most bytes that a place's target and names of fields may have together: what is kept of it is kept for ever.
const PLACE_BYTES: usize = 1024;

type Places = HashMap<String, &'static Place>;
static PLACES: LazyLock<RwLock<Places>> = LazyLock::new(RwLock::default);

fn place_of(level: Level, target: &str, names: &[&str]) -> &'static Place {
    let key = format!("{level}\n{target}\n{}", names.join("\n"));
    if let Some(place) = PLACES
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&key)
    {
        return place;
    }
    let mut places = PLACES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = places.get(&key) {
        return place;
    }
    let overflow_key = format!("{level}");
    let (key, target, names, overflow) = if places.len() < PLACES_KEPT && key.len() <= PLACE_BYTES {
        (key, target, names, false)
    } else if let Some(place) = places.get(&overflow_key) {
        return place;
    } else {
        (
            overflow_key,
            OVERFLOW_TARGET,
            &["plugin_target", "fields"][..],
            true,
        )
    };
    let place = Place::leaked(level, target, names, overflow);
    places.insert(key, place);
    drop(places);
    // Asks the subscribers whether they care, which may log in turn: not under the lock.
    tracing::callsite::register(place);
    place
}

impl Place {
    fn leaked(level: Level, target: &str, names: &[&str], overflow: bool) -> &'static Self {
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let names: Vec<&'static str> = COMMON
            .into_iter()
            .chain(names.iter().map(|name| leak(name)))
            .collect();
        let place: &'static Self = Box::leak(Box::new(Self {
            metadata: OnceLock::new(),
            interest: AtomicU8::new(SOMETIMES),
            overflow,
        }));
        let fields = FieldSet::new(names.leak(), Identifier(place));
        let target = leak(target);
        place.metadata.get_or_init(|| {
            Metadata::new(
                "plugin log line",
                target,
                level,
                None,
                None,
                None,
                fields,
                Kind::EVENT,
            )
        });
        place
    }

    fn dispatch(&'static self, common: &[&str; COMMON.len()], own: &[Box<dyn field::Value + '_>]) {
        if self.interest.load(Ordering::Relaxed) == NEVER {
            return;
        }
        let metadata = self.metadata();
        let names: Vec<field::Field> = metadata.fields().iter().collect();
        let Some(first) = names.first() else { return };
        let no_value: Option<&dyn field::Value> = None;
        let mut values = [(first, no_value); FIELDS];
        let common = common
            .iter()
            .map(|text| (!text.is_empty()).then_some(text as &dyn field::Value));
        let own = own.iter().map(|value| Some(&**value as &dyn field::Value));
        for (slot, (name, value)) in values.iter_mut().zip(names.iter().zip(common.chain(own))) {
            *slot = (name, value);
        }
        let values = metadata.fields().value_set(&values);
        dispatcher::get_default(|current| {
            if self.interest.load(Ordering::Relaxed) == ALWAYS || current.enabled(metadata) {
                current.event(&Event::new(metadata, &values));
            }
        });
    }
}

impl Callsite for Place {
    fn set_interest(&self, interest: Interest) {
        let interest = if interest.is_never() {
            NEVER
        } else if interest.is_always() {
            ALWAYS
        } else {
            SOMETIMES
        };
        self.interest.store(interest, Ordering::Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata
            .get()
            .expect("set before the place is handed to anybody")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Captured {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Fields(String);
            impl field::Visit for Fields {
                fn record_debug(&mut self, field: &field::Field, value: &dyn std::fmt::Debug) {
                    self.0.push_str(&format!(" {}={value:?}", field.name()));
                }
            }
            let mut fields = Fields(format!(
                "{} {}",
                event.metadata().level(),
                event.metadata().target()
            ));
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }
    }

    fn captured(filter: &str, lines: &[Line<'_>]) -> Vec<String> {
        let captured = Captured::default();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_subscriber::EnvFilter::new(filter))
            .with(captured.clone());
        tracing::subscriber::with_default(subscriber, || lines.iter().for_each(write));
        let lines = captured.0.lock().unwrap();
        lines.clone()
    }

    const LINE: Line<'static> = Line {
        level: Level::INFO,
        target: "my_agent::model",
        message: "asked",
        fields: "",
        plugin: "mine",
        agent: "",
        session_id: "",
        run_id: "",
    };

    #[test]
    fn a_line_keeps_level_target_fields_and_its_run() {
        let line = Line {
            fields: r#"{"tokens":12,"model":"m","cached":true,"run_id":"x","tree":{"a":[1]}}"#,
            agent: "main",
            session_id: "s1",
            run_id: "r1",
            ..LINE
        };
        assert_eq!(
            captured("info", &[line]),
            [
                r#"INFO my_agent::model message="asked" plugin="mine" agent="main" session_id="s1" run_id="r1" tokens=12 model="m" cached=true plugin.run_id="x" tree="{\"a\":[1]}""#
            ]
        );
    }

    #[test]
    fn the_operators_filter_sees_the_librarys_targets() {
        let lines = [
            Line {
                level: Level::DEBUG,
                ..LINE
            },
            Line {
                level: Level::DEBUG,
                target: "other::part",
                ..LINE
            },
            Line {
                level: Level::WARN,
                target: "other::part",
                ..LINE
            },
        ];
        let seen = captured("warn,my_agent=debug", &lines);
        assert_eq!(
            seen,
            [
                r#"DEBUG my_agent::model message="asked" plugin="mine""#,
                r#"WARN other::part message="asked" plugin="mine""#
            ]
        );
    }

    #[test]
    fn fields_that_are_no_object_or_too_many_are_kept_as_one() {
        let many: Map<String, Value> = (0..100)
            .map(|n| (format!("f{n}"), Value::from(n)))
            .collect();
        let many = serde_json::to_string(&many).unwrap();
        let seen = captured(
            "info",
            &[
                Line {
                    fields: "[1]",
                    ..LINE
                },
                Line {
                    fields: &many,
                    ..LINE
                },
            ],
        );
        assert!(seen[0].ends_with(r#"fields="[1]""#), "{}", seen[0]);
        assert!(seen[1].contains("f99"), "{}", seen[1]);
    }
}
