//! Event mappers.

use plugin_api::abi::import::{
    Completion, ComponentKind, EventRef, FailureKind, MapFault, MapperState, Verdict,
};
use plugin_api::abi::types::{EVENT_CUSTOM, EVENT_STREAM_DELTA};
use plugin_api::wire::MapperParams;
use plugin_api::{Event, EventKinds, serde_json};

use crate::host::{PLUGIN, host, mapper};

fn delta(text: &str) -> EventRef<'_> {
    EventRef {
        kind: EVENT_STREAM_DELTA,
        name: "stream_delta",
        text,
        ..EventRef::default()
    }
}

fn map(state: &mut MapperState, event: EventRef<'_>) -> (Result<Verdict, MapFault>, Vec<Event>) {
    let mut events = Vec::new();
    let verdict = state.map(event, &mut |event| {
        events.push(Event::from_parts(event).unwrap())
    });
    (verdict, events)
}

#[tokio::test]
async fn a_mapper_asks_for_kinds_and_decides_on_each_event() {
    let edit = mapper("edit").await;
    let kinds = edit.kinds();
    assert!(
        kinds.contains_kind(EVENT_STREAM_DELTA)
            && kinds.contains_kind(EVENT_CUSTOM)
            && kinds.contains_kind(4711)
    );
    assert_eq!(
        kinds,
        EventKinds::STREAM_DELTA | EventKinds::CUSTOM | EventKinds::STREAM_END
    );

    let mut state = edit.open("{}").unwrap();
    assert_eq!(map(&mut state, delta("x")), (Ok(Verdict::Pass), vec![]));
    assert_eq!(map(&mut state, delta("drop")), (Ok(Verdict::Drop), vec![]));
    assert_eq!(
        map(&mut state, delta("none")),
        (Ok(Verdict::Replace), vec![])
    );
    let twice = vec![Event::stream_delta("twice"), Event::thinking_end()];
    assert_eq!(
        map(&mut state, delta("twice")),
        (Ok(Verdict::Replace), twice)
    );
    assert_eq!(
        map(&mut state, delta("count")),
        (Ok(Verdict::Replace), vec![Event::stream_delta("5")])
    );
    // Each state counts its own.
    let mut other = edit.open("").unwrap();
    assert_eq!(
        map(&mut other, delta("count")).1,
        [Event::stream_delta("1")]
    );
}

#[tokio::test]
async fn the_hosts_own_events_can_be_rewritten() {
    let mut state = mapper("edit").await.open("{}").unwrap();
    let end = Event::from_wire_value(serde_json::json!({
        "type": "stream_end", "content": "secret", "elapsed_seconds": 1.5, "tool_call_count": 2
    }));
    let (verdict, events) = end.unwrap().with_parts(|parts| map(&mut state, parts));
    assert_eq!(verdict, Ok(Verdict::Replace));
    let wire = events[0].to_wire();
    assert_eq!(
        (&wire["content"], &wire["elapsed_seconds"]),
        (&"redacted".into(), &1.5.into())
    );
    assert_eq!(wire["tool_call_count"], 2);
}

#[tokio::test]
async fn a_mapper_that_fails_lets_nothing_through() {
    let edit = mapper("edit").await;
    let mut state = edit.open("{}").unwrap();
    assert_eq!(map(&mut state, delta("fail")).0, Err(MapFault::Failed(-4)));
    assert_eq!(map(&mut state, delta("x")).0, Ok(Verdict::Pass));
    assert_eq!(map(&mut state, delta("panic")).0, Err(MapFault::Failed(-4)));
    // What is left after a panic maps nothing any more; other states do.
    assert_eq!(map(&mut state, delta("x")).0, Err(MapFault::Failed(-4)));
    assert_eq!(
        map(&mut edit.open("{}").unwrap(), delta("x")).0,
        Ok(Verdict::Pass)
    );
    let garbage = EventRef {
        kind: EVENT_CUSTOM,
        name: "own",
        json: "{",
        ..EventRef::default()
    };
    assert_eq!(
        map(&mut edit.open("{}").unwrap(), garbage).0,
        Err(MapFault::Failed(-1))
    );
}

#[tokio::test]
async fn a_state_that_cannot_be_opened_is_none() {
    let edit = mapper("edit").await;
    let mut params = MapperParams::default();
    params.agent = "panic".to_owned();
    assert!(
        edit.open(&serde_json::to_string(&params).unwrap())
            .is_none()
    );
    assert!(edit.open("[").is_none());
}

#[tokio::test]
async fn a_mapper_whose_kinds_panic_is_not_made() {
    let ComponentKind::Mapper(broken) = PLUGIN.component("broken") else {
        panic!()
    };
    let mut scope = host().scope();
    broken.create(scope.id, "{}", "{}");
    assert_eq!(
        scope.failed().await,
        (FailureKind::Internal, "in kinds".to_owned())
    );
}

#[tokio::test]
async fn a_panic_while_a_state_is_closed_harms_nobody() {
    let edit = mapper("edit").await;
    let mut params = MapperParams::default();
    params.agent = "panic late".to_owned();
    drop(edit.open(&serde_json::to_string(&params).unwrap()).unwrap());
    assert!(edit.open("{}").is_some());
}

#[tokio::test]
async fn a_mapper_is_shut_down_when_its_last_state_is_closed() {
    let edit = mapper("edit").await;
    let mut state = edit.open("{}").unwrap();
    let mut scope = host().scope();
    assert!(edit.shutdown(scope.id));
    assert!(edit.open("{}").is_none());
    assert_eq!(edit.kinds(), EventKinds::NONE);
    assert_eq!(map(&mut state, delta("x")).0, Ok(Verdict::Pass));
    scope.nothing_more();
    drop(state);
    assert!(matches!(
        scope.completion().await,
        Completion::Finished { .. }
    ));
}
