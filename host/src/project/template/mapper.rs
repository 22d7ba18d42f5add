//! The mapper: it changes events on their way to the clients.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{CreateError, Event, EventKinds, EventMapper, MapEvents, Mapped, MapperRun};

/// Shortens what tools give, for those who watch.
pub struct Shorten {
    characters: usize,
}

/// What an operator can set. They get to read these comments.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct ShortenConfig {
    /// The most characters of a result that are shown.
    characters: usize,
}

impl Default for ShortenConfig {
    fn default() -> Self {
        Self { characters: 200 }
    }
}

impl EventMapper for Shorten {
    type Config = ShortenConfig;

    const SUMMARY: &'static str = "Shortens the results of tools.";

    fn create(config: ShortenConfig) -> Result<Self, CreateError> {
        Ok(Self {
            characters: config.characters,
        })
    }

    fn kinds(&self) -> EventKinds {
        EventKinds::TOOL_CALL
    }

    fn open(&self, _run: &MapperRun) -> Box<dyn MapEvents> {
        let characters = self.characters;
        Box::new(move |event| match event {
            Event::ToolCall(mut call) => match call.result.char_indices().nth(characters) {
                Some((end, _)) => {
                    call.result.truncate(end);
                    call.result.push('…');
                    Mapped::replace(call)
                }
                None => Mapped::Pass,
            },
            _ => Mapped::Pass,
        })
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;
    use plugin_api::testing::TestMapper;

    use super::*;

    #[test]
    fn it_shortens_what_is_too_long() {
        let mapper = TestMapper::<Shorten>::create(json!({ "characters": 5 })).unwrap();
        let result = |text| Event::from(Event::tool_call("1", "search").result(text));
        let mapped = mapper.open().map_all([result("short"), result("too long")]);
        assert_eq!(mapped.unwrap(), [result("short"), result("too l…")]);
    }
}
