//! Several roles under one agent: the model changes between them, and the user does.

use roundhouse_tests::model::chat;
use roundhouse_tests::{ModelServer, TestHost};
use serde_json::{Value, json};

use super::stage::{all, config, end, kinds, stage};

const PROFILES: &str = r#"
system_prompt = "Be kind."
profile = "general"

[agents.model.config.profiles.general]
description = "Small talk."
tools = ["uuid", "ask_helper"]

[agents.model.config.profiles.clerk]
name = "The clerk"
description = "Numbers."
system_prompt = "Be exact."
tools = ["calc*"]
"#;

fn tools(body: &Value) -> Vec<&str> {
    let tools = body["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap())
        .collect()
}

fn system(body: &Value) -> &str {
    body["messages"][0]["content"].as_str().unwrap()
}

fn switched(frames: &[roundhouse_tests::Frame]) -> Vec<Value> {
    all(frames, "profile_switched")
        .into_iter()
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_the_profile_leaves_out_is_not_called() {
    let (server, host) = stage(PROFILES).await;
    let call = ("call_a", "calculator", r#"{"expression":"6 * 7"}"#);
    server.answer(chat::calls(&[call]));
    server.answer(chat::says(&["Well."]));
    let mut client = host.client().await;
    let frames = client.run("how much?").await;
    assert_eq!(all(&frames, "tool_call")[0]["success"], false);
    let messages = server.body(1)["messages"].clone();
    assert_eq!(
        messages.as_array().unwrap().last().unwrap()["content"],
        "Error: There is no tool `calculator` under this profile."
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_goes_over_to_another_and_stays_there() {
    let (server, host) = stage(PROFILES).await;
    server.answer(chat::calls(&[(
        "call_a",
        "switch_profile",
        r#"{"profile":"clerk"}"#,
    )]));
    server.answer(chat::says(&["Exactly."]));
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let frames = client.run("how much?").await;
    assert_eq!(
        kinds(&frames),
        [
            "stream_start",
            "tool_started",
            "tool_call",
            "profile_switched",
            "stream_delta",
            "stream_end"
        ]
    );
    let clerk =
        json!({"type": "profile_switched", "profile_id": "clerk", "profile_name": "The clerk"});
    assert_eq!(switched(&frames), [clerk]);
    let (before, after) = (server.body(0), server.body(1));
    assert_eq!(tools(&before), ["uuid", "ask_helper", "switch_profile"]);
    assert_eq!(system(&before), "Be kind.");
    assert_eq!(tools(&after), ["calculator", "switch_profile"]);
    assert_eq!(system(&after), "Be kind.\n\nBe exact.");
    let kept = host.rest().get(&format!("/sessions/{session}")).await;
    assert_eq!(kept.body["profile"], "clerk");

    // The next run goes on under it, without a word.
    server.answer(chat::says(&["Still exact."]));
    let frames = client.run("and now?").await;
    assert_eq!(switched(&frames), [Value::Null; 0]);
    assert_eq!(system(&server.body(2)), "Be kind.\n\nBe exact.");

    // Another session does not.
    server.answer(chat::says(&["Hello."]));
    let mut other = host.client().await;
    other.run("hello").await;
    assert_eq!(system(&server.body(3)), "Be kind.");
    host.shut_down([client, other]).await;
    server.spent();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_choice_is_in_force_from_the_next_run_on() {
    let server = ModelServer::start().await;
    let toml = config(&server, PROFILES, "");
    let host = TestHost::with(&toml).await;
    let session = host.session().await;
    let path = format!("/sessions/{session}");
    let mut client = host.idle(session).await;
    let (answer, gate) = chat::begin().text("One").gate();
    let call = [("call_a", "switch_profile", r#"{"profile":"clerk"}"#)];
    server.answer(chat::fragments(answer, &call).end("tool_calls", 1, 1));
    server.answer(chat::says(&["Two"]));
    client.begin("hi").await;
    client.expect_kind("stream_delta").await;
    // While the run goes on, in which the model will go over to the clerk: what the user chose stays.
    let patched = host
        .rest()
        .patch(&path, &json!({"profile": "general"}))
        .await;
    assert_eq!(
        (patched.status, &patched.body["profile"]),
        (200, &json!("general"))
    );
    gate.open();
    client.rest_of_run().await;
    assert_eq!(host.rest().get(&path).await.body["profile"], "general");

    server.answer(chat::says(&["Three"]));
    let frames = client.run("hi").await;
    let general =
        json!({"type": "profile_switched", "profile_id": "general", "profile_name": "general"});
    assert_eq!(switched(&frames), [general]);
    assert_eq!(kinds(&frames)[1], "profile_switched");
    assert_eq!(system(&server.body(2)), "Be kind.");

    // One that there is not is the default; null is no choice.
    for profile in [json!("clerk"), json!("nobody"), Value::Null] {
        let patched = host
            .rest()
            .patch(&path, &json!({ "profile": profile }))
            .await;
        assert_eq!(patched.body["profile"], profile);
        server.answer(chat::says(&["Four"]));
        let frames = client.run("hi").await;
        let shown: Vec<_> = switched(&frames)
            .iter()
            .map(|event| event["profile_id"].clone())
            .collect();
        let expected: &[Value] = match profile.as_str() {
            Some("clerk") => &[json!("clerk")],
            Some(_) => &[json!("general")],
            None => &[],
        };
        assert_eq!(shown, expected, "{profile}");
    }
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_begin_under_one() {
    let (server, host) = stage(PROFILES).await;
    let new = json!({"agent": "model", "profile": "clerk"});
    let session = host.rest().create_session(&new).await;
    server.answer(chat::says(&["Exactly."]));
    let mut client = host.idle(session).await;
    let frames = client.run("hi").await;
    assert_eq!(switched(&frames).len(), 1);
    assert_eq!(system(&server.body(0)), "Be kind.\n\nBe exact.");
    end(server, host, client).await;
}
