//! Agents that fail, and what clients and operators are told.

use roundhouse_tests::until;
use serde_json::{Value, json};

use super::stage::{Stage, all, content, error, gone, pid, say, script};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_in_mid_turn_is_told_with_its_last_words() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let call = json!({"update": {"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "t"}});
    let steps = [
        say("So far"),
        call,
        json!({"complain": "out of tokens"}),
        json!({"exit": 7}),
    ];
    let frames = client.run(&script(&steps)).await;
    assert_eq!(
        error(&frames),
        "The agent's program ended in the middle of the turn: it ended with exit code 7. Its last words:\nout of tokens"
    );
    assert_eq!(all(&frames, "tool_call")[0]["success"], false);
    let frames = client.run("and now?").await;
    assert!(content(&frames).ends_with("and now?"));
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_a_key_that_the_program_repeats() {
    let stage = Stage::with(&[], "env = { ACP_KEY = \"sk-123456\" }").await;
    let mut client = stage.host.client().await;
    let steps = [
        json!({"complain": "the key sk-123456 is not known"}),
        json!({"exit": 1}),
    ];
    let frames = client.run(&script(&steps)).await;
    let text = error(&frames);
    assert!(
        text.ends_with("Its last words:\nthe key *** is not known"),
        "{text}"
    );
    stage.end([client]).await;
}

/// The health of the agent, as the operator reads it.
async fn health(stage: &Stage) -> Value {
    let agents = stage.host.rest().get("/agents").await.body;
    let agents = agents["agents"].as_array().unwrap().clone();
    agents
        .into_iter()
        .find(|agent| agent["name"] == "acp")
        .unwrap()["health"]
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_told_to_clients_and_operators() {
    let stage = Stage::with(&[], "").await;
    let mut client = stage.host.client().await;
    client.run("hello").await;
    assert_eq!(health(&stage).await["state"], "ok");
    let toml = std::fs::read_to_string(stage.host.path("test.toml")).unwrap();
    let command = toml
        .lines()
        .find(|line| line.starts_with("command"))
        .unwrap()
        .to_owned();
    stage
        .host
        .reconfigure(&toml.replace(&command, "command = \"no-such-agent-anywhere\""));
    assert_eq!(stage.host.reload().await.status, 200);
    let frames = client.run("hello").await;
    let text = error(&frames);
    assert!(
        text.starts_with("The agent's program could not be started: ")
            && text.contains("no-such-agent-anywhere"),
        "{text}"
    );
    let health = health(&stage).await;
    assert_eq!(health["state"], "failing", "{health}");
    assert_eq!(
        health["text"], "The agent's program could not be started. The log says why.",
        "{health}"
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_says_is_not_told_to_all_who_see_the_agent() {
    let stage = Stage::with(&["dies"], "").await;
    let mut client = stage.host.client().await;
    assert!(error(&client.run("hello").await).contains("there is no model today"));
    assert_eq!(
        health(&stage).await["text"],
        "The agent's program ended before there was a session: it ended with exit code 3. The log has its last words."
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_a_part_of_a_key() {
    let key = "-----BEGIN KEY-----\nline-of-the-key\n-----END KEY-----";
    let env =
        format!("env = {{ A_PART = \"sk-123\", ACP_KEY = {key:?}, ANOTHER = \"sk-123456\" }}");
    let stage = Stage::with(&[], &env).await;
    let mut client = stage.host.client().await;
    // Where a line is cut, and where an error is.
    let long = format!("{}sk-123456 and on", "x".repeat(295));
    let steps = [
        json!({ "complain": long }),
        json!({ "complain": key }),
        json!({ "exit": 1 }),
    ];
    let frames = client.run(&script(&steps)).await;
    let text = error(&frames);
    assert!(
        text.ends_with("xx*** a…\n***\n***\n***") && !text.contains("sk-"),
        "{text}"
    );
    let words = format!("{}sk-123456", "x".repeat(6 * 1024 - 38 - 5));
    let fail = json!({"fail": {"code": -32603, "message": words}});
    let frames = client.run(&script(&[fail])).await;
    assert!(!error(&frames).contains("sk-"));
    stage.end([client]).await;
}

/// An agent that begins like this cannot be spoken with; what clients are told.
async fn refused(args: &[&str], settings: &str) -> String {
    let stage = Stage::with(args, settings).await;
    let mut client = stage.host.client().await;
    let frames = client.run("hello").await;
    let text = error(&frames).to_owned();
    stage.end([client]).await;
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_at_once_is_told_with_its_last_words() {
    assert_eq!(
        refused(&["dies"], "").await,
        "The agent's program ended before there was a session: it ended with exit code 3. Its last words:\nthere is no model today"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_answers_is_not_waited_for() {
    let text = refused(&["silent"], "start_timeout_ms = 300").await;
    assert_eq!(
        text,
        "The agent's program has not answered `initialize` within 0.3 seconds (start_timeout_ms)."
    );
    let text = refused(&["silent-session"], "start_timeout_ms = 1500").await;
    assert!(text.contains("`session/new` within 1.5 seconds"), "{text}");
    let text = refused(&["banner", "silent"], "start_timeout_ms = 1500").await;
    assert!(
        text.ends_with("It has printed 2 lines that are no messages, the last one: {\"half\":"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_version_is_told_so() {
    assert_eq!(
        refused(&["newer"], "").await,
        "The agent's program speaks version 2 of the protocol; this host speaks version 1."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_wants_a_login_is_told_so() {
    let text = refused(&["login"], "").await;
    assert!(
        text.starts_with(
            "The agent's program asks for a login. It knows these ways: An API key (`key`)."
        ),
        "{text}"
    );
    let text = refused(&["login"], "auth_method = \"face\"").await;
    assert!(text.contains("has refused `authenticate`"), "{text}");
    let stage = Stage::with(&["login"], "auth_method = \"key\"").await;
    let mut client = stage.host.client().await;
    assert_eq!(content(&client.run("hello").await), "hello");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_messages_are_passed_over() {
    let stage = Stage::with(&["banner"], "").await;
    let mut client = stage.host.client().await;
    let steps = [
        json!({"raw": "npm WARN deprecated"}),
        json!({"raw": "[]\n7\n\"text\"\n{}\n{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":null}"}),
        json!({"raw": "{\"method\":\"session/update\",\"params\":7}"}),
        json!({"raw": "{\"method\":\"session/update\",\"params\":{\"sessionId\":\"another\",\"update\":{\"sessionUpdate\":\
            \"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"not mine\"}}}}"}),
        say("fine"),
    ];
    assert_eq!(content(&client.run(&script(&steps)).await), "fine");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_is_not_read_for_ever() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let process = pid(&mut client).await;
    let frames = client
        .run(&script(&[say("So far"), json!({"endless": true})]))
        .await;
    assert_eq!(
        error(&frames),
        "The agent's program was ended: it has sent a line of more than 64 MiB."
    );
    gone(process).await;
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_work_is_refused_at_once() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let toml = std::fs::read_to_string(stage.host.path("test.toml")).unwrap();
    let folder = toml
        .lines()
        .find(|line| line.starts_with("folder"))
        .unwrap()
        .to_owned();
    let with = |line: &str| toml.replace(&folder, line);
    for (wrong, told) in [
        (with("folder = \"/no/such\""), "folder: `/no/such`"),
        (with(""), "folder"),
        (toml.clone() + "permissions = \"ask\"\n", "permissions"),
    ] {
        stage.host.reconfigure(&wrong);
        let answer = stage.host.reload().await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert!(answer.body.to_string().contains(told), "{}", answer.body);
    }
    // What was in force is still.
    let process = pid(&mut client).await;
    until("its process", || super::stage::is_there(process)).await;
    stage.end([client]).await;
}
