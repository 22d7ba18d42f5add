//! A host that is told by a signal to read its configuration again.

use roundhouse_tests::script::hold;
use roundhouse_tests::{script, soon};
use serde_json::json;

use crate::signals::{CONFIG, draining, exit_code, folder, idle, serve};

#[tokio::test(flavor = "multi_thread")]
async fn at_a_hang_up_it_reads_its_configuration_again_and_goes_on() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let mut client = idle(&serving, session).await;
    client.begin(&script(&[hold()])).await;
    let file = folder.path().join("config/roundhouse.toml");
    let agents = async || {
        let agents = rest.get("/agents").await.body;
        agents["agents"].as_array().unwrap().len()
    };
    let more = "[agents.second]\ncomponent = \"scripted/scripted\"\n";
    // A wrong one changes nothing, and the next one is taken.
    for (text, expected) in [
        (format!("{CONFIG}{more}"), 1),
        (format!("default_agent = \"scripted\"\n{CONFIG}{more}"), 2),
    ] {
        std::fs::write(&file, text).unwrap();
        serving.signal("HUP");
        let result = if expected == 1 { "refused" } else { "ok" };
        let line = format!("roundhouse_reloads_total{{result=\"{result}\"}} 1");
        soon("the reload", async {
            while !rest.text("/metrics").await.contains(&line) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
        assert_eq!(agents().await, expected);
    }
    assert_eq!(rest.stop(session).await.body, json!({"ok": true}));
    client.expect_kind("stream_stopped").await;
    serving.signal("TERM");
    assert_eq!(client.closed().await, draining());
    assert_eq!(exit_code(serving).await, Some(0));
}
