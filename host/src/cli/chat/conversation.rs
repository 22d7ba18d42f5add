//! Asking, watching, stopping.

use anyhow::anyhow;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::http::Http;
use super::screen::{Screen, short};
use crate::client::{Ack, Ended, Event, Fault, Item, Message, Session};
use crate::protocol::OnBusy;

/// What the process exits with when a run was stopped, or it was left.
const STOPPED: u8 = 130;

/// Events that are held while it is not known whose run they belong to. More are shown.
const MOST_HELD: usize = 10_000;

/// The lines of standard input, read on a thread that stays behind with the one that it waits for when the conversation
/// ends: nothing else can interrupt such a read.
fn input() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line; `None` at the end. Cancel safe.
async fn next_line(
    lines: &mut Option<mpsc::Receiver<std::io::Result<String>>>,
) -> std::io::Result<Option<String>> {
    match lines {
        Some(lines) => lines.recv().await.transpose(),
        None => Ok(None),
    }
}

/// See the module.
pub(super) struct Conversation {
    session: Session,
    http: Http,
    id: String,
    screen: Screen,
    /// The one thing to say, or everything that standard input has.
    message: Option<String>,
    is_single: bool,
    asking: Option<Asking>,
    /// The run whose events come.
    current: Option<String>,
    /// A run that was told from the history, so that its events are not shown as well.
    told: Option<String>,
    /// What was shown of the current run's answer.
    shown: String,
    /// Whether thinking was shown of which the whole is still to come.
    thought: bool,
    is_joined: bool,
    is_lost: bool,
    code: u8,
}

/// A message that was sent, until its run's end.
struct Asking {
    id: String,
    run: Option<String>,
    held: Vec<Event>,
    is_stopped: bool,
}

impl Conversation {
    pub(super) fn new(
        session: Session,
        http: Http,
        id: String,
        screen: Screen,
        message: Option<String>,
    ) -> Self {
        Self {
            session,
            http,
            id,
            screen,
            is_single: message.is_some(),
            message,
            asking: None,
            current: None,
            told: None,
            shown: String::new(),
            thought: false,
            is_joined: false,
            is_lost: false,
            code: 0,
        }
    }

    /// Talks until there is nothing more to say; the exit code.
    pub(super) async fn hold(mut self) -> anyhow::Result<u8> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut lines = None;
        if let Some(message) = self.message.take() {
            self.ask(message)?;
        } else {
            self.screen.prompt();
            lines = Some(input());
        }
        let done = self.talk(&mut interrupt, lines).await;
        self.screen.end_of_text()?;
        let code = done?;
        self.session.close().await;
        Ok(code)
    }

    async fn talk(
        &mut self,
        interrupt: &mut Signal,
        mut lines: Option<mpsc::Receiver<std::io::Result<String>>>,
    ) -> anyhow::Result<u8> {
        loop {
            if self.asking.is_none() && self.is_single {
                return Ok(self.code);
            }
            tokio::select! {
                item = self.session.next() => match item {
                    Ok(item) => self.take(item).await?,
                    Err(ended) => return Err(self.explained(ended)),
                },
                line = next_line(&mut lines), if self.asking.is_none() => match line? {
                    Some(line) if line.trim().is_empty() => self.screen.prompt(),
                    Some(line) => self.ask(line)?,
                    None => return Ok(self.code),
                },
                _ = interrupt.recv() => if self.leave_or_stop() {
                    return Ok(STOPPED);
                },
            }
        }
    }

    fn ask(&mut self, content: String) -> anyhow::Result<()> {
        let message = Message::new(content).on_busy(OnBusy::Enqueue);
        self.asking = Some(Asking {
            id: self.session.send(message)?.to_string(),
            run: None,
            held: Vec::new(),
            is_stopped: false,
        });
        Ok(())
    }

    /// Ctrl-C: the first stops the run, the second leaves.
    fn leave_or_stop(&mut self) -> bool {
        let Some(asking) = self.asking.as_mut().filter(|asking| !asking.is_stopped) else {
            return true;
        };
        asking.is_stopped = true;
        if self.session.stop(asking.run.as_deref()).is_err() {
            return true;
        }
        self.screen.note("stopping; Ctrl-C again leaves");
        false
    }

    async fn take(&mut self, item: Item) -> anyhow::Result<()> {
        match item {
            Item::Event(event) => match &mut self.asking {
                Some(asking) if asking.run.is_none() && asking.held.len() < MOST_HELD => {
                    asking.held.push(event);
                }
                _ => self.event(&event)?,
            },
            Item::Ack(ack) => self.acknowledged(ack).await?,
            Item::Refused(refused) => {
                self.screen.note(&format!("not taken: {}", refused.message));
                let is_ours =
                    |asking: &Asking| refused.id.as_ref().is_none_or(|id| *id == asking.id);
                if self.asking.as_ref().is_some_and(is_ours) {
                    self.over(1)?;
                }
            }
            Item::StopAck(ack) if !ack.ok => {
                let reason = ack.reason.unwrap_or_default();
                self.screen.note(&format!("not stopped: {reason}"));
            }
            Item::StopAck(_) => {}
            Item::Disconnected { fault, .. } => {
                if !std::mem::replace(&mut self.is_lost, true) {
                    self.screen.note(&format!("{fault}; trying again"));
                }
            }
            Item::Recovered(_) => {
                if std::mem::take(&mut self.is_lost) {
                    self.screen.note("connected again, nothing was missed");
                }
            }
            Item::Reload(greeting) => {
                self.is_lost = false;
                if std::mem::replace(&mut self.is_joined, true) {
                    let reason = greeting.reason.unwrap_or_default();
                    self.screen
                        .note(&format!("connected again, but not where it was ({reason})"));
                    self.current = None;
                    let run = self.asking.as_ref().and_then(|asking| asking.run.clone());
                    if let Some(run) = run {
                        self.look_up(run).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The message was taken: now it is known which run is its own.
    async fn acknowledged(&mut self, ack: Ack) -> anyhow::Result<()> {
        let Some(asking) = &mut self.asking else {
            return Ok(());
        };
        if ack.id.as_ref() != Some(&asking.id) {
            return Ok(());
        }
        if ack.status == "queued" {
            self.screen.note("waiting for the run in progress");
        }
        asking.run = Some(ack.run_id.clone());
        for event in std::mem::take(&mut asking.held) {
            self.event(&event)?;
        }
        let is_over = matches!(
            ack.state.as_deref(),
            Some("completed" | "stopped" | "error" | "lost")
        );
        // Its events came before, or will not come.
        if is_over && self.asking.is_some() && self.current.as_ref() != Some(&ack.run_id) {
            self.look_up(ack.run_id).await?;
        }
        Ok(())
    }

    /// Tells a run that cannot be watched to its end from the history, if it is over.
    async fn look_up(&mut self, run: String) -> anyhow::Result<()> {
        if let Some(told) = self.http.told(&self.id, &run).await? {
            match told.content.strip_prefix(&self.shown) {
                Some(rest) => self.screen.text(rest)?,
                None => {
                    self.screen.end_of_text()?;
                    self.screen.text(&told.content)?;
                }
            }
            self.told = Some(run);
            self.ended(&told.status)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if event.kind() == "stream_start" {
            self.current = event.text("run_id").map(str::to_owned);
            self.shown.clear();
            self.thought = false;
        }
        let own = self.asking.as_ref().and_then(|asking| asking.run.as_ref());
        let is_own = own.is_some() && own == self.current.as_ref();
        let is_told = self.told.is_some() && self.told == self.current;
        if is_told || (self.is_single && !is_own) {
            return Ok(());
        }
        let text = |field: &str| event.text(field).unwrap_or_default();
        match event.kind() {
            "stream_delta" => {
                self.shown.push_str(text("delta"));
                self.screen.text(text("delta"))?;
            }
            "thinking_delta" => {
                self.thought = true;
                self.screen.thought(text("delta"));
            }
            "thinking_end" => self.screen.end_thought(),
            "turn_thinking" => {
                // The agent's own was shown as it came, unless it came whole.
                let is_subagents = event.value.get("is_subagent") == Some(&Value::Bool(true));
                if is_subagents || !std::mem::take(&mut self.thought) {
                    self.screen.note(text("thinking"));
                }
            }
            "planning_status" => self.screen.note(&format!("… {}", text("label"))),
            "tool_started" => {
                let args = event.value.get("args").unwrap_or(&Value::Null);
                let line = format!("⚙ {} {}", text("tool"), short(&args.to_string()));
                self.screen.note(&line);
            }
            "tool_call" => {
                let is_good = event.value.get("success") == Some(&Value::Bool(true));
                let sign = if is_good { '✓' } else { '✗' };
                let line = format!("{sign} {}: {}", text("tool"), short(text("result")));
                self.screen.note(&line);
            }
            "error" => self.screen.note(&format!("error: {}", text("message"))),
            "stream_end" => {
                if self.shown.is_empty() {
                    self.screen.text(text("content"))?;
                }
                if is_own {
                    self.ended(text("status"))?;
                } else {
                    self.screen.end_of_text()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The run that was asked for is over.
    fn ended(&mut self, status: &str) -> anyhow::Result<()> {
        match status {
            "completed" => self.over(0),
            "stopped" => {
                self.screen.note("stopped");
                self.over(STOPPED)
            }
            "lost" => {
                self.screen
                    .note("the host went away in the middle of the answer");
                self.over(1)
            }
            _ => self.over(1),
        }
    }

    fn over(&mut self, code: u8) -> anyhow::Result<()> {
        self.screen.end_of_text()?;
        self.asking = None;
        self.code = code;
        if !self.is_single {
            self.screen.prompt();
        }
        Ok(())
    }

    fn explained(&self, ended: Ended) -> anyhow::Error {
        match ended {
            Ended::SessionNotFound => anyhow!("there is no session {} any more", self.id),
            Ended::Unreachable {
                last: Fault::Connect(last),
                ..
            } => anyhow!("the host is not reachable any more: {last}"),
            other => other.into(),
        }
    }
}
