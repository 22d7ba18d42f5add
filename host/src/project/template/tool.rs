//! The tool: agents call it.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    CreateError, InstanceContext, NoConfig, Tool, ToolContext, ToolError, ToolOutput, async_trait,
};

/// Text, backwards.
pub struct Reverse;

/// What it is called with. Models get to read these comments.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct ReverseArgs {
    /// The text to turn around.
    text: String,
}

#[async_trait]
impl Tool for Reverse {
    type Config = NoConfig;
    type Args = ReverseArgs;

    const NAME: &'static str = "{tool}";
    const DESCRIPTION: &'static str = "Turns a text around, character by character.";

    async fn create(_config: NoConfig, _ctx: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn call(&self, args: ReverseArgs, _ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        if args.text.is_empty() {
            return Err(ToolError::failed("there is nothing to turn around"));
        }
        let reversed: String = args.text.chars().rev().collect();
        Ok(ToolOutput::text(reversed))
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;
    use plugin_api::testing::{TestTool, block_on};

    use super::*;

    #[test]
    fn it_turns_a_text_around() {
        block_on(async {
            let tool = TestTool::<Reverse>::create(json!({})).await.unwrap();
            let called = tool.call(Reverse::NAME, json!({ "text": "abc" })).await;
            assert_eq!(called.output().text, "cba");
            let called = tool.call(Reverse::NAME, json!({ "text": "" })).await;
            assert_eq!(called.failure(), "there is nothing to turn around");
        });
    }
}
