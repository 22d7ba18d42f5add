//! The toolset `toolbox`: what models are bad at and computers are good at.
//!
//! | tool | what it does |
//! | --- | --- |
//! | `calculator` | exact arithmetic, functions, units and bases ([`CalculatorArgs`]) |
//! | `date_time` | the time in a zone, conversion between zones, adding spans ([`DateTimeArgs`]) |
//! | `uuid` | random and time-ordered UUIDs ([`UuidArgs`]) |
//! | `text_stats` | characters, words, lines, bytes ([`TextStatsArgs`]) |
//!
//! None of them has state, reads files or uses the network.

#![warn(missing_docs)]

mod calculator;
mod date_time;
mod text_stats;
mod uuids;

use std::time::Duration;

use jiff::Timestamp;
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    CreateError, InstanceContext, ToolCall, ToolContext, ToolError, ToolOutput, ToolSpec, Toolset,
    async_trait,
};

pub use calculator::CalculatorArgs;
pub use date_time::{DateTimeArgs, Operation};
pub use text_stats::TextStatsArgs;
pub use uuids::{UuidArgs, UuidVersion};

use calculator::Calculator;
use date_time::Clock;

/// The longest time that can be configured for one calculation: a minute.
const MAX_CALCULATOR_TIMEOUT_MS: u64 = 60_000;

plugin_api::export! {
    toolsets: { "toolbox" => Toolbox },
}

/// The toolset.
#[derive(Debug)]
pub struct Toolbox {
    calculator: Calculator,
    clock: Clock,
}

/// What can be configured.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct ToolboxConfig {
    /// Milliseconds that one calculation may take.
    #[schemars(range(min = 1, max = MAX_CALCULATOR_TIMEOUT_MS))]
    pub calculator_timeout_ms: u64,
    /// The time zone of `date_time` where a call names none: an IANA name (`Europe/Berlin`) or an offset
    /// (`+02:00`).
    pub time_zone: String,
}

impl Default for ToolboxConfig {
    fn default() -> Self {
        Self {
            calculator_timeout_ms: 2_000,
            time_zone: "UTC".to_owned(),
        }
    }
}

#[async_trait]
impl Toolset for Toolbox {
    type Config = ToolboxConfig;

    const SUMMARY: &'static str = "Calculator, date and time with zones, UUIDs, text statistics.";

    async fn create(config: ToolboxConfig, _ctx: InstanceContext) -> Result<Self, CreateError> {
        Self::new(&config)
    }

    async fn list(&self) -> Vec<ToolSpec> {
        vec![
            ToolSpec::with_args::<CalculatorArgs>("calculator", calculator::DESCRIPTION),
            ToolSpec::with_args::<DateTimeArgs>("date_time", date_time::DESCRIPTION),
            ToolSpec::with_args::<UuidArgs>("uuid", uuids::DESCRIPTION),
            ToolSpec::with_args::<TextStatsArgs>("text_stats", text_stats::DESCRIPTION),
        ]
    }

    // A call that is cancelled is dropped where it awaits: in the calculator, the only one that takes long.
    async fn call(&self, call: ToolCall, _ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        match call.name.as_str() {
            "calculator" => self.calculator.call(call.args_as()?).await,
            "date_time" => self.clock.call(&call.args_as()?, Timestamp::now()),
            "uuid" => uuids::call(&call.args_as()?),
            "text_stats" => Ok(text_stats::call(&call.args_as()?)),
            _ => Err(ToolError::unknown_tool(call.name)),
        }
    }
}

impl Toolbox {
    fn new(config: &ToolboxConfig) -> Result<Self, CreateError> {
        if !(1..=MAX_CALCULATOR_TIMEOUT_MS).contains(&config.calculator_timeout_ms) {
            return Err(CreateError::config(format!(
                "`calculator_timeout_ms` must be from 1 to {MAX_CALCULATOR_TIMEOUT_MS}"
            )));
        }
        let clock = Clock::new(&config.time_zone)
            .map_err(|problem| CreateError::config(format!("`time_zone`: {problem}")))?;
        Ok(Self {
            calculator: Calculator::new(Duration::from_millis(config.calculator_timeout_ms)),
            clock,
        })
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, json};
    use plugin_api::testing::{TestTools, block_on_real_time};

    use super::*;

    fn problem(config: serde_json::Value) -> String {
        let config = serde_json::from_value(config).unwrap();
        Toolbox::new(&config).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_do() {
        Toolbox::new(&serde_json::from_value(json!({})).unwrap()).unwrap();
    }

    #[test]
    fn what_does_not_do_is_told_with_its_key() {
        assert!(problem(json!({"time_zone": "Mars/Base"})).contains("`time_zone`: "));
        assert!(
            problem(json!({"calculator_timeout_ms": 0}))
                .contains("`calculator_timeout_ms` must be from 1 to 60000")
        );
    }

    #[test]
    fn every_tool_that_is_listed_is_called() {
        block_on_real_time(async {
            let tools = TestTools::<Toolbox>::create(json!({})).await.unwrap();
            let listed = tools.list().await;
            let names: Vec<_> = listed.iter().map(|tool| tool.name.as_str()).collect();
            assert_eq!(names, ["calculator", "date_time", "uuid", "text_stats"]);
            let called = tools
                .call("calculator", json!({ "expression": "6 * 7" }))
                .await;
            assert_eq!(called.output().text, "42");
            for name in names {
                let called = tools.call(name, json!({ "no such argument": 1 })).await;
                assert!(
                    called.failure().starts_with("invalid arguments: "),
                    "{name}: {called}"
                );
            }
            let called = tools.call("abacus", json!({})).await;
            assert_eq!(called.failure(), "there is no tool `abacus`");
        });
    }
}
