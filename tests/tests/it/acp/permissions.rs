//! What an agent is answered that asks for leave.

use roundhouse_tests::Client;
use serde_json::{Value, json};

use super::stage::{Stage, all, ask, content, script, update};

fn options() -> Value {
    json!([
        {"optionId": "aa", "name": "Always", "kind": "allow_always"},
        {"optionId": "ao", "name": "Once", "kind": "allow_once"},
        {"optionId": "ro", "name": "No", "kind": "reject_once"},
    ])
}

/// Asks leave for a tool of this kind: the answer, and the event.
async fn asked(client: &mut Client, kind: &str, options: Value) -> (Value, Value) {
    let call = json!({"toolCallId": "c1", "title": "Do it", "kind": kind});
    let steps = [
        update("tool_call", call),
        ask(
            "session/request_permission",
            json!({"toolCall": {"toolCallId": "c1"}, "options": options}),
        ),
    ];
    let frames = client.run(&script(&steps)).await;
    let answer = serde_json::from_str(content(&frames)).unwrap();
    (answer, all(&frames, "permission")[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_depends_on_the_kind_of_the_tool() {
    let permissions = "permissions = { read = \"allow\", execute = \"deny\", default = \"deny\" }";
    let stage = Stage::with(&[], permissions).await;
    let mut client = stage.host.client().await;
    let (answer, event) = asked(&mut client, "read", options()).await;
    assert_eq!(
        answer,
        json!({"outcome": {"outcome": "selected", "optionId": "ao"}})
    );
    assert_eq!(
        event,
        json!({"type": "permission", "call_id": "c1", "tool": "read", "title": "Do it", "kind": "read",
            "allowed": true, "option": "Once"})
    );
    for kind in ["execute", "edit", "a_kind_of_the_future"] {
        let (answer, event) = asked(&mut client, kind, options()).await;
        assert_eq!(
            answer,
            json!({"outcome": {"outcome": "selected", "optionId": "ro"}}),
            "{kind}"
        );
        assert_eq!(event["allowed"], false);
    }
    // Where there is no way to say no, nothing is said.
    let only_yes = json!([{"optionId": "ao", "name": "Once", "kind": "allow_once"}]);
    let (answer, event) = asked(&mut client, "edit", only_yes).await;
    assert_eq!(answer, json!({"outcome": {"outcome": "cancelled"}}));
    assert_eq!(
        (&event["allowed"], &event["option"]),
        (&json!(false), &Value::Null)
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_be_allowed() {
    let stage = Stage::with(&[], "permissions = \"allow\"").await;
    let mut client = stage.host.client().await;
    let (answer, _) = asked(&mut client, "execute", options()).await;
    assert_eq!(answer["outcome"]["optionId"], "ao");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_nothing_may_be_changed() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    for (kind, option) in [
        ("read", "ao"),
        ("search", "ao"),
        ("edit", "ro"),
        ("execute", "ro"),
    ] {
        let (answer, _) = asked(&mut client, kind, options()).await;
        assert_eq!(answer["outcome"]["optionId"], option, "{kind}");
    }
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let terminal = ask("terminal/create", json!({"command": "ls"}));
    let nonsense = ask("session/request_permission", json!({"options": "none"}));
    let frames = client.run(&script(&[terminal])).await;
    let answer: Value = serde_json::from_str(content(&frames)).unwrap();
    assert_eq!(answer["error"]["code"], -32601);
    let frames = client.run(&script(&[nonsense])).await;
    let answer: Value = serde_json::from_str(content(&frames)).unwrap();
    assert_eq!(answer["error"]["code"], -32602);
    stage.end([client]).await;
}
