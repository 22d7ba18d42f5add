//! What is remembered for a user, across sessions and restarts.

use std::time::Duration;

use roundhouse_tests::model::chat;
use roundhouse_tests::{ModelServer, TestHost};
use serde_json::json;

use super::stage::{all, config, last, stage};

#[tokio::test(flavor = "multi_thread")]
async fn the_model_remembers_finds_and_forgets() {
    let server = ModelServer::start().await;
    let toml = config(&server, "memory = true", "");
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    server.answer(chat::calls(&[
        (
            "call_a",
            "memory_save",
            r#"{"key":"tea","text":"Likes green tea."}"#,
        ),
        (
            "call_b",
            "memory_save",
            r#"{"key":"city","text":"Lives in Düsseldorf."}"#,
        ),
    ]));
    server.answer(chat::says(&["Noted."]));
    let frames = client.run("I like green tea").await;
    let results: Vec<_> = all(&frames, "tool_call")
        .iter()
        .map(|call| call["success"].clone())
        .collect();
    assert_eq!(results, [json!(true), json!(true)]);

    // In another session, of another process.
    let folder = host.leave_folder([client]).await;
    let host = TestHost::in_folder(folder, &toml, Duration::ZERO).await;
    let mut client = host.client().await;
    server.answer(chat::calls(&[
        ("call_a", "memory_search", r#"{"query":"which TEA?"}"#),
        ("call_b", "memory_search", r#"{"query":"coffee"}"#),
        ("call_c", "memory_save", r#"{"key":" ","text":"x"}"#),
        ("call_d", "memory_delete", r#"{"key":"nothing"}"#),
    ]));
    server.answer(chat::calls(&[(
        "call_e",
        "memory_delete",
        r#"{"key":"tea"}"#,
    )]));
    server.answer(chat::calls(&[(
        "call_f",
        "memory_search",
        r#"{"query":""}"#,
    )]));
    server.answer(chat::says(&["Green tea."]));
    let frames = client.run("what do I like?").await;
    assert_eq!(last(&frames)["content"], "Green tea.");
    let messages = server.body(5)["messages"].clone();
    let results: Vec<_> = messages
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        results,
        [
            r#"[{"key":"tea","text":"Likes green tea."}]"#,
            "Nothing is remembered about that.",
            "Error: `key` must be a text that is not empty.",
            "Error: Nothing is remembered as `nothing`.",
            "Forgotten: tea",
            r#"[{"key":"city","text":"Lives in Düsseldorf."}]"#,
        ]
    );
    host.shut_down([client]).await;
    server.spent();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused() {
    let (server, host) = stage("memory = true").await;
    let mut client = host.client().await;
    let long = json!({"key": "k", "text": "x".repeat(65_537)}).to_string();
    let name = json!({"key": "k".repeat(201), "text": "x"}).to_string();
    server.answer(chat::calls(&[
        ("call_a", "memory_save", &long),
        ("call_b", "memory_save", &name),
    ]));
    server.answer(chat::says(&["Too much."]));
    client.run("remember").await;
    let messages = server.body(1)["messages"].clone();
    assert_eq!(
        messages[2]["content"],
        "Error: the text takes 65537 bytes; at most 65536 are kept"
    );
    assert_eq!(
        messages[3]["content"],
        "Error: the key takes 201 bytes; at most 200 are kept"
    );
    host.shut_down([client]).await;
    server.spent();
}

/// Two owners; the tokens are "one" and "two".
const TOKENS: &str = r#"
[[auth.tokens]]
owner = "ada"
sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

[[auth.tokens]]
owner = "bob"
sha256 = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_owner_has_a_memory_of_its_own() {
    let server = ModelServer::start().await;
    let host = TestHost::with(&config(&server, "memory = true", TOKENS)).await;
    let mut clients = Vec::new();
    let save = (
        "call_a",
        "memory_save",
        r#"{"key":"tea","text":"Likes green tea."}"#,
    );
    let search = ("call_b", "memory_search", r#"{"query":"tea"}"#);
    for (token, call) in [("one", save), ("two", search), ("one", search)] {
        server.answer(chat::calls(&[call]));
        server.answer(chat::says(&["Done."]));
        let bearer = format!("Bearer {token}");
        let rest = host.rest().header("authorization", &bearer);
        let session = rest.create_session(&json!({})).await;
        let connect = host.connect_to(session).header("authorization", &bearer);
        let mut client = connect.open().await;
        client.expect_kind("session_sync").await;
        client.run("go").await;
        clients.push(client);
    }
    let found = |request: usize| server.body(request)["messages"][2]["content"].clone();
    assert_eq!(found(3), "Nothing is remembered about that.");
    assert_eq!(found(5), r#"[{"key":"tea","text":"Likes green tea."}]"#);
    host.shut_down(clients).await;
    server.spent();
}
