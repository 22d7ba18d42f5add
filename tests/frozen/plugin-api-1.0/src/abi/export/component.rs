//! The static descriptor: what [`export!`](crate::export!) is made of.

use std::mem::size_of;
use std::ptr::from_ref;

use schemars::{JsonSchema, schema_for};

use super::super::borrow::lend;
use super::super::guard::catch;
use super::super::types::{
    ABI_MINOR, COMPONENT_AGENT, COMPONENT_MAPPER, COMPONENT_TOOLSET, ERR_INTERNAL, OK,
    PLUGIN_PANIC_ABORT, RhComponent, RhPlugin, RhWriter,
};
use super::{agent, host, logging, mapper, toolset};
use crate::tool::SingleTool;
use crate::wire::ComponentDescription;
use crate::{AgentBackend, EventMapper, Tool, Toolset};

/// The least `abi_minor` of a host that this release of the SDK works with.
const MIN_HOST_MINOR: u32 = 0;

/// What built a library: the release of this crate, and the compiler.
const BUILT_WITH: &str = concat!(
    "plugin_api ",
    env!("CARGO_PKG_VERSION"),
    ", ",
    env!("ROUNDHOUSE_RUSTC_VERSION")
);

/// An agent.
pub const fn agent<A: AgentBackend>(name: &'static str) -> RhComponent {
    let vtable = from_ref(agent::Functions::<A>::TABLE).cast();
    component(COMPONENT_AGENT, name, describe_agent::<A>, vtable)
}

/// A toolset.
pub const fn toolset<T: Toolset>(name: &'static str) -> RhComponent {
    let vtable = from_ref(toolset::Functions::<T>::TABLE).cast();
    component(COMPONENT_TOOLSET, name, describe_toolset::<T>, vtable)
}

/// A tool, as a toolset of one.
pub const fn tool<T: Tool>(name: &'static str) -> RhComponent {
    toolset::<SingleTool<T>>(name)
}

/// An event mapper.
pub const fn mapper<M: EventMapper>(name: &'static str) -> RhComponent {
    let vtable = from_ref(mapper::Functions::<M>::TABLE).cast();
    component(COMPONENT_MAPPER, name, describe_mapper::<M>, vtable)
}

const fn component(
    kind: u32,
    name: &'static str,
    describe: unsafe extern "C" fn(RhWriter) -> i32,
    vtable: *const std::ffi::c_void,
) -> RhComponent {
    assert!(
        is_name(name),
        "a component's name is made of a to z, 0 to 9, _ and -"
    );
    RhComponent {
        size: size_of::<RhComponent>(),
        kind,
        reserved: 0,
        name: lend(name),
        describe: Some(describe),
        vtable,
    }
}

/// The library. `components` must not name two of a kind alike.
pub const fn plugin(
    name: &'static str,
    version: &'static str,
    panic_abort: bool,
    components: &'static [&'static RhComponent],
) -> RhPlugin {
    assert!(
        components.len() <= 1024,
        "a library has at most 1024 components"
    );
    RhPlugin {
        size: size_of::<RhPlugin>(),
        abi_minor: ABI_MINOR,
        min_host_minor: MIN_HOST_MINOR,
        flags: if panic_abort { PLUGIN_PANIC_ABORT } else { 0 },
        component_count: components.len() as u32,
        // A reference has the layout of a pointer.
        components: components.as_ptr().cast(),
        name: lend(name),
        version: lend(version),
        built_with: lend(BUILT_WITH),
        init: Some(host::init),
        set_log_level: Some(logging::set_level),
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

/// Whether no two of these components, each a section and a name, are of one kind and have one name.
pub const fn distinct(components: &[(&str, &str)]) -> bool {
    let mut left = 0;
    while left < components.len() {
        let mut right = left + 1;
        while right < components.len() {
            if same(kind(components[left].0), kind(components[right].0))
                && same(
                    components[left].1.as_bytes(),
                    components[right].1.as_bytes(),
                )
            {
                return false;
            }
            right += 1;
        }
        left += 1;
    }
    true
}

const fn kind(section: &str) -> &[u8] {
    // A tool is a toolset of one.
    match section.as_bytes() {
        b"tools" => b"toolsets",
        other => other,
    }
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

unsafe extern "C" fn describe_agent<A: AgentBackend>(out: RhWriter) -> i32 {
    describe::<A::Config>(A::SUMMARY, out)
}

unsafe extern "C" fn describe_toolset<T: Toolset>(out: RhWriter) -> i32 {
    describe::<T::Config>(T::SUMMARY, out)
}

unsafe extern "C" fn describe_mapper<M: EventMapper>(out: RhWriter) -> i32 {
    describe::<M::Config>(M::SUMMARY, out)
}

fn describe<C: JsonSchema>(summary: &str, out: RhWriter) -> i32 {
    let json = catch(|| {
        let config_schema = schema_for!(C).to_value();
        serde_json::to_string(&ComponentDescription {
            summary: summary.to_owned(),
            config_schema,
        })
    });
    match json {
        // SAFETY: the writer's own `ctx`, during the call it was passed to; the text lives until this returns.
        Ok(Ok(json)) => match unsafe { (out.write)(out.ctx, lend(&json)) } {
            answer if answer < 0 => answer,
            _ => OK,
        },
        _ => ERR_INTERNAL,
    }
}
