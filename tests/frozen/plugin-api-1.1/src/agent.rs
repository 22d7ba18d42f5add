//! Agents: what answers the user.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::abi::export::Scope;
use crate::wire::{ImageInfo, OutcomeData, RunParams};
use crate::{
    CreateError, FileInfo, ImageError, InstanceContext, RunContext, RunError, RunId, SessionId,
    SubagentInfo, ToolSpec,
};

/// An agent. One instance serves all runs of one configured agent, several at a time.
#[async_trait]
pub trait AgentBackend: Send + Sync + Sized + 'static {
    /// What the operator can configure. Its schema is checked by the host before `create`.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// One sentence for people.
    const SUMMARY: &'static str = "";

    /// Makes an instance. The host gives up on it after a deadline, and then drops the future.
    async fn create(config: Self::Config, ctx: InstanceContext) -> Result<Self, CreateError>;

    /// Answers one message: emits events to `ctx` and returns how it ended. The host saves the turn and
    /// tells the clients.
    ///
    /// When the run is asked to stop, [`RunContext::stopped`] resolves; return soon, as
    /// [`Outcome::stopped`] or as finished. After the grace time the future is dropped where it awaits.
    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError>;

    /// Ends the instance. The host calls nothing of it afterwards, and does not wait for ever.
    async fn shutdown(&self) {}

    /// A session is gone for good; what the instance keeps of it can go. Must be quick.
    fn session_ended(&self, _session: &SessionId) {}
}

/// What an agent is asked, and with what it may work.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunRequest {
    /// The run.
    pub run_id: RunId,
    /// The session that it belongs to.
    pub session_id: SessionId,
    /// The configured name of the agent.
    pub agent: String,
    /// The client's text followed by the host's notes on images and files: what a model should read.
    pub content: String,
    /// The client's own text alone.
    pub user_text: String,
    /// Images of the message.
    pub images: Vec<Image>,
    /// Uploaded files that the message names.
    pub files: Vec<FileInfo>,
    /// The tools that the agent may call.
    pub tools: Vec<ToolSpec>,
    /// The agents that this one may run as subagents.
    pub subagents: Vec<SubagentInfo>,
    /// 0 for a run that a client started, 1 for a subagent's, and so on.
    pub depth: u32,
    /// The data that this agent's previous outcome in the session carried.
    pub previous: Option<Value>,
    /// The session's metadata, an object or null.
    pub metadata: Value,
    /// The profile that is chosen for the session, by its client or by this agent in an earlier run with
    /// [`Event::profile_switched`](crate::Event::profile_switched). `None`: the agent's own default.
    pub profile: Option<String>,
}

impl RunRequest {
    pub(crate) fn new(params: RunParams, scope: &Arc<Scope>) -> Self {
        let image = |info| Image::lent(info, scope);
        Self {
            run_id: params.run_id.into(),
            session_id: params.session_id.into(),
            agent: params.agent,
            content: params.content,
            user_text: params.user_text,
            images: params.images.into_iter().map(image).collect(),
            files: params.files,
            tools: params.tools,
            subagents: params.subagents,
            depth: params.depth,
            previous: params.outcome_data,
            metadata: params.metadata,
            profile: params.profile,
        }
    }
}

/// An image of a message. Its bytes stay with the host until they are asked for.
#[derive(Clone, Debug)]
pub struct Image {
    media_type: String,
    len: u64,
    source: ImageSource,
}

#[derive(Clone, Debug)]
enum ImageSource {
    Host { handle: u64, scope: Arc<Scope> },
    Own(Arc<[u8]>),
}

impl Image {
    /// One that the host lends.
    pub(crate) fn lent(info: ImageInfo, scope: &Arc<Scope>) -> Self {
        Self {
            media_type: info.media_type,
            len: info.bytes,
            source: ImageSource::Host {
                handle: info.handle,
                scope: Arc::clone(scope),
            },
        }
    }

    /// An image of one's own, for tests of what works with images. Its bytes are there at any time.
    pub fn new(media_type: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            media_type: media_type.into(),
            len: bytes.len() as u64,
            source: ImageSource::Own(bytes),
        }
    }

    /// For example `image/png`.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the image's bytes from the host. Does not block.
    ///
    /// # Errors
    ///
    /// The run is over, or the host no longer has the image.
    pub fn bytes(&self) -> Result<Vec<u8>, ImageError> {
        match &self.source {
            ImageSource::Host { handle, scope } => scope.image(*handle),
            ImageSource::Own(bytes) => Ok(bytes.to_vec()),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(crate) stopped: bool,
    pub(crate) data: OutcomeData,
}

impl Outcome {
    /// The agent is done; `content` is its final text.
    pub fn finished(content: impl Into<String>) -> Self {
        Self {
            stopped: false,
            data: OutcomeData {
                content: content.into(),
                ..OutcomeData::default()
            },
        }
    }

    /// The agent saw the stop and ended for it; `content` is what there is of the final text.
    pub fn stopped(content: impl Into<String>) -> Self {
        Self {
            stopped: true,
            ..Self::finished(content)
        }
    }

    /// The final text.
    pub fn content(&self) -> &str {
        &self.data.content
    }

    /// Whether the agent ended because it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What the host is told: the content, the numbers and the data.
    pub fn as_wire(&self) -> &OutcomeData {
        &self.data
    }

    /// Tokens that the turn has used.
    #[must_use]
    pub fn token_count(mut self, tokens: u64) -> Self {
        self.data.token_count = tokens;
        self
    }

    /// Tokens of the context in use after the turn.
    #[must_use]
    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.data.context_tokens = tokens;
        self
    }

    /// Tokens that the context can hold.
    #[must_use]
    pub fn max_context_tokens(mut self, tokens: u64) -> Self {
        self.data.max_context_tokens = tokens;
        self
    }

    /// Anything that the agent wants back as [`RunRequest::previous`] of its next turn in the session.
    #[must_use]
    pub fn data(mut self, data: impl Into<Value>) -> Self {
        self.data.data = Some(data.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_tells_what_it_was_made_of() {
        let outcome = Outcome::finished("done").token_count(3).data(7);
        assert_eq!((outcome.content(), outcome.is_stopped()), ("done", false));
        assert_eq!(outcome.as_wire().token_count, 3);
        assert_eq!(outcome.as_wire().data, Some(Value::from(7)));
        assert!(Outcome::stopped("").is_stopped());
    }

    #[test]
    fn an_image_of_ones_own_needs_no_host() {
        let image = Image::new("image/png", *b"bytes");
        assert_eq!((image.media_type(), image.len()), ("image/png", 5));
        assert_eq!(image.bytes().unwrap(), b"bytes");
        assert!(!image.is_empty() && Image::new("image/png", []).is_empty());
    }
}
