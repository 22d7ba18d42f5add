//! The tools of one toolset, checked.

use std::collections::HashMap;
use std::sync::Arc;

use plugin_api::wire::{ToolList, ToolSpecData};

use super::schema::Schema;

/// More than any model can choose from; a toolset that lists more has run wild.
const TOOLS_KEPT: usize = 1024;

/// Longest list, in bytes of JSON.
const LIST_BYTES: usize = 8 * 1024 * 1024;

/// Longest name of a tool, in bytes.
const NAME_BYTES: usize = 128;

/// What a toolset listed, in its order, under the names that agents use.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    tools: Vec<Arc<ListedTool>>,
    by_name: HashMap<String, Arc<ListedTool>>,
}

/// One tool.
#[derive(Debug)]
pub(crate) struct ListedTool {
    /// The name as the toolset knows it.
    pub(crate) own_name: String,
    /// As agents see it: with the prefix.
    pub(crate) spec: ToolSpecData,
    /// Of the arguments.
    pub(crate) input: Schema,
}

/// A toolset listed something that cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListingError {
    #[error("its list of tools is not what it must be: {0}")]
    NotAList(serde_json::Error),
    #[error("its list of tools has {0} bytes, and at most {LIST_BYTES} are allowed")]
    TooLong(usize),
    #[error("it lists {0} tools, and at most {TOOLS_KEPT} are allowed")]
    TooMany(usize),
    #[error(
        "it lists a tool called `{}`: a name has 1 to {NAME_BYTES} bytes, with no blanks or control \
         characters", .0.escape_debug()
    )]
    Name(String),
    #[error("it lists two tools called `{0}`")]
    Twice(String),
    #[error("the input schema of its tool `{tool}` is {source}")]
    Input {
        tool: String,
        source: super::schema::SchemaError,
    },
}

impl Listing {
    /// Checks what a toolset answered to `list`; `prefix` is put before each name.
    pub(crate) fn parse(json: &str, prefix: &str) -> Result<Self, ListingError> {
        if json.len() > LIST_BYTES {
            return Err(ListingError::TooLong(json.len()));
        }
        let list: ToolList = serde_json::from_str(json).map_err(ListingError::NotAList)?;
        if list.tools.len() > TOOLS_KEPT {
            return Err(ListingError::TooMany(list.tools.len()));
        }
        let mut listing = Self::default();
        for mut spec in list.tools {
            let own_name = spec.name;
            let printable = |c: char| !c.is_whitespace() && !c.is_control();
            if !(1..=NAME_BYTES).contains(&own_name.len()) || !own_name.chars().all(printable) {
                return Err(ListingError::Name(own_name));
            }
            let input =
                Schema::compile(&spec.input_schema).map_err(|source| ListingError::Input {
                    tool: own_name.clone(),
                    source,
                })?;
            // Models want an object here, and a toolset that says nothing takes no arguments in particular.
            if spec.input_schema.is_null() {
                spec.input_schema = serde_json::json!({"type": "object"});
            }
            spec.name = format!("{prefix}{own_name}");
            let tool = Arc::new(ListedTool {
                own_name,
                spec,
                input,
            });
            if listing
                .by_name
                .insert(tool.spec.name.clone(), Arc::clone(&tool))
                .is_some()
            {
                return Err(ListingError::Twice(tool.own_name.clone()));
            }
            listing.tools.push(tool);
        }
        Ok(listing)
    }

    pub(crate) fn tools(&self) -> &[Arc<ListedTool>] {
        &self.tools
    }

    /// The tool that agents know by `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ListedTool>> {
        self.by_name.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(list: serde_json::Value) -> String {
        Listing::parse(&list.to_string(), "")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn tools_get_the_prefix_and_keep_their_order() {
        let list = json!({"tools": [
            {"name": "b", "description": "B", "input_schema": {"type": "object"}, "later": 1},
            {"name": "a"}
        ]});
        let listing = Listing::parse(&list.to_string(), "x_").unwrap();
        let names: Vec<&str> = listing
            .tools()
            .iter()
            .map(|tool| tool.spec.name.as_str())
            .collect();
        assert_eq!(names, ["x_b", "x_a"]);
        assert_eq!(listing.get("x_b").unwrap().own_name, "b");
        assert!(listing.get("b").is_none());
        assert_eq!(
            listing.get("x_a").unwrap().spec.input_schema,
            json!({"type": "object"})
        );
    }

    #[test]
    fn a_list_that_cannot_be_offered_is_refused() {
        assert!(Listing::parse("nonsense", "").is_err());
        assert!(error(json!({"tools": [{"name": ""}]})).contains("called ``"));
        assert!(error(json!({"tools": [{"name": "a b"}]})).contains("`a b`"));
        assert!(
            error(json!({"tools": [{"name": "a"}, {"name": "a"}]}))
                .contains("two tools called `a`")
        );
        let text = error(json!({"tools": [{"name": "a", "input_schema": {"type": "thing"}}]}));
        assert!(
            text.contains("tool `a`") && text.contains("/type"),
            "{text}"
        );
        let many: Vec<_> = (0..2000)
            .map(|n| json!({"name": format!("t{n}")}))
            .collect();
        assert!(error(json!({"tools": many})).contains("2000"));
        let text = "x".repeat(9 << 20);
        let text = error(json!({"tools": [{"name": "a", "description": text}]}));
        assert!(text.contains("8388608 are allowed"), "{text}");
    }
}
