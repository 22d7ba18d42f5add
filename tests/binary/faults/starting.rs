//! Faults of a plugin that is to be started, and of its file.

use std::time::{Duration, Instant};

use super::cells::{Cell, Operator, Survives};
use super::host::Host;
use super::injection::Bystanders;
use super::seen;
use super::{Component, Fault, Isolation};
use crate::process::output;

/// A component that takes two seconds to be made.
pub(super) async fn slowly(component: Component, isolation: Isolation, cell: &Cell) {
    let mut host = Host::configured(Fault::SlowStart, component, isolation);
    let begun = Instant::now();
    host = tokio::task::spawn_blocking(move || {
        host.start();
        host
    })
    .await
    .unwrap();
    // It listens when everything is there.
    assert!(begun.elapsed() >= Duration::from_secs(2));
    let before = seen::Before {
        memory: host.serving().memory("VmRSS"),
    };
    let session = host.session_with(host.agent()).await;
    let mut client = host.idle(session).await;
    seen::run(&mut client, &host.harmless(), cell.client, async |_| {}).await;
    seen::by_the_operator(&host, before, cell).await;
    client.close().await;
    host.ends_in_order().await;
}

/// A plugin that cannot be started.
pub(super) async fn not_at_all(
    fault: Fault,
    component: Component,
    isolation: Isolation,
    cell: &Cell,
) {
    let mut host = Host::configured(fault, component, isolation);
    let reasons: Vec<&str> = cell
        .operator
        .iter()
        .filter_map(|seen| match seen {
            Operator::Failed(reason) => Some(*reason),
            _ => None,
        })
        .collect();
    assert!(!reasons.is_empty());
    // Required, it stops the start.
    for command in ["check", "serve"] {
        let folder = host.folder().to_owned();
        let args: &[&str] = match command {
            "serve" => &["serve", "--listen", "127.0.0.1:0"],
            _ => &["check"],
        };
        let told = tokio::task::spawn_blocking(move || output(&folder, args))
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(1), "{command}: {text}");
        for reason in &reasons {
            assert!(text.contains(reason), "{command}: {text}");
        }
    }
    // Optional, it is missing to those that need it.
    host.write(isolation, false);
    host.start();
    let before = seen::Before {
        memory: host.serving().memory("VmRSS"),
    };
    let bystanders = Bystanders::begin(&host, false).await;
    let session = host.session_with(host.agent()).await;
    let mut client = host.idle(session).await;
    seen::run(&mut client, &host.harmless(), cell.client, async |_| {}).await;
    let suspect = host.suspect().await;
    assert_eq!(suspect["state"], "failed", "{suspect}");
    for reason in &reasons {
        assert!(suspect.to_string().contains(reason), "{suspect}");
    }
    let failed = "roundhouse_plugins{state=\"failed\"} 1";
    assert!(host.metrics().await.contains(failed));
    seen::by_the_operator(&host, before, cell).await;
    assert_eq!(cell.survives, Survives::Others);
    bystanders.go_on(&host, false).await;
    client.close().await;
    host.ends_in_order().await;
}

/// A library whose file is written over while it serves.
pub(super) async fn replaced(component: Component, isolation: Isolation, cell: &Cell) {
    let mut host = Host::configured(Fault::ReplacedInPlace, component, isolation);
    host.start();
    let before = seen::Before {
        memory: host.serving().memory("VmRSS"),
    };
    let bystanders = Bystanders::begin(&host, true).await;
    let session = host.session_with(host.agent()).await;
    let mut client = host.idle(session).await;
    let file = host.path("suspect.so");
    let good = std::fs::read(&file).unwrap();
    // In place: the same file, shorter and of other content, which would kill whoever has it mapped.
    std::fs::write(&file, b"\x7fELF and nothing more").unwrap();
    seen::run(&mut client, &host.harmless(), cell.client, async |_| {}).await;
    seen::by_the_operator(&host, before, cell).await;
    assert_eq!(cell.survives, Survives::All);
    bystanders.go_on(&host, true).await;
    if isolation == Isolation::Process {
        // A new worker is of the library that was checked, too.
        let worker = host.suspect().await["worker"]["pid"].to_string();
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &worker])
            .status();
        assert!(killed.unwrap().success());
        host.logs("starting another worker").await;
        let frames = client.run(&host.harmless()).await;
        assert_eq!(frames.last().unwrap().kind(), "stream_end", "{frames:?}");
    }
    client.close().await;
    // What is there now counts at the next start.
    let folder = host.folder().to_owned();
    let told = tokio::task::spawn_blocking(move || output(&folder, &["check"]))
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(
        text.contains("suspect.so` is not a library that this system can open"),
        "{text}"
    );
    std::fs::write(&file, good).unwrap();
    host.ends_in_order().await;
}
