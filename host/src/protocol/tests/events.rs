use proptest::prelude::*;
use serde_json::{Value, json};

use super::any_json;
use super::schema::assert_valid_server_frame;
use crate::protocol::event::CustomFault;
use crate::protocol::server::ControlFrame;
use crate::protocol::v1::ServerMessage;
use crate::protocol::{
    ErrorCode, Json, RunEvent, RunFailure, StreamEnd, ToolCall, ToolStarted, kinds,
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
            retryable: true,
        }),
    ]
}

fn encoded(event: &RunEvent) -> String {
    String::from_utf8(event.frame_v1().to_vec()).unwrap()
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
    for kind in &kinds::SERVER_TYPES[..14] {
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

#[test]
fn constant_frames_are_what_the_messages_say() {
    let pairs = [
        (ControlFrame::Heartbeat, ServerMessage::Heartbeat {}),
        (ControlFrame::SessionSync, ServerMessage::SessionSync {}),
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
