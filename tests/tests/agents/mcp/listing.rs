//! What `GET /tools` shows of servers' tools, and how changes are followed.

use roundhouse_tests::mcp::Folder;
use serde_json::json;

use super::stage::{call, complains, health, host, names, offered, text, text_arg, tools, well};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_followed_although_the_list_is_not_to_be_had_at_first() {
    let folder = Folder::new("moody_list");
    let host = host(&[("s", folder.settings())]).await;
    text(&host, "s_more", json!({})).await;
    offered(&host, "s_extra").await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_there_with_prefix_schema_and_description() {
    let (one, two) = (Folder::new(""), Folder::new(""));
    let host = host(&[
        ("one", one.settings()),
        (
            "two",
            format!("{}prefix = \"\"\ntools = [\"e*\", \"s*s\"]", two.settings()),
        ),
    ])
    .await;
    // In two pages; the tool without a schema and the one with a blank in its name are left out.
    let own = [
        "echo", "variable", "wait", "steps", "die", "more", "ask", "log", "large", "odd", "refuse",
        "fail", "deaf", "busy",
    ];
    let mut expected: Vec<_> = own.iter().map(|name| format!("one_{name}")).collect();
    expected.extend(["echo".to_owned(), "steps".to_owned()]);
    assert_eq!(names(&host).await, expected);
    let listed = tools(&host).await;
    assert_eq!(
        listed["tools"][0],
        json!({
            "name": "one_echo", "description": "Says it again.", "toolset": "mcp", "plugin": "mcp",
            "input_schema": {
                "type": "object",
                "properties": {"text": {"type": "string", "description": "What to say."}}
            }
        })
    );
    assert_eq!(health(&host).await, ("ok".to_owned(), String::new()));
    assert_eq!(text(&host, "one_echo", text_arg("a")).await, "a");
    assert_eq!(text(&host, "echo", text_arg("b")).await, "b");
    assert_eq!(
        (one.entries("call").len(), two.entries("call").len()),
        (1, 1)
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_checked_against_the_servers_schema() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let output = call(&host, "s_echo", json!({"text": 7})).await.output;
    assert!(
        !output.success && output.text.contains("/text: is a number"),
        "{output:?}"
    );
    assert_eq!(folder.entries("call"), [""; 0]);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_list_is_followed() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    assert!(!names(&host).await.contains(&"s_extra".to_owned()));
    assert_eq!(text(&host, "s_more", json!({})).await, "there it is");
    offered(&host, "s_extra").await;
    assert_eq!(text(&host, "s_extra", json!({})).await, "new");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_the_new_opening_alone_is_spoken_to_in_that() {
    let folder = Folder::new("modern");
    let host = host(&[("s", folder.settings())]).await;
    assert_eq!(text(&host, "s_echo", text_arg("a")).await, "a");
    assert_eq!(folder.entries("discover").len(), 1);
    // Once for each opening.
    assert_eq!(folder.entries("start").len(), 2);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opening_that_is_configured_is_the_only_one() {
    let (new, old) = (Folder::new("modern"), Folder::new(""));
    let host = host(&[
        (
            "new",
            format!("{}handshake = \"initialize\"", new.settings()),
        ),
        ("old", format!("{}handshake = \"discover\"", old.settings())),
    ])
    .await;
    let told = complains(&host, "`new` is away").await;
    assert!(
        told.contains("it refuses the handshake: initialize is not known here (code -32601)"),
        "{told}"
    );
    assert!(
        told.contains("it refuses the handshake: server/discover (code -32601)"),
        "{told}"
    );
    assert_eq!(names(&host).await, [""; 0]);
    host.shut_down([]).await;
    assert!(new.entries("discover").is_empty() && old.entries("initialize").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_end_is_none() {
    let folder = Folder::new("endless_list");
    let host = host(&[("s", folder.settings())]).await;
    complains(&host, "its list of tools has more than 100 pages").await;
    folder.set_mode("");
    well(&host).await;
    offered(&host, "s_echo").await;
    host.shut_down([]).await;
}
