//! The components of a library, and how instances of them are made.

use std::ffi::c_void;
use std::fmt;

use thiserror::Error;

use super::super::borrow::{self, BorrowError, lend};
use super::super::guard::catch;
use super::super::types::{
    COMPONENT_AGENT, COMPONENT_MAPPER, COMPONENT_TOOLSET, ERR_INTERNAL, ERR_INVALID, ERR_TOO_LARGE,
    OK, RhAgent, RhComponent, RhMapper, RhStr, RhToolset, RhWriter,
};
use super::{AgentInstance, DescriptorError, InstancePtr, MapperInstance, ToolsetInstance};
use crate::wire::ComponentDescription;

/// The longest description of a component that is taken.
const MAX_DESCRIPTION: usize = 8 << 20;

/// A component of a library.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Component {
    /// What it is, with its functions.
    pub kind: ComponentKind,
    /// The name that configuration uses.
    pub name: String,
    describe: Option<unsafe extern "C" fn(RhWriter) -> i32>,
}

/// What a component is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ComponentKind {
    /// An agent.
    Agent(AgentFns),
    /// A toolset.
    Toolset(ToolsetFns),
    /// An event mapper.
    Mapper(MapperFns),
    /// Something that this host does not know.
    Unsupported(u32),
}

impl ComponentKind {
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unsupported(left), Self::Unsupported(right)) => left == right,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(_) => f.write_str("agent"),
            Self::Toolset(_) => f.write_str("toolset"),
            Self::Mapper(_) => f.write_str("mapper"),
            Self::Unsupported(kind) => write!(f, "unsupported (kind {kind})"),
        }
    }
}

/// A component could not say what it is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// It has no function for it, or that one failed.
    #[error("the component does not describe itself (answer {0})")]
    Refused(i32),
    /// It wrote something else than a description.
    #[error("the component's description is not what it must be")]
    Malformed(#[source] serde_json::Error),
}

impl Component {
    /// # Safety
    ///
    /// As [`read_descriptor`](super::read_descriptor).
    pub(super) unsafe fn read(
        from: *const RhComponent,
        index: usize,
    ) -> Result<Self, DescriptorError> {
        let unreadable = |what: String| move |source| DescriptorError::Unreadable { what, source };
        // SAFETY: passed on to the caller.
        let component =
            unsafe { borrow::read(from) }.map_err(unreadable(format!("component {index}")))?;
        // SAFETY: passed on to the caller.
        let name = unsafe { borrow::str(component.name) };
        let name = name
            .map_err(unreadable(format!("the name of component {index}")))?
            .to_owned();
        let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if name.is_empty() || !name.bytes().all(letter) {
            let problem = format!(
                "component {index} is called {name:?}; a name is made of a to z, 0 to 9, _ and -"
            );
            return Err(DescriptorError::Malformed(problem));
        }
        // SAFETY: passed on to the caller: `vtable` is what `kind` says.
        let kind = unsafe { functions(component.kind, component.vtable) };
        let kind = kind
            .map_err(unreadable(format!("the functions of component `{name}`")))?
            .ok_or_else(|| {
                DescriptorError::Malformed(format!(
                    "component `{name}` lacks a function that it must have"
                ))
            })?;
        Ok(Self {
            kind,
            name,
            describe: component.describe,
        })
    }

    /// What the component says of itself. Runs the library's code, which needs no `init` for it.
    ///
    /// # Errors
    ///
    /// It fails or writes something else than a description.
    pub fn describe(&self) -> Result<ComponentDescription, DescribeError> {
        unsafe extern "C" fn append(ctx: *mut c_void, piece: RhStr) -> i32 {
            catch(|| {
                if piece.len == 0 {
                    return OK;
                }
                if piece.ptr.is_null() {
                    return ERR_INVALID;
                }
                // SAFETY: `ctx` is the vector below, which the library uses only during its call and from
                // one thread at a time.
                let text = unsafe { &mut *ctx.cast::<Vec<u8>>() };
                if piece.len > MAX_DESCRIPTION - text.len() {
                    return ERR_TOO_LARGE;
                }
                // SAFETY: the library lends `len` readable bytes for this call, not absurdly many.
                text.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.ptr, piece.len) });
                OK
            })
            .unwrap_or(ERR_INTERNAL)
        }

        let Some(describe) = self.describe else {
            return Err(DescribeError::Refused(super::types::ERR_UNSUPPORTED));
        };
        let mut text: Vec<u8> = Vec::new();
        let writer = RhWriter {
            ctx: (&raw mut text).cast(),
            write: append,
        };
        // SAFETY: the library's own function; the vector outlives the call.
        let answer = unsafe { describe(writer) };
        if answer < 0 {
            return Err(DescribeError::Refused(answer));
        }
        serde_json::from_slice(&text).map_err(DescribeError::Malformed)
    }
}

/// # Safety
///
/// `vtable` is what `kind` says it is, for ever.
unsafe fn functions(
    kind: u32,
    vtable: *const c_void,
) -> Result<Option<ComponentKind>, BorrowError> {
    Ok(match kind {
        COMPONENT_AGENT => {
            // SAFETY: passed on to the caller.
            let table = unsafe { borrow::read(vtable.cast::<RhAgent>()) }?;
            AgentFns::new(&table).map(ComponentKind::Agent)
        }
        COMPONENT_TOOLSET => {
            // SAFETY: passed on to the caller.
            let table = unsafe { borrow::read(vtable.cast::<RhToolset>()) }?;
            ToolsetFns::new(&table).map(ComponentKind::Toolset)
        }
        COMPONENT_MAPPER => {
            // SAFETY: passed on to the caller.
            let table = unsafe { borrow::read(vtable.cast::<RhMapper>()) }?;
            MapperFns::new(&table).map(ComponentKind::Mapper)
        }
        unknown => Some(ComponentKind::Unsupported(unknown)),
    })
}

pub(super) type Create = unsafe extern "C" fn(u64, RhStr, RhStr);
pub(super) type Shutdown = unsafe extern "C" fn(*mut c_void, u64);
pub(super) type SessionEnded = unsafe extern "C" fn(*mut c_void, RhStr);
pub(super) type Scoped = unsafe extern "C" fn(*mut c_void, u64);

/// The functions of an agent.
#[derive(Clone, Copy, Debug)]
pub struct AgentFns {
    create: Create,
    pub(super) shutdown: Shutdown,
    pub(super) session_ended: Option<SessionEnded>,
    pub(super) run: unsafe extern "C" fn(*mut c_void, u64, RhStr),
    pub(super) stop: Scoped,
    pub(super) resume: Scoped,
}

/// The functions of a toolset.
#[derive(Clone, Copy, Debug)]
pub struct ToolsetFns {
    create: Create,
    pub(super) shutdown: Shutdown,
    pub(super) session_ended: Option<SessionEnded>,
    pub(super) list: Scoped,
    pub(super) call: unsafe extern "C" fn(*mut c_void, u64, RhStr, RhStr, RhStr),
    pub(super) cancel: Scoped,
}

/// The functions of an event mapper.
#[derive(Clone, Copy, Debug)]
pub struct MapperFns {
    create: Create,
    pub(super) shutdown: Shutdown,
    pub(super) kinds: unsafe extern "C" fn(*mut c_void) -> u64,
    pub(super) open: unsafe extern "C" fn(*mut c_void, RhStr) -> *mut c_void,
    pub(super) map: unsafe extern "C" fn(
        *mut c_void,
        *const super::types::RhEvent,
        super::types::RhEventSink,
    ) -> i32,
    pub(super) close: unsafe extern "C" fn(*mut c_void),
}

macro_rules! creates {
    ($($fns:ident($table:ident { $($required:ident),*; $($optional:ident),* }) => $instance:ident;)*) => {
        $(impl $fns {
            fn new(table: &$table) -> Option<Self> {
                Some(Self { $($required: table.$required?,)* $($optional: table.$optional,)* })
            }

            /// Starts making an instance; it ends with the [`Completion`](super::Completion) of `scope`.
            /// `config` is JSON that fits the component's schema, `params` an
            /// [`InstanceParams`](crate::wire::InstanceParams). `scope` stays the instance's own until it was
            /// shut down. Only after the library's [`init`](super::PluginDescriptor::init).
            pub fn create(&self, scope: u64, config: &str, params: &str) {
                // SAFETY: the library's own function, mapped for ever, as `read_descriptor` was promised; the
                // strings live until this returns.
                unsafe { (self.create)(scope, lend(config), lend(params)) };
            }

            /// The instance that a [`create`](Self::create) has completed with.
            ///
            /// # Safety
            ///
            /// `pointer` comes from the completion of a `create` of this very component, and was used for no
            /// other instance.
            pub unsafe fn instance(&self, pointer: InstancePtr) -> $instance {
                $instance::new(*self, pointer)
            }
        })*
    };
}
creates! {
    AgentFns(RhAgent { create, shutdown, run, stop, resume; session_ended }) => AgentInstance;
    ToolsetFns(RhToolset { create, shutdown, list, call, cancel; session_ended }) => ToolsetInstance;
    MapperFns(RhMapper { create, shutdown, kinds, open, map, close; }) => MapperInstance;
}
