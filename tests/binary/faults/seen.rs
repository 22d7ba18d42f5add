//! Whether what was seen is what the cell says.

use roundhouse_host::session::SessionId;
use roundhouse_tests::{Client as Connection, soon};
use serde_json::{Value, json};

use super::cells::{Cell, Client, Operator, Survives};
use super::host::Host;

/// Sends the message, and checks how its run ends for its client. `in_the_middle` is done when it has begun.
pub(super) async fn run(
    client: &mut Connection,
    message: &str,
    expected: Client,
    in_the_middle: impl AsyncFnOnce(&mut Connection),
) {
    client.message(message).await;
    match expected {
        // Perhaps before it was told that it has begun.
        Client::Lost => return drop(client.until_broken_off().await),
        Client::Refused(message) => return client.expect_error(message).await,
        _ => {}
    }
    client.expect_kind("stream_start").await;
    in_the_middle(client).await;
    let frames = client.rest_of_run().await;
    let last = frames.last().unwrap().value();
    match expected {
        Client::Ends | Client::Waits => assert_eq!(last["type"], "stream_end", "{frames:?}"),
        Client::Stopped => assert_eq!(last["type"], "stream_stopped", "{frames:?}"),
        Client::Error(message) => {
            assert_eq!(
                *last,
                json!({"type": "error", "message": message}),
                "{frames:?}"
            );
        }
        Client::ToolFails(result) => {
            let call = frames
                .iter()
                .find(|frame| frame.kind() == "tool_call")
                .unwrap_or_else(|| panic!("no call: {frames:?}"))
                .value();
            assert_eq!(
                (&call["success"], &call["result"]),
                (&json!(false), &json!(result))
            );
            assert_eq!(last["type"], "stream_end", "{frames:?}");
        }
        Client::Lost | Client::Refused(_) => {}
    }
}

/// Checks what the operator of a host that serves can see.
pub(super) async fn by_the_operator(host: &Host, before: Before, cell: &Cell) {
    for expected in cell.operator {
        match expected {
            Operator::Counted(kind) => {
                let agent = host.agent();
                let metrics = host.metrics().await;
                let failures: Vec<_> = metrics
                    .lines()
                    .filter(|line| line.starts_with("roundhouse_plugin_failures_total"))
                    .collect();
                let start = format!(
                    "roundhouse_plugin_failures_total{{kind=\"{kind}\",agent=\"{agent}\"}} "
                );
                let count = failures.iter().find_map(|line| line.strip_prefix(&*start));
                let count: u32 = count
                    .unwrap_or_else(|| panic!("no {start}: {failures:?}"))
                    .parse()
                    .unwrap();
                // The worker's other runs have failed as well.
                let is_alone = cell.survives != Survives::NewWorker;
                assert!(count == 1 || !is_alone, "{failures:?}");
                assert!(failures.len() == 1 || !is_alone, "{failures:?}");
            }
            Operator::Logged(text) => host.logs(text).await,
            Operator::Grows => {
                let now = host.serving().memory("VmRSS");
                assert!(
                    now > before.memory + 190 * 1024,
                    "{now} KiB after {before:?}"
                );
            }
            // Looked at where the process ends, and where it starts.
            Operator::Died(_) | Operator::Failed(_) => {}
        }
    }
    if !cell.operator.contains(&Operator::Grows) {
        let most = host.serving().memory("VmHWM");
        assert!(
            most < before.memory + 400 * 1024,
            "{most} KiB after {before:?}"
        );
    }
}

/// The host before it was harmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Its resident memory, in KiB.
    pub(super) memory: u64,
}

/// The session's latest run over HTTP.
pub(super) async fn latest_run(host: &Host, session: SessionId) -> Value {
    let runs = format!("/sessions/{session}/runs");
    host.rest().get(&runs).await.body["runs"][0].clone()
}

/// Waits until something is so that only files tell.
pub(super) async fn appears(what: &str, file: &std::path::Path, text: &str) {
    soon(what, async {
        while !std::fs::read_to_string(file).is_ok_and(|found| found.contains(text)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
