//! The source of `plugin-api`, embedded by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/plugin_api.rs"));

/// Where it lies in a project.
pub(super) const FOLDER: &str = "vendor/roundhouse-plugin-api";

/// The C header, `roundhouse_plugin.h`.
pub const HEADER: &str = include_str!("../../../plugin-api/include/roundhouse_plugin.h");
