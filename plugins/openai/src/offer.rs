//! The tools that a model is offered: the host's, and the agent's own.

use std::collections::{HashMap, HashSet};

use plugin_api::ToolSpec;
use plugin_api::serde_json::{Value, json};

use crate::api::ToolDefinition;
use crate::own::Own;

/// The longest name of a tool that the API takes.
const NAME_CHARS: usize = 64;

/// Who does what a model asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// A tool of the host's, by its name there.
    Host(String),
    /// The agent itself.
    Own(Own),
    /// Nobody: the profile leaves it out.
    LeftOut,
}

/// What is offered, and who is behind each name.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(crate) definitions: Vec<ToolDefinition>,
    targets: HashMap<String, Target>,
    /// Tools of the host's that are not offered.
    left_out: HashSet<String>,
}

impl Offer {
    /// The host's tools, of these those that `allows` lets through.
    pub(crate) fn new(tools: &[ToolSpec], allows: impl Fn(&str) -> bool) -> Self {
        let mut offer = Self::default();
        for tool in tools {
            if !allows(&tool.name) {
                offer.left_out.insert(tool.name.clone());
                offer.left_out.insert(wire_name(&tool.name));
                continue;
            }
            offer.add(
                &tool.name,
                tool.description.clone(),
                schema(&tool.input_schema),
                Target::Host(tool.name.clone()),
            );
        }
        offer
    }

    /// Adds a tool of the agent's own.
    pub(crate) fn add_own(&mut self, own: Own, description: String, schema: Value) {
        self.add(&own.name(), description, schema, Target::Own(own));
    }

    /// Two tools may not have one name; of two whose names differ only in letters that the API does not take, the
    /// second gets a number.
    fn add(&mut self, name: &str, description: String, schema: Value, target: Target) {
        let plain = wire_name(name);
        let mut name = plain.clone();
        let mut number = 1;
        while self.targets.contains_key(&name) {
            number += 1;
            let suffix = format!("_{number}");
            name = plain[..plain.len().min(NAME_CHARS - suffix.len())].to_owned() + &suffix;
        }
        self.targets.insert(name.clone(), target);
        self.definitions.push(ToolDefinition {
            name,
            description: description.trim().to_owned(),
            schema,
        });
    }

    /// Who is behind a name. One that nobody has is the host's to refuse; one that is left out the host would take, and a
    /// model that sees in the conversation that it once had it may well ask for it.
    pub(crate) fn target(&self, name: &str) -> Target {
        match self.targets.get(name) {
            Some(target) => target.clone(),
            None if self.left_out.contains(name) => Target::LeftOut,
            None => Target::Host(name.to_owned()),
        }
    }
}

/// A tool's name in the letters that the API takes.
pub(crate) fn wire_name(name: &str) -> String {
    let plain = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => letter,
        _ => '_',
    };
    let name: String = name.chars().map(plain).take(NAME_CHARS).collect();
    if name.is_empty() {
        "_".to_owned()
    } else {
        name
    }
}

/// A schema without what some servers stumble over: the name of the dialect.
fn schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    match schema.as_object_mut() {
        Some(fields) => {
            fields.shift_remove("$schema");
            // The API wants it said.
            fields.entry("type").or_insert_with(|| "object".into());
            if fields["type"] == "object" {
                fields.entry("properties").or_insert_with(|| json!({}));
            }
            schema
        }
        None => json!({"type": "object", "properties": {}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_api_and_lead_back() {
        let tool = |name: &str| ToolSpec::new(name, "", json!(true));
        let long = "x".repeat(70);
        let tools = [
            tool("a.b"),
            tool("a_b"),
            tool("ä/b"),
            tool(&long),
            tool("no"),
        ];
        let offer = Offer::new(&tools, |name| name != "no");
        let names: Vec<_> = offer
            .definitions
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        assert_eq!(names, ["a_b", "a_b_2", "__b", &long[..64]]);
        assert_eq!(offer.target("a_b_2"), Target::Host("a_b".to_owned()));
        assert_eq!(offer.target("no"), Target::LeftOut);
        assert_eq!(offer.target("nobody"), Target::Host("nobody".to_owned()));
    }

    #[test]
    fn a_schema_is_an_objects_and_does_not_name_its_dialect() {
        assert_eq!(
            schema(&json!({"$schema": "x", "type": "object"})),
            json!({"type": "object", "properties": {}})
        );
        assert_eq!(
            schema(&json!(true)),
            json!({"type": "object", "properties": {}})
        );
    }
}
