//! The plugin: components that do what the tests tell them to.

use std::sync::Mutex;
use std::time::Duration;

use plugin_api::abi::types::RhPlugin;
use plugin_api::serde_json::{Map, Value, json};
use plugin_api::{
    AgentBackend, CreateError, EmitError, Event, Health, InstanceContext, NoConfig, Outcome,
    RunContext, RunError, RunRequest, SessionId, Tool, ToolCall, ToolContext, ToolError,
    ToolOutput, ToolSpec, Toolset, async_trait, tracing,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

use crate::fixture_mappers::{Broken, Edit};

/// What instances tell the tests past the host: things that a host cannot see.
pub(crate) static NOTES: std::sync::LazyLock<watch::Sender<Vec<String>>> =
    std::sync::LazyLock::new(|| watch::channel(Vec::new()).0);

pub(crate) fn note(text: impl Into<String>) {
    NOTES.send_modify(|notes| notes.push(text.into()));
}

pub(crate) fn entry() -> *const RhPlugin {
    plugin_api::__descriptor! {
        agents: { "worker" => Worker, "picky" => Picky },
        toolsets: { "box" => ToolBox },
        tools: { "add" => Add },
        mappers: { "edit" => Edit, "broken" => Broken },
    }
}

/// Does what the content of its run says.
pub(crate) struct Worker {
    ctx: InstanceContext,
}

#[async_trait]
impl AgentBackend for Worker {
    type Config = NoConfig;
    const SUMMARY: &'static str = "Does what it is told.";

    async fn create(_: NoConfig, ctx: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self { ctx })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let (word, rest) = request
            .content
            .split_once(' ')
            .unwrap_or((&request.content, ""));
        match word {
            "echo" => {
                for word in rest.split(' ') {
                    ctx.emit(Event::stream_delta(word)).await?;
                }
                Ok(Outcome::finished(rest)
                    .token_count(7)
                    .data(json!({ "turns": 1 })))
            }
            "events" => {
                for event in all_events() {
                    ctx.emit(event).await?;
                }
                Ok(Outcome::finished(""))
            }
            "flood" => loop {
                ctx.emit(Event::stream_delta("x")).await?;
            },
            "threads" => self.threads(&ctx).await,
            "wait-stop" => {
                ctx.emit(Event::stream_delta("waiting")).await?;
                ctx.stopped().await;
                assert!(ctx.is_stopped());
                Ok(Outcome::stopped("until here"))
            }
            "ignore-stop" => {
                let _dropped = NoteOnDrop(request.run_id.to_string());
                ctx.emit(Event::stream_delta("ignoring")).await?;
                std::future::pending().await
            }
            "panic-in-drop" => {
                let _dropped = PanicOnDrop;
                ctx.emit(Event::stream_delta("ignoring")).await?;
                std::future::pending().await
            }
            "leak" => {
                // Something of the run lives on, as authors' tasks do.
                let (late, name) = (ctx.clone(), request.run_id.to_string());
                tokio::spawn(async move {
                    late.stopped().await;
                    let answer = late.emit(Event::stream_delta("too late")).await;
                    let image = request.images.first().map(plugin_api::Image::bytes);
                    let state = late.state_get("key").await.map_err(|error| error.code);
                    note(format!("{name}: {answer:?} {image:?} {state:?}"));
                });
                Ok(Outcome::finished("over"))
            }
            "refused" => {
                let answer = ctx.emit(Event::stream_delta("x")).await;
                Ok(Outcome::finished(format!("{answer:?}")))
            }
            "panic" => panic!("told to: {rest}"),
            "panic-any" => std::panic::panic_any(PanicOnDrop),
            "not-found" => Err(RunError::SessionNotFound),
            "max-iterations" => Err(RunError::max_iterations(rest)),
            "agent" => Err(RunError::agent(rest)),
            "internal" => Err(RunError::internal(rest)),
            "images" => {
                let images: Result<Vec<_>, _> = request
                    .images
                    .iter()
                    .map(plugin_api::Image::bytes)
                    .collect();
                Ok(Outcome::finished(format!("{images:?}")))
            }
            "log" => {
                tracing::info!(answer = 42, who = "me", "told to: {rest}");
                tracing::debug!("quiet");
                let span = tracing::error_span!("inner");
                let task =
                    tracing::Instrument::instrument(async { tracing::warn!("from a task") }, span);
                tokio::spawn(task).await.map_err(RunError::internal)?;
                Ok(Outcome::finished(""))
            }
            _ => crate::services::act(word, rest, &ctx).await,
        }
    }

    async fn shutdown(&self) {
        note(format!("worker {} shut down", self.ctx.name()));
    }

    fn session_ended(&self, session: &SessionId) {
        assert_ne!(session.as_str(), "panic");
        note(format!("ended {session}"));
    }
}

impl Worker {
    async fn threads(&self, ctx: &RunContext) -> Result<Outcome, RunError> {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let ctx = ctx.clone();
            tasks.spawn(async move {
                for _ in 0..100 {
                    ctx.emit(Event::stream_delta("x")).await?;
                }
                Ok::<_, EmitError>(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.map_err(RunError::internal)??;
        }
        Ok(Outcome::finished(""))
    }
}

pub(crate) struct NoteOnDrop(pub(crate) String);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        note(format!("dropped {}", self.0));
    }
}

pub(crate) struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in drop");
        }
    }
}

/// One event of every kind that an agent can emit.
pub(crate) fn all_events() -> Vec<Event> {
    let fields = || Map::from_iter([("n".to_owned(), json!(1))]);
    let mut events = vec![
        Event::stream_delta("a"),
        Event::thinking_delta("b"),
        Event::thinking_end(),
        Event::turn_thinking("c").subagent(true),
        Event::planning_status("d", "e"),
        Event::plan_ready(json!(["f", { "g": null }])),
        Event::tool_started("call", "tool", json!({ "h": "i" })).subagent(true),
        Event::tool_call("call", "tool")
            .args(json!([1.5]))
            .result("j")
            .success(false)
            .metadata(fields())
            .into(),
        Event::tool_call("call", "tool").into(),
        Event::profile_switched("k", "l"),
        Event::context_compressed(9, 2, "m"),
        Event::custom("own", fields()),
    ];
    if let Event::ToolStarted(event) = &mut events[6] {
        event.parent = "outer".to_owned();
    }
    events
}

/// An agent that is hard to make.
pub(crate) struct Picky;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PickyConfig {
    /// What happens.
    how: String,
}

#[async_trait]
impl AgentBackend for Picky {
    type Config = PickyConfig;

    async fn create(config: PickyConfig, ctx: InstanceContext) -> Result<Self, CreateError> {
        match config.how.as_str() {
            "context" => Err(CreateError::failed(format!(
                "{} {} {}",
                ctx.name(),
                ctx.generation(),
                ctx.plugin()
            ))),
            "config" => Err(CreateError::config("how: no")),
            "panic" => panic!("in create"),
            "health" => {
                ctx.set_health(Health::failing("it hurts"));
                ctx.set_health(Health::degraded("a little"));
                Ok(Self)
            }
            "child" => {
                let child = ctx.child("true").spawn();
                Err(CreateError::failed(
                    child
                        .err()
                        .map_or("spawned".to_owned(), |error| error.to_string()),
                ))
            }
            "never" => std::future::pending().await,
            "wait" => {
                ctx.tools_changed().await.map_err(CreateError::failed)?;
                Ok(Self)
            }
            _ => Ok(Self),
        }
    }

    async fn run(&self, _: RunRequest, _: RunContext) -> Result<Outcome, RunError> {
        Ok(Outcome::finished(""))
    }

    async fn shutdown(&self) {
        note("picky shut down");
        panic!("in shutdown");
    }
}

pub(crate) struct ToolBox {
    ctx: InstanceContext,
    tools: Mutex<Vec<ToolSpec>>,
}

#[async_trait]
impl Toolset for ToolBox {
    type Config = NoConfig;
    const SUMMARY: &'static str = "Tools.";

    async fn create(_: NoConfig, ctx: InstanceContext) -> Result<Self, CreateError> {
        let tools = Mutex::new(vec![ToolSpec::new(
            "one",
            "The first.",
            json!({ "type": "object" }),
        )]);
        Ok(Self { ctx, tools })
    }

    async fn list(&self) -> Vec<ToolSpec> {
        let tools = self.tools.lock().unwrap().clone();
        assert!(tools.len() < 3, "too many tools");
        tools
    }

    async fn call(&self, call: ToolCall, ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        match call.name.as_str() {
            "echo" => {
                let who = format!(
                    "{} {} {} {}",
                    ctx.call_id(),
                    ctx.run_id(),
                    ctx.session_id(),
                    ctx.agent()
                );
                Ok(ToolOutput::text(who).with_part(plugin_api::Part::json(call.args)))
            }
            "progress" => {
                ctx.progress("half");
                Ok(ToolOutput::text(""))
            }
            "grow" => {
                self.tools
                    .lock()
                    .unwrap()
                    .push(ToolSpec::new("next", "", Value::Null));
                self.ctx.tools_changed().await.map_err(ToolError::failed)?;
                Ok(ToolOutput::text(""))
            }
            "wait" => {
                ctx.progress("waiting");
                ctx.cancelled().await;
                Ok(ToolOutput::failure("cancelled in time"))
            }
            "hang" => {
                ctx.progress("hanging");
                std::future::pending().await
            }
            "panic" => panic!("in call"),
            other => Err(ToolError::unknown_tool(other)),
        }
    }
}

pub(crate) struct Add;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct AddArgs {
    /// One.
    a: i64,
    /// The other.
    b: i64,
}

#[async_trait]
impl Tool for Add {
    type Config = NoConfig;
    type Args = AddArgs;
    const NAME: &'static str = "add";
    const DESCRIPTION: &'static str = "Adds two numbers.";

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn call(&self, args: AddArgs, _: ToolContext) -> Result<ToolOutput, ToolError> {
        tokio::time::sleep(Duration::ZERO).await;
        Ok(ToolOutput::text((args.a + args.b).to_string()))
    }
}
