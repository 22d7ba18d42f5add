//! A server's list of tools, and what of it is offered.

use std::collections::{BTreeMap, HashSet};

use jsonschema::Draft;
use plugin_api::serde_json::{self, Value};
use plugin_api::{ToolSpec, tracing};
use rmcp::ServiceError;
use rmcp::model::{
    ClientRequest, ListToolsRequest, PaginatedRequestParams, RequestOptionalParam, ServerResult,
    Tool,
};
use rmcp::service::{Peer, RoleClient};

use crate::ask::ask;
use crate::config::Server;
use crate::patterns::allow;
use crate::words::cut;

/// The most pages of a list.
const PAGES: usize = 100;

/// The most tools of a server, as many as the host takes of a toolset.
const TOOLS: usize = 1024;

/// The longest name of a tool, in bytes, as the host has it.
const NAME_BYTES: usize = 128;

/// The longest description, in characters.
const DESCRIPTION_CHARS: usize = 16_384;

/// The largest schema, in bytes of JSON.
const SCHEMA_BYTES: usize = 256 << 10;

/// What a server may list, in bytes of its descriptions and schemas, be it offered or not.
const LISTED_BYTES: usize = 32 << 20;

/// The tools of all servers together, in bytes of JSON: somewhat less than the host takes.
const LIST_BYTES: usize = 7 << 20;

/// What is offered of a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Offer {
    /// In the server's order, under the names that they are offered by.
    pub(crate) specs: Vec<ToolSpec>,
    /// The server's own names, by the names that they are offered by.
    own_names: BTreeMap<String, String>,
}

impl Offer {
    /// The server's own name of a tool.
    pub(crate) fn own_name(&self, name: &str) -> Option<&str> {
        self.own_names.get(name).map(String::as_str)
    }

    /// Picks what can be offered. A tool that cannot is left out, and that is logged.
    pub(crate) fn of(tools: Vec<Tool>, name: &str, server: &Server) -> Self {
        let mut offer = Self::default();
        let prefix = server.prefix(name);
        for tool in tools {
            if !allow(&server.tools, &tool.name) {
                continue;
            }
            let own_name = tool.name.to_string();
            match spec(tool, &prefix) {
                Ok(spec) if offer.own_names.contains_key(&spec.name) => {
                    left_out(name, &own_name, "it has the name of another");
                }
                Ok(spec) => {
                    offer.own_names.insert(spec.name.clone(), own_name);
                    offer.specs.push(spec);
                }
                Err(problem) => left_out(name, &own_name, &problem),
            }
        }
        offer
    }
}

fn left_out(server: &str, tool: &str, problem: &str) {
    let tool = cut(&tool.escape_debug().to_string(), NAME_BYTES);
    tracing::warn!(server, tool, problem, "a tool of an MCP server is left out");
}

/// A tool as the host takes it.
fn spec(tool: Tool, prefix: &str) -> Result<ToolSpec, String> {
    let name = format!("{prefix}{}", tool.name);
    let unprintable = |c: char| c.is_whitespace() || c.is_control();
    if tool.name.is_empty() || name.len() > NAME_BYTES || name.contains(unprintable) {
        return Err(format!(
            "with its prefix, a name has at most {NAME_BYTES} bytes, with no blanks or control characters"
        ));
    }
    let description = tool.description.or(tool.title.map(Into::into));
    let schema = Value::Object((*tool.input_schema).clone());
    let size = schema.to_string().len();
    if size > SCHEMA_BYTES {
        return Err(format!(
            "its schema has {size} bytes, more than {SCHEMA_BYTES}"
        ));
    }
    // The host refuses the whole of a list for one bad schema.
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .build(&schema)
        .map_err(|error| cut(&format!("its schema is none: {}", error.masked()), 300))?;
    let description = cut(&description.unwrap_or_default(), DESCRIPTION_CHARS);
    Ok(ToolSpec::new(name, description, schema))
}

/// The tools of all servers as one list that the host takes. Of two with one name the first counts.
pub(crate) fn together<'a>(offers: impl Iterator<Item = (&'a str, &'a Offer)>) -> Vec<ToolSpec> {
    let mut names = HashSet::new();
    let mut list = Vec::new();
    let mut bytes = 0;
    for (server, offer) in offers {
        for spec in &offer.specs {
            let size = spec.name.len() + spec.description.len();
            bytes += size + spec.input_schema.to_string().len() + 64;
            if list.len() == TOOLS || bytes > LIST_BYTES {
                let problem =
                    "there are more tools than the host takes; `tools` can leave some out";
                left_out(server, &spec.name, problem);
                return list;
            }
            match names.insert(spec.name.as_str()) {
                true => list.push(spec.clone()),
                false => left_out(server, &spec.name, "a tool of another server has its name"),
            }
        }
    }
    list
}

/// Why a server's tools could not be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("its list of tools has more than {PAGES} pages")]
    Pages,
    #[error("it lists more than {TOOLS} tools")]
    Tools,
    #[error("its list of tools has more than {LISTED_BYTES} bytes")]
    Bytes,
    #[error("its list of tools is none")]
    NotAList,
}

/// All tools of a server, page by page.
pub(crate) async fn list(peer: &Peer<RoleClient>, server: &str) -> Result<Vec<Tool>, ListError> {
    let mut tools = Vec::new();
    let mut cursor = None;
    let mut bytes = 0;
    for _ in 0..PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let request: ListToolsRequest = RequestOptionalParam::with_param(params);
        // Not by the method that caches: whoever asks here wants to know.
        let answer = ask(peer, ClientRequest::ListToolsRequest(request));
        let (page, next) = match answer.await? {
            ServerResult::ListToolsResult(page) => (page.tools, page.next_cursor),
            ServerResult::CustomResult(page) => lenient(page.0, server)?,
            // An empty object, for example.
            _ => return Err(ListError::NotAList),
        };
        for tool in page {
            let (tool, size) = needed(tool);
            bytes += size;
            if bytes > LISTED_BYTES {
                return Err(ListError::Bytes);
            }
            if tools.len() == TOOLS {
                return Err(ListError::Tools);
            }
            tools.push(tool);
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(tools),
        }
    }
    Err(ListError::Pages)
}

/// What is needed of a tool, and how much that is.
fn needed(tool: Tool) -> (Tool, usize) {
    let schema = serde_json::to_string(&*tool.input_schema).map_or(0, |json| json.len());
    let description = tool.description.as_ref().map_or(0, |text| text.len());
    let title = tool.title.as_ref().map_or(0, String::len);
    let size = tool.name.len() + description + title + schema;
    let mut needed = Tool::default();
    needed.name = tool.name;
    needed.title = tool.title;
    needed.description = tool.description;
    needed.input_schema = tool.input_schema;
    (needed, size)
}

/// A page with tools in it that are none: the others.
fn lenient(mut page: Value, server: &str) -> Result<(Vec<Tool>, Option<String>), ListError> {
    let Some(Value::Array(all)) = page.get_mut("tools").map(Value::take) else {
        return Err(ListError::NotAList);
    };
    let mut tools = Vec::new();
    for tool in all {
        let name = tool["name"].as_str().unwrap_or_default().to_owned();
        match serde_json::from_value(tool) {
            Ok(tool) => tools.push(tool),
            Err(error) => left_out(server, &name, &cut(&error.to_string(), 300)),
        }
    }
    let next = page["nextCursor"].as_str().map(str::to_owned);
    Ok((tools, next))
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    fn offer(tools: Value, settings: Value) -> Offer {
        let server: Server = serde_json::from_value(settings).unwrap();
        Offer::of(serde_json::from_value(tools).unwrap(), "s", &server)
    }

    fn names(offer: &Offer) -> Vec<&str> {
        offer.specs.iter().map(|spec| spec.name.as_str()).collect()
    }

    #[test]
    fn tools_are_offered_under_the_prefix_with_all_that_models_need() {
        let tools = json!([
            {"name": "b", "description": "B.", "inputSchema": {"type": "object", "required": ["x"]}},
            {"name": "a", "title": "A", "inputSchema": {"$schema": "http://json-schema.org/draft-07/schema#"}}
        ]);
        let offer = offer(tools, json!({"command": "c"}));
        assert_eq!(names(&offer), ["s_b", "s_a"]);
        assert_eq!(offer.own_name("s_b"), Some("b"));
        assert_eq!(offer.own_name("b"), None);
        assert_eq!(offer.specs[0].description, "B.");
        assert_eq!(offer.specs[0].input_schema["required"], json!(["x"]));
        assert_eq!(offer.specs[1].description, "A");
    }

    #[test]
    fn what_the_host_would_refuse_and_what_is_not_wanted_is_left_out() {
        let tools = json!([
            {"name": "", "inputSchema": {}},
            {"name": "a b", "inputSchema": {}},
            {"name": "x".repeat(128), "inputSchema": {}},
            {"name": "schema", "inputSchema": {"type": "nonsense"}},
            {"name": "far", "inputSchema": {"$ref": "https://example.com/schema.json"}},
            {"name": "large", "inputSchema": {"title": "x".repeat(300_000)}},
            {"name": "good", "inputSchema": {}},
            {"name": "good", "description": "Another.", "inputSchema": {}},
            {"name": "get_it", "inputSchema": {}}
        ]);
        let all = offer(tools.clone(), json!({"command": "c", "prefix": ""}));
        assert_eq!(names(&all), ["x".repeat(128).as_str(), "good", "get_it"]);
        assert_eq!(all.specs[1].description, "");
        let some = offer(tools, json!({"command": "c", "tools": ["get_*"]}));
        assert_eq!(names(&some), ["s_get_it"]);
    }

    #[test]
    fn of_two_servers_tools_with_one_name_the_first_counts() {
        let one = |description: &str| {
            let tools = json!([{"name": "t", "description": description, "inputSchema": {}}]);
            offer(tools, json!({"command": "c", "prefix": ""}))
        };
        let (first, second) = (one("first"), one("second"));
        let list = together([("a", &first), ("b", &second)].into_iter());
        assert_eq!(list, first.specs);
    }

    #[test]
    fn a_list_is_no_longer_than_the_host_takes() {
        let many: Vec<_> = (0..1000)
            .map(|n| json!({"name": format!("t{n}"), "description": "d".repeat(12_000), "inputSchema": {}}))
            .collect();
        let long = offer(Value::Array(many), json!({"command": "c"}));
        assert_eq!(long.specs.len(), 1000);
        let list = together([("a", &long)].into_iter());
        let json = serde_json::to_string(&list).unwrap();
        assert!(
            list.len() > 500 && json.len() < 8 << 20,
            "{} {}",
            list.len(),
            json.len()
        );
    }

    #[test]
    fn tools_that_are_none_do_not_cost_the_others() {
        let page = json!({"tools": [{"name": "a"}, {"name": "b", "inputSchema": {}}, 7], "nextCursor": "2"});
        let (tools, next) = lenient(page, "s").unwrap();
        assert_eq!((tools.len(), next.as_deref()), (1, Some("2")));
        assert!(matches!(
            lenient(json!({"tools": 7}), "s"),
            Err(ListError::NotAList)
        ));
    }
}
