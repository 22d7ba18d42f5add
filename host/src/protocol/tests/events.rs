use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::any_json;
use super::schema::assert_valid_server_frame;
use crate::protocol::event::CustomFault;
use crate::protocol::messages::ServerMessage;
use crate::protocol::server::ControlFrame;
use crate::protocol::{
    ErrorCode, Json, Position, RunEvent, RunFailure, StreamEnd, ToolCall, ToolStarted, Version,
    kinds, read_stored,
};
use crate::session::{RunId, RunStatus};

fn raw(value: Value) -> Json {
    Json::from_value(&value)
}

/// One of each.
fn samples() -> Vec<RunEvent> {
    let call = ToolCall {
        call_id: "c1".into(),
        agent: Some("helper".into()),
        tool: "calculator".into(),
        args: raw(json!({"expression": "6*7"})),
        result: "42".into(),
        success: true,
        is_subagent: true,
        metadata: None,
    };
    vec![
        RunEvent::StreamStart {
            run_id: RunId::new(),
            ts: 1_700_000_000_000,
        },
        RunEvent::ThinkingDelta {
            delta: "so \"far\"\n".into(),
        },
        RunEvent::ThinkingEnd,
        RunEvent::TurnThinking {
            thinking: "so far".into(),
            is_subagent: true,
        },
        RunEvent::StreamDelta {
            delta: "naïve 🚂 \u{1}\u{2028}".into(),
        },
        RunEvent::PlanningStatus {
            phase: "research".into(),
            label: "Reading".into(),
            is_subagent: false,
        },
        RunEvent::PlanReady {
            plan: raw(json!(["read", {"then": "answer"}])),
            is_subagent: false,
        },
        RunEvent::PlanReady {
            plan: Json::null(),
            is_subagent: true,
        },
        RunEvent::ToolStarted(ToolStarted {
            call_id: "c1".into(),
            agent: None,
            tool: "calculator".into(),
            args: raw(json!({"expression": "6*7"})),
            is_subagent: false,
        }),
        RunEvent::ToolCall(ToolCall {
            metadata: Some(raw(json!({"ms": 3}))),
            ..call.clone()
        }),
        RunEvent::ToolCall(ToolCall {
            success: false,
            ..call
        }),
        RunEvent::ProfileSwitched {
            profile_id: "careful".into(),
            profile_name: "Careful".into(),
        },
        RunEvent::ContextCompressed {
            messages_before: 40,
            messages_after: 6,
            summary: "A journey.".into(),
        },
        RunEvent::custom(
            "citation",
            raw(json!({"url": "https://example.org/", "n": [1, null]})),
        )
        .unwrap(),
        RunEvent::custom("pi\"ng", Json::parse("{ }", 1).unwrap()).unwrap(),
        RunEvent::StreamStopped,
        RunEvent::StreamEnd(StreamEnd {
            content: "42".into(),
            context_tokens: 120,
            max_context_tokens: u64::MAX,
            elapsed_seconds: 1.25,
            tool_call_count: 1,
            token_count: 2,
            status: RunStatus::Completed,
        }),
        RunEvent::Error(RunFailure {
            message: "Internal error: out of coal".into(),
            code: ErrorCode::Internal,
            run_id: RunId::new(),
        }),
    ]
}

fn framed(event: &RunEvent, version: Version) -> String {
    let at = Position {
        seq_from: 5,
        seq: 7,
    };
    String::from_utf8(event.frame(version, at).to_vec()).unwrap()
}

fn encoded(event: &RunEvent) -> String {
    framed(event, Version::V1)
}

#[test]
fn frames_to_the_letter() {
    let events = samples().iter().map(encoded).collect::<Vec<_>>();
    let control = [
        ControlFrame::Heartbeat,
        ControlFrame::SessionSync,
        ControlFrame::ReplayStart { count: 3 },
        ControlFrame::ReplayEnd,
        ControlFrame::Error {
            message: "Invalid JSON".into(),
        },
    ]
    .map(|frame| frame.encode_v1().into_owned());
    insta::assert_snapshot!([&events[..], &control].concat().join("\n"));
}

#[test]
fn every_frame_keeps_to_the_schema_and_begins_with_its_type() {
    let mut types = Vec::new();
    for event in samples() {
        let frame = encoded(&event);
        assert_valid_server_frame(&frame);
        let kind = serde_json::to_string(event.type_name()).unwrap();
        assert!(frame.starts_with(&format!("{{\"type\":{kind}")), "{frame}");
        types.push(event.type_name().to_owned());
    }
    for kind in kinds::EVENT_TYPES {
        assert!(types.iter().any(|seen| seen == kind), "no sample of {kind}");
    }
}

#[test]
fn version_1_is_told_nothing_of_version_2() {
    for event in samples()
        .iter()
        .filter(|event| !matches!(event, RunEvent::Custom { .. }))
    {
        let frame: Value = serde_json::from_str(&encoded(event)).unwrap();
        for key in [
            "call_id",
            "agent",
            "status",
            "run_id",
            "ts",
            "code",
            "retryable",
            "seq",
            "epoch",
        ] {
            assert!(frame.get(key).is_none(), "{frame}");
        }
    }
}

/// The schema of version 1 as it was published. It does not change any more.
static FROZEN: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../../tests/frozen/protocol-v1/server.json");
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
});

#[test]
fn a_client_of_version_1_could_read_every_event_of_version_2() {
    for event in samples() {
        let frame = framed(&event, Version::V2);
        assert_valid_server_frame(&frame);
        let message: Value = serde_json::from_str(&frame).unwrap();
        if let Err(fault) = FROZEN.validate(&message) {
            panic!("{frame}: {fault}");
        }
        assert_eq!(
            (&message["seq_from"], &message["seq"]),
            (&json!(5), &json!(7))
        );
        let single = event.frame(Version::V2, Position::of(7));
        let single: Value = serde_json::from_slice(&single).unwrap();
        assert_eq!((single.get("seq_from"), &single["seq"]), (None, &json!(7)));
    }
}

#[test]
fn version_2_to_the_letter() {
    let events = samples()
        .into_iter()
        .map(|event| match event {
            RunEvent::StreamStart { ts, .. } => RunEvent::StreamStart {
                run_id: "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10".parse().unwrap(),
                ts,
            },
            RunEvent::Error(failure) => RunEvent::Error(RunFailure {
                run_id: "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10".parse().unwrap(),
                ..failure
            }),
            event => event,
        })
        .map(|event| framed(&event, Version::V2));
    insta::assert_snapshot!(events.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_end_that_only_version_2_has_is_nothing_in_version_1() {
    for status in [RunStatus::Stopped, RunStatus::Error, RunStatus::Lost] {
        let end = RunEvent::StreamEnd(StreamEnd {
            content: String::new(),
            context_tokens: 0,
            max_context_tokens: 0,
            elapsed_seconds: 0.0,
            tool_call_count: 0,
            token_count: 0,
            status,
        });
        assert_eq!(encoded(&end), "");
        let frame = framed(&end, Version::V2);
        assert_valid_server_frame(&frame);
        assert!(
            frame.contains(&format!(r#""status":"{}""#, status.as_str())),
            "{frame}"
        );
    }
}

#[test]
fn what_is_stored_is_read_back() {
    for event in samples() {
        let mut stored = Vec::new();
        event.encode_full(&mut stored);
        let read = read_stored(event.type_name(), std::str::from_utf8(&stored).unwrap());
        let is_bracket = matches!(event, RunEvent::StreamStart { .. }) || event.is_last();
        assert_eq!(read.is_none(), is_bracket);
        if let Some(read) = read {
            assert_eq!(framed(&read, Version::V2), framed(&event, Version::V2));
        }
    }
    assert_eq!(read_stored("stream_delta", "[]"), None);
    assert_eq!(read_stored("citation", "{}"), None);
}

#[test]
fn constant_frames_are_what_the_messages_say() {
    let pairs = [
        (
            ControlFrame::Heartbeat,
            ServerMessage::Heartbeat { last_seq: None },
        ),
        (
            ControlFrame::SessionSync,
            ServerMessage::SessionSync {
                epoch: None,
                first_seq: None,
                last_seq: None,
                run: None,
                protocol: None,
                limits: None,
            },
        ),
        (ControlFrame::ReplayEnd, ServerMessage::ReplayEnd {}),
    ];
    for (frame, message) in pairs {
        assert_eq!(frame.encode_v1(), serde_json::to_string(&message).unwrap());
    }
}

#[test]
fn elapsed_seconds_stays_a_number() {
    for (seconds, text) in [
        (f64::INFINITY, "0.0"),
        (f64::NAN, "0.0"),
        (-1.0, "0.0"),
        (3.0, "3.0"),
    ] {
        let end = StreamEnd {
            content: String::new(),
            context_tokens: 0,
            max_context_tokens: 0,
            elapsed_seconds: seconds,
            tool_call_count: 0,
            token_count: 0,
            status: RunStatus::Completed,
        };
        let frame = encoded(&RunEvent::StreamEnd(end));
        assert!(
            frame.contains(&format!("\"elapsed_seconds\":{text},")),
            "{frame}"
        );
    }
}

#[test]
fn a_run_ends_with_one_of_three() {
    let last: Vec<_> = samples().into_iter().filter(RunEvent::is_last).collect();
    assert_eq!(
        last.iter().map(RunEvent::type_name).collect::<Vec<_>>(),
        ["stream_stopped", "stream_end", "error"]
    );
}

#[test]
fn custom_events_keep_off_the_protocol() {
    for name in kinds::SERVER_TYPES {
        let refused = RunEvent::custom(name, Json::empty_object());
        assert_eq!(refused, Err(CustomFault::ReservedType(name.into())));
    }
    assert_eq!(
        RunEvent::custom("", Json::empty_object()),
        Err(CustomFault::NoName)
    );
    assert_eq!(
        RunEvent::custom("x", Json::null()),
        Err(CustomFault::NotAnObject)
    );
    for (fields, key) in [
        (r#"{"seq":1}"#, "seq"),
        (r#"{"a":{},"run_id":null}"#, "run_id"),
        (r#"{"\u0065poch":""}"#, "epoch"),
        (r#"{"type":"x"}"#, "type"),
    ] {
        let refused = RunEvent::custom("x", Json::parse(fields, 9).unwrap());
        assert_eq!(refused, Err(CustomFault::ReservedKey(key.into())));
    }
    let inner = Json::parse(r#"{"a":{"seq":1,"type":"y"}}"#, 9).unwrap();
    assert_eq!(
        encoded(&RunEvent::custom("x", inner).unwrap()),
        r#"{"type":"x","a":{"seq":1,"type":"y"}}"#
    );
}

#[test]
fn size_counts_what_is_held() {
    let held = |event: &RunEvent| event.size() - size_of::<RunEvent>();
    assert_eq!(held(&RunEvent::ThinkingEnd), 0);
    assert_eq!(held(&RunEvent::StreamDelta { delta: "é".into() }), 2);
    let plan = Json::parse("[1, 2]", 1).unwrap();
    assert_eq!(
        held(&RunEvent::PlanReady {
            plan,
            is_subagent: false
        }),
        6
    );
}

proptest! {
    #[test]
    fn any_delta_arrives(delta in any::<String>()) {
        for event in [
            RunEvent::StreamDelta { delta: delta.clone() },
            RunEvent::ThinkingDelta { delta: delta.clone() },
        ] {
            prop_assert_eq!(event.delta(), Some(&delta[..]));
            let message: Value = serde_json::from_str(&encoded(&event)).unwrap();
            prop_assert_eq!(message, json!({"type": event.type_name(), "delta": delta}));
        }
        let derived = serde_json::to_string(&ServerMessage::StreamDelta { delta: &delta }).unwrap();
        prop_assert_eq!(encoded(&RunEvent::StreamDelta { delta }), derived);
    }

    #[test]
    fn any_object_arrives_as_a_custom_event(name in any::<String>(), fields in any_json(4), padded in any::<bool>()) {
        let text = if padded { format!("{fields:#}") } else { fields.to_string() };
        if let Ok(event) = RunEvent::custom(name.clone(), Json::parse(&text, 9).unwrap()) {
            let frame = encoded(&event);
            assert_valid_server_frame(&frame);
            let mut sent = serde_json::Map::from_iter([("type".to_owned(), Value::from(name))]);
            sent.extend(serde_json::from_str::<serde_json::Map<_, _>>(&text).unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(&frame).unwrap(), Value::from(sent));
        } else {
            prop_assert!(!fields.is_object() || name.is_empty());
        }
    }
}
