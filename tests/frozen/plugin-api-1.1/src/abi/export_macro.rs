//! The macro that makes a library a plugin.

/// Exports a library's components: once in a library, which is a crate of the type `cdylib`.
///
/// Each section is optional, each component has the name that configuration uses for it (after the
/// library's, `plugin/component`), made of `a` to `z`, `0` to `9`, `_` and `-`.
///
/// ```standalone_crate
/// # use plugin_api::*;
/// # type Echo = Nothing;
/// # type Web = Nothing;
/// # type Clock = Nothing;
/// # type Redact = Nothing;
/// plugin_api::export! {
///     agents: { "echo" => Echo },
///     toolsets: { "web" => Web },
///     tools: { "clock" => Clock },
///     mappers: { "redact" => Redact },
/// }
/// # struct Nothing;
/// # #[async_trait]
/// # impl AgentBackend for Nothing {
/// #     type Config = NoConfig;
/// #     async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
/// #         Ok(Self)
/// #     }
/// #     async fn run(&self, _: RunRequest, _: RunContext) -> Result<Outcome, RunError> {
/// #         Ok(Outcome::finished(""))
/// #     }
/// # }
/// # #[async_trait]
/// # impl Toolset for Nothing {
/// #     type Config = NoConfig;
/// #     async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
/// #         Ok(Self)
/// #     }
/// #     async fn list(&self) -> Vec<ToolSpec> {
/// #         Vec::new()
/// #     }
/// #     async fn call(&self, call: ToolCall, _: ToolContext) -> Result<ToolOutput, ToolError> {
/// #         Err(ToolError::unknown_tool(call.name))
/// #     }
/// # }
/// # #[async_trait]
/// # impl Tool for Nothing {
/// #     type Config = NoConfig;
/// #     type Args = NoConfig;
/// #     const NAME: &'static str = "clock";
/// #     const DESCRIPTION: &'static str = "Tells the time.";
/// #     async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
/// #         Ok(Self)
/// #     }
/// #     async fn call(&self, _: NoConfig, _: ToolContext) -> Result<ToolOutput, ToolError> {
/// #         Ok(ToolOutput::text("late"))
/// #     }
/// # }
/// # impl EventMapper for Nothing {
/// #     type Config = NoConfig;
/// #     fn create(_: NoConfig) -> Result<Self, CreateError> {
/// #         Ok(Self)
/// #     }
/// #     fn open(&self, _: &MapperRun) -> Box<dyn MapEvents> {
/// #         Box::new(|_| Mapped::Pass)
/// #     }
/// # }
/// ```
///
/// Two components of one kind must not have one name:
///
/// ```compile_fail
/// # use plugin_api::*;
/// # struct Nothing;
/// # impl EventMapper for Nothing {
/// #     type Config = NoConfig;
/// #     fn create(_: NoConfig) -> Result<Self, CreateError> {
/// #         Ok(Self)
/// #     }
/// #     fn open(&self, _: &MapperRun) -> Box<dyn MapEvents> {
/// #         Box::new(|_| Mapped::Pass)
/// #     }
/// # }
/// plugin_api::export! {
///     mappers: { "redact" => Nothing, "redact" => Nothing },
/// }
/// ```
///
/// `agents` are types that implement [`AgentBackend`](crate::AgentBackend), `toolsets`
/// [`Toolset`](crate::Toolset), `tools` [`Tool`](crate::Tool), `mappers` [`EventMapper`](crate::EventMapper).
#[macro_export]
macro_rules! export {
    ($($sections:tt)*) => {
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn rh_plugin_v1() -> *const $crate::abi::types::RhPlugin {
                $crate::__descriptor!($($sections)*)
            }
        };
    };
}

/// The static descriptor as an expression, without the exported function.
#[doc(hidden)]
#[macro_export]
macro_rules! __descriptor {
    ($($section:ident: { $($name:literal => $component:ty),* $(,)? }),* $(,)?) => {{
        static COMPONENTS: &[&$crate::abi::types::RhComponent] = &[
            $($({
                static COMPONENT: $crate::abi::types::RhComponent =
                    $crate::__component!($section, $name, $component);
                &COMPONENT
            },)*)*
        ];
        static PLUGIN: $crate::abi::types::RhPlugin = $crate::abi::export::component::plugin(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::cfg!(panic = "abort"),
            COMPONENTS,
        );
        const _: () = ::core::assert!(
            $crate::abi::export::component::distinct(&[
                $($((::core::stringify!($section), $name),)*)*
            ]),
            "two components of one kind have the same name (a tool is a toolset of one)"
        );
        &raw const PLUGIN
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    (agents, $name:literal, $component:ty) => {
        $crate::abi::export::component::agent::<$component>($name)
    };
    (toolsets, $name:literal, $component:ty) => {
        $crate::abi::export::component::toolset::<$component>($name)
    };
    (tools, $name:literal, $component:ty) => {
        $crate::abi::export::component::tool::<$component>($name)
    };
    (mappers, $name:literal, $component:ty) => {
        $crate::abi::export::component::mapper::<$component>($name)
    };
    ($other:ident, $name:literal, $component:ty) => {
        ::core::compile_error!(::core::concat!(
            "a section is called agents, toolsets, tools or mappers, not ",
            ::core::stringify!($other)
        ))
    };
}
