//! The entries of the configuration that stand under names of the operator's choice, or in
//! lists: plugins, agents, toolsets, mappers.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ByteSize, Files, HumanDuration, Isolation};

/// A plugin: a dynamic library with components in it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["file"]))]
pub(crate) struct Library {
    /// The library: a bare name (`roundhouse_echo`), which gets the platform's prefix and suffix
    /// and is searched for, or a path, relative to this file. What has a separator or a
    /// suffix is a path.
    #[schemars(length(min = 1), example = &"roundhouse_echo", example = &"../plugins/libmine.so")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) file: String,
    /// Whether the host refuses to start when this plugin cannot be loaded.
    pub(crate) required: bool,
    /// The SHA-256 that the file must have, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Sha256Hex")]
    pub(crate) sha256: Option<Sha256Hex>,
    /// `in-process`, or `process` for a worker process of its own, so that a plugin that crashes or
    /// hangs ends its own runs and nothing else. A plugin in a worker has no mappers.
    pub(crate) isolation: Isolation,
    /// Most memory that the worker process may take for its data: at least 64 MiB. Left out, no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ByteSize")]
    pub(crate) memory_limit: Option<ByteSize>,
    /// Names of the environment variables that the worker process gets, with the host's own values. It gets
    /// no others.
    #[schemars(inner(length(min = 1)), example = &["HOME", "TZ"])]
    pub(crate) env: Vec<String>,
    /// The files that the worker process may use, besides the system's own libraries. Left out, all that the
    /// host may use. Needs Landlock, which Linux has since 5.13.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Files")]
    pub(crate) files: Option<Files>,
}

impl Default for Library {
    fn default() -> Self {
        Self {
            file: String::new(),
            required: true,
            sha256: None,
            isolation: Isolation::InProcess,
            memory_limit: None,
            env: Vec::new(),
            files: None,
        }
    }
}

/// An agent: a backend under a name of the operator's choice.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["component"]))]
pub(crate) struct Agent {
    /// The backend. Changing this line swaps it.
    #[serde(skip_serializing_if = "ComponentRef::is_empty")]
    pub(crate) component: ComponentRef,
    /// The component's own configuration, checked against the schema it declares.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) config: Map<String, Value>,
    /// Patterns of the names of the tools that the agent may call; `*` stands for any
    /// characters. All tools unless given; an empty list allows none.
    #[schemars(inner(length(min = 1)), example = &["calculator", "files_*"])]
    pub(crate) tools: Vec<String>,
    /// Names of the agents that it may run as subagents.
    pub(crate) subagents: Vec<String>,
    /// What people see in place of the agent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"Echo")]
    pub(crate) display_name: Option<String>,
    /// The agent's own event mappers, in this order; those of the top-level `mappers` come after.
    pub(crate) mappers: Vec<Mapper>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            component: ComponentRef::default(),
            config: Map::new(),
            tools: vec!["*".to_owned()],
            subagents: Vec::new(),
            display_name: None,
            mappers: Vec::new(),
        }
    }
}

/// A toolset: a component that holds tools, under a name of the operator's choice.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["component"]))]
pub(crate) struct Toolset {
    /// The component that holds the tools.
    #[serde(skip_serializing_if = "ComponentRef::is_empty")]
    pub(crate) component: ComponentRef,
    /// The component's own configuration, checked against the schema it declares.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) config: Map<String, Value>,
    /// How long one call may take; more than zero.
    pub(crate) timeout: HumanDuration,
    /// Put before the name of each of its tools, to tell instances of one component apart.
    #[schemars(
        title = "letters, digits, `_` and `-`",
        regex(pattern = "^[A-Za-z0-9_-]{0,64}$"),
        example = &"work_"
    )]
    pub(crate) prefix: String,
}

impl Default for Toolset {
    fn default() -> Self {
        Self {
            component: ComponentRef::default(),
            config: Map::new(),
            timeout: HumanDuration(Duration::from_secs(60)),
            prefix: String::new(),
        }
    }
}

/// An event mapper in a list of them.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["component"]))]
pub(crate) struct Mapper {
    /// The component that maps.
    #[serde(skip_serializing_if = "ComponentRef::is_empty")]
    pub(crate) component: ComponentRef,
    /// The component's own configuration, checked against the schema it declares.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) config: Map<String, Value>,
}

/// A component of a configured plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ComponentRef(pub(crate) String);

impl ComponentRef {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl JsonSchema for ComponentRef {
    fn schema_name() -> Cow<'static, str> {
        "Component".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a component written as PLUGIN/COMPONENT, such as \"echo/echo\"",
            "type": "string",
            "pattern": r"^[^/\s]+/[^/\s]+$",
            "examples": ["echo/echo", "scripted/scripted"],
        })
    }
}

/// A SHA-256 in hexadecimal, upper or lower case.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sha256Hex(pub(crate) String);

impl std::fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256Hex(***)")
    }
}

impl Sha256Hex {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl JsonSchema for Sha256Hex {
    fn schema_name() -> Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a SHA-256: 64 hexadecimal digits",
            "type": "string",
            "pattern": "^[0-9A-Fa-f]{64}$",
        })
    }
}
