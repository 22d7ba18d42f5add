//! Several roles under one agent.

use std::collections::BTreeMap;

use plugin_api::CreateError;
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;

/// A role: what the model is told, and which tools it has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) struct Profile {
    /// Its name for people; left out, its id.
    #[serde(default)]
    name: String,
    /// When it is the right one, for the model.
    #[serde(default)]
    pub(crate) description: String,
    /// What the model is told besides the agent's own `system_prompt`.
    #[serde(default)]
    pub(crate) system_prompt: String,
    /// Which of the agent's tools it has, by patterns in which `*` stands for any characters; subagents are tools
    /// named `ask_` and the agent's name.
    #[serde(default = "all")]
    tools: Vec<String>,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Profile {
    /// Whether it has the tool of this name.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        self.tools.iter().any(|pattern| fits(pattern, tool))
    }
}

/// The profiles of an agent, by their ids.
pub(crate) type Profiles = BTreeMap<String, Profile>;

/// What to call a profile.
pub(crate) fn name<'a>(profiles: &'a Profiles, id: &'a str) -> &'a str {
    match profiles.get(id) {
        Some(profile) if !profile.name.is_empty() => &profile.name,
        _ => id,
    }
}

/// Whether an operator's profiles will do.
pub(crate) fn check(profiles: &Profiles, default: Option<&str>) -> Result<(), CreateError> {
    let ids: Vec<_> = profiles.keys().map(String::as_str).collect();
    let there = match ids.is_empty() {
        true => "there are no profiles".to_owned(),
        false => format!("there are: {}", ids.join(", ")),
    };
    match default {
        Some(id) if !profiles.contains_key(id) => Err(CreateError::config(format_args!(
            "profile: must be one of profiles; {there}"
        ))),
        None if !profiles.is_empty() => Err(CreateError::config(format_args!(
            "profile: must say which of profiles is in force at first; {there}"
        ))),
        _ if profiles.contains_key("") => {
            Err(CreateError::config("profiles: an id must not be empty"))
        }
        _ => Ok(()),
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json;

    use super::*;

    #[test]
    fn patterns_have_stars() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("uuid", "uuid", true),
            ("uuid", "uuids", false),
            ("web_*", "web_search", true),
            ("web_*", "a_web_", false),
            ("*_search", "web_search", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn one_of_them_is_in_force_at_first() {
        let profiles: Profiles =
            serde_json::from_str(r#"{"a": {"name": "A"}, "b": {"tools": []}}"#).unwrap();
        assert!(check(&profiles, Some("a")).is_ok());
        assert!(check(&Profiles::new(), None).is_ok());
        let error = check(&profiles, None).unwrap_err().to_string();
        assert!(
            error.ends_with("in force at first; there are: a, b"),
            "{error}"
        );
        let error = check(&profiles, Some("c")).unwrap_err().to_string();
        assert!(
            error.ends_with("must be one of profiles; there are: a, b"),
            "{error}"
        );
        assert!(check(&Profiles::new(), Some("c")).is_err());
        assert_eq!((name(&profiles, "a"), name(&profiles, "b")), ("A", "b"));
        assert!(profiles["a"].allows("x") && !profiles["b"].allows("x"));
    }
}
