//! What a worker tells the host.

use plugin_api::EventRef;

use super::fields::{Fields, Frame};
use super::{End, FrameError};

/// What a worker tells the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FromWorker<'a> {
    /// The library is open. JSON: an `Opened` of `described`.
    Opened(&'a str),
    /// The library cannot be opened, and why.
    Refused(&'a str),
    /// `HostLibrary::emit`
    Emit {
        /// The run or call.
        scope: u64,
        /// What it emits.
        event: EventRef<'a>,
    },
    /// `HostLibrary::complete`
    Complete {
        /// What was started.
        scope: u64,
        /// How it ended.
        end: End<'a>,
    },
    /// `HostLibrary::request`
    Request {
        /// The run or instance.
        scope: u64,
        /// The library's number for it.
        id: u64,
        /// What is asked.
        method: &'a str,
        /// JSON.
        params: &'a str,
    },
    /// `HostLibrary::cancel`
    Cancel {
        /// The run or instance.
        scope: u64,
        /// The request.
        id: u64,
    },
    /// `HostLibrary::image`
    Image {
        /// The run.
        scope: u64,
        /// The image.
        handle: u64,
        /// Comes back with it.
        ticket: u64,
    },
    /// `HostLibrary::log`
    Log {
        /// Whose line it is, or 0.
        scope: u64,
        /// `RH_LOG_…`
        level: u32,
        /// Where in the library.
        target: &'a str,
        /// The message.
        message: &'a str,
        /// A JSON object, or empty.
        fields: &'a str,
    },
    /// `HostLibrary::set_health`
    Health {
        /// The instance.
        scope: u64,
        /// `RH_HEALTH_…`
        state: u32,
        /// For people.
        text: &'a str,
    },
}

const OPENED: u8 = 1;
const REFUSED: u8 = 2;
const EMIT: u8 = 3;
const COMPLETE: u8 = 4;
const REQUEST: u8 = 5;
const CANCEL: u8 = 6;
const ASK_IMAGE: u8 = 7;
const LOG: u8 = 8;
const HEALTH: u8 = 9;

impl<'a> FromWorker<'a> {
    /// Reads a frame that [`Decoder::next_frame`] answered.
    ///
    /// # Errors
    ///
    /// [`FrameError`]
    pub fn read(frame: &'a [u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::of(frame)?;
        let read = match fields.kind {
            OPENED => Self::Opened(fields.text()?),
            REFUSED => Self::Refused(fields.text()?),
            EMIT => Self::Emit {
                scope: fields.long()?,
                event: fields.event()?,
            },
            COMPLETE => Self::Complete {
                scope: fields.long()?,
                end: match fields.int()? {
                    0 => End::Finished(fields.text()?),
                    1 => End::Made,
                    2 => End::Stopped(fields.text()?),
                    3 => End::Failed(fields.int()?, fields.text()?),
                    value => return Err(fields.bad(value)),
                },
            },
            REQUEST => Self::Request {
                scope: fields.long()?,
                id: fields.long()?,
                method: fields.text()?,
                params: fields.text()?,
            },
            CANCEL => Self::Cancel {
                scope: fields.long()?,
                id: fields.long()?,
            },
            ASK_IMAGE => Self::Image {
                scope: fields.long()?,
                handle: fields.long()?,
                ticket: fields.long()?,
            },
            LOG => Self::Log {
                scope: fields.long()?,
                level: fields.int()?,
                target: fields.text()?,
                message: fields.text()?,
                fields: fields.text()?,
            },
            HEALTH => Self::Health {
                scope: fields.long()?,
                state: fields.int()?,
                text: fields.text()?,
            },
            unknown => return Err(FrameError::UnknownKind(unknown)),
        };
        fields.end()?;
        Ok(read)
    }

    /// Appends it as a frame.
    pub fn write(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Opened(json) => Frame::begin(to, OPENED).text(json),
            Self::Refused(text) => Frame::begin(to, REFUSED).text(text),
            Self::Emit { scope, event } => Frame::begin(to, EMIT).long(scope).event(&event),
            Self::Complete { scope, end } => {
                let frame = Frame::begin(to, COMPLETE).long(scope);
                match end {
                    End::Finished(json) => frame.int(0).text(json),
                    End::Made => frame.int(1),
                    End::Stopped(json) => frame.int(2).text(json),
                    End::Failed(kind, text) => frame.int(3).int(kind).text(text),
                }
            }
            Self::Request {
                scope,
                id,
                method,
                params,
            } => Frame::begin(to, REQUEST)
                .long(scope)
                .long(id)
                .text(method)
                .text(params),
            Self::Cancel { scope, id } => Frame::begin(to, CANCEL).long(scope).long(id),
            Self::Image {
                scope,
                handle,
                ticket,
            } => Frame::begin(to, ASK_IMAGE)
                .long(scope)
                .long(handle)
                .long(ticket),
            Self::Log {
                scope,
                level,
                target,
                message,
                fields,
            } => Frame::begin(to, LOG)
                .long(scope)
                .int(level)
                .text(target)
                .text(message)
                .text(fields),
            Self::Health { scope, state, text } => {
                Frame::begin(to, HEALTH).long(scope).int(state).text(text)
            }
        }
        .end();
    }
}
