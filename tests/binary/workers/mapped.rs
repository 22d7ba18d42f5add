//! Mappers in the host's own process, over events of a worker.

use std::fmt::Write as _;

use roundhouse_tests::{TestHost, text_of};

use super::{WORKERS, answer, client, executable};

/// Agents of the worker whose events pass a mapper, which does as `mode` says.
async fn host(mode: &str, until: &std::path::Path) -> TestHost {
    let toml = format!(
        "{WORKERS}\n[plugins.libraries.here]\nfile = \"fixture_faulty\"\n\
         [agents.mapped]\ncomponent = \"faulty/agent\"\n\
         mappers = [{{ component = \"here/mapper\", config = {{ mode = \"{mode}\", deltas_only = true, until = {until:?} }} }}]\n"
    );
    TestHost::with_worker(&toml, executable()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_events_keep_their_order_and_come_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let host = host("dot", &folder.path().join("until")).await;
    let mut client = client(&host, "mapped").await;
    let frames = client.run("rush 20000").await;
    let mut expected = String::new();
    for index in 0..20_000 {
        let _ = write!(expected, "{index},.");
    }
    assert!(
        text_of(&frames) == expected,
        "something is lost or out of order"
    );
    assert_eq!(frames.last().unwrap().kind(), "stream_end");
    // What has come before a crash is mapped and shown all the same.
    let now = folder.path().join("now");
    client.begin(&format!("segfault {}", now.display())).await;
    assert_eq!(client.next().await.delta(), Some("before."));
    std::fs::write(&now, "").unwrap();
    assert_eq!(client.rest_of_run().await.pop().unwrap().kind(), "error");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_that_hangs_holds_up_nobody_else_of_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let until = folder.path().join("until");
    let host = host("hang", &until).await;
    let mut hanging = client(&host, "mapped").await;
    let mut beside = client(&host, "faulty").await;
    hanging.begin("rush 100000").await;
    // While the other hangs: far more than it could take if they shared a thread.
    assert_eq!(answer(&mut beside, "flood 1000").await, "flooded");
    let end = hanging.rest_of_run().await.pop().unwrap();
    assert_eq!(
        (end.kind(), end.text_at("message")),
        ("error", "Internal error: mapper here/mapper")
    );
    assert_eq!(answer(&mut beside, "flood 1000").await, "flooded");
    std::fs::write(&until, "").unwrap();
    host.shut_down([hanging, beside]).await;
}
