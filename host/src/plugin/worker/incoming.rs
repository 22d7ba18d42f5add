//! What comes from a worker, handed to the host as if a library in this process had called it.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use plugin_api::Health;
use plugin_api::abi::import::{Answer, Completion, FailureKind, HostLibrary, LogLine, Sink};
use plugin_api::abi::types;

use super::described::Opened;
use super::frame::{Decoder, End, FrameError, FromWorker, ToWorker};
use super::lanes::Lanes;
use super::link::Link;
use super::remote::RemoteSink;
use crate::plugin::clock::MAP_BUDGET;

impl Link {
    /// Reads until the worker ends, by itself or because it sends what is no frame.
    pub(super) fn read(
        self: &Arc<Self>,
        socket: UnixStream,
        frame_bytes: usize,
        answer: &SyncSender<Result<Opened, String>>,
    ) {
        let mut lanes = Lanes::new(self.runtime.clone());
        let reading = std::panic::catch_unwind(AssertUnwindSafe(|| {
            self.read_frames(socket, frame_bytes, &mut lanes, answer)
        }));
        match reading {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.give_up(&format!("it sent {error}")),
            Err(_) => self.give_up("the host failed over what it sent"),
        }
        // What it has sent before its end is not lost.
        lanes.settle(MAP_BUDGET);
        self.finish();
    }

    fn read_frames(
        self: &Arc<Self>,
        mut socket: UnixStream,
        frame_bytes: usize,
        lanes: &mut Lanes,
        answer: &SyncSender<Result<Opened, String>>,
    ) -> Result<(), FrameError> {
        let mut decoder = Decoder::new(frame_bytes);
        let mut told = Told::default();
        loop {
            match socket.read(decoder.room()) {
                Ok(0) => return Ok(()),
                Ok(read) => decoder.filled(read),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // Reset: it was killed with something unread.
                Err(_) => return Ok(()),
            }
            while let Some(frame) = decoder.next_frame()? {
                let read = FromWorker::read(frame)?;
                match read {
                    FromWorker::Opened(json) => {
                        let opened = serde_json::from_str(json)
                            .map_err(|error| format!("its worker's description of it: {error}"));
                        // Whoever waited has given up, or was answered before.
                        let _ = answer.try_send(opened);
                    }
                    FromWorker::Refused(reason) => {
                        let _ = answer.try_send(Err(reason.to_owned()));
                    }
                    _ => self.take(read, frame, &mut told, lanes),
                }
            }
        }
    }

    /// Takes what comes of a run, call or instance.
    fn take(
        self: &Arc<Self>,
        read: FromWorker<'_>,
        frame: &[u8],
        told: &mut Told,
        lanes: &mut Lanes,
    ) {
        let seen = self.resumes.load(Ordering::SeqCst);
        let scope = match read {
            FromWorker::Emit { scope, event } if !lanes.has(scope) => {
                match self.host.emit_at_once(scope, event) {
                    Some(answer) => return self.answered(scope, seen, answer, told),
                    None => scope,
                }
            }
            FromWorker::Emit { scope, .. }
            | FromWorker::Complete { scope, .. }
            | FromWorker::Request { scope, .. }
            | FromWorker::Cancel { scope, .. }
                if lanes.has(scope) =>
            {
                scope
            }
            other => return self.deliver(other, told),
        };
        let is_over = || self.host.is_over(scope);
        let link = Arc::clone(self);
        let mut told_there = Told::default();
        let pushed = lanes.push(scope, frame, is_over, move |frame| {
            // It was read before.
            if let Ok(read) = FromWorker::read(frame) {
                link.deliver(read, &mut told_there);
            }
        });
        if !pushed {
            // Events are answered that the run is over. Others need not wait for them, and might for ever.
            match read {
                FromWorker::Emit { .. } => self.answered(scope, seen, Answer::Stop, told),
                other => self.deliver(other, told),
            }
        }
        if matches!(read, FromWorker::Complete { .. }) {
            lanes.close(scope);
        }
    }

    /// Tells the worker what it has to know of the answer to an event.
    fn answered(&self, scope: u64, seen: u64, answer: Answer, told: &mut Told) {
        match answer {
            Answer::Slow if told.paused != Some((scope, seen)) => {
                told.paused = Some((scope, seen));
                self.send(&ToWorker::Pause { scope, seen });
            }
            Answer::Stop if told.over != Some(scope) => {
                told.over = Some(scope);
                self.send(&ToWorker::Over { scope });
            }
            // The host has noted what it refuses.
            _ => {}
        }
    }

    /// Does what the library asks for.
    fn deliver(self: &Arc<Self>, frame: FromWorker<'_>, told: &mut Told) {
        match frame {
            FromWorker::Emit { scope, event } => {
                let seen = self.resumes.load(Ordering::SeqCst);
                let answer = self.host.emit(scope, event);
                self.answered(scope, seen, answer, told);
            }
            FromWorker::Complete { scope, end } => {
                let made = end == End::Made;
                let answer = self.host.complete(scope, completion(end));
                if made && answer == Answer::Stop {
                    // Nobody waits for it any more, so nobody else will end it.
                    self.send(&ToWorker::Shutdown {
                        instance: scope,
                        scope,
                    });
                }
            }
            FromWorker::Request {
                scope,
                id,
                method,
                params,
            } => {
                let sink = Sink::to(Box::new(RemoteSink::new(self, scope, id)));
                self.host.request(scope, id, method, params, sink);
            }
            FromWorker::Cancel { scope, id } => {
                self.host.cancel(scope, id);
            }
            FromWorker::Image {
                scope,
                handle,
                ticket,
            } => {
                let bytes = self.host.image(scope, handle);
                let bytes = bytes.as_deref();
                if !self.send(&ToWorker::Image { ticket, bytes }) {
                    self.send(&ToWorker::Image {
                        ticket,
                        bytes: None,
                    });
                }
            }
            FromWorker::Log {
                scope,
                level,
                target,
                message,
                fields,
            } => self.host.log(LogLine {
                scope,
                level: level_of(level),
                target,
                message,
                fields,
            }),
            FromWorker::Health { scope, state, text } => {
                self.host.set_health(scope, Health::of_parts(state, text));
            }
            // Said once, when the library is opened.
            FromWorker::Opened(_) | FromWorker::Refused(_) => {}
        }
    }
}

fn completion(end: End<'_>) -> Completion {
    match end {
        End::Finished(json) => Completion::Finished {
            value: None,
            json: json.to_owned(),
        },
        // It goes by its scope.
        End::Made => Completion::Finished {
            value: None,
            json: String::new(),
        },
        End::Stopped(json) => Completion::Stopped {
            json: json.to_owned(),
        },
        End::Failed(kind, text) => Completion::Failed {
            kind: FailureKind::from_code(kind),
            text: text.to_owned(),
        },
    }
}

fn level_of(level: u32) -> tracing::Level {
    match level {
        0 | types::LOG_ERROR => tracing::Level::ERROR,
        types::LOG_WARN => tracing::Level::WARN,
        types::LOG_INFO => tracing::Level::INFO,
        types::LOG_DEBUG => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    }
}

/// What a worker was told last, so that it is not told the same for each event that is on its way.
#[derive(Default)]
struct Told {
    paused: Option<(u64, u64)>,
    over: Option<u64>,
}
