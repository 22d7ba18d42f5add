//! What becomes of an event on its way into the log, for the fuzz targets.

use plugin_api::abi::import::Answer;
use plugin_api::{Event, EventRef};
use serde_json::Value;

use super::incoming;
use super::record::Incoming;
use crate::plugin::event_size;
use crate::protocol::{Position, RunEvent, Version, read_stored};

/// Takes an event as a run does, up to its frames and its stored form, and answers as a run does.
///
/// # Panics
///
/// When one of them is not what it must be.
pub fn event(event: EventRef<'_>, agent: Option<&str>, depth: usize) -> Answer {
    let _ = event_size(&event);
    // What a mapper makes comes this way, and what a tool tells on the way to its result.
    if let Ok(own) = Event::from_parts(event) {
        let wire = Value::Object(own.to_wire()).to_string();
        assert!(serde_json::from_str::<Value>(&wire).is_ok(), "{wire}");
        // A kind that this release does not know is carried as a custom event.
        own.with_parts(|parts| assert!([event.kind, 0].contains(&parts.kind), "{parts:?}"));
    }
    let read = match incoming::read(event, agent, depth) {
        Ok(read) => read,
        Err(fault) => {
            // Told to the operator.
            let _ = fault.to_string();
            return Answer::Invalid;
        }
    };
    let read = match read {
        Incoming::Delta(kind, text) => kind.event(text.to_owned()),
        Incoming::Event(event) => event,
    };
    assert!(!read.is_last(), "{read:?} ends a run");
    frames(&read);
    stored(&read);
    mapped(&read, agent, depth);
    Answer::Ok
}

/// Every frame is one JSON object with its type first.
fn frames(event: &RunEvent) {
    let start = format!("{{\"type\":{}", Value::from(event.type_name()));
    for version in Version::ALL {
        let frame = event.frame(version, Position::of(7));
        let text = std::str::from_utf8(&frame);
        let text = text.unwrap_or_else(|error| panic!("{error}: {event:?}"));
        assert!(text.starts_with(&start), "{text}");
        let object: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(text);
        // What nests deeper than the parser looks was checked by the host's own.
        if let Err(error) = object {
            assert!(
                error.to_string().contains("recursion limit"),
                "{error}: {text}"
            );
        }
    }
}

/// What is stored is read back as it was.
fn stored(event: &RunEvent) {
    let mut text = Vec::new();
    event.encode_full(&mut text);
    let text = String::from_utf8_lossy(&text);
    let again = read_stored(event.type_name(), &text);
    assert_eq!(again.as_ref(), Some(event), "{text}");
}

/// What a mapper is lent of an event of the host's own is the same event.
fn mapped(event: &RunEvent, agent: Option<&str>, depth: usize) {
    let lent = incoming::with_parts(event, |parts| {
        incoming::read(parts, agent, depth).map(Incoming::into_event)
    });
    match lent {
        None => {}
        Some(Ok(again)) => assert_eq!(again, *event),
        Some(Err(fault)) => panic!("{fault}: {event:?}"),
    }
}
