//! Services of the host, from both sides.

use plugin_api::abi::import::{FailureKind, ServiceFailure};
use plugin_api::serde_json::{Value, json};
use plugin_api::{Event, Outcome, RunContext, RunError, ServiceErrorCode};
use tokio::sync::mpsc;

use crate::host::{agent, host, run_json};

/// What the fixture's agent does when it is told to use a service.
pub(crate) async fn act(word: &str, rest: &str, ctx: &RunContext) -> Result<Outcome, RunError> {
    let content = match word {
        "tool" => format!(
            "{:?}",
            ctx.call_tool(rest, json!({ "x": 1 }))
                .await
                .map(|output| output.text)
        ),
        "tool?" => ctx.call_tool(rest, json!({})).await?.text,
        "tools" => format!("{:?}", ctx.tools().await?),
        "subagent" => {
            let (sender, mut events) = mpsc::channel(2);
            let outcome = ctx.run_agent_watched("other", rest, sender).await?;
            let mut names = Vec::new();
            while let Some(event) = events.recv().await {
                names.push(event.name().to_owned());
            }
            format!("{} {} {names:?}", outcome.content, outcome.stopped)
        }
        "history" => {
            let mut history = ctx.history().page_size(2);
            let mut turns = Vec::new();
            while let Some(page) = history.next_page().await? {
                turns.push(page.iter().map(|turn| turn.turn).collect::<Vec<_>>());
            }
            format!("{turns:?}")
        }
        "latest" => {
            let turns = ctx.history().latest(3).await?;
            format!(
                "{:?}",
                turns.iter().map(|turn| turn.turn).collect::<Vec<_>>()
            )
        }
        "state" => {
            let entry = ctx.state_get("key").await?;
            let version = ctx
                .state_put("key", json!([entry.value]), Some(entry.version))
                .await?;
            version.to_string()
        }
        "abandon" => {
            // Polled once, then dropped.
            tokio::select! {
                biased;
                _ = ctx.call_tool("slow", json!({})) => unreachable!(),
                () = std::future::ready(()) => {}
            }
            "abandoned".to_owned()
        }
        other => return Err(RunError::agent(format!("what is {other}?"))),
    };
    Ok(Outcome::finished(content))
}

#[tokio::test]
async fn a_tool_is_called() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("tool add"));
    let request = run.request().await;
    assert_eq!(
        (request.method.as_str(), &request.params),
        ("tools/call", &json!({ "tool": "add", "args": { "x": 1 } }))
    );
    request.sink.item("{\"type\":\"ignored\"}");
    request.sink.done(Ok(
        "{\"text\":\"3\",\"parts\":[{\"type\":\"hologram\"}],\"news\":1}",
    ));
    assert_eq!(run.finished().await.content, "Ok(\"3\")");
}

#[tokio::test]
async fn failures_of_a_service_keep_their_code() {
    let worker = agent("worker", "{}").await;
    let failed = |code| ServiceFailure::failed(code, "because");
    for (failure, text) in [
        (
            failed(ServiceErrorCode::NotFound),
            "NotFound, message: \"because\"",
        ),
        (
            failed(ServiceErrorCode::Timeout),
            "Timeout, message: \"because\"",
        ),
        (
            ServiceFailure::Unsupported,
            "Unsupported, message: \"the host refused the request: unsupported\"",
        ),
        (
            ServiceFailure::Cancelled,
            "Cancelled, message: \"cancelled: the run or call is over\"",
        ),
    ] {
        let mut run = host().scope();
        worker.run(run.id, &run_json("tool add"));
        run.request().await.sink.done(Err(failure));
        assert_eq!(
            run.finished().await.content,
            format!("Err(ServiceError {{ code: {text} }})")
        );
    }
}

#[tokio::test]
async fn a_request_that_nobody_answers_is_cancelled() {
    let worker = agent("worker", "{}").await;
    // A run that was stopped ends as stopped for it; one that was not has failed.
    let mut run = host().scope();
    worker.run(run.id, &run_json("tool? add"));
    let request = run.request().await;
    worker.stop(run.id);
    drop(request.sink);
    run.stopped().await;

    let mut run = host().scope();
    worker.run(run.id, &run_json("tool? add"));
    drop(run.request().await.sink);
    let (kind, text) = run.failed().await;
    assert_eq!(kind, FailureKind::Agent);
    assert!(text.ends_with("a service was cancelled"), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_an_error() {
    let worker = agent("worker", "{}").await;
    for answer in ["", "7", "{\"text\":5}", "{"] {
        let mut run = host().scope();
        worker.run(run.id, &run_json("tool add"));
        run.request().await.sink.done(Ok(answer));
        let content = run.finished().await.content;
        assert!(
            content.starts_with("Err(ServiceError { code: Internal"),
            "{content}"
        );
    }
}

#[tokio::test]
async fn a_request_that_the_author_drops_is_cancelled() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("abandon"));
    let request = run.request().await;
    run.until_cancelled(request.id).await;
    assert_eq!(run.finished().await.content, "abandoned");
    // What comes late finds nothing.
    request.sink.item("{}");
    request.sink.done(Ok("{}"));
}

#[tokio::test]
async fn a_subagents_events_come_on_the_way_as_far_as_there_is_room() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("subagent please"));
    let request = run.request().await;
    assert_eq!(
        (request.method.as_str(), &request.params["content"]),
        ("agents/run", &json!("please"))
    );
    request.sink.item("nonsense");
    request.sink.item("{\"type\":\"plan_ready\",\"plan\":7}");
    request
        .sink
        .item("{\"type\":\"stream_delta\",\"delta\":\"x\"}");
    request.sink.item("{\"type\":\"there_is_no_room\"}");
    request
        .sink
        .done(Ok("{\"content\":\"yes\",\"status\":\"stopped\"}"));
    assert_eq!(
        run.finished().await.content,
        "yes true [\"plan_ready\", \"stream_delta\"]"
    );
}

#[tokio::test]
async fn history_is_read_in_pages_from_the_latest_backwards() {
    let worker = agent("worker", "{}").await;
    for (content, outcome) in [
        ("history", "[[5, 6], [3, 4], [2]]"),
        ("latest", "[4, 5, 6]"),
    ] {
        let mut run = host().scope();
        worker.run(run.id, &run_json(content));
        let pages: [(Value, &[u64], bool); 3] = [
            (Value::Null, &[5, 6], true),
            (json!(5), &[3, 4], true),
            (json!(3), &[2], false),
        ];
        for (before, turns, more) in pages
            .into_iter()
            .take(if content == "latest" { 2 } else { 3 })
        {
            let request = run.request().await;
            assert_eq!(
                (request.method.as_str(), &request.params["before"]),
                ("history/list", &before)
            );
            let turns: Vec<_> = turns
                .iter()
                .map(|turn| json!({ "turn": turn, "role": "assistant" }))
                .collect();
            let before = turns[0]["turn"].clone();
            request.sink.done(Ok(
                &json!({ "turns": turns, "more": more, "before": before }).to_string(),
            ));
        }
        assert_eq!(run.finished().await.content, outcome);
    }
}

#[tokio::test]
async fn state_is_read_and_written_with_its_version() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("state"));
    let get = run.request().await;
    assert_eq!(
        (get.method.as_str(), get.params),
        ("state/get", json!({ "key": "key" }))
    );
    get.sink.done(Ok("{\"value\":\"v\",\"version\":4}"));
    let put = run.request().await;
    let expected = json!({ "key": "key", "value": ["v"], "expected_version": 4 });
    assert_eq!((put.method.as_str(), put.params), ("state/put", expected));
    put.sink.done(Ok("{\"version\":5}"));
    assert_eq!(run.finished().await.content, "5");
}

#[tokio::test]
async fn a_request_that_is_open_when_the_run_ends_is_over() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("tool add"));
    let request = run.request().await;
    worker.stop(run.id);
    // The grace ends the run, which drops the request.
    run.stopped().await;
    run.until_cancelled(request.id).await;
    assert!(
        !run.events()
            .iter()
            .any(|event| matches!(event, Event::ToolCall(_)))
    );
    request.sink.done(Ok("{}"));
}
