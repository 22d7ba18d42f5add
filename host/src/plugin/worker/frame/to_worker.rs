//! What the host tells a worker.

use super::fields::{Fields, Frame};
use super::{FrameError, Reply};

/// What the host tells a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ToWorker<'a> {
    /// The first frame. JSON: a `Hello` of `described`.
    Hello(&'a str),
    /// `create`
    Create {
        /// Of the completion, and then of the instance.
        scope: u64,
        /// `RH_COMPONENT_…`
        kind: u32,
        /// Its name.
        component: &'a str,
        /// JSON.
        config: &'a str,
        /// JSON.
        params: &'a str,
    },
    /// `shutdown`
    Shutdown {
        /// Whose.
        instance: u64,
        /// Of the completion.
        scope: u64,
    },
    /// `session_ended`
    SessionEnded {
        /// Whose.
        instance: u64,
        /// The session.
        session: &'a str,
    },
    /// `run`
    Run {
        /// Whose.
        instance: u64,
        /// Of the run.
        scope: u64,
        /// JSON.
        params: &'a str,
    },
    /// `stop`
    Stop {
        /// Whose.
        instance: u64,
        /// Of the run.
        scope: u64,
    },
    /// `resume`
    Resume {
        /// Whose.
        instance: u64,
        /// Of the run.
        scope: u64,
        /// How many times the host has resumed anything of the worker's, this one included.
        count: u64,
    },
    /// The host answered an event with SLOW.
    Pause {
        /// Of the run.
        scope: u64,
        /// The count of resumptions before that event: a later one has answered this already.
        seen: u64,
    },
    /// The host answered STOP.
    Over {
        /// Of what is over.
        scope: u64,
    },
    /// `list`
    List {
        /// Whose.
        instance: u64,
        /// Of the completion.
        scope: u64,
    },
    /// `call`
    Call {
        /// Whose.
        instance: u64,
        /// Of the call.
        scope: u64,
        /// The tool.
        name: &'a str,
        /// JSON.
        args: &'a str,
        /// JSON.
        params: &'a str,
    },
    /// `cancel` of a toolset
    CancelCall {
        /// Whose.
        instance: u64,
        /// Of the call.
        scope: u64,
    },
    /// Something on the way to a request's answer.
    Item {
        /// Whose request.
        scope: u64,
        /// The request.
        id: u64,
        /// JSON.
        json: &'a str,
    },
    /// A request's answer.
    Done {
        /// Whose request.
        scope: u64,
        /// The request.
        id: u64,
        /// The answer.
        reply: Reply<'a>,
    },
    /// An image that was asked for, or that there is none.
    Image {
        /// What it was asked with.
        ticket: u64,
        /// Its bytes.
        bytes: Option<&'a [u8]>,
    },
    /// All instances are shut down: the worker is to end.
    Bye,
}

const HELLO: u8 = 65;
const CREATE: u8 = 66;
const SHUTDOWN: u8 = 67;
const SESSION_ENDED: u8 = 68;
const RUN: u8 = 69;
const STOP: u8 = 70;
const RESUME: u8 = 71;
const PAUSE: u8 = 72;
const OVER: u8 = 73;
const LIST: u8 = 74;
const CALL: u8 = 75;
const CANCEL_CALL: u8 = 76;
const ITEM: u8 = 77;
const DONE: u8 = 78;
const IMAGE: u8 = 79;
const BYE: u8 = 80;

impl<'a> ToWorker<'a> {
    /// Reads a frame that [`Decoder::next_frame`] answered.
    ///
    /// # Errors
    ///
    /// [`FrameError`]
    pub fn read(frame: &'a [u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::of(frame)?;
        let read = match fields.kind {
            HELLO => Self::Hello(fields.text()?),
            CREATE => Self::Create {
                scope: fields.long()?,
                kind: fields.int()?,
                component: fields.text()?,
                config: fields.text()?,
                params: fields.text()?,
            },
            SHUTDOWN => Self::Shutdown {
                instance: fields.long()?,
                scope: fields.long()?,
            },
            SESSION_ENDED => Self::SessionEnded {
                instance: fields.long()?,
                session: fields.text()?,
            },
            RUN => Self::Run {
                instance: fields.long()?,
                scope: fields.long()?,
                params: fields.text()?,
            },
            STOP => Self::Stop {
                instance: fields.long()?,
                scope: fields.long()?,
            },
            RESUME => Self::Resume {
                instance: fields.long()?,
                scope: fields.long()?,
                count: fields.long()?,
            },
            PAUSE => Self::Pause {
                scope: fields.long()?,
                seen: fields.long()?,
            },
            OVER => Self::Over {
                scope: fields.long()?,
            },
            LIST => Self::List {
                instance: fields.long()?,
                scope: fields.long()?,
            },
            CALL => Self::Call {
                instance: fields.long()?,
                scope: fields.long()?,
                name: fields.text()?,
                args: fields.text()?,
                params: fields.text()?,
            },
            CANCEL_CALL => Self::CancelCall {
                instance: fields.long()?,
                scope: fields.long()?,
            },
            ITEM => Self::Item {
                scope: fields.long()?,
                id: fields.long()?,
                json: fields.text()?,
            },
            DONE => Self::Done {
                scope: fields.long()?,
                id: fields.long()?,
                reply: match fields.int()? {
                    0 => Reply::Ok(fields.text()?),
                    1 => Reply::Unsupported,
                    2 => Reply::Cancelled,
                    3 => Reply::Failed(fields.text()?),
                    value => return Err(fields.bad(value)),
                },
            },
            IMAGE => Self::Image {
                ticket: fields.long()?,
                bytes: match fields.int()? {
                    0 => None,
                    1 => Some(fields.bytes()?),
                    value => return Err(fields.bad(value)),
                },
            },
            BYE => Self::Bye,
            unknown => return Err(FrameError::UnknownKind(unknown)),
        };
        fields.end()?;
        Ok(read)
    }

    /// Appends it as a frame.
    pub fn write(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Hello(json) => Frame::begin(to, HELLO).text(json),
            Self::Create {
                scope,
                kind,
                component,
                config,
                params,
            } => Frame::begin(to, CREATE)
                .long(scope)
                .int(kind)
                .text(component)
                .text(config)
                .text(params),
            Self::Shutdown { instance, scope } => {
                Frame::begin(to, SHUTDOWN).long(instance).long(scope)
            }
            Self::SessionEnded { instance, session } => {
                Frame::begin(to, SESSION_ENDED).long(instance).text(session)
            }
            Self::Run {
                instance,
                scope,
                params,
            } => Frame::begin(to, RUN)
                .long(instance)
                .long(scope)
                .text(params),
            Self::Stop { instance, scope } => Frame::begin(to, STOP).long(instance).long(scope),
            Self::Resume {
                instance,
                scope,
                count,
            } => Frame::begin(to, RESUME)
                .long(instance)
                .long(scope)
                .long(count),
            Self::Pause { scope, seen } => Frame::begin(to, PAUSE).long(scope).long(seen),
            Self::Over { scope } => Frame::begin(to, OVER).long(scope),
            Self::List { instance, scope } => Frame::begin(to, LIST).long(instance).long(scope),
            Self::Call {
                instance,
                scope,
                name,
                args,
                params,
            } => Frame::begin(to, CALL)
                .long(instance)
                .long(scope)
                .text(name)
                .text(args)
                .text(params),
            Self::CancelCall { instance, scope } => {
                Frame::begin(to, CANCEL_CALL).long(instance).long(scope)
            }
            Self::Item { scope, id, json } => {
                Frame::begin(to, ITEM).long(scope).long(id).text(json)
            }
            Self::Done { scope, id, reply } => {
                let frame = Frame::begin(to, DONE).long(scope).long(id);
                match reply {
                    Reply::Ok(json) => frame.int(0).text(json),
                    Reply::Unsupported => frame.int(1),
                    Reply::Cancelled => frame.int(2),
                    Reply::Failed(json) => frame.int(3).text(json),
                }
            }
            Self::Image { ticket, bytes } => {
                let frame = Frame::begin(to, IMAGE).long(ticket);
                match bytes {
                    None => frame.int(0),
                    Some(bytes) => frame.int(1).bytes(bytes),
                }
            }
            Self::Bye => Frame::begin(to, BYE),
        }
        .end();
    }
}
