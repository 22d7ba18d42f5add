//! The plugin's event mappers.

use plugin_api::{
    CreateError, Event, EventKinds, EventMapper, MapEvents, Mapped, MapperRun, NoConfig,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fixture::PanicOnDrop;

/// Does to a delta what its text says; passes the rest.
pub(crate) struct Edit;

impl EventMapper for Edit {
    type Config = NoConfig;

    fn create(_: NoConfig) -> Result<Self, CreateError> {
        Ok(Self)
    }

    fn kinds(&self) -> EventKinds {
        EventKinds::STREAM_DELTA | EventKinds::CUSTOM | EventKinds::STREAM_END
    }

    fn open(&self, run: &MapperRun) -> Box<dyn MapEvents> {
        assert_ne!(run.agent, "panic");
        let late = (run.agent == "panic late").then(|| PanicOnDrop);
        let mut count = 0;
        Box::new(move |event| {
            let _ = &late;
            count += 1;
            match event {
                Event::StreamDelta(delta) => match delta.delta.as_str() {
                    "drop" => Mapped::Drop,
                    "twice" => {
                        Mapped::Replace(vec![Event::stream_delta("twice"), Event::thinking_end()])
                    }
                    "none" => Mapped::Replace(Vec::new()),
                    "count" => Mapped::replace(Event::stream_delta(count.to_string())),
                    "fail" => Mapped::Fail("told to".to_owned()),
                    "panic" => panic!("in map"),
                    _ => Mapped::Pass,
                },
                Event::StreamEnd(mut end) => {
                    end.content = "redacted".to_owned();
                    Mapped::replace(end)
                }
                _ => Mapped::Pass,
            }
        })
    }
}

/// A mapper that panics wherever `Edit` does not.
pub(crate) struct Broken;

#[derive(Deserialize)]
pub(crate) struct NoSchema {}

impl JsonSchema for NoSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        panic!("in schema")
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        panic!("in schema")
    }
}

impl EventMapper for Broken {
    type Config = NoSchema;

    fn create(_: NoSchema) -> Result<Self, CreateError> {
        Ok(Self)
    }

    fn kinds(&self) -> EventKinds {
        panic!("in kinds")
    }

    fn open(&self, _: &MapperRun) -> Box<dyn MapEvents> {
        unreachable!("it was never made")
    }
}
