use std::sync::Mutex;

use plugin_api::ServiceErrorCode;
use plugin_api::serde_json::{self, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::*;
use crate::script::Received;

/// A run that writes down what happens to it.
struct Recorder {
    emitted: Mutex<Vec<Value>>,
    stop: watch::Sender<bool>,
    /// How long it takes to take an event.
    slowness: Duration,
}

impl Recorder {
    fn new() -> Self {
        Self {
            emitted: Mutex::default(),
            stop: watch::Sender::new(false),
            slowness: Duration::ZERO,
        }
    }

    fn emitted(&self) -> Vec<Value> {
        self.emitted.lock().unwrap().clone()
    }

    fn deltas(&self) -> Vec<String> {
        let text = |event: Value| event["delta"].as_str().map(str::to_owned);
        self.emitted().into_iter().filter_map(text).collect()
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Stage for Recorder {
    async fn emit(&self, event: &Event) -> Result<(), EmitError> {
        // As the host does: its own events, and custom ones that are named like them, are refused.
        if ["stream_start", "stream_stopped", "error"].contains(&event.name()) {
            return Err(EmitError::Invalid);
        }
        let message = Value::Object(event.to_wire());
        self.emitted.lock().unwrap().push(message);
        if !self.slowness.is_zero() {
            sleep(self.slowness).await;
        }
        Ok(())
    }

    async fn stopped(&self) {
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    async fn received(&self, what: Received) -> Result<String, RunError> {
        Ok(format!("{what:?}"))
    }

    async fn call_tool(&self, name: &str, args: Value) -> Result<(), ServiceError> {
        match name {
            "missing" => Err(ServiceError::new(
                ServiceErrorCode::NotFound,
                "there is no tool `missing`",
            )),
            "slow" => {
                sleep(Duration::from_secs(100)).await;
                Ok(())
            }
            _ => {
                let call = json!({"called": name, "args": args});
                self.emitted.lock().unwrap().push(call);
                Ok(())
            }
        }
    }

    async fn run_agent(&self, agent: &str, content: String) -> Result<bool, ServiceError> {
        let run = json!({"ran": agent, "content": content});
        self.emitted.lock().unwrap().push(run);
        if agent == "waiting" {
            self.stopped().await;
        }
        Ok(self.is_stopped())
    }
}

async fn play_on(stage: &Recorder, steps: Value) -> Result<End, RunError> {
    let script = Script::parse(&serde_json::to_string(&steps).unwrap()).unwrap();
    Player::new(stage).play(script).await
}

async fn play(steps: Value) -> (Result<End, RunError>, Recorder) {
    let stage = Recorder::new();
    (play_on(&stage, steps).await, stage)
}

fn finished(content: &str, words: u64) -> End {
    End {
        content: content.to_owned(),
        token_count: words,
        ..End::default()
    }
}

fn stopped(content: &str, words: u64) -> End {
    End {
        stopped: true,
        ..finished(content, words)
    }
}

#[tokio::test]
async fn text_is_echoed_word_by_word() {
    let stage = Recorder::new();
    let end = Player::new(&stage)
        .echo_words("  two\n\twörds ")
        .await
        .unwrap();
    assert_eq!(stage.deltas(), ["two ", "wörds "]);
    assert_eq!(end, finished("  two\n\twörds ", 2));
}

#[tokio::test]
async fn a_long_word_is_streamed_in_pieces() {
    let stage = Recorder::new();
    let word = "é".repeat(MAX_DELTA_BYTES);
    let end = Player::new(&stage).echo_words(&word).await.unwrap();
    assert_eq!(end, finished(&word, 1));
    assert_eq!(stage.deltas().concat(), format!("{word} "));
    assert!(
        stage
            .deltas()
            .iter()
            .all(|delta| delta.len() <= MAX_DELTA_BYTES)
    );
}

#[tokio::test]
async fn a_script_ends_with_what_it_streamed() {
    let (end, stage) = play(json!([
        {"emit": {"kind": "thinking_delta", "delta": "hm"}},
        {"emit": {"kind": "stream_delta", "delta": "one {i}"}},
        {"repeat": [2, {"kind": "stream_delta", "delta": " <{i}>"}]},
    ]))
    .await;
    assert_eq!(end.unwrap(), finished("one {i} <0> <1>", 4));
    assert_eq!(stage.deltas(), ["hm", "one {i}", " <0>", " <1>"]);
}

#[tokio::test]
async fn fields_left_out_are_empty_or_zero_and_unknown_kinds_are_custom() {
    let (_, stage) = play(json!([
        {"emit": {"kind": "tool_call", "tool": "t"}},
        {"emit": {"kind": "note", "b": [1], "a": null}},
    ]))
    .await;
    assert_eq!(
        stage.emitted(),
        [
            json!({"type": "tool_call", "tool": "t", "args": null, "result": "", "success": false,
                "is_subagent": false, "metadata": null}),
            json!({"type": "note", "b": [1], "a": null}),
        ]
    );
}

#[tokio::test]
async fn stream_end_ends_the_run_as_it_says() {
    let (end, stage) = play(json!([
        {"emit": {"kind": "stream_delta", "delta": "streamed"}},
        {"emit": {"kind": "stream_end", "content": "said", "context_tokens": 1, "max_context_tokens": 2,
            "token_count": 3}},
        {"panic": "must not be reached"},
    ]))
    .await;
    let said = End {
        context_tokens: 1,
        max_context_tokens: 2,
        ..finished("said", 3)
    };
    assert_eq!(end.unwrap(), said);
    assert_eq!(stage.deltas(), ["streamed"]);

    let (end, _) = play(json!([{"repeat": [5, {"kind": "stream_end", "content": "{i}"}]}])).await;
    assert_eq!(end.unwrap(), finished("0", 0));
}

#[tokio::test]
async fn a_refused_event_fails_the_run_and_is_named() {
    for kind in ["stream_start", "stream_stopped", "error"] {
        let (end, stage) = play(json!([
            {"echo": "user"}, {"emit": {"kind": kind}}, {"echo": "user"},
        ]))
        .await;
        assert_eq!(
            end.unwrap_err().to_string(),
            format!("script, step 2 (`emit` of `{kind}`): the host refused the event as invalid")
        );
        assert_eq!(stage.deltas(), ["User"]);
    }
}

#[tokio::test(start_paused = true)]
async fn paced_events_wait_before_each() {
    let begin = Instant::now();
    let (end, _) =
        play(json!([{"paced": [3, 2.5, {"kind": "stream_delta", "delta": "{i} "}]}])).await;
    assert_eq!(end.unwrap(), finished("0 1 2 ", 3));
    assert_eq!(begin.elapsed().as_millis(), 7500);
}

#[tokio::test(start_paused = true)]
async fn paced_events_keep_their_rate_when_each_takes_time() {
    let mut stage = Recorder::new();
    stage.slowness = Duration::from_secs(7);
    let begin = Instant::now();
    let steps = json!([{"paced": [4, 10, {"kind": "stream_delta", "delta": "{i} "}]}]);
    let end = play_on(&stage, steps).await;
    assert_eq!(end.unwrap(), finished("0 1 2 3 ", 4));
    assert_eq!(begin.elapsed().as_secs(), 4 * 10 + 7);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_whatever_waits_and_repetitions() {
    for step in [
        json!({"sleep": 60}),
        json!({"wait_stop": 60}),
        json!({"paced": [9, 60, {"kind": "thinking_end"}]}),
        json!({"tool": ["slow", {}]}),
        json!({"subagent": ["waiting", ""]}),
    ] {
        let stage = Recorder::new();
        let begin = Instant::now();
        let steps =
            json!([{"emit": {"kind": "stream_delta", "delta": "a b"}}, step, {"panic": "late"}]);
        let (end, ()) = tokio::join!(play_on(&stage, steps), async {
            sleep(Duration::from_secs(5)).await;
            stage.stop();
        });
        assert_eq!(end.unwrap(), stopped("a b", 2));
        assert_eq!(begin.elapsed().as_secs(), 5);
    }
    let stage = Recorder::new();
    stage.stop();
    let end = play_on(
        &stage,
        json!([{"repeat": [u64::MAX, {"kind": "thinking_end"}]}]),
    )
    .await;
    assert_eq!(end.unwrap(), stopped("", 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_stop_waiting_goes_on_when_the_time_is_up() {
    let begin = Instant::now();
    let (end, _) = play(json!([{"sleep": 1}, {"wait_stop": 2}, {"ignore_stop": 4}])).await;
    assert_eq!(end.unwrap(), finished("", 0));
    assert_eq!(begin.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_ignored_stop_lets_the_script_go_on() {
    let stage = Recorder::new();
    stage.stop();
    let begin = Instant::now();
    let steps = json!([{"ignore_stop": 30}, {"emit": {"kind": "stream_delta", "delta": "late"}},
        {"emit": {"kind": "stream_end", "content": "all the same"}}]);
    assert_eq!(
        play_on(&stage, steps).await.unwrap(),
        finished("all the same", 0)
    );
    assert_eq!(begin.elapsed().as_secs(), 30);
    assert_eq!(stage.deltas(), ["late"]);
    // The next step that waits sees the stop.
    let end = play_on(&stage, json!([{"ignore_stop": 1}, {"sleep": 9}])).await;
    assert_eq!(end.unwrap(), stopped("", 0));
}

#[tokio::test]
async fn echoes_tools_and_subagents_reach_the_host() {
    let (end, stage) = play(json!([
        {"echo": "images"}, {"tool": ["adder", {"a": 1}]}, {"subagent": ["echo", "hello"]},
        {"log": ["info", "a line"]},
    ]))
    .await;
    assert_eq!(end.unwrap(), finished("Images", 1));
    assert_eq!(
        stage.emitted(),
        [
            json!({"type": "stream_delta", "delta": "Images"}),
            json!({"called": "adder", "args": {"a": 1}}),
            json!({"ran": "echo", "content": "hello"}),
        ]
    );
}

#[tokio::test]
async fn a_service_that_is_refused_fails_the_run() {
    let (end, _) = play(json!([{"tool": ["missing", {}]}])).await;
    assert_eq!(
        end.unwrap_err().to_string(),
        "script, step 1 (`tool` `missing`): there is no tool `missing`"
    );
}

#[tokio::test]
async fn a_raised_failure_is_told_in_its_own_words() {
    let (end, _) = play(json!([{"raise": ["max_iterations", "Limit of 5 reached"]}])).await;
    assert!(matches!(end, Err(RunError::MaxIterations(text)) if text == "Limit of 5 reached"));
}

#[tokio::test]
#[should_panic(expected = "aaah {i}")]
async fn a_panic_is_a_panic() {
    let _ = play(json!([{"panic": "aaah {i}"}])).await;
}
