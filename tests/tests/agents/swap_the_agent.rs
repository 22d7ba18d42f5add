//! `docs/swap-the-agent.md`, as it stands there: three backends behind one name, one session, one connection.

use std::path::Path;

use roundhouse_tests::model::{KEY, chat};
use roundhouse_tests::{Client, ModelServer, TestHost, programs};

/// The page's configuration, with what this machine has in the place of what a reader has.
fn configuration(model: &ModelServer, folder: &Path) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/swap-the-agent.md");
    let page = std::fs::read_to_string(page).unwrap();
    let toml = page.split("```toml\n").nth(1).unwrap();
    let mut toml = toml.split("```").next().unwrap().to_owned();
    let programs = programs().unwrap();
    for (readers, ours) in [
        ("http://127.0.0.1:4010/v1", model.url()),
        // This one wants a key.
        ("\"any\"", format!("\"any\", api_key = {KEY:?}")),
        ("agent/bin/python", programs.to_str().unwrap().to_owned()),
        ("\"agent.py\"", "\"acp-agent\"".to_owned()),
        ("\"work\"", format!("{folder:?}")),
    ] {
        assert!(toml.contains(readers), "{readers}: {toml}");
        toml = toml.replace(readers, &ours);
    }
    toml
}

/// The same with the line of this component as the only one of the agent's that counts.
fn with(toml: &str, component: &str) -> String {
    let mut lines = Vec::new();
    for line in toml.lines() {
        let agent = line.trim_start_matches('#');
        lines.push(match agent.starts_with("assistant = ") {
            true if agent.contains(component) => agent.to_owned(),
            true => format!("#{agent}"),
            false => line.to_owned(),
        });
    }
    lines.join("\n")
}

/// The status and the answer.
async fn swap(host: &TestHost, toml: &str) -> (u16, String) {
    host.reconfigure(toml);
    let answer = host.reload().await;
    (answer.status, answer.body.to_string())
}

async fn says(client: &mut Client, text: &str) -> String {
    let frames = client.run(text).await;
    let end = frames.last().unwrap();
    assert_eq!(end.kind(), "stream_end", "{end:?}");
    end.text_at("content").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_backends_answer_one_client_in_one_session() {
    let model = ModelServer::start().await;
    let work = tempfile::tempdir().unwrap();
    let page = configuration(&model, work.path());
    let host = TestHost::with(&page).await;
    let mut client = host.client().await;
    assert_eq!(says(&mut client, "Who is there?").await, "Who is there?");

    model.answer(chat::says(&["A model, ", "as far as you can tell."]));
    assert_eq!(swap(&host, &with(&page, "openai/openai")).await.0, 200);
    assert_eq!(
        says(&mut client, "And now?").await,
        "A model, as far as you can tell."
    );
    // It knows what was said before it came.
    let messages = model.body(0)["messages"].to_string();
    for part in ["Who is there?", "And now?"] {
        assert!(messages.contains(part), "{messages}");
    }

    assert_eq!(swap(&host, &with(&page, "acp/acp")).await.0, 200);
    assert_eq!(says(&mut client, "you, too").await, "you, too");
    // And so does this one, which here tells what it was asked.
    let asked = says(&mut client, r#"[{"prompts": true}]"#).await;
    assert_eq!(asked, "2");

    // A line that does not do changes nothing.
    let missing = page.replace(&format!("{:?}", work.path()), "\"no/such/folder\"");
    let (status, faults) = swap(&host, &with(&missing, "acp/acp")).await;
    assert_eq!(status, 422);
    assert!(faults.contains("no/such/folder"), "{faults}");
    assert_eq!(says(&mut client, "still there").await, "still there");

    // Back to the model, which has all of it, the program's words too.
    model.answer(chat::says(&["Me again."]));
    assert_eq!(swap(&host, &with(&page, "openai/openai")).await.0, 200);
    assert_eq!(says(&mut client, "Who else was there?").await, "Me again.");
    let messages = model.body(1)["messages"].to_string();
    for part in ["as far as you can tell", "you, too", "still there"] {
        assert!(messages.contains(part), "{messages}");
    }
    assert_eq!(swap(&host, &page).await.0, 200);
    assert_eq!(says(&mut client, "echo?").await, "echo?");
    host.shut_down([client]).await;
    model.spent();
}
