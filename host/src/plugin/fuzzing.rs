//! What becomes of the JSON that a library answers with, for the fuzz targets.

use plugin_api::abi::import::Completion;
use plugin_api::wire::ComponentDescription;

use super::listing::Listing;
use super::run_handle::RunEnd;
use super::schema::Schema;
use super::tools;

/// Takes the end of a run, as a run does.
#[must_use]
pub fn run_end(completion: Completion) -> RunEnd {
    RunEnd::from_completion(completion)
}

/// Takes the end of a tool's call; answers the text that the model gets.
#[must_use]
pub fn call_end(completion: Completion) -> String {
    tools::result_of("tool", Some(completion))
}

/// Takes a toolset's list, and calls each of its tools with these arguments as far as that is checked here. Answers how
/// many tools there are.
#[must_use]
pub fn list_end(json: &str, arguments: &serde_json::Value) -> usize {
    let Ok(listing) = Listing::parse(json, "prefix_") else {
        return 0;
    };
    for tool in listing.tools() {
        let _ = tool.input.breaches(arguments);
    }
    listing.tools().len()
}

/// Takes a component's description, and checks this configuration against it. Answers how much is wrong with it.
#[must_use]
pub fn described(description: &ComponentDescription, config: &serde_json::Value) -> usize {
    Schema::compile(&description.config_schema).map_or(0, |schema| schema.breaches(config).len())
}
