//! What is common to the instances of all components.

use std::ffi::OsStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::abi::export::Scope;
use crate::wire::{InstanceParams, service};
use crate::{ChildCommand, Health, ServiceError};

/// The configuration of a component that has none: an empty table.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NoConfig {}

/// Who an instance is: given to `create`, and good for as long as the instance lives.
#[derive(Clone, Debug)]
pub struct InstanceContext {
    params: Arc<InstanceParams>,
    scope: Arc<Scope>,
}

impl InstanceContext {
    pub(crate) fn new(params: InstanceParams, scope: Arc<Scope>) -> Self {
        Self {
            params: Arc::new(params),
            scope,
        }
    }

    /// The name that the operator gave the instance.
    pub fn name(&self) -> &str {
        &self.params.name
    }

    /// Tells the instances of one name apart: it grows with each copy of a library that the host opens.
    pub fn generation(&self) -> u64 {
        self.params.generation
    }

    /// The name under which the configuration knows the library.
    pub fn plugin(&self) -> &str {
        &self.params.plugin
    }

    /// Says how the instance is. The operator sees it in the host's log and in `GET /agents` and `GET /tools`; nothing else comes
    /// of it. It counts until the next one, and at first all is well. A host before plugin interface 1.1 takes no notice.
    pub fn set_health(&self, health: Health) {
        self.scope.set_health(&health);
    }

    /// A command whose process ends with the host, whatever becomes of that, and with it all that it has started. See
    /// [`ChildCommand`].
    pub fn child(&self, program: impl AsRef<OsStr>) -> ChildCommand {
        ChildCommand::new(self.scope.child_guard(), program.as_ref())
    }

    /// Tells the host that the instance's tools are others now; it lists them again.
    ///
    /// # Errors
    ///
    /// The instance is no toolset, or was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the request if the host has not yet seen it.
    pub async fn tools_changed(&self) -> Result<(), ServiceError> {
        self.scope
            .request(service::TOOLS_CHANGED, &json!({}), None)
            .await
            .map(drop)
    }
}
