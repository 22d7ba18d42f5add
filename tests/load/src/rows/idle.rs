//! Row 5: what an idle connection keeps in memory.

use anyhow::Result;

use super::{Bench, wait_for};
use crate::client::{Client, Http, socket};
use crate::process::Server;
use crate::report::{Figure, Row, Target, Usage};

const WORK: &str = "5,000 idle connections, each its own session";

const CONNECTIONS: usize = 5000;

/// Connections that are made and ended before it is measured: code and data that all need are there then.
const WARM_UP: usize = 20;

pub(super) async fn measure(bench: &Bench) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let mut paths = Vec::new();
    {
        // Not in the process that is measured: what making sessions has left free would hide what connections take.
        let host = Server::host(&bench.binary, folder.path())?;
        let mut http = Http::connect(host.address).await?;
        for _ in 0..CONNECTIONS {
            paths.push(socket(&http.session().await?));
        }
    }
    let host = Server::host(&bench.binary, folder.path())?;
    let of_host = grown(&host, &paths).await?;
    let floor = Server::floor(None)?;
    let of_floor = grown(&floor, &vec!["/ws/idle".to_owned(); CONNECTIONS]).await?;
    let mut figure = Figure::alone(WORK, "KB of memory each", of_host, Target::AtMost(6.0));
    figure.floor = Some(of_floor);
    figure.ratio = Some(of_host / of_floor);
    Ok(Row {
        figures: vec![figure],
        usage: vec![Usage {
            work: WORK,
            host_peak: host.memory()?.peak,
            floor_peak: Some(floor.memory()?.peak),
            ..Usage::default()
        }],
        faults: Vec::new(),
    })
}

/// By how many KB the process grows with each connection.
async fn grown(server: &Server, paths: &[String]) -> Result<f64> {
    for path in paths.iter().take(WARM_UP) {
        connect(server, path).await?;
    }
    let before = server.memory()?.resident;
    let mut clients = Vec::with_capacity(paths.len());
    for path in paths {
        clients.push(connect(server, path).await?);
    }
    let grown = server.memory()?.resident.saturating_sub(before);
    Ok(grown as f64 / 1000.0 / clients.len() as f64)
}

async fn connect(server: &Server, path: &str) -> Result<Client> {
    let mut client = Client::connect(server.address, path).await?;
    wait_for(&mut client, "session_sync").await?;
    Ok(client)
}
