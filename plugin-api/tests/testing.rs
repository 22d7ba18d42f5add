//! The testing kit, driven as an author drives it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use plugin_api::serde_json::{self, Value, json};
use plugin_api::testing::{
    Message, TestAgent, TestMapper, TestTool, TestTools, block_on, block_on_real_time,
};
use plugin_api::{
    AgentBackend, CreateError, Event, EventKinds, EventMapper, InstanceContext, MapEvents, Mapped,
    MapperRun, NoConfig, Outcome, RunContext, RunError, RunRequest, ServiceError, ServiceErrorCode,
    SubagentOutcome, Tool, ToolCall, ToolContext, ToolError, ToolOutput, ToolSpec, Toolset,
    async_trait, tokio,
};

/// Does what its message says.
struct Worker {
    greeting: String,
}

#[derive(plugin_api::serde::Deserialize, plugin_api::schemars::JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
struct Config {
    greeting: String,
}

#[async_trait]
impl AgentBackend for Worker {
    type Config = Config;

    async fn create(config: Config, ctx: InstanceContext) -> Result<Self, CreateError> {
        assert_eq!(
            (ctx.name(), ctx.plugin(), ctx.generation()),
            ("test", "test", 1)
        );
        if config.greeting.is_empty() {
            return Err(CreateError::config("greeting: must not be empty"));
        }
        Ok(Self {
            greeting: config.greeting,
        })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        match request.user_text.as_str() {
            "panic" => panic!("told to panic"),
            "fail" => Err(RunError::max_iterations("too many")),
            "hang" => std::future::pending().await,
            "own events" => {
                let refused = ctx
                    .emit(Event::custom("stream_start", Default::default()))
                    .await;
                Ok(Outcome::finished(format!("{refused:?}")))
            }
            "everything" => everything(request, ctx).await,
            text => {
                let mut said = String::new();
                for word in [self.greeting.as_str(), text, "and", "goodbye"] {
                    tokio::select! {
                        () = ctx.stopped() => return Ok(Outcome::stopped(said)),
                        () = tokio::time::sleep(Duration::from_secs(10)) => {}
                    }
                    ctx.emit(Event::stream_delta(format!("{word} "))).await?;
                    said.push_str(word);
                }
                Ok(Outcome::finished(said).data(text))
            }
        }
    }
}

/// Uses every service once.
async fn everything(request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
    let tools: Vec<_> = ctx
        .tools()
        .await?
        .into_iter()
        .map(|tool| tool.name)
        .collect();
    let sum = ctx.call_tool("sum", json!({ "of": [1, 2] })).await?;
    let missing = ctx.call_tool("missing", json!({})).await.unwrap_err();
    let helper = ctx.run_agent("helper", "help").await?;
    let nobody = ctx.run_agent("nobody", "help").await.unwrap_err();
    let history = ctx.history().page_size(1).latest(3).await?;
    let history: Vec<_> = history.into_iter().map(|turn| turn.content).collect();
    let count = ctx.state_get("count").await?;
    let version = ctx.state_put("count", 2, Some(count.version)).await?;
    let conflict = ctx.state_put("count", 3, Some(7)).await.unwrap_err();
    let weather = ctx
        .request("weather/today", &json!({ "place": "Bath" }))
        .await?;
    let unknown = ctx
        .request("weather/tomorrow", &json!({}))
        .await
        .unwrap_err();
    let image = request.images[0].bytes()?;
    let told = json!({
        "tools": tools, "sum": sum.text, "missing": missing.code.as_str(), "helper": helper.content,
        "nobody": nobody.code.as_str(), "history": history, "count": count.value, "version": version,
        "conflict": conflict.code.as_str(), "weather": weather, "unknown": unknown.code.as_str(),
        "image": image, "file": request.files[0].name, "previous": request.previous,
        "metadata": request.metadata, "subagents": request.subagents[0].name,
    });
    Ok(Outcome::finished(told.to_string()))
}

async fn worker() -> TestAgent<Worker> {
    TestAgent::create(json!({ "greeting": "hello" }))
        .await
        .unwrap()
}

#[test]
fn a_configuration_is_read_as_a_library_reads_it() {
    block_on(async {
        let problem = async |config| match TestAgent::<Worker>::create(config).await {
            Ok(_) => panic!(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            problem(json!({ "greeting": "" })).await,
            "configuration: greeting: must not be empty"
        );
        assert_eq!(
            problem(json!({ "greeting": 3 })).await,
            "configuration: greeting: expected a string"
        );
        assert_eq!(worker().await.backend().greeting, "hello");
    });
}

#[test]
fn a_run_takes_the_time_of_the_tests_clock() {
    block_on(async {
        let ended = worker().await.run(Message::new("you")).await;
        assert_eq!(ended.text(), "hello you and goodbye ");
        assert_eq!(ended.events().len(), 4);
        assert_eq!(ended.outcome().content(), "helloyouandgoodbye");
        assert_eq!(ended.elapsed(), Duration::from_secs(40));
    });
}

#[test]
fn a_run_is_stopped_in_its_middle() {
    block_on(async {
        let agent = worker().await;
        for (message, events) in [
            (Message::new("you").stop_after_events(0), 0),
            (Message::new("you").stop_after_events(2), 2),
            (Message::new("you").stop_after(Duration::from_secs(35)), 3),
        ] {
            let ended = agent.run(message).await;
            assert!(ended.outcome().is_stopped());
            assert_eq!(ended.events().len(), events);
        }
        let mut running = agent.start(Message::new("you"));
        assert_eq!(running.event().await, Some(Event::stream_delta("hello ")));
        running.stop();
        assert_eq!(running.event().await, None);
        assert!(running.finish().await.outcome().is_stopped());
    });
}

#[test]
fn a_run_ends_as_it_would_in_a_host() {
    block_on(async {
        let agent = worker().await;
        let ended = agent.run(Message::new("panic")).await;
        assert!(matches!(ended.failure(), RunError::Internal(text) if text == "told to panic"));
        let ended = agent.run(Message::new("fail")).await;
        assert!(matches!(ended.failure(), RunError::MaxIterations(text) if text == "too many"));
        let ignores = Message::new("hang")
            .grace(Duration::from_secs(3))
            .stop_after_events(0);
        let ended = agent.run(ignores).await;
        assert!(ended.outcome().is_stopped());
        assert_eq!(ended.elapsed(), Duration::from_secs(3));
        let ended = agent.run(Message::new("own events")).await;
        assert_eq!(ended.outcome().content(), "Err(Invalid)");
    });
}

#[test]
#[should_panic(expected = "the run has not ended within 5 s of the test's clock")]
fn a_run_that_hangs_fails_the_test_at_once() {
    block_on(async {
        let message = Message::new("hang").time_limit(Duration::from_secs(5));
        worker().await.run(message).await;
    });
}

#[test]
fn the_hosts_services_answer_from_the_message() {
    block_on(async {
        let message = Message::new("everything")
            .tool("sum", |args| {
                ToolOutput::text(args["of"].as_array().unwrap().len().to_string())
            })
            .subagent("helper", |asked| {
                SubagentOutcome::finished(format!("{asked}ed"))
            })
            .after_turn("first", "one")
            .after_turn("second", "two")
            .state("count", 1)
            .service("weather/today", |params| Ok(params["place"].clone()))
            .image("image/png", *b"\x01\x02")
            .file("notes.txt", "/tmp/notes.txt")
            .previous("before");
        let ended = worker().await.run(message).await;
        let told: Value = serde_json::from_str(ended.outcome().content()).unwrap();
        assert_eq!(
            told,
            json!({
                "tools": ["sum"], "sum": "2", "missing": "not_found", "helper": "helped", "nobody": "not_found",
                "history": ["one", "second", "two"], "count": 1, "version": 2, "conflict": "conflict",
                "weather": "Bath", "unknown": "unsupported", "image": [1, 2], "file": "notes.txt",
                "previous": "before", "metadata": {}, "subagents": "helper",
            })
        );
        let called: Vec<_> = ended
            .tool_calls()
            .iter()
            .map(|call| call.name.as_str())
            .collect();
        assert_eq!(called, ["sum", "missing"]);
        assert_eq!(ended.state("count"), 2);
        assert_eq!(ended.state("other"), &Value::Null);
    });
}

#[test]
fn a_service_fails_when_the_message_says_so() {
    block_on(async {
        let message = Message::new("everything").service("tools/list", |_| {
            Err(ServiceError::new(ServiceErrorCode::Timeout, "too slow"))
        });
        let ended = worker().await.run(message).await;
        assert!(matches!(ended.failure(), RunError::Agent(text) if text == "too slow"));
    });
}

#[test]
fn the_next_turn_follows_the_one_before() {
    block_on(async {
        let agent = worker().await;
        let first = agent.run(Message::new("you").state("count", 5)).await;
        let second = Message::following(&first, "everything")
            .tool("sum", |_| ToolOutput::text(""))
            .subagent("helper", |_| SubagentOutcome::finished(""))
            .service("weather/today", |_| Ok(Value::Null))
            .image("image/png", *b"")
            .file("", "");
        let second = agent.run(second).await;
        let told: Value = serde_json::from_str(second.outcome().content()).unwrap();
        assert_eq!(told["history"], json!(["you", "helloyouandgoodbye"]));
        assert_eq!(
            (&told["previous"], &told["count"]),
            (&json!("you"), &json!(5))
        );
    });
}

#[test]
fn by_the_clock_on_the_wall_time_is_real() {
    let begun = std::time::Instant::now();
    block_on_real_time(async { tokio::time::sleep(Duration::from_millis(20)).await });
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

/// Two tools.
struct Tools;

#[async_trait]
impl Toolset for Tools {
    type Config = NoConfig;

    async fn create(_: NoConfig, ctx: InstanceContext) -> Result<Self, CreateError> {
        ctx.tools_changed().await.map_err(CreateError::failed)?;
        Ok(Self)
    }

    async fn list(&self) -> Vec<ToolSpec> {
        vec![
            ToolSpec::new("wait", "Waits.", json!({})),
            ToolSpec::new("panic", "Panics.", json!({})),
        ]
    }

    async fn call(&self, call: ToolCall, ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        match call.name.as_str() {
            "wait" => {
                ctx.progress("half");
                tokio::select! {
                    () = ctx.cancelled() => Err(ToolError::Cancelled),
                    () = tokio::time::sleep(Duration::from_secs(60)) => Ok(ToolOutput::text("waited")),
                }
            }
            "panic" => panic!("told to panic"),
            other => Err(ToolError::unknown_tool(other)),
        }
    }
}

/// One tool.
struct Twice;

#[derive(plugin_api::serde::Deserialize, plugin_api::schemars::JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
struct TwiceArgs {
    number: u32,
}

#[async_trait]
impl Tool for Twice {
    type Config = NoConfig;
    type Args = TwiceArgs;

    const NAME: &'static str = "twice";
    const DESCRIPTION: &'static str = "Doubles.";

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn call(&self, args: TwiceArgs, _: ToolContext) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text((args.number * 2).to_string()))
    }
}

#[test]
fn tools_are_listed_called_and_cancelled() {
    block_on(async {
        let tools = TestTools::<Tools>::create(json!({})).await.unwrap();
        assert_eq!(tools.list().await[0].name, "wait");
        let called = tools.call("wait", json!({})).await;
        assert_eq!(called.output().text, "waited");
        assert_eq!(called.progress, ["half"]);
        let running = tools.start("wait", json!({}));
        tokio::task::yield_now().await;
        running.cancel();
        assert_eq!(running.finish().await.failure(), "cancelled");
        assert_eq!(
            tools.call("panic", json!({})).await.failure(),
            "told to panic"
        );
        assert_eq!(
            tools.call("other", json!({})).await.failure(),
            "there is no tool `other`"
        );

        let twice = TestTool::<Twice>::create(json!({})).await.unwrap();
        assert_eq!(
            twice
                .call("twice", json!({ "number": 21 }))
                .await
                .to_string(),
            "42"
        );
        let wrong = twice.call("twice", json!({ "number": "many" })).await;
        assert!(wrong.failure().starts_with("invalid arguments"), "{wrong}");
    });
}

/// Drops thinking, doubles deltas, and does as it must not with the end.
struct Odd;

impl EventMapper for Odd {
    type Config = NoConfig;

    fn create(_: NoConfig) -> Result<Self, CreateError> {
        Ok(Self)
    }

    fn kinds(&self) -> EventKinds {
        EventKinds::STREAM_DELTA | EventKinds::THINKING_DELTA | EventKinds::STREAM_END
    }

    fn open(&self, run: &MapperRun) -> Box<dyn MapEvents> {
        let agent = run.agent.clone();
        Box::new(move |event| match event {
            Event::StreamDelta(delta) if delta.delta == "fail" => {
                Mapped::Fail("told to".to_owned())
            }
            Event::StreamDelta(_) => {
                Mapped::Replace(vec![event, Event::stream_delta(agent.clone())])
            }
            Event::ThinkingDelta(_) | Event::StreamEnd(_) => Mapped::Drop,
            other => panic!("{other:?} was not asked for"),
        })
    }
}

#[test]
fn a_mapper_sees_what_it_asked_for() {
    let mapper = TestMapper::<Odd>::create(json!({})).unwrap();
    let mut open = mapper.open();
    let events = [
        Event::thinking_delta("hm"),
        Event::thinking_end(),
        Event::stream_delta("a"),
    ];
    let mapped = open.map_all(events).unwrap();
    assert_eq!(
        mapped,
        [
            Event::thinking_end(),
            Event::stream_delta("a"),
            Event::stream_delta("agent")
        ]
    );
    assert_eq!(
        open.map(Event::stream_delta("fail")).unwrap_err(),
        "told to"
    );
    let end = Event::from_wire("stream_end", Default::default()).unwrap();
    assert_eq!(
        open.map(end).unwrap_err(),
        "`stream_end` is the host's own: it stays"
    );
}
