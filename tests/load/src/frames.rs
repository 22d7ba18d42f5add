//! What is in the frames, so that events are counted exactly whether they come singly or folded.

/// The text of every delta where only counting matters: of a word's length, and always the same, so that a folded
/// delta's length says how many are in it.
pub(crate) const TEXT: &str = "token ";

/// What a run begins with.
pub(crate) const START: &str = r#"{"type":"stream_start"}"#;

/// What an idle client is sent first.
pub(crate) const SYNC: &str = r#"{"type":"session_sync"}"#;

const HEAD: &str = r#"{"type":"stream_delta","delta":""#;
const TAIL: &str = r#""}"#;

/// The frame of a delta.
pub(crate) fn delta(text: &str) -> String {
    format!("{HEAD}{text}{TAIL}")
}

/// The text of a delta's frame; `None` for any other frame. It has no escapes.
pub(crate) fn text_of(frame: &[u8]) -> Option<&[u8]> {
    frame
        .strip_prefix(HEAD.as_bytes())?
        .strip_suffix(TAIL.as_bytes())
}

/// Whether the frame's type is this one.
pub(crate) fn is(frame: &[u8], kind: &str) -> bool {
    frame
        .strip_prefix(br#"{"type":""#)
        .and_then(|rest| rest.strip_prefix(kind.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b"\""))
}

/// What a client has received of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Deltas, however many were folded into one frame.
    pub(crate) events: u64,
    /// Their frames.
    pub(crate) frames: u64,
    /// The run has ended well.
    pub(crate) ended: bool,
    /// Something came that must not: another text, an error.
    pub(crate) wrong: bool,
}

impl Counts {
    /// Counts a frame of a run whose deltas are all [`TEXT`].
    pub(crate) fn add(&mut self, frame: &[u8]) {
        if let Some(text) = text_of(frame) {
            self.frames += 1;
            self.events += (text.len() / TEXT.len()) as u64;
            self.wrong |= text.len() % TEXT.len() != 0 || self.ended;
        } else if is(frame, "stream_end") {
            self.ended = true;
        } else {
            self.wrong |= is(frame, "error") || is(frame, "stream_stopped");
        }
    }
}
