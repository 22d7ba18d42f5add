//! The tool `uuid`.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ToolError, ToolOutput};
use uuid::Uuid;

pub(crate) const DESCRIPTION: &str = "Makes new UUIDs, one a line. Use it whenever a unique identifier is needed; do not invent one.";

/// The most UUIDs of one call.
const MAX_COUNT: u32 = 100;

/// The arguments of `uuid`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct UuidArgs {
    /// Which kind; `v4` unless said otherwise.
    pub version: UuidVersion,
    /// How many; 1 unless said otherwise.
    #[schemars(range(min = 1, max = MAX_COUNT))]
    pub count: Option<u32>,
}

/// The kinds of UUIDs.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "plugin_api::schemars")]
pub enum UuidVersion {
    /// Random.
    #[default]
    V4,
    /// Begins with the present time, so that later ones sort after earlier ones.
    V7,
}

pub(crate) fn call(args: &UuidArgs) -> Result<ToolOutput, ToolError> {
    let count = args.count.unwrap_or(1);
    if !(1..=MAX_COUNT).contains(&count) {
        return Err(ToolError::invalid_args(format!(
            "`count` must be from 1 to {MAX_COUNT}"
        )));
    }
    let one = || match args.version {
        UuidVersion::V4 => Uuid::new_v4(),
        UuidVersion::V7 => Uuid::now_v7(),
    };
    let uuids: Vec<_> = (0..count).map(|_| one().to_string()).collect();
    Ok(ToolOutput::text(uuids.join("\n")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use plugin_api::serde_json::{self, Value, json};

    use super::*;

    fn make(args: Value) -> Result<Vec<Uuid>, String> {
        let args: UuidArgs = serde_json::from_value(args).map_err(|error| error.to_string())?;
        let output = call(&args).map_err(|error| error.to_string())?;
        Ok(output
            .text
            .lines()
            .map(|line| line.parse().unwrap())
            .collect())
    }

    #[test]
    fn one_random_uuid_unless_said_otherwise() {
        let made = make(json!({})).unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].get_version_num(), 4);
    }

    #[test]
    fn version_7_sorts_by_time() {
        let made = make(json!({"version": "v7", "count": 100})).unwrap();
        assert!(made.iter().all(|uuid| uuid.get_version_num() == 7));
        assert!(made.is_sorted());
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 100);
    }

    #[test]
    fn the_count_is_bounded() {
        for count in [0, 101] {
            let told = make(json!({"count": count})).unwrap_err();
            assert_eq!(told, "invalid arguments: `count` must be from 1 to 100");
        }
        assert!(make(json!({"version": "v1"})).is_err());
    }
}
