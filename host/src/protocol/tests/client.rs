use proptest::prelude::*;
use serde_json::{Value, json};

use super::schema::CLIENT;
use super::{any_json, on_a_small_stack};
use crate::protocol::{
    ClientFault, ClientMessage, ClientRequest, Delivery, ErrorCode, OnBusy, ParseLimits, Version,
    parse_client_frame,
};
use crate::session::FileRef;

const LIMITS: ParseLimits = ParseLimits {
    depth: 20,
    images: 3,
};

fn parse(text: &str) -> Result<ClientMessage, ClientFault> {
    match parse_client_frame(text, LIMITS, Version::V1) {
        Ok(ClientRequest::Message(message, delivery)) => {
            assert_eq!(delivery, Delivery::default());
            Ok(message)
        }
        Ok(request) => panic!("{request:?}"),
        Err(unreadable) => {
            assert_eq!(unreadable.id, None);
            Err(unreadable.fault)
        }
    }
}

/// Version 2's reading, and the id that an answer repeats.
fn parse_new(text: &str) -> (Result<ClientRequest, ClientFault>, Option<String>) {
    match parse_client_frame(text, LIMITS, Version::V2) {
        Ok(request) => {
            let id = match &request {
                ClientRequest::Message(_, delivery) => delivery.id.as_ref(),
                ClientRequest::Stop(_) => None,
            };
            let id = id.map(|id| id.text.clone());
            (Ok(request), id)
        }
        Err(unreadable) => (Err(unreadable.fault), unreadable.id.map(|id| id.text)),
    }
}

const ID: &str = "5E2F3A52-0c1b-4b60-9d43-1d7a3e1f7a11";

#[test]
fn what_is_new_in_version_2_is_unknown_to_version_1() {
    let text = r#"{"type":"message","content":"Hi","id":5,"on_busy":"whenever","run_id":{}}"#;
    assert_eq!(parse(text), Ok(message("Hi")));
    assert_eq!(
        parse(r#"{"type":"stop"}"#),
        Err(ClientFault::InvalidMessage)
    );
}

#[test]
fn version_2_reads_ids_and_what_to_do_while_busy() {
    let text = format!(r#"{{"type":"message","content":"Hi","id":"{ID}","on_busy":"interrupt"}}"#);
    let (request, id) = parse_new(&text);
    let Ok(ClientRequest::Message(read, delivery)) = request else {
        panic!("{request:?}");
    };
    assert_eq!((read, delivery.on_busy), (message("Hi"), OnBusy::Interrupt));
    assert_eq!(id.as_deref(), Some(ID), "as the client wrote it");
    let (request, _) = parse_new(r#"{"type":"message","content":"Hi","id":null,"on_busy":null}"#);
    assert_eq!(
        request,
        Ok(ClientRequest::Message(message("Hi"), Delivery::default()))
    );
}

#[test]
fn version_2_reads_a_stop() {
    let run = crate::session::RunId::new();
    for (text, expected) in [
        (r#"{"type":"stop"}"#.to_owned(), None),
        (r#"{"type":"stop","run_id":null}"#.to_owned(), None),
        (format!(r#"{{"run_id":"{run}","type":"stop"}}"#), Some(run)),
    ] {
        assert_eq!(
            parse_new(&text).0,
            Ok(ClientRequest::Stop(expected)),
            "{text}"
        );
    }
}

#[test]
fn a_refused_message_keeps_its_id_for_the_answer() {
    for (rest, fault) in [
        (r#""content":"""#, ClientFault::InvalidMessage),
        (r#""content":"x","images":5"#, ClientFault::InvalidMessage),
        (
            r#""content":"x","on_busy":"never""#,
            ClientFault::InvalidField(
                "`on_busy` must be \"reject\", \"enqueue\" or \"interrupt\".",
            ),
        ),
        (
            r#""content":"x","images":["","","",""]"#,
            ClientFault::TooManyImages { count: 4, max: 3 },
        ),
    ] {
        let text = format!(r#"{{"type":"message","id":"{ID}",{rest}}}"#);
        assert_eq!(
            parse_new(&text),
            (Err(fault), Some(ID.to_owned())),
            "{text}"
        );
    }
    for id in ["7", r#""""#, r#""not a uuid""#, "{}"] {
        let text = format!(r#"{{"type":"message","content":"x","id":{id}}}"#);
        let fault = ClientFault::InvalidField("`id` must be a UUID.");
        assert_eq!(parse_new(&text), (Err(fault), None), "{text}");
    }
    let fault = ClientFault::InvalidField("`run_id` must be the id of a run.");
    assert_eq!(
        parse_new(r#"{"type":"stop","run_id":"x"}"#),
        (Err(fault), None)
    );
}

fn message(content: &str) -> ClientMessage {
    ClientMessage {
        content: content.into(),
        images: Vec::new(),
        files: Vec::new(),
    }
}

#[test]
fn reads_a_message() {
    assert_eq!(
        parse(r#"{"type":"message","content":"Hi"}"#),
        Ok(message("Hi"))
    );
    let full = r#" {"files":[{"path":"/p","name":"n","size":3}],"images":["a","b"],"content":"\u00e9\n🚂",
        "more":{"deep":[[1e999]]},"type":"message"} "#;
    let expected = ClientMessage {
        content: "é\n🚂".into(),
        images: vec!["a".into(), "b".into()],
        files: vec![FileRef {
            name: "n".into(),
            path: "/p".into(),
        }],
    };
    assert_eq!(parse(full), Ok(expected));
}

#[test]
fn null_empty_and_absent_are_the_same() {
    for rest in [
        "",
        r#","images":null"#,
        r#","images":[]"#,
        r#","files":null,"images":null"#,
        r#","files":[ ]"#,
    ] {
        assert_eq!(
            parse(&format!(r#"{{"type":"message","content":"Hi"{rest}}}"#)),
            Ok(message("Hi"))
        );
    }
}

#[test]
fn the_last_of_equal_keys_counts() {
    let text =
        r#"{"type":1,"content":"","images":5,"type":"message","c\u006fntent":"Hi","images":null}"#;
    assert_eq!(parse(text), Ok(message("Hi")));
    assert_eq!(
        parse(r#"{"type":"message","content":"Hi","content":""}"#),
        Err(ClientFault::InvalidMessage)
    );
    let text = r#"{"type":"message","content":"Hi","files":[{"name":1,"name":"n","path":"p","path":"q"}]}"#;
    assert_eq!(
        parse(text).unwrap().files,
        [FileRef {
            name: "n".into(),
            path: "q".into()
        }]
    );
}

#[test]
fn what_is_not_json() {
    for text in [
        "",
        " ",
        "hello",
        "{",
        "nul",
        "[1,2",
        r#"{"type":"message","content":"Hi"}}"#,
        r#"{"type":"message","content":"Hi"} x"#,
        r#"{"type":"message","content":"Hi",}"#,
        r#"{'type':'message'}"#,
        r#"{"type":"message","content":5"#,
        "{\"type\":\"message\",\"content\":\"a\nb\"}",
        r#"{"type":"message","content":"half a pair \ud83d"}"#,
        "\u{feff}{}",
    ] {
        assert_eq!(parse(text), Err(ClientFault::InvalidJson), "{text}");
    }
}

#[test]
fn what_is_no_message() {
    for text in [
        "null",
        "[]",
        "5",
        r#""message""#,
        "{}",
        r#"{"type":"message"}"#,
        r#"{"content":"Hi"}"#,
        r#"{"type":"Message","content":"Hi"}"#,
        r#"{"type":"stop","content":"Hi"}"#,
        r#"{"type":null,"content":"Hi"}"#,
        r#"{"type":"message","content":null}"#,
        r#"{"type":"message","content":""}"#,
        r#"{"type":"message","content":["Hi"]}"#,
        r#"{"type":"message","content":"Hi","images":"a"}"#,
        r#"{"type":"message","content":"Hi","images":[1]}"#,
        r#"{"type":"message","content":"Hi","images":["a","b","c","d",null]}"#,
        r#"{"type":"message","content":"Hi","images":{}}"#,
        r#"{"type":"message","content":"Hi","files":{}}"#,
        r#"{"type":"message","content":"Hi","files":["a"]}"#,
        r#"{"type":"message","content":"Hi","files":[["n","p"]]}"#,
        r#"{"type":"message","content":"Hi","files":[{"name":"n"}]}"#,
        r#"{"type":"message","content":"Hi","files":[{"name":"n","path":null}]}"#,
    ] {
        assert_eq!(parse(text), Err(ClientFault::InvalidMessage), "{text}");
    }
}

#[test]
fn too_many_images_comes_after_every_fault_of_the_shape() {
    let images = |rest: &str| {
        format!(r#"{{"type":"message","content":"Hi","images":["","","","",""]{rest}}}"#)
    };
    let fault = parse(&images("")).unwrap_err();
    assert_eq!(fault, ClientFault::TooManyImages { count: 5, max: 3 });
    assert_eq!(fault.to_string(), "Too many images (5). Max 3 allowed.");
    assert_eq!(
        parse(&images(r#","files":1"#)),
        Err(ClientFault::InvalidMessage)
    );
    assert_eq!(
        parse(&images(r#","files":1"#).replace('}', "")),
        Err(ClientFault::InvalidJson)
    );
}

#[test]
fn faults_have_texts_and_codes() {
    assert_eq!(ClientFault::InvalidJson.to_string(), "Invalid JSON");
    assert_eq!(
        ClientFault::InvalidMessage.to_string(),
        "Expected {type: 'message', content: '...'}"
    );
    assert_eq!(ClientFault::InvalidJson.code(), ErrorCode::InvalidJson);
    assert_eq!(
        ClientFault::InvalidMessage.code(),
        ErrorCode::InvalidMessage
    );
    assert_eq!(
        ClientFault::TooManyImages { count: 2, max: 1 }.code(),
        ErrorCode::TooManyImages
    );
}

#[test]
fn nesting_is_limited_and_costs_no_stack() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"type":"message","content":"[[[","x":{open}{close}}}"#)
    };
    assert!(parse(&nested(LIMITS.depth - 1)).is_ok());
    assert_eq!(parse(&nested(LIMITS.depth)), Err(ClientFault::InvalidJson));
    on_a_small_stack(move || {
        let deep = nested(1_000_000);
        assert_eq!(parse(&deep), Err(ClientFault::InvalidJson));
        // Even without the limit.
        let unlimited = ParseLimits {
            depth: usize::MAX,
            images: 3,
        };
        assert!(parse_client_frame(&deep, unlimited, Version::V2).is_ok());
        let images = deep.replace("\"x\"", "\"images\"");
        assert_eq!(
            parse_client_frame(&images, unlimited, Version::V2),
            Err(ClientFault::InvalidMessage.into())
        );
        assert_eq!(
            parse_client_frame(&"[".repeat(1_000_000), unlimited, Version::V2),
            Err(ClientFault::InvalidJson.into())
        );
    });
}

/// Frames that come near to a message.
fn any_frame() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![4 => Just(json!("message")), 1 => any_json(1)];
    let content = prop_oneof![4 => any::<String>().prop_map(Value::from), 1 => any_json(1)];
    let image = prop_oneof![9 => any::<String>().prop_map(Value::from), 1 => any_json(1)];
    let images = prop_oneof![4 => prop::collection::vec(image, 0..4).prop_map(Value::from), 1 => any_json(1)];
    let text = || prop_oneof![9 => any::<String>().prop_map(Value::from), 1 => any_json(1)];
    let file = (text(), text(), any_json(1))
        .prop_map(|(name, path, more)| json!({"more": more, "name": name, "path": path}));
    let file = prop_oneof![9 => file, 1 => any_json(2)];
    let files =
        prop_oneof![4 => prop::collection::vec(file, 0..4).prop_map(Value::from), 1 => any_json(1)];
    let frame = (
        kind,
        content,
        prop::option::of(images),
        prop::option::of(files),
        any_json(3),
    )
        .prop_map(|(kind, content, images, files, more)| {
            let mut frame = json!({"more": more, "content": content, "type": kind});
            if let Some(images) = images {
                frame["images"] = images;
            }
            if let Some(files) = files {
                frame["files"] = files;
            }
            frame
        });
    prop_oneof![9 => frame, 1 => any_json(3)]
}

proptest! {
    #[test]
    fn the_schema_describes_exactly_what_is_read(frame in any_frame(), spread in any::<bool>()) {
        let text = if spread { format!("{frame:#}") } else { frame.to_string() };
        let parsed = parse(&text);
        prop_assert_eq!(parsed.is_ok(), CLIENT.is_valid(&frame), "{:?}", parsed);
        match parsed {
            Ok(message) => {
                prop_assert_eq!(&message.content, frame["content"].as_str().unwrap());
                let sent = frame.get("images").and_then(Value::as_array);
                prop_assert_eq!(json!(message.images), sent.map_or(json!([]), |images| json!(images)));
                let sent = frame.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
                prop_assert_eq!(message.files.len(), sent.len());
                for (file, sent) in message.files.iter().zip(sent) {
                    prop_assert_eq!(&sent["name"], &file.name);
                    prop_assert_eq!(&sent["path"], &file.path);
                }
            }
            Err(fault) => prop_assert_eq!(fault, ClientFault::InvalidMessage),
        }
    }

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        let json = serde_json::from_str::<Value>(&text);
        match parse(&text) {
            Ok(_) | Err(ClientFault::InvalidMessage | ClientFault::TooManyImages { .. }) => prop_assert!(json.is_ok()),
            Err(ClientFault::InvalidJson) => prop_assert!(json.is_err()),
            Err(ClientFault::InvalidField(_)) => prop_assert!(false, "a field of version 2"),
        }
    }

    #[test]
    fn a_frame_that_was_cut_is_not_json(frame in any_frame(), cut in any::<prop::sample::Index>()) {
        let text = json!({"type": "message", "content": "Hi", "more": frame}).to_string();
        let end = (0..=cut.index(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap();
        prop_assert_eq!(parse(&text[..end]), Err(ClientFault::InvalidJson));
    }
}
