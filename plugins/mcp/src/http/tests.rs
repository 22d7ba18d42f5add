use plugin_api::serde_json::{self, Value, json};

use super::*;

fn problem(server: Value) -> String {
    let server: Server = serde_json::from_value(server).unwrap();
    let url = server.url.clone().unwrap();
    Endpoint::new("s", &server, &url).unwrap_err().to_string()
}

#[test]
fn an_address_or_a_header_that_is_none_is_told_with_its_key() {
    for (server, told) in [
        (json!({"url": "mcp"}), "url: relative URL without a base"),
        (
            json!({"url": "ftp://h/"}),
            "url: must begin with http:// or https://",
        ),
        (
            json!({"url": "http://me:hunter2@h/"}),
            "url: must not hold a user or a password; use bearer_token or headers",
        ),
        (
            json!({"url": "http://h/", "bearer_token": " "}),
            "bearer_token: must not be empty",
        ),
        (
            json!({"url": "http://h/", "headers": {"a b": "c"}}),
            "headers.a b: is no name of a header",
        ),
        (
            json!({"url": "http://h/", "headers": {"x": "hunter2\n3"}}),
            "headers.x: has letters that no header can have",
        ),
        (
            json!({"url": "http://h/", "headers": {"Mcp-Session-Id": "1"}}),
            "headers.Mcp-Session-Id: the protocol itself has this header",
        ),
    ] {
        assert_eq!(problem(server), format!("configuration: servers.s.{told}"));
    }
}

#[test]
fn nothing_prints_a_secret() {
    let server: Server = serde_json::from_value(json!({
        "url": "http://h/", "bearer_token": "hunter22", "headers": {"x": "hunter33"}
    }))
    .unwrap();
    let printed = format!("{:?}", Endpoint::new("s", &server, "http://h/").unwrap());
    assert!(!printed.contains("hunter"), "{printed}");
}
