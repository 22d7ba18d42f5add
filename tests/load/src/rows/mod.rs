//! The rows of the table, a file each.

mod apart;
mod attach;
mod burst;
mod emit;
mod idle;
mod paced;
mod unwatched;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, Http};
use crate::frames;
use crate::process::{CpuTime, Server};
use crate::report::{Row, Usage};

/// How long anything may take before the row fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// What every row gets.
pub(crate) struct Bench {
    pub(crate) binary: PathBuf,
    pub(crate) rounds: f64,
}

type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Row>> + 'a>>;

type Measure = fn(&Bench) -> Measuring<'_>;

/// Every row, by the name that measures it alone.
pub(crate) const ROWS: &[(&str, Measure)] = &[
    ("single", |bench| Box::pin(burst::single(bench))),
    ("fanout", |bench| Box::pin(burst::fanout(bench))),
    ("paced", |bench| Box::pin(paced::measure(bench))),
    ("attach", |bench| Box::pin(attach::measure(bench))),
    ("idle", |bench| Box::pin(idle::measure(bench))),
    ("unwatched", |bench| Box::pin(unwatched::measure(bench))),
    ("emit", |bench| Box::pin(emit::measure(bench))),
    ("single-process", |bench| Box::pin(apart::single(bench))),
    ("paced-process", |bench| Box::pin(apart::paced(bench))),
];

impl Bench {
    fn rounds(&self, usual: u32) -> u32 {
        ((f64::from(usual) * self.rounds).round() as u32).max(1)
    }

    /// The host and the floor, for one row.
    fn both(&self) -> Result<Both> {
        let folder = tempfile::tempdir()?;
        Ok(Both {
            host: Server::host(&self.binary, folder.path())?,
            floor: Server::floor(None)?,
            _folder: folder,
        })
    }
}

/// The two processes that are measured in turns.
struct Both {
    host: Server,
    floor: Server,
    _folder: TempDir,
}

impl Both {
    fn usage(&self, work: &'static str) -> Result<Usage> {
        Ok(Usage {
            work,
            host_peak: self.host.memory()?.peak,
            floor_peak: Some(self.floor.memory()?.peak),
            ..Usage::default()
        })
    }
}

/// The processor time that a server, and this driver, use meanwhile.
struct Meter<'a> {
    server: &'a Server,
    before: CpuTime,
    own: CpuTime,
}

impl<'a> Meter<'a> {
    fn start(server: &'a Server) -> Result<Self> {
        Ok(Self {
            server,
            before: server.cpu()?,
            own: CpuTime::own()?,
        })
    }

    /// The server's and the driver's.
    fn stop(self) -> Result<(Duration, Duration)> {
        let server = self.server.cpu()?.since(&self.before);
        Ok((server, CpuTime::own()?.since(&self.own)))
    }
}

/// The event of a delta, in a script.
fn delta(text: &str) -> Value {
    json!({"kind": "stream_delta", "delta": text})
}

/// The client's message with this script.
fn message(script: &Value) -> String {
    json!({"type": "message", "content": format!("script:{script}")}).to_string()
}

/// A client of a new session, in which nothing goes on.
async fn idle_client(host: &Server) -> Result<(String, Client)> {
    let session = Http::connect(host.address).await?.session().await?;
    let mut client = Client::connect(host.address, &crate::client::socket(&session)).await?;
    wait_for(&mut client, "session_sync").await?;
    Ok((session, client))
}

/// Reads until a frame of this type has come. What came before and with it is lost.
async fn wait_for(client: &mut Client, kind: &str) -> Result<()> {
    let waiting = async {
        let mut seen = false;
        while !seen {
            client.read(|frame| seen |= frames::is(frame, kind)).await?;
        }
        Ok(())
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.with_context(|| format!("no {kind}"))?
}
