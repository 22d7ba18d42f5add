//! Servers that do what none should: none takes more than it is given, and none keeps the others from their work.

use roundhouse_tests::TestHost;
use roundhouse_tests::mcp::Folder;
use serde_json::json;

use super::stage::{answers, complains, config, failure, host, offered, text, text_arg, well};

/// One that goes wrong in this way, beside one that does not. Once it is another, all is well.
async fn it_is_given_up(mode: &str, settings: &str, told: &str) {
    let (bad, good) = (Folder::new(mode), Folder::new(""));
    let host = host(&[
        ("bad", format!("{}{settings}", bad.settings())),
        ("good", good.settings()),
    ])
    .await;
    complains(&host, told).await;
    assert_eq!(text(&host, "good_echo", text_arg("a")).await, "a");
    bad.set_mode("");
    answers(&host, "bad_echo", text_arg("b")).await;
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_shown_and_skipped() {
    let folder = Folder::new("banner");
    let host = host(&[("s", folder.settings())]).await;
    assert_eq!(text(&host, "s_echo", text_arg("a")).await, "a");
    assert_eq!(folder.entries("start").len(), 1);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_writes_no_messages_at_all_is_given_up() {
    let told = "it writes what is no message to its standard output, 1000 lines in a row";
    it_is_given_up("babble", "", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_is_not_kept() {
    let told = "it has sent a message of more than 1000000 bytes (`max_message_bytes`)";
    it_is_given_up("endless", "max_message_bytes = 1_000_000", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_ends_the_connection_and_the_call() {
    let folder = Folder::new("");
    let settings = format!("{}max_message_bytes = 1_000_000", folder.settings());
    let host = host(&[("s", settings)]).await;
    let told = failure(&host, "s_large", json!({"bytes": 2_000_000})).await;
    assert!(
        told.contains("the MCP server `s` has gone away during the call"),
        "{told}"
    );
    answers(&host, "s_large", json!({"bytes": 900_000})).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_all_that_a_server_can_say_unasked_is_borne() {
    let folder = Folder::new("flood");
    let host = host(&[("s", folder.settings())]).await;
    folder.wait_for("flooded", 1).await;
    assert_eq!(text(&host, "s_echo", text_arg("a")).await, "a");
    assert_eq!(folder.entries("start").len(), 1);
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_any_more_is_ended_and_started_again() {
    let folder = Folder::new("");
    let toml = config(&[("s", format!("{}ping_interval_ms = 100", folder.settings()))]);
    let toml = toml.replace(
        "component = \"mcp/mcp\"",
        "component = \"mcp/mcp\"\ntimeout = \"1s\"",
    );
    let host = TestHost::with(&toml).await;
    let told = failure(&host, "s_deaf", json!({})).await;
    assert!(told.contains("did not answer within 1 second"), "{told}");
    // Also while there are other calls, one after the other.
    answers(&host, "s_echo", text_arg("a")).await;
    assert_eq!(folder.entries("start").len(), 2);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_ends_although_a_server_does_not_read() {
    let folder = Folder::new("");
    let host = host(&[("s", format!("{}ping_interval_ms = 0", folder.settings()))]).await;
    let catalog = host.host().in_force().catalog.clone();
    let agent = catalog.agent("scripted").unwrap();
    let cancel = tokio_util::sync::CancellationToken::new();
    let large = "x".repeat(1 << 20);
    let calls = ["s_deaf", "s_echo", "s_echo"].map(|tool| {
        let args = text_arg(&large);
        let (catalog, cancel) = (&catalog, &cancel);
        async move {
            let request = roundhouse_host::plugin::ToolRequest {
                tool,
                args: &args,
                call_id: "call",
                run_id: "run",
                session_id: "session",
            };
            catalog.call_tool(agent, request, |_| {}, cancel).await
        }
    });
    // What comes behind that is more than any pipe holds.
    let stop = async {
        folder.wait_for("call deaf", 1).await;
        cancel.cancel();
    };
    let (outputs, ()) = tokio::join!(futures_util::future::join_all(calls), stop);
    assert!(
        outputs
            .iter()
            .all(|output| output.text.ends_with("was cancelled.")),
        "{outputs:?}"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_every_opening_is_told_of() {
    let folder = Folder::new("refuse");
    let host = host(&[("s", folder.settings())]).await;
    complains(
        &host,
        "it refuses the handshake: initialize is not known here (code -32601)",
    )
    .await;
    folder.set_mode("");
    offered(&host, "s_echo").await;
    host.shut_down([]).await;
}
