//! What `export!` exports.

#![forbid(unsafe_code)]

use plugin_api::{
    AgentBackend, CreateError, Event, EventKinds, EventMapper, InstanceContext, MapEvents, Mapped,
    MapperRun, NoConfig, Outcome, RunContext, RunError, RunRequest, Tool, ToolContext, ToolError,
    ToolOutput, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

struct Echo;

#[async_trait]
impl AgentBackend for Echo {
    type Config = NoConfig;
    const SUMMARY: &'static str = "Says it again.";

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        for word in request.content.split(' ') {
            ctx.emit(Event::stream_delta(word)).await?;
        }
        Ok(Outcome::finished(request.content))
    }
}

struct Add;

#[derive(Deserialize, JsonSchema)]
struct AddArgs {
    a: i64,
    b: i64,
}

#[async_trait]
impl Tool for Add {
    type Config = NoConfig;
    type Args = AddArgs;
    const NAME: &'static str = "add";
    const DESCRIPTION: &'static str = "Adds.";

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn call(&self, args: AddArgs, _: ToolContext) -> Result<ToolOutput, ToolError> {
        let sum = args
            .a
            .checked_add(args.b)
            .ok_or_else(|| ToolError::failed("too large"))?;
        Ok(ToolOutput::text(sum.to_string()))
    }
}

struct Shout;

impl EventMapper for Shout {
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

plugin_api::export! {
    agents: { "echo" => Echo, "echo-2" => Echo },
    tools: { "add" => Add },
    mappers: { "shout" => Shout },
}

#[test]
fn a_crate_that_forbids_unsafe_code_can_export() {}
