//! The client of one session.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::fault::{Ended, Fault, Next};
use super::item::{Event, Frame, Greeting, Hello, Item, ReplayStart};
use super::link::Link;
use super::options::Options;
use super::outbox::{Message, Outbox, OutboxFull};
use super::track::Track;

/// A connection that held for so long was a good one: the pauses begin anew after it.
const GOOD: Duration = Duration::from_secs(5);

/// A client of one session, across as many connections as it takes. See [`client`](super).
pub struct Session {
    options: Options,
    track: Track,
    outbox: Outbox,
    state: State,
    /// Tries in vain since the last good connection.
    tries: u32,
    /// Since when there has been no connection.
    down_since: Option<Instant>,
    /// The run in progress, as far as its events were got.
    run: Option<String>,
}

enum State {
    /// Until the next connection.
    Waiting(Instant),
    Connected(Box<Link>),
    Over(Ended),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("options", &self.options)
            .field("track", &self.track)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A client that connects as soon as it is asked for what happens.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let track = match options.cursor.clone() {
            Some((epoch, after)) => Track::at(epoch, after),
            None => Track::default(),
        };
        Self {
            options,
            track,
            outbox: Outbox::default(),
            state: State::Waiting(Instant::now()),
            tries: 0,
            down_since: Some(Instant::now()),
            run: None,
        }
    }

    /// Has a message sent, now or as soon as there is a connection, and again until it is answered with
    /// [`Item::Ack`] or [`Item::Refused`]. Answers its id.
    ///
    /// # Errors
    ///
    /// When too many messages wait for their answer.
    pub fn send(&mut self, message: Message) -> Result<Uuid, OutboxFull> {
        self.outbox.message(message)
    }

    /// Asks for the run's stop: of the one in progress, or of that one. Answered with [`Item::StopAck`]; when the
    /// connection is lost before and it is not known which run is in progress, it is not.
    ///
    /// # Errors
    ///
    /// When too many messages wait for their answer.
    pub fn stop(&mut self, run_id: Option<&str>) -> Result<(), OutboxFull> {
        self.outbox.stop(run_id.or(self.run.as_deref()))
    }

    /// The run in progress, as far as its events were got.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// The place of the last event that was handed out: what [`Options::resume`] takes.
    #[must_use]
    pub fn position(&self) -> Option<(&str, u64)> {
        self.track.cursor()
    }

    /// What happens next. It connects, sends, resumes and waits as long as it takes.
    ///
    /// Cancel safe: nothing is lost, in either direction. A connection that is being made is begun anew.
    ///
    /// # Errors
    ///
    /// When there is nothing more to hope for: [`Ended`]. It stays so.
    pub async fn next(&mut self) -> Result<Item, Ended> {
        loop {
            if let State::Connected(link) = &self.state
                && let Some(limit) = link.frame_limit
                && let Some(refused) = self.outbox.take_too_large(limit)
            {
                return Ok(Item::Refused(refused));
            }
            let stepped = match &mut self.state {
                State::Over(ended) => return Err(ended.clone()),
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    let opened = Link::open(&self.options, self.track.cursor()).await;
                    opened.map(|link| {
                        self.state = State::Connected(Box::new(link));
                        None
                    })
                }
                State::Connected(link) => match link.next(&mut self.outbox).await {
                    Ok(Some(frame)) => self.take(frame),
                    Ok(None) => Ok(None),
                    Err(fault) => Err(fault),
                },
            };
            match stepped {
                Ok(Some(item)) => return Ok(item),
                Ok(None) => {}
                Err(fault) => return self.lost(fault),
            }
        }
    }

    /// Closes the connection in order. What was not answered stays so.
    pub async fn close(self) {
        if let State::Connected(link) = self.state {
            link.close().await;
        }
    }

    /// Takes a frame in.
    fn take(&mut self, frame: Frame) -> Result<Option<Item>, Fault> {
        let State::Connected(link) = &mut self.state else {
            return Ok(None);
        };
        Ok(match frame {
            Frame::Hello(hello) => {
                link.expect_beats(Duration::from_millis(hello.limits.heartbeat_ms));
                link.frame_limit = Some(hello.limits.frame_bytes);
                link.hello = Some(hello);
                None
            }
            Frame::ReplayStart(start) => {
                let hello = link.hello.take();
                let hello = hello.ok_or_else(|| early("a replay"))?;
                return self.greet(hello, start).map(Some);
            }
            Frame::ReplayEnd => {
                link.is_greeted = true;
                self.track.replayed();
                None
            }
            Frame::Heartbeat(last) => {
                self.track.heartbeat(last)?;
                None
            }
            Frame::Event(event) => {
                self.track.event(&event)?;
                self.note_run(&event);
                Some(Item::Event(event))
            }
            Frame::Ack(ack) => {
                if let Some(id) = &ack.id {
                    self.outbox.answered(id);
                }
                Some(Item::Ack(ack))
            }
            Frame::StopAck(ack) => {
                self.outbox.stop_answered();
                Some(Item::StopAck(ack))
            }
            Frame::Refused(refused) => {
                if let Some(id) = &refused.id {
                    self.outbox.answered(id);
                }
                Some(Item::Refused(refused))
            }
            Frame::Unknown => None,
        })
    }

    fn greet(&mut self, hello: Hello, start: ReplayStart) -> Result<Item, Fault> {
        self.track.greet(&hello, &start)?;
        self.down_since = None;
        if !start.recovered {
            // Its `stream_start` follows, if it has one.
            self.run = hello.run.as_ref().map(|run| run.run_id.clone());
        }
        let recovered = start.recovered;
        let greeting = Greeting {
            epoch: hello.epoch,
            last_seq: hello.last_seq,
            run: hello.run,
            limits: hello.limits,
            reason: start.reason,
            complete: start.complete.unwrap_or(true),
            from_seq: start.from_seq,
        };
        Ok(if recovered {
            Item::Recovered(greeting)
        } else {
            Item::Reload(greeting)
        })
    }

    fn note_run(&mut self, event: &Event) {
        match event.kind() {
            "stream_start" => self.run = event.text("run_id").map(str::to_owned),
            "stream_end" => self.run = None,
            _ => {}
        }
    }

    /// The connection is lost, or did not come about.
    fn lost(&mut self, fault: Fault) -> Result<Item, Ended> {
        self.outbox.disconnected();
        let now = Instant::now();
        if let State::Connected(link) = &self.state
            && now - link.since >= GOOD
        {
            self.tries = 0;
        }
        let random = getrandom::u64().unwrap_or(u64::MAX / 2);
        let pause = match fault.next() {
            Next::Never(ended) => {
                self.state = State::Over(ended.clone());
                return Err(ended);
            }
            Next::Again => self.options.backoff.pause(self.tries, random),
            Next::After(pause) => pause,
            Next::Later => self.options.backoff.long_pause(random),
        };
        self.tries = self.tries.saturating_add(1);
        let down_since = *self.down_since.get_or_insert(now);
        if let Some(after) = self.options.give_up
            && now - down_since >= after
        {
            let ended = Ended::Unreachable { after, last: fault };
            self.state = State::Over(ended.clone());
            return Err(ended);
        }
        self.state = State::Waiting(now + pause);
        Ok(Item::Disconnected { fault, pause })
    }
}

fn early(what: &str) -> Fault {
    Fault::Protocol(format!("{what} before `session_sync`"))
}
