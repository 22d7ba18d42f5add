//! What a library says of itself, copied and checked.

use std::sync::Arc;

use thiserror::Error;

use super::super::borrow::{self, BorrowError};
use super::super::types::{ABI_MINOR, PLUGIN_PANIC_ABORT, RhComponent, RhHost, RhPlugin};
use super::component::Component;
use super::{AbiVersion, HostLibrary, callbacks};

/// The most components of a library; more is taken for garbage.
const MAX_COMPONENTS: u32 = 1024;

/// A library's descriptor is not what it must be, or not for this host.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The entry function answered null or something unreadable.
    #[error("the descriptor is not what it must be: {what}: {source}")]
    Unreadable {
        /// Which part.
        what: String,
        /// What is wrong with it.
        source: BorrowError,
    },
    /// Something that must be there is not.
    #[error("the descriptor is not what it must be: {0}")]
    Malformed(String),
    /// The library is for a newer host.
    #[error(
        "the library ({name} {version}, built with {built_with}) has plugin interface {} and needs a host with {} or later; this host has {}",
        AbiVersion(*.abi_minor), AbiVersion(*.min_host_minor), AbiVersion(ABI_MINOR)
    )]
    HostTooOld {
        /// The library's name.
        name: String,
        /// The library's own version.
        version: String,
        /// What built it.
        built_with: String,
        /// The minor version of the boundary that it was built with.
        abi_minor: u32,
        /// The least that it needs.
        min_host_minor: u32,
    },
}

/// The library refused to work, or cannot.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum InitError {
    /// It answered a negative number.
    #[error("the library's init answered {0}")]
    Refused(i32),
}

/// What a library says of itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct PluginDescriptor {
    /// The library's name.
    pub name: String,
    /// The library's own version.
    pub version: String,
    /// What built it. For people to read.
    pub built_with: String,
    /// The minor version of the boundary that it was built with.
    pub abi_minor: u32,
    /// The least minor version of a host that it works with; not more than this host's.
    pub min_host_minor: u32,
    /// It was built with `panic=abort`: a panic in it would end the host.
    pub panic_abort: bool,
    /// Its components. Two of a kind never have the same name.
    pub components: Vec<Component>,
    init: unsafe extern "C" fn(*const RhHost) -> i32,
    set_log_level: Option<unsafe extern "C" fn(u32)>,
}

/// A library that is connected to the host.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    set_log_level: Option<unsafe extern "C" fn(u32)>,
}

/// Copies and checks the descriptor that a library's entry function gave. Runs no code of the library.
///
/// # Errors
///
/// It is not what it must be, or the library is for a newer host.
///
/// # Safety
///
/// `descriptor` is null, or comes from the function
/// [`ENTRY_SYMBOL`](super::super::types::ENTRY_SYMBOL) of a library that follows the rules of
/// [`types`](super::super::types) and that stays mapped for ever. What is made from the result calls the
/// library's functions on the strength of this.
pub unsafe fn read_descriptor(
    descriptor: *const RhPlugin,
) -> Result<PluginDescriptor, DescriptorError> {
    let unreadable = |what: &str| {
        let what = what.to_owned();
        move |source| DescriptorError::Unreadable { what, source }
    };
    // SAFETY: passed on to the caller.
    let plugin = unsafe { borrow::read(descriptor) }.map_err(unreadable("it"))?;
    let text = |lent, what: &str| {
        // SAFETY: passed on to the caller.
        unsafe { borrow::str(lent) }
            .map(str::to_owned)
            .map_err(unreadable(what))
    };
    let name = text(plugin.name, "its name")?;
    let version = text(plugin.version, "its version")?;
    let built_with = text(plugin.built_with, "what built it")?;
    let (abi_minor, min_host_minor) = (plugin.abi_minor, plugin.min_host_minor);
    if min_host_minor > ABI_MINOR {
        return Err(DescriptorError::HostTooOld {
            name,
            version,
            built_with,
            abi_minor,
            min_host_minor,
        });
    }
    let Some(init) = plugin.init else {
        return Err(DescriptorError::Malformed("it has no `init`".to_owned()));
    };
    // SAFETY: passed on to the caller.
    let pointers = unsafe { component_pointers(&plugin) }?;
    let mut components: Vec<Component> = Vec::with_capacity(pointers.len());
    for (index, pointer) in pointers.iter().enumerate() {
        // SAFETY: passed on to the caller.
        let component = unsafe { Component::read(*pointer, index) }?;
        if components
            .iter()
            .any(|other| other.name == component.name && other.kind.same(&component.kind))
        {
            let problem = format!(
                "it has two {} components called `{}`",
                component.kind, component.name
            );
            return Err(DescriptorError::Malformed(problem));
        }
        components.push(component);
    }
    Ok(PluginDescriptor {
        name,
        version,
        built_with,
        abi_minor,
        min_host_minor,
        panic_abort: plugin.flags & PLUGIN_PANIC_ABORT != 0,
        components,
        init,
        set_log_level: plugin.set_log_level,
    })
}

/// # Safety
///
/// As [`read_descriptor`].
unsafe fn component_pointers<'a>(
    plugin: &RhPlugin,
) -> Result<&'a [*const RhComponent], DescriptorError> {
    let count = plugin.component_count;
    if count > MAX_COMPONENTS {
        let problem = format!("it claims {count} components; at most {MAX_COMPONENTS} are taken");
        return Err(DescriptorError::Malformed(problem));
    }
    if count == 0 {
        return Ok(&[]);
    }
    let unreadable = |source| DescriptorError::Unreadable {
        what: "its components".to_owned(),
        source,
    };
    if plugin.components.is_null() {
        return Err(unreadable(BorrowError::Null));
    }
    if !plugin.components.is_aligned() {
        return Err(unreadable(BorrowError::Misaligned));
    }
    // SAFETY: not null, aligned, of a sensible length; that many pointers are there, for ever, by the caller's
    // promise that the library follows the rules.
    Ok(unsafe { std::slice::from_raw_parts(plugin.components, count as usize) })
}

impl PluginDescriptor {
    /// Connects the library to the host: before anything else of it is called, and once.
    ///
    /// # Errors
    ///
    /// The library refuses.
    pub fn init(&self, host: Arc<dyn HostLibrary>) -> Result<Library, InitError> {
        let table = callbacks::table(host);
        // SAFETY: the library's own function, mapped for ever, as `read_descriptor` was promised; the table
        // lives for ever.
        let answer = unsafe { (self.init)(std::ptr::from_ref(table)) };
        if answer < 0 {
            return Err(InitError::Refused(answer));
        }
        Ok(Library {
            set_log_level: self.set_log_level,
        })
    }
}

impl Library {
    /// Says which is the most verbose level that the host wants to see; `None` for nothing.
    pub fn set_log_level(&self, level: Option<tracing::Level>) {
        use super::super::types::{LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_TRACE, LOG_WARN};
        let level = match level {
            None => 0,
            Some(tracing::Level::ERROR) => LOG_ERROR,
            Some(tracing::Level::WARN) => LOG_WARN,
            Some(tracing::Level::INFO) => LOG_INFO,
            Some(tracing::Level::DEBUG) => LOG_DEBUG,
            Some(tracing::Level::TRACE) => LOG_TRACE,
        };
        if let Some(set_log_level) = self.set_log_level {
            // SAFETY: the library's own function, mapped for ever, after its `init`.
            unsafe { set_log_level(level) };
        }
    }
}
