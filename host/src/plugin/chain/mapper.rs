//! One mapper of a run: an event in, and what it became.

use std::sync::Arc;

use plugin_api::Event;
use plugin_api::abi::import::{EventRef, MapperState, Verdict};
use plugin_api::abi::types;

use super::MapperFault;
use crate::plugin::clock::{Clock, MAP_BUDGET};
use crate::plugin::gate::Pass;

/// Events that a mapper may put in the place of one.
const EVENTS_KEPT: usize = 1024;

/// Bytes of these events together.
const BYTES_KEPT: usize = 16 * 1024 * 1024;

pub(super) struct OpenMapper {
    pub(super) component: String,
    pub(super) kinds: u64,
    pub(super) clock: Arc<Clock>,
    pub(super) state: MapperState,
    /// Left after the state was closed: fields are dropped in their order.
    pub(super) _pass: Pass,
}

/// What became of an event.
pub(super) enum Became {
    Itself,
    Others,
}

impl OpenMapper {
    /// Appends to `produced` what the event became, unless it passed.
    pub(super) fn map_one(
        &mut self,
        event: EventRef<'_>,
        event_bytes: usize,
        produced: &mut Vec<Event>,
    ) -> Result<Became, MapperFault> {
        if self.kinds & bits(event.kind) == 0 {
            return Ok(Became::Itself);
        }
        let fault = |reason: String| {
            self.clock.failed();
            MapperFault {
                mapper: self.component.clone(),
                reason,
            }
        };
        // What it was given may be at the limit, and what masks a secret is longer than some secrets are.
        let given = event_size(&event);
        let mut received = Received {
            events: Vec::new(),
            bytes: 0,
            event_bytes: event_bytes.max(given + given / 4),
            broken: None,
        };
        let call = self.clock.begin();
        let verdict = self.state.map(event, &mut |event| received.push(event));
        let took = call.elapsed();
        drop(call);
        let verdict = verdict.map_err(|error| fault(error.to_string()))?;
        if took > MAP_BUDGET {
            return Err(fault(format!(
                "it took {} ms over one event, and {} are allowed",
                took.as_millis(),
                MAP_BUDGET.as_millis()
            )));
        }
        if let Some(reason) = received.broken {
            return Err(fault(reason));
        }
        let mut events = match verdict {
            Verdict::Pass => return Ok(Became::Itself),
            Verdict::Drop => Vec::new(),
            Verdict::Replace => received.events,
        };
        if is_hosts_own(event.kind) {
            keep_only_text(event, &mut events).map_err(fault)?;
        } else if let Some(forged) = events.iter().find(|event| is_hosts_own(event.kind())) {
            return Err(fault(format!(
                "it made an event `{}`, which is the host's own",
                forged.name()
            )));
        }
        produced.append(&mut events);
        Ok(Became::Others)
    }
}

/// Of the host's own event a mapper may rewrite the text; what else it changed is undone.
fn keep_only_text(original: EventRef<'_>, events: &mut [Event]) -> Result<(), String> {
    let [event] = events else {
        return Err(format!(
            "it dropped or multiplied `{}`, which is the host's own",
            original.name
        ));
    };
    if event.kind() != original.kind {
        return Err(format!(
            "it turned `{}`, which is the host's own, into another",
            original.name
        ));
    }
    let rewritten = event.with_parts(|parts| {
        Event::from_parts(EventRef {
            text: parts.text,
            ..original
        })
    });
    *event = rewritten.map_err(|error| error.to_string())?;
    Ok(())
}

/// What a mapper pushed in one call.
struct Received {
    events: Vec<Event>,
    bytes: usize,
    /// What one of them may have.
    event_bytes: usize,
    broken: Option<String>,
}

impl Received {
    fn push(&mut self, event: EventRef<'_>) {
        if self.broken.is_some() {
            return;
        }
        let bytes = event_size(&event);
        if bytes > self.event_bytes {
            self.broken = Some(format!(
                "it made an event of {bytes} bytes, and {} are allowed",
                self.event_bytes
            ));
            return;
        }
        self.bytes += bytes;
        if self.events.len() >= EVENTS_KEPT || self.bytes > BYTES_KEPT {
            self.broken = Some(format!(
                "it put more than {EVENTS_KEPT} events or {BYTES_KEPT} bytes in the place of one event"
            ));
            return;
        }
        match Event::from_parts(event) {
            Ok(event) => self.events.push(event),
            Err(error) => self.broken = Some(format!("it made an event that is none: {error}")),
        }
    }
}

/// The bits of a kind in a mapper's mask, any of which admits it: its own, and that of custom events for a
/// kind that this host carries as one.
pub(super) fn bits(kind: u32) -> u64 {
    let own = 1u64.checked_shl(kind).unwrap_or(1);
    if kind > types::EVENT_ERROR {
        own | 1
    } else {
        own
    }
}

/// What an event takes, in bytes.
#[must_use]
pub fn event_size(event: &EventRef<'_>) -> usize {
    event.text.len() + event.json.len() + event.name.len() + event.id.len() + event.parent.len()
}

/// An event of the host's own, whose text a mapper may rewrite and nothing else.
pub(crate) fn is_hosts_own(kind: u32) -> bool {
    matches!(
        kind,
        types::EVENT_STREAM_STOPPED | types::EVENT_STREAM_END | types::EVENT_ERROR
    )
}
