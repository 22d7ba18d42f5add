//! A plugin that uses everything that minor 0 of the interface has.

use std::time::Duration;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::serde_json::{Map, Value, json};
use plugin_api::{
    AgentBackend, CreateError, Event, EventKinds, EventMapper, InstanceContext, MapEvents, Mapped,
    MapperRun, NoConfig, Outcome, RunContext, RunError, RunRequest, Secret, SessionId, Tool,
    ToolCall, ToolContext, ToolError, ToolOutput, ToolSpec, Toolset, async_trait, tokio, tracing,
};

plugin_api::export! {
    agents: { "agent" => Agent },
    toolsets: { "toolset" => Abacus },
    tools: { "tool" => Shout },
    mappers: { "mapper" => Upper },
}

struct Agent {
    config: Config,
    ctx: InstanceContext,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
struct Config {
    greeting: String,
    key: Secret,
}

#[async_trait]
impl AgentBackend for Agent {
    type Config = Config;

    const SUMMARY: &'static str = "Uses everything.";

    async fn create(config: Config, ctx: InstanceContext) -> Result<Self, CreateError> {
        if config.greeting.is_empty() {
            return Err(CreateError::config("greeting: must not be empty"));
        }
        Ok(Self { config, ctx })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        match request.user_text.as_str() {
            "wait" => {
                ctx.emit(Event::stream_delta("waiting")).await?;
                ctx.stopped().await;
                return Ok(Outcome::stopped("stopped"));
            }
            "fail" => return Err(RunError::agent("as it was told")),
            "panic" => panic!("as it was told"),
            "all of it" => {}
            _ => {
                ctx.emit(Event::stream_delta("yes")).await?;
                return Ok(match ctx.is_stopped() {
                    true => Outcome::stopped("yes"),
                    false => Outcome::finished("yes"),
                });
            }
        }
        tracing::info!(answer = 42, "a run of {}", self.ctx.name());
        ctx.emit(Event::thinking_delta("hm")).await?;
        ctx.emit(Event::thinking_end()).await?;
        ctx.emit(Event::turn_thinking("hm")).await?;
        let sum = ctx.call_tool("add", json!({"a": 2, "b": 3})).await?;
        let shout = ctx.call_tool("shout", json!({"text": "hey"})).await?;
        let other = ctx.run_agent("echo", "from below").await?;
        let turns = ctx.history().latest(10).await?.len();
        let runs = ctx.state_get("runs").await?;
        let count = runs.value.as_u64().unwrap_or_default() + 1;
        ctx.state_put("runs", count, Some(runs.version)).await?;
        ctx.memory_put("frozen", "remembered words").await?;
        let found = ctx.memory_search("words", 1).await?.len();
        let image = match request.images.first() {
            Some(image) => image.bytes()?.len(),
            None => 0,
        };
        let text = format!(
            "{} {} {} {} turns={turns} runs={count} found={found} image={image} key={}",
            self.config.greeting,
            sum.text,
            shout.text,
            other.content,
            self.config.key.expose().len()
        );
        for word in text.split_inclusive(' ') {
            ctx.emit(Event::stream_delta(word)).await?;
        }
        let mut fields = Map::new();
        fields.insert("n".to_owned(), Value::from(1));
        ctx.emit(Event::custom("frozen_note", fields)).await?;
        Ok(Outcome::finished(text).token_count(7).context_tokens(70))
    }

    fn session_ended(&self, _session: &SessionId) {}
}

struct Abacus;

#[async_trait]
impl Toolset for Abacus {
    type Config = NoConfig;

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn list(&self) -> Vec<ToolSpec> {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        });
        vec![ToolSpec::new("add", "Adds.", schema)]
    }

    async fn call(&self, call: ToolCall, ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        ctx.progress("adding");
        tokio::time::sleep(Duration::from_millis(1)).await;
        let number = |key: &str| call.args[key].as_i64().unwrap_or_default();
        match call.name.as_str() {
            "add" => Ok(ToolOutput::text((number("a") + number("b")).to_string())),
            other => Err(ToolError::unknown_tool(other)),
        }
    }
}

struct Shout;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
struct Words {
    text: String,
}

#[async_trait]
impl Tool for Shout {
    type Config = NoConfig;
    type Args = Words;

    const NAME: &'static str = "shout";
    const DESCRIPTION: &'static str = "Says it louder.";

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn call(&self, args: Words, _: ToolContext) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text(args.text.to_uppercase()))
    }
}

struct Upper;

impl EventMapper for Upper {
    type Config = NoConfig;

    fn create(_: NoConfig) -> Result<Self, CreateError> {
        Ok(Self)
    }

    fn kinds(&self) -> EventKinds {
        EventKinds::STREAM_DELTA
    }

    fn open(&self, _: &MapperRun) -> Box<dyn MapEvents> {
        Box::new(|event| match event {
            Event::StreamDelta(delta) => {
                Mapped::replace(Event::stream_delta(delta.delta.to_uppercase()))
            }
            _ => Mapped::Pass,
        })
    }
}
