//! Runs: events, back-pressure, ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plugin_api::abi::import::{Answer, Completion, FailureKind};
use plugin_api::wire::ImageInfo;
use plugin_api::{Event, serde_json};

use crate::fixture::{NOTES, all_events};
use crate::host::{agent, host, run_json, run_params, soon};

fn texts<'a>(events: &'a [Event]) -> Vec<&'a str> {
    let text = |event: &'a Event| match event {
        Event::StreamDelta(delta) => delta.delta.as_str(),
        other => panic!("{other:?}"),
    };
    events.iter().map(text).collect()
}

#[tokio::test]
async fn events_come_in_order_and_then_the_outcome() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    assert!(worker.run(run.id, &run_json("echo one two three")));
    let outcome = run.finished().await;
    assert_eq!(outcome.content, "one two three");
    assert_eq!((outcome.token_count, outcome.context_tokens), (7, 0));
    assert_eq!(outcome.data, Some(serde_json::json!({ "turns": 1 })));
    assert_eq!(texts(&run.events()), ["one", "two", "three"]);
}

#[tokio::test]
async fn every_kind_of_event_crosses_unchanged() {
    let worker = agent("worker", "").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("events"));
    run.finished().await;
    assert_eq!(run.events(), all_events());
}

#[tokio::test]
async fn events_may_come_from_many_tasks() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("threads"));
    run.finished().await;
    assert_eq!(run.events().len(), 800);
}

#[tokio::test]
async fn an_emit_that_was_answered_slow_waits_for_resume() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope_with(|before| {
        if before == 1 {
            Answer::Slow
        } else {
            Answer::Ok
        }
    });
    worker.run(run.id, &run_json("echo one two three"));
    run.until_events(|events| events.len() == 2).await;
    // A `resume` too many changes nothing, one for another scope neither.
    worker.resume(run.id + 1_000_000);
    run.nothing_more();
    worker.resume(run.id);
    run.finished().await;
    assert_eq!(run.events().len(), 3);
}

#[tokio::test]
async fn a_resume_from_within_emit_is_not_lost() {
    let worker = Arc::new(agent("worker", "{}").await);
    let (resuming, id) = (Arc::clone(&worker), Arc::new(std::sync::OnceLock::new()));
    let of_run = Arc::clone(&id);
    let mut run = host().scope_with(move |_| {
        // As early as can be: before the library has seen the answer.
        resuming.resume(*of_run.get().unwrap());
        Answer::Slow
    });
    id.set(run.id).unwrap();
    worker.run(run.id, &run_json("echo one two three four"));
    run.finished().await;
    assert_eq!(run.events().len(), 4);
}

#[tokio::test]
async fn a_stop_releases_an_emit_that_waits() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope_with(|before| {
        if before < 3 {
            Answer::Slow
        } else {
            Answer::Stop
        }
    });
    worker.run(run.id, &run_json("flood"));
    run.until_events(|events| events.len() == 1).await;
    worker.stop(run.id);
    assert_eq!(run.stopped().await.content, "");
    assert_eq!(run.events().len(), 3);
}

#[tokio::test]
async fn refusals_reach_the_author() {
    let worker = agent("worker", "{}").await;
    for (answer, text) in [
        (Answer::Invalid, "Err(Invalid)"),
        (Answer::TooLarge, "Err(TooLarge)"),
        (Answer::Internal, "Err(Host(-4))"),
    ] {
        let mut run = host().scope_with(move |_| answer);
        worker.run(run.id, &run_json("refused"));
        assert_eq!(run.finished().await.content, text);
    }
}

#[tokio::test]
async fn a_host_that_panics_answers_internal() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope_with(|_| panic!("the host's own"));
    worker.run(run.id, &run_json("refused"));
    assert_eq!(run.finished().await.content, "Err(Host(-4))");
}

#[tokio::test]
async fn a_stop_is_seen_and_may_come_twice_and_late() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("wait-stop"));
    run.until_events(|events| events.len() == 1).await;
    worker.stop(run.id);
    worker.stop(run.id);
    assert_eq!(run.stopped().await.content, "until here");
    worker.stop(run.id);
    worker.resume(run.id);
    run.nothing_more();
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_not_lost() {
    let worker = agent("worker", "{}").await;
    for _ in 0..50 {
        let mut run = host().scope();
        worker.run(run.id, &run_json("wait-stop"));
        worker.stop(run.id);
        run.stopped().await;
    }
}

#[tokio::test]
async fn a_run_that_ignores_the_stop_is_dropped_after_the_grace() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    let mut params = run_params("ignore-stop");
    params.run_id = "ignores".to_owned();
    worker.run(run.id, &serde_json::to_string(&params).unwrap());
    run.until_events(|events| events.len() == 1).await;
    worker.stop(run.id);
    assert_eq!(run.stopped().await.content, "");
    assert!(NOTES.borrow().contains(&"dropped ignores".to_owned()));
}

#[tokio::test]
async fn a_tight_loop_of_emits_can_be_stopped() {
    let worker = agent("worker", "{}").await;
    let ended = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&ended);
    let mut run = host().scope_with(move |_| {
        if answer.load(Ordering::Relaxed) {
            Answer::Stop
        } else {
            Answer::Ok
        }
    });
    worker.run(run.id, &run_json("flood"));
    run.until_events(|events| events.len() > 1000).await;
    // It never looks at the stop: the grace ends it although no emit is refused.
    worker.stop(run.id);
    run.stopped().await;
    ended.store(true, Ordering::Relaxed);
}

#[tokio::test]
async fn what_outlives_its_run_is_told_so() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    let mut params = run_params("leak");
    params.run_id = "leaks".to_owned();
    let mut image = ImageInfo::default();
    image.handle = 1;
    params.images.push(image);
    let id = run.id;
    worker.run(id, &serde_json::to_string(&params).unwrap());
    run.finished().await;
    drop(run);
    let mut notes = NOTES.subscribe();
    let note = |notes: &Vec<String>| {
        notes
            .iter()
            .any(|note| note.starts_with("leaks: Err(Stopped) Some(Err("))
    };
    soon(notes.wait_for(note)).await.unwrap();
    let notes = NOTES.borrow();
    let note = notes.iter().find(|note| note.starts_with("leaks")).unwrap();
    assert!(note.ends_with("Err(Cancelled)"), "{note}");
}

#[tokio::test]
async fn failures_keep_their_kind_and_text() {
    let worker = agent("worker", "{}").await;
    for (content, kind, text) in [
        (
            "not-found",
            FailureKind::SessionNotFound,
            "Session not found",
        ),
        (
            "max-iterations too many",
            FailureKind::MaxIterations,
            "too many",
        ),
        ("agent broken", FailureKind::Agent, "broken"),
        ("internal odd", FailureKind::Internal, "odd"),
        ("panic now", FailureKind::Internal, "told to: now"),
        ("panic-any", FailureKind::Internal, "panic"),
    ] {
        let mut run = host().scope();
        worker.run(run.id, &run_json(content));
        assert_eq!(run.failed().await, (kind, text.to_owned()));
    }
    // And the next run works.
    let mut run = host().scope();
    worker.run(run.id, &run_json("echo x"));
    run.finished().await;
}

#[tokio::test]
async fn a_panic_while_a_run_is_dropped_fails_it() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, &run_json("panic-in-drop"));
    run.until_events(|events| events.len() == 1).await;
    worker.stop(run.id);
    assert_eq!(
        run.failed().await,
        (FailureKind::Internal, "in drop".to_owned())
    );
    run.nothing_more();
}

#[tokio::test]
async fn parameters_that_are_no_json_fail_the_run() {
    let worker = agent("worker", "{}").await;
    let mut run = host().scope();
    worker.run(run.id, "{\"run_id\":");
    let (kind, text) = run.failed().await;
    assert_eq!(kind, FailureKind::Internal);
    assert!(text.starts_with("the run's parameters: "), "{text}");
}

#[tokio::test]
async fn images_are_fetched_by_their_handle() {
    let worker = agent("worker", "{}").await;
    let image: Arc<[u8]> = vec![1, 2, 3].into();
    for (handle, content) in [(7, "Ok([[1, 2, 3]])"), (8, "Err(Unavailable(8))")] {
        let images = HashMap::from([(7, Arc::clone(&image))]);
        let mut run = host().scope_of(Box::new(|_| Answer::Ok), images);
        let mut params = run_params("images");
        let mut info = ImageInfo::default();
        (info.handle, info.bytes) = (handle, 3);
        params.images.push(info);
        worker.run(run.id, &serde_json::to_string(&params).unwrap());
        assert_eq!(run.finished().await.content, content);
    }
}

#[tokio::test]
async fn nothing_is_called_of_an_instance_that_was_shut_down() {
    let worker = agent("worker", "{}").await;
    let mut shutdown = host().scope();
    assert!(worker.shutdown(shutdown.id));
    assert!(matches!(
        shutdown.completion().await,
        Completion::Finished { value: None, .. }
    ));
    assert!(!worker.shutdown(shutdown.id));
    let mut run = host().scope();
    assert!(!worker.run(run.id, &run_json("echo x")));
    assert!(!worker.stop(run.id));
    assert!(!worker.session_ended("s"));
    run.nothing_more();
}
