//! The replay's bounds: folding, and what goes first.

use roundhouse_tests::script::{delta, hold, repeat};
use roundhouse_tests::{Client, Frame, TestHost, fold, script, text_of};
use serde_json::{Value, json};

/// A run of these steps that is held, and the replay that a second client gets of it.
async fn replayed(toml: &str, steps: Vec<Value>) -> Vec<Frame> {
    let host = TestHost::with(toml).await;
    let session = host.session().await;
    let mut first = host.idle(session).await;
    let mut steps = steps;
    steps.extend([delta("held"), hold()]);
    first.begin(&script(&steps)).await;
    first
        .until(|frame| frame.delta().is_some_and(|text| text.ends_with("held")))
        .await;
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    let replay = second.replay().await;
    host.stop(session).await;
    finish(&mut first).await;
    finish(&mut second).await;
    host.shut_down([first, second]).await;
    replay
}

async fn finish(client: &mut Client) {
    client.until(|frame| frame.kind() == "stream_stopped").await;
}

fn own(count: u64) -> Value {
    repeat(count, json!({"type": "own", "n": "{i}"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_500_records_the_latest_ones() {
    let replay = replayed("", vec![own(600)]).await;
    assert_eq!(replay.len(), 500);
    // The last is the delta; before it the latest of the others, in order.
    let numbers: Vec<_> = replay[..499]
        .iter()
        .map(|frame| frame.value()["n"].as_str().unwrap().parse::<u64>().unwrap())
        .collect();
    assert_eq!(numbers, (101..600).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_as_many_as_configured() {
    let replay = replayed("limits.replay_records = 3", vec![own(10)]).await;
    let events: Vec<_> = replay.iter().map(|frame| frame.value().clone()).collect();
    assert_eq!(
        events,
        [
            json!({"type": "own", "n": "8"}),
            json!({"type": "own", "n": "9"}),
            json!({"type": "stream_delta", "delta": "held"})
        ]
    );
    let replay = replayed("limits.replay_records = 1", vec![own(10)]).await;
    assert_eq!(replay.len(), 1);
    // As many as fit: nothing is missing.
    let replay = replayed("limits.replay_records = 11", vec![own(10)]).await;
    assert_eq!(replay.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_no_more_bytes_than_configured() {
    let large = json!({"type": "own", "n": "{i}", "data": "x".repeat(10 * 1024)});
    let replay = replayed("limits.replay_bytes = \"64 KiB\"", vec![repeat(100, large)]).await;
    assert!((4..=7).contains(&replay.len()), "{}", replay.len());
    let bytes: usize = replay.iter().map(|frame| frame.text().len()).sum();
    assert!(bytes <= 64 * 1024);
    let first = replay[0].value()["n"].as_str().unwrap();
    assert_eq!(first, (101 - replay.len()).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_folded_so_that_a_long_answer_is_replayed_from_its_beginning() {
    let steps = vec![repeat(
        5000,
        json!({"type": "stream_delta", "delta": "{i} "}),
    )];
    let replay = replayed("", steps).await;
    let counted: String = (0..5000).map(|number| format!("{number} ")).collect();
    assert_eq!(text_of(&replay), format!("{counted}held"));
    // At most 1,024 in one.
    assert_eq!(replay.len(), 5);
    let first: String = (0..1024).map(|number| format!("{number} ")).collect();
    assert_eq!(replay[0].delta(), Some(first.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folded_delta_has_at_most_16_kib() {
    let piece = "ä".repeat(1500);
    let steps = vec![repeat(
        20,
        json!({"type": "thinking_delta", "delta": piece}),
    )];
    let replay = replayed("", steps).await;
    let (last, folded) = replay.split_last().unwrap();
    assert_eq!(last.delta(), Some("held"));
    assert_eq!(folded.len(), 4);
    assert!(
        folded
            .iter()
            .all(|frame| frame.delta().unwrap().len() == 5 * 3000)
    );
    // A larger one is a record of its own.
    let piece = "y".repeat(40 * 1024);
    let steps = vec![repeat(3, json!({"type": "stream_delta", "delta": piece}))];
    let replay = replayed("", steps).await;
    assert_eq!(replay.len(), 4);
    assert!(
        replay[..3]
            .iter()
            .all(|frame| frame.delta() == Some(piece.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_neighbours_of_one_type_are_folded() {
    let thinking = || repeat(2, json!({"type": "thinking_delta", "delta": "t"}));
    let text = || repeat(3, json!({"type": "stream_delta", "delta": "s"}));
    let steps = vec![thinking(), text(), thinking(), own(1), thinking(), text()];
    let replay = replayed("", steps).await;
    let events: Vec<_> = replay.iter().map(|frame| frame.value().clone()).collect();
    assert_eq!(
        events,
        [
            json!({"type": "thinking_delta", "delta": "tt"}),
            json!({"type": "stream_delta", "delta": "sss"}),
            json!({"type": "thinking_delta", "delta": "tt"}),
            json!({"type": "own", "n": "0"}),
            json!({"type": "thinking_delta", "delta": "tt"}),
            json!({"type": "stream_delta", "delta": "sssheld"}),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn put_together_it_is_what_was_sent_live() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut first = host.idle(session).await;
    let steps = [
        repeat(1500, json!({"type": "thinking_delta", "delta": "{i},"})),
        own(3),
        repeat(1500, json!({"type": "stream_delta", "delta": "{i};"})),
        delta("held"),
        hold(),
    ];
    first.begin(&script(&steps)).await;
    let mut live = Vec::new();
    while live
        .last()
        .and_then(Frame::delta)
        .is_none_or(|text| !text.ends_with("held"))
    {
        live.push(first.next().await);
    }
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    assert_eq!(fold(&second.replay().await), fold(&live));
    host.stop(session).await;
    finish(&mut first).await;
    finish(&mut second).await;
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_of_this_run_alone() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut first = host.idle(session).await;
    first.run(&script(&[own(20), delta("before")])).await;
    first.begin(&script(&[own(1), delta("now"), hold()])).await;
    first.until(|frame| frame.delta().is_some()).await;
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    assert_eq!(
        fold(&second.replay().await),
        [
            json!({"type": "own", "n": "0"}),
            json!({"type": "stream_delta", "delta": "now"})
        ]
    );
    host.stop(session).await;
    finish(&mut first).await;
    finish(&mut second).await;
    host.shut_down([first, second]).await;
}
