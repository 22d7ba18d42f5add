//! What the host is told of the servers as a whole: that their tools have changed, and how they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plugin_api::tokio::sync::Notify;
use plugin_api::tokio::time::timeout;
use plugin_api::{Health, InstanceContext, tokio, tracing};
use tokio_util::sync::CancellationToken;

use crate::server::{Server, Status};

/// How long the host may take to hear that the tools have changed.
const HEARD: Duration = Duration::from_secs(10);

/// Who tells the host.
#[derive(Debug)]
pub(crate) struct Board {
    ctx: InstanceContext,
    servers: Vec<Arc<Server>>,
    tools: Notify,
    /// Whether the servers have had their time to come at the start.
    begun: AtomicBool,
    /// Held while the health is told, so that the last that is told is the last that was.
    telling: Mutex<()>,
}

impl Board {
    pub(crate) fn new(ctx: InstanceContext, servers: Vec<Arc<Server>>) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            servers,
            tools: Notify::new(),
            begun: AtomicBool::new(false),
            telling: Mutex::default(),
        })
    }

    /// The servers have had their time: one that is not there by now is missing.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.look();
    }

    /// The tools of a server are others.
    pub(crate) fn tools_changed(&self) {
        self.tools.notify_one();
    }

    /// Tells the host of changed tools, until `stop`. Begun when the instance is there: before, it was not listed.
    pub(crate) async fn tell(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.tools.notified() => {}
            }
            match timeout(HEARD, self.ctx.tools_changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the host does not want to know the tools")
                }
                Err(_) => {
                    tracing::warn!("the host does not hear that the tools have changed");
                    self.tools.notify_one();
                }
            }
        }
    }

    /// Tells the host how the servers are now.
    pub(crate) fn look(&self) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        self.ctx.set_health(self.health());
    }

    fn health(&self) -> Health {
        let servers = &self.servers;
        let mut away = Vec::new();
        for server in servers {
            let name = &server.name;
            match &*server.status.borrow() {
                Status::Up(_) => {}
                Status::Starting if !self.begun.load(Ordering::Relaxed) => {}
                Status::Starting => away.push(format!(
                    "the MCP server `{name}` is awaited: it has not answered yet"
                )),
                Status::Away(absence) | Status::Trying(absence) => {
                    let said = match &absence.said {
                        Some(said) => format!("; it wrote: {said}"),
                        None => String::new(),
                    };
                    let (reason, again) = (&absence.reason, time_of_day(absence.again));
                    away.push(format!(
                        "the MCP server `{name}` is away: {reason}; next attempt at {again}{said}"
                    ));
                }
            }
        }
        match away.len() {
            0 => Health::Ok,
            count if count == servers.len() => Health::failing(away.join(". ")),
            _ => Health::degraded(away.join(". ")),
        }
    }
}

/// A time of the present day, for people.
pub(crate) fn time_of_day(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % (24 * 60 * 60);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_short() {
        let time = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(time_of_day(time), "08:00:00 UTC");
        assert_eq!(
            time_of_day(time + Duration::from_secs(3723)),
            "09:02:03 UTC"
        );
    }
}
