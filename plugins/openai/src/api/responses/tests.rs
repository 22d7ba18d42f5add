use super::*;

fn told(events: &[Value]) -> (String, String, Vec<String>) {
    let mut decoder = Decoder::default();
    let (mut text, mut thinking) = (String::new(), String::new());
    for event in events {
        for piece in decoder.event("", event).unwrap() {
            match piece {
                Piece::Text(more) => text += &more,
                Piece::Thinking(more) => thinking += &more,
                Piece::Call => {}
            }
        }
    }
    let said = decoder.finish().unwrap().said;
    assert_eq!((&said.text, &said.thinking), (&text, &thinking));
    assert!(said.items.is_empty(), "{:?}", said.items);
    let calls = said.calls.into_iter();
    let calls = calls.map(|call| format!("{} {}({})", call.id, call.name, call.arguments));
    (text, thinking, calls.collect())
}

#[test]
fn a_server_that_does_not_number_what_it_says_says_it_once() {
    let thought = json!({
        "id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "",
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    });
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "Let me see."}],
    });
    let call = |id: &str, arguments: &str| {
        json!({
            "type": "function_call", "call_id": format!("fc_{id}"), "name": "add",
            "arguments": arguments,
        })
    };
    let begun = |item: Value| json!({"type": "response.output_item.added", "item": item});
    let done = |item: &Value| json!({"type": "response.output_item.done", "item": item});
    let delta = |kind: &str, id: &str, delta: &str| json!({"type": format!("response.{kind}.delta"), "item_id": id, "delta": delta});
    let arguments = "function_call_arguments";
    let (one, two) = (call("1", r#"{"x":1}"#), call("2", "{}"));
    let events = [
        begun(json!({"id": "rs_1", "type": "reasoning"})),
        delta("reasoning_text", "rs_1", "Hm."),
        begun(json!({"id": "msg_1", "type": "message"})),
        delta("output_text", "msg_1", "Let me "),
        delta("output_text", "msg_1", "see."),
        begun(call("1", "")),
        delta(arguments, "fc_1", r#"{"x":"#),
        begun(call("2", "")),
        delta(arguments, "fc_2", "{}"),
        delta(arguments, "fc_1", "1}"),
        done(&thought),
        done(&message),
        done(&one),
        done(&two),
        json!({"type": "response.completed", "response": {
            "status": "completed", "output": [thought, message, one, two],
        }}),
    ];
    let (text, thinking, calls) = told(&events);
    assert_eq!((text.as_str(), thinking.as_str()), ("Let me see.", "Hm."));
    assert_eq!(calls, [r#"fc_1 add({"x":1})"#, "fc_2 add({})"]);
    // Arguments may come with the whole alone.
    let only_begun = [events[5].clone(), events[14].clone()];
    assert_eq!(
        told(&only_begun).2,
        [r#"fc_1 add({"x":1})"#, "fc_2 add({})"]
    );
    // Also where nothing is told to be done but all of it, and in another order.
    let mut short: Vec<_> = events[..10].to_vec();
    let (one, two) = (call("1", r#"{"x":1}"#), call("2", "{}"));
    short.push(json!({"type": "response.completed", "response": {
        "status": "completed", "output": [two, one, message],
    }}));
    assert_eq!(told(&short).2, [r#"fc_1 add({"x":1})"#, "fc_2 add({})"]);
}

#[test]
fn what_is_no_response_is_not_taken_for_an_answer() {
    let whole = |value: Value| Decoder::default().whole(&value);
    for (value, expected) in [
        (json!({"message": "hello"}), "there is no `output`"),
        (json!({"choices": []}), "there is no `output`"),
    ] {
        let fault = whole(value).unwrap_err();
        assert!(
            matches!(&fault, Fault::Malformed(text) if text == expected),
            "{fault}"
        );
    }
    assert!(whole(json!({"status": "failed", "output": []})).is_err());
    assert!(whole(json!({"status": "completed", "output": []})).is_ok());
}
