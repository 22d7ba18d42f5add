//! A worker that ends, and what becomes of its runs and of the next one.

use std::time::{Duration, Instant};

use roundhouse_host::plugin::STUCK_WORKERS;
use roundhouse_tests::{TestHost, compile_c, soon, until};

use super::{answer, client, end_of, error_of, executable, exists, host, pid, plugin, signal};

/// Far less than any wait for a run would take, and far more than a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_the_runs_of_its_worker_at_once_and_nobody_elses() {
    let host = host().await;
    let mut crashing = client(&host, "faulty").await;
    let mut beside = client(&host, "faulty").await;
    let session = host.session_with("apart").await;
    let mut apart = host.idle(session).await;
    beside.begin("wait_stop").await;
    apart.begin(r#"script:[{"wait_stop":600}]"#).await;
    let before = pid(&host, "faulty").await;
    let now = host.path("now");
    crashing.begin(&format!("segfault {}", now.display())).await;
    // What was emitted before is not lost.
    assert_eq!(crashing.next().await.delta(), Some("before"));
    let begun = Instant::now();
    std::fs::write(&now, "").unwrap();
    let frames = crashing.rest_of_run().await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let expected = "Internal error: the worker process was ended by signal 11 (SIGSEGV)";
    let end = frames.last().unwrap();
    assert_eq!((end.kind(), end.text_at("message")), ("error", expected));
    let end = beside.rest_of_run().await.pop().unwrap();
    assert_eq!((end.kind(), end.text_at("message")), ("error", expected));
    // The next run gets a new worker, without anybody's doing.
    assert_eq!(answer(&mut crashing, "again").await, "again");
    let after = pid(&host, "faulty").await;
    assert_ne!(after, before);
    assert!(!exists(before));
    assert_eq!(plugin(&host, "faulty").await["worker"]["restarts"], 1);
    assert_eq!(plugin(&host, "apart").await["worker"]["restarts"], 0);
    host.stop(session).await;
    let end = apart.rest_of_run().await.pop().unwrap();
    assert_eq!(end.kind(), "stream_stopped");
    host.shut_down([crashing, beside, apart]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_is_told_by_name() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    let text = error_of(&mut client, "abort").await;
    assert!(text.ends_with("by signal 6 (SIGABRT)"), "{text}");
    let text = error_of(&mut client, "exit 3").await;
    assert!(text.ends_with("ended by itself with exit code 3"), "{text}");
    client.begin("wait_stop").await;
    signal("KILL", pid(&host, "faulty").await);
    let end = client.rest_of_run().await.pop().unwrap();
    let text = end.text_at("message");
    assert!(text.ends_with("by signal 9 (SIGKILL)"), "{text}");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_is_seen_although_a_process_left_behind_has_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("until");
    let macros = [
        format!("UNTIL={file:?}"),
        format!("FOLDER={:?}", folder.path()),
    ];
    let library = compile_c(folder.path(), "c", &macros.each_ref().map(String::as_str));
    let toml = format!(
        "[plugins.libraries.c]\nfile = {library:?}\nisolation = \"process\"\n[agents.c]\ncomponent = \"c/agent\"\n"
    );
    let host = TestHost::with_worker(&toml, executable()).await;
    let mut client = client(&host, "c").await;
    let before = pid(&host, "c").await;
    let begun = Instant::now();
    let text = error_of(&mut client, "fork").await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(text.ends_with("by signal 9 (SIGKILL)"), "{text}");
    assert!(!exists(before));
    assert_eq!(answer(&mut client, "again").await, "done");
    // The one that was left behind is not of the worker's group, and goes on.
    assert!(file.with_extension("begun").exists());
    host.shut_down([client]).await;
    std::fs::write(file, "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_in_a_worker_that_ends_has_failed() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    let mut scripted = super::client(&host, "apart").await;
    let before = pid(&host, "faulty").await;
    // The agent is in another worker than the tool, which never answers.
    scripted.message(r#"script:[{"tool":["hang",{}]}]"#).await;
    scripted.expect_kind("stream_start").await;
    scripted.until(|frame| frame.kind() == "tool_started").await;
    signal("KILL", before);
    let frames = scripted.rest_of_run().await;
    let call = frames.iter().find(|frame| frame.kind() == "tool_call");
    let result = call.unwrap().text_at("result");
    assert!(result.contains("by signal 9 (SIGKILL)"), "{result}");
    assert_eq!(answer(&mut client, "again").await, "again");
    host.shut_down([client, scripted]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ignores_stop_is_abandoned_and_its_worker_ended_after_the_others() {
    let host = host().await;
    let session = host.session_with("faulty").await;
    let mut spinning = host.idle(session).await;
    let mut beside = client(&host, "faulty").await;
    let other = host.path("other");
    let before = pid(&host, "faulty").await;
    beside.begin(&format!("block {}", other.display())).await;
    spinning.begin("spin").await;
    host.stop(session).await;
    let end = spinning.rest_of_run().await.pop().unwrap();
    assert_eq!(end.kind(), "stream_stopped");
    // A new run is served by another worker, while the first goes on for the other run.
    let mut next = client(&host, "faulty").await;
    let served_by = answer(&mut next, "pid").await;
    assert_ne!(served_by, before.to_string());
    assert!(exists(before));
    std::fs::write(&other, "").unwrap();
    let end = beside.rest_of_run().await.pop().unwrap();
    assert_eq!(
        (end.kind(), end.text_at("content")),
        ("stream_end", "unblocked")
    );
    until("the end of the first worker", || !exists(before)).await;
    host.shut_down([spinning, beside, next]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stuck_workers_that_others_keep_alive_are_bounded() {
    let host = host().await;
    let until_it_is_there = |file: &str| format!("block {}", host.path(file).display());
    let mut next = client(&host, "faulty").await;
    let (mut workers, mut clients) = (Vec::new(), Vec::new());
    for index in 0..STUCK_WORKERS {
        let worker: u64 = answer(&mut next, "pid").await.parse().unwrap();
        assert!(!workers.contains(&worker));
        workers.push(worker);
        let mut beside = client(&host, "faulty").await;
        beside.begin(&until_it_is_there(&index.to_string())).await;
        assert_eq!(beside.next().await.delta(), Some("blocking"));
        let session = host.session_with("faulty").await;
        let mut stuck = host.idle(session).await;
        stuck.begin(&until_it_is_there("never")).await;
        assert_eq!(stuck.next().await.delta(), Some("blocking"));
        host.stop(session).await;
        stuck.rest_of_run().await;
        clients.extend([beside, stuck]);
    }
    let expected = "Internal error: the agent faulty is not available";
    assert_eq!(error_of(&mut next, "hello").await, expected);
    assert!(workers.iter().all(|worker| exists(*worker)));
    // The end of each makes room for one, also of the latest, which no other has taken the place of.
    for index in [STUCK_WORKERS - 1, 0] {
        std::fs::write(host.path(&index.to_string()), "").unwrap();
        until("the end of a stuck worker", || !exists(workers[index])).await;
        assert_eq!(answer(&mut next, "hello").await, "hello");
    }
    let restarts = plugin(&host, "faulty").await["worker"]["restarts"].clone();
    assert_eq!(restarts, STUCK_WORKERS);
    for index in 1..STUCK_WORKERS - 1 {
        std::fs::write(host.path(&index.to_string()), "").unwrap();
    }
    for beside in clients.iter_mut().step_by(2) {
        let end = beside.rest_of_run().await.pop().unwrap();
        assert_eq!(end.kind(), "stream_end");
    }
    clients.push(next);
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_frozen_is_ended_when_its_run_does_not_stop() {
    let host = host().await;
    let session = host.session_with("faulty").await;
    let mut client = host.idle(session).await;
    client.begin("wait_stop").await;
    let frozen = pid(&host, "faulty").await;
    signal("STOP", frozen);
    host.stop(session).await;
    let end = client.rest_of_run().await.pop().unwrap();
    assert_eq!(end.kind(), "stream_stopped");
    assert_eq!(answer(&mut client, "again").await, "again");
    until("the end of the frozen one", || !exists(frozen)).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_fails_time_and_again_is_shown_as_failed() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    let mut last = String::new();
    for _ in 0..6 {
        last = error_of(&mut client, "abort").await;
    }
    assert!(last.contains("SIGABRT"), "{last}");
    soon("the plugin's end", async {
        while plugin(&host, "faulty").await["state"] != "failed" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let shown = plugin(&host, "faulty").await;
    let reason = shown["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("6 times in a row") && reason.contains("SIGABRT"),
        "{reason}"
    );
    client.message("again").await;
    client
        .expect_error("Agent `faulty` is not available.")
        .await;
    let agents = host.rest().get("/agents").await.body;
    let agents = agents["agents"].as_array().unwrap();
    let faulty = agents
        .iter()
        .find(|agent| agent["name"] == "faulty")
        .unwrap();
    assert_eq!(faulty["available"], false);
    // Others are not concerned.
    let mut apart = super::client(&host, "apart").await;
    assert_eq!(end_of(&mut apart, "hello").await.kind(), "stream_end");
    host.shut_down([client, apart]).await;
}
