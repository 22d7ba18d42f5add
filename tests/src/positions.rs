//! What a version 2 connection may get, and in which order. Every client of every test keeps watch over it: the
//! greeting comes first and once, events are numbered without a gap, and every run ends with a `stream_end`.

use serde_json::Value;

use crate::frame::Frame;

/// Where a client is in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The numbering.
    pub epoch: String,
    /// The last event that it has.
    pub seq: u64,
}

impl Position {
    /// A position of this numbering.
    #[must_use]
    pub fn new(epoch: &str, seq: u64) -> Self {
        Self {
            epoch: epoch.to_owned(),
            seq,
        }
    }
}

/// Where a connection is in what it gets.
#[derive(Clone, Debug)]
pub struct Positions {
    asked: Asked,
    stage: Stage,
    run: RunStage,
    epoch: String,
    at: u64,
}

/// What the connection asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    #[default]
    Nothing,
    /// To go on here.
    After(Position),
    /// Something that is no position.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Connected,
    Greeted {
        first_seq: u64,
        last_seq: u64,
        idle: bool,
    },
    Replay {
        left: u64,
        index: u64,
        to_seq: u64,
        /// A gap is allowed behind the first frame.
        gap: bool,
    },
    Live,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum RunStage {
    /// It goes on somewhere, perhaps in a run.
    Unknown,
    Idle,
    In,
    /// A `stream_end` with this status has to follow.
    Ending(&'static str),
}

impl Positions {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            stage: Stage::Connected,
            run: RunStage::Unknown,
            epoch: String::new(),
            at: 0,
        }
    }

    /// Where the client is.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(&self.epoch, self.at)
    }

    /// Takes the next frame into account.
    ///
    /// # Errors
    ///
    /// That it may not come here.
    pub fn next(&mut self, frame: &Frame) -> Result<(), String> {
        let value = frame.value();
        let kind = frame.kind();
        let is_event = is_event(frame);
        if is_event != value.get("seq").is_some() {
            return Err("an event has a `seq`, and nothing else does".to_owned());
        }
        self.stage = match (self.stage, kind) {
            (Stage::Connected, "session_sync") => self.hello(value)?,
            (
                Stage::Greeted {
                    first_seq,
                    last_seq,
                    idle,
                },
                "replay_start",
            ) => self.replay_start(value, first_seq, last_seq, idle)?,
            (
                Stage::Replay {
                    left: 0,
                    to_seq,
                    gap,
                    index,
                },
                "replay_end",
            ) => {
                if gap && index == 1 {
                    // All but the run's start is gone.
                    self.at = to_seq;
                }
                require(
                    self.at == to_seq,
                    "the replay ends elsewhere than at `to_seq`",
                )?;
                Stage::Live
            }
            (
                Stage::Replay {
                    left,
                    index,
                    to_seq,
                    gap,
                },
                _,
            ) if left > 0 && is_event => {
                self.event(frame, gap && index == 1)?;
                Stage::Replay {
                    left: left - 1,
                    index: index + 1,
                    to_seq,
                    gap,
                }
            }
            (Stage::Live, "heartbeat") => {
                let last_seq = number(value, "last_seq")?;
                require(last_seq == self.at, "a heartbeat is ahead of what was sent")?;
                Stage::Live
            }
            (Stage::Live, "message_ack" | "stop_ack") => Stage::Live,
            (Stage::Live, "error") if !is_event => {
                require(value["code"].is_string(), "no code")?;
                require(value["retryable"].is_boolean(), "no retryable")?;
                Stage::Live
            }
            (Stage::Live, _) if is_event => {
                self.event(frame, false)?;
                Stage::Live
            }
            (stage, kind) => return Err(format!("`{kind}` while {stage:?}")),
        };
        Ok(())
    }

    fn hello(&mut self, value: &Value) -> Result<Stage, String> {
        let (first_seq, last_seq) = (number(value, "first_seq")?, number(value, "last_seq")?);
        require(value["protocol"] == 2, "not protocol 2")?;
        require(value["limits"].is_object(), "no limits")?;
        require(value.get("run").is_some(), "no run")?;
        require((1..=last_seq + 1).contains(&first_seq), "`first_seq`")?;
        value["epoch"]
            .as_str()
            .ok_or("no epoch")?
            .clone_into(&mut self.epoch);
        Ok(Stage::Greeted {
            first_seq,
            last_seq,
            idle: value["run"].is_null(),
        })
    }

    fn replay_start(
        &mut self,
        value: &Value,
        first_seq: u64,
        last_seq: u64,
        idle: bool,
    ) -> Result<Stage, String> {
        let (from_seq, to_seq) = (number(value, "from_seq")?, number(value, "to_seq")?);
        let count = number(value, "count")?;
        require(to_seq == last_seq, "`to_seq` is not `last_seq`")?;
        let recovered = value["recovered"].as_bool().ok_or("no recovered")?;
        let complete = value.get("complete").map(|complete| *complete == true);
        let mode = value["mode"].as_str().ok_or("no mode")?;
        self.run = RunStage::Idle;
        match (mode, &self.asked) {
            ("suffix", Asked::After(asked)) => {
                require(recovered && value.get("reason").is_none(), "not recovered")?;
                require(asked.epoch == self.epoch, "recovered in another epoch")?;
                require(
                    asked.seq + 1 == from_seq,
                    "`from_seq` is not what was asked",
                )?;
                require(from_seq >= first_seq, "before `first_seq`")?;
                if !idle || count > 0 {
                    self.run = RunStage::Unknown;
                }
            }
            ("full" | "none", asked) => {
                require(!recovered, "recovered without a suffix")?;
                let has_reason = value.get("reason").is_some();
                require(has_reason == (*asked != Asked::Nothing), "`reason`")?;
                require((mode == "full") == (count > 0), "the mode and the count")?;
            }
            _ => return Err(format!("mode {mode} for {:?}", self.asked)),
        }
        require(complete.is_some() == (mode == "full"), "`complete`")?;
        require(
            (from_seq == to_seq + 1) == (count == 0),
            "the count and the positions",
        )?;
        self.at = from_seq - 1;
        Ok(Stage::Replay {
            left: count,
            index: 0,
            to_seq,
            gap: complete == Some(false),
        })
    }

    fn event(&mut self, frame: &Frame, gap: bool) -> Result<(), String> {
        let value = frame.value();
        let seq = number(value, "seq")?;
        let from = match value.get("seq_from") {
            None => seq,
            Some(_) => {
                let from = number(value, "seq_from")?;
                require(from < seq, "`seq_from` of a single event")?;
                require(frame.delta().is_some(), "only deltas are folded")?;
                from
            }
        };
        if gap {
            require(from > self.at + 1, "`complete` is false without a gap")?;
        } else {
            require(from == self.at + 1, "a gap or a double")?;
        }
        self.at = seq;
        self.run = match (self.run, frame.kind()) {
            (RunStage::Unknown | RunStage::Idle, "stream_start") => {
                require(value["run_id"].is_string(), "no run_id")?;
                number(value, "ts")?;
                RunStage::In
            }
            (RunStage::Unknown | RunStage::In, "stream_stopped") => RunStage::Ending("stopped"),
            (RunStage::Unknown | RunStage::In, "error") => {
                require(value["run_id"].is_string(), "no run_id")?;
                require(value["code"].is_string(), "no code")?;
                RunStage::Ending("error")
            }
            (RunStage::Ending(status), "stream_end") => {
                require(value["status"] == status, "`status`")?;
                RunStage::Idle
            }
            (RunStage::In, "stream_end") => {
                let alone = value["status"] == "completed" || value["status"] == "lost";
                require(alone, "`status`")?;
                RunStage::Idle
            }
            (RunStage::Unknown, "stream_end") => {
                require(value["status"].is_string(), "no status")?;
                RunStage::Idle
            }
            (before @ (RunStage::Unknown | RunStage::In), kind) if kind != "stream_start" => before,
            (before, kind) => return Err(format!("`{kind}` while {before:?}")),
        };
        Ok(())
    }
}

/// Whether a frame is an event of a run.
#[must_use]
pub fn is_event(frame: &Frame) -> bool {
    match frame.kind() {
        "heartbeat" | "session_sync" | "replay_start" | "replay_end" | "message_ack"
        | "stop_ack" => false,
        "error" => frame.value().get("seq").is_some(),
        _ => true,
    }
}

fn number(value: &Value, key: &str) -> Result<u64, String> {
    value[key].as_u64().ok_or_else(|| format!("no `{key}`"))
}

fn require(is_so: bool, otherwise: &str) -> Result<(), String> {
    if is_so {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: &str = r#"{"type":"session_sync","epoch":"e","first_seq":1,"last_seq":3,"run":null,"protocol":2,"limits":{}}"#;
    const SUFFIX: &str = r#"{"type":"replay_start","count":1,"mode":"suffix","recovered":true,"from_seq":3,"to_seq":3}"#;
    const END: &str = r#"{"type":"replay_end"}"#;
    const LAST: &str = r#"{"type":"stream_end","status":"completed","seq":3}"#;
    const START: &str = r#"{"type":"stream_start","run_id":"r","ts":1,"seq":4}"#;
    const FOLD: &str = r#"{"type":"stream_delta","delta":"ab","seq_from":5,"seq":6}"#;
    const BEAT: &str = r#"{"type":"heartbeat","last_seq":6}"#;
    const STOPPED: &str = r#"{"type":"stream_stopped","seq":7}"#;
    const STATUS: &str = r#"{"type":"stream_end","status":"stopped","seq":8}"#;

    fn judge(frames: &[&str]) -> Result<Position, String> {
        let mut positions = Positions::new(Asked::After(Position::new("e", 2)));
        for frame in frames {
            positions.next(&Frame::parse(frame)?)?;
        }
        Ok(positions.position())
    }

    #[test]
    fn what_the_contract_describes_passes() {
        let all = [SYNC, SUFFIX, LAST, END, START, FOLD, BEAT, STOPPED, STATUS];
        assert_eq!(judge(&all), Ok(Position::new("e", 8)));
    }

    #[test]
    fn anything_else_does_not() {
        for frames in [
            &[SUFFIX][..],
            &[SYNC, LAST],
            &[SYNC, SYNC],
            &[SYNC, SUFFIX, END],
            &[SYNC, SUFFIX, START],
            &[SYNC, SUFFIX, LAST, BEAT],
            &[SYNC, SUFFIX, LAST, END, SYNC],
            &[SYNC, SUFFIX, LAST, END, FOLD],
            &[SYNC, SUFFIX, LAST, END, BEAT],
            &[SYNC, SUFFIX, LAST, END, START, START],
            &[SYNC, SUFFIX, LAST, END, START, STOPPED],
            &[SYNC, SUFFIX, LAST, END, START, FOLD, STATUS],
            &[SYNC, SUFFIX, LAST, END, START, FOLD, STOPPED, FOLD],
        ] {
            assert!(judge(frames).is_err(), "{frames:?}");
        }
    }
}
