//! Injects a fault, and looks at what comes of it.

use roundhouse_host::session::SessionId;
use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{Client as Connection, script};
use serde_json::json;

use super::cells::{Cell, Client, Operator, Survives, cell};
use super::host::{Host, MILLION};
use super::seen::{self, Before};
use super::{Component, Fault, Isolation, starting};

pub(super) async fn inject(fault: Fault, component: Component, isolation: Isolation) {
    let cell = cell(fault, component, isolation);
    if cell.survives == Survives::Others {
        return starting::not_at_all(fault, component, isolation, &cell).await;
    }
    match fault {
        Fault::SlowStart => starting::slowly(component, isolation, &cell).await,
        Fault::ReplacedInPlace => starting::replaced(component, isolation, &cell).await,
        _ => while_it_runs(fault, component, isolation, &cell).await,
    }
}

/// Runs of others, which go on until they are stopped.
pub(super) struct Bystanders {
    /// Of another plugin.
    other: (SessionId, Connection),
    /// Of the suspect.
    same: Option<(SessionId, Connection)>,
}

impl Bystanders {
    /// Begins them.
    pub(super) async fn begin(host: &Host, with_the_suspects: bool) -> Self {
        let begun = async |agent: &str, content: &str| {
            let session = host.session_with(agent).await;
            let mut client = host.idle(session).await;
            client.begin(content).await;
            (session, client)
        };
        let (session, mut client) = begun("scripted", &script(&[delta("here"), hold()])).await;
        client.expect_kind("stream_delta").await;
        let same = if with_the_suspects {
            Some(begun("suspect", host.waiting()).await)
        } else {
            None
        };
        Self {
            other: (session, client),
            same,
        }
    }

    /// Whether they have gone on: they end when they are asked to, and not before.
    pub(super) async fn go_on(self, host: &Host, the_suspects_too: bool) {
        let mut all = vec![self.other];
        all.extend(self.same.filter(|_| the_suspects_too));
        for (session, mut client) in all {
            let run = seen::latest_run(host, session).await;
            assert_eq!(run["status"], "running");
            host.rest().stop(session).await;
            let frames = client.rest_of_run().await;
            let last = frames.last().unwrap();
            assert_eq!(last.kind(), "stream_stopped", "{frames:?}");
        }
    }
}

async fn while_it_runs(fault: Fault, component: Component, isolation: Isolation, cell: &Cell) {
    let mut host = Host::configured(fault, component, isolation);
    host.start();
    let bystanders = Bystanders::begin(&host, true).await;
    let session = host.session_with(host.agent()).await;
    let mut client = host.idle(session).await;
    let harmless = client.run(&host.harmless()).await;
    assert_eq!(
        harmless.last().unwrap().kind(),
        "stream_end",
        "{harmless:?}"
    );
    let before = Before {
        memory: host.serving().memory("VmRSS"),
    };

    if fault == Fault::MillionEvents && cell.client == Client::Ends {
        client.begin(&host.harmful()).await;
        client = drink_all(&host, session, client).await;
    } else {
        let stop = async |client: &mut Connection| {
            if cell.client == Client::Stopped {
                at_work(&host, client).await;
                host.rest().stop(session).await;
            }
        };
        seen::run(&mut client, &host.harmful(), cell.client, stop).await;
    }
    if cell.client == Client::Lost {
        return next_start(host, session, bystanders, cell).await;
    }
    if fault == Fault::LateEmits && cell.client == Client::Ends {
        std::fs::write(host.path("until"), "").unwrap();
        seen::appears("the late event", &host.path("report"), "late ").await;
    }
    seen::by_the_operator(&host, before, cell).await;
    // The next run of the session, in which nothing of the one before turns up.
    let frames = client.run(&host.harmless()).await;
    let next: Vec<_> = frames.iter().map(|frame| frame.kind()).collect();
    let usual: Vec<_> = harmless.iter().map(|frame| frame.kind()).collect();
    assert_eq!(next, usual, "{frames:?}");
    match cell.survives {
        Survives::FreshCopy => host.logs("opening a fresh copy").await,
        Survives::OtherWorker => {
            let told = "something in a worker did not stop; starting another one";
            host.logs(told).await;
        }
        _ => {}
    }
    bystanders
        .go_on(&host, cell.survives == Survives::All)
        .await;
    if cell.survives == Survives::All {
        client.close().await;
        host.ends_in_order().await;
    }
}

/// Waits until the component is where it will ignore a stop.
async fn at_work(host: &Host, client: &mut Connection) {
    let sign = match host.component {
        Component::Agent => "stream_delta",
        _ => "tool_started",
    };
    client.expect_kind(sign).await;
}

/// Reads the flood to its end: no character is lost. Answers a client of the session as it is then.
async fn drink_all(host: &Host, session: SessionId, client: Connection) -> Connection {
    let (text, last) = client.drink().await;
    assert_eq!(last["type"], "stream_end", "{last}");
    if host.component == Component::Agent {
        let whole: String = (0..MILLION).map(|index| index.to_string()).collect();
        assert!(text == whole, "{} of {} bytes", text.len(), whole.len());
    }
    host.idle(session).await
}

/// The host is dead: whoever starts it again finds everything that ran lost, and it serves.
async fn next_start(mut host: Host, session: SessionId, bystanders: Bystanders, cell: &Cell) {
    let signal = host.died().await;
    let died = Operator::Died(signal.unwrap_or_default());
    assert_eq!(cell.operator, [died]);
    assert_eq!(cell.survives, Survives::Stored);
    let (other, same) = (bystanders.other.0, bystanders.same.unwrap().0);

    host.start();
    for session in [session, other, same] {
        assert_eq!(seen::latest_run(&host, session).await["status"], "lost");
    }
    let lost = "roundhouse_runs_total{status=\"lost\"} 3";
    assert!(host.metrics().await.contains(lost));
    host.logs("run lost: the host ended before it did").await;
    let history = host
        .rest()
        .get(&format!("/sessions/{session}/messages"))
        .await
        .body;
    assert_eq!(history["messages"][3]["status"], json!("lost"), "{history}");
    let mut client = host.idle(session).await;
    let frames = client.run(&host.harmless()).await;
    assert_eq!(frames.last().unwrap().kind(), "stream_end", "{frames:?}");
    client.close().await;
    host.ends_in_order().await;
}
