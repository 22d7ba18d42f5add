//! Going on where a connection was cut, from what is in memory.

use roundhouse_tests::positions::Asked;
use roundhouse_tests::script::repeat;
use roundhouse_tests::{Position, Strings, TestHost, events, script, text_of};
use serde_json::{Value, json};

use super::{begin_held, ended};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_exactly_what_it_missed() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut witness = host.v2(session).await;
    let mut client = host.v2(session).await;
    witness.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mut seen = vec![client.expect_kind("stream_start").await];
    for round in 0..5 {
        puppet.delta(&format!("{round} here,")).await;
        seen.push(client.expect_kind("stream_delta").await);
        let position = client.position();
        client.cut();
        puppet.delta(&format!(" {round} missed,")).await;
        puppet.emit(json!({"type": "thinking_end"})).await;
        puppet.delta(" and ").await;
        puppet.delta("more; ").await;
        let (again, greeting) = host.resume(session, &position).await;
        assert_eq!(greeting.verdict(), ("suffix", true, None));
        assert_eq!(greeting.range(), (position.seq + 1, position.seq + 4));
        assert_eq!(greeting.start["count"], 3);
        seen.extend(greeting.replay);
        client = again;
    }
    puppet.finish("over").await;
    seen.extend(client.rest_of_run().await);
    assert_eq!(events(&seen), events(&witness.whole_run().await));
    host.shut_down([witness, client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folded_record_is_cut_where_the_client_is() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.v2(session).await;
    first.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    // Of several bytes each, and some that JSON escapes.
    let pieces = ["ä", "\"b\\", "", "🚂🚃", "\u{0}\n", "e"];
    for piece in pieces {
        puppet.delta(piece).await;
    }
    let epoch = first.position().epoch;
    for after in 1..=7_u64 {
        let (client, greeting) = host.resume(session, &Position::new(&epoch, after)).await;
        assert_eq!(greeting.verdict(), ("suffix", true, None));
        let left = usize::try_from(after - 1).unwrap();
        assert_eq!(text_of(&greeting.replay), pieces[left..].concat());
        let rest = &greeting.replay;
        match left {
            6 => assert!(rest.is_empty()),
            // One event alone is not folded.
            5 => assert_eq!(
                *rest[0].value(),
                json!({"type": "stream_delta", "delta": "e", "seq": 7})
            ),
            _ => assert_eq!(
                (rest.len(), &rest[0].value()["seq_from"]),
                (1, &json!(after + 1))
            ),
        }
        client.close().await;
    }
    puppet.finish("").await;
    first.whole_run().await;
    host.shut_down([first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_runs_are_gone_through() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut witness = host.v2(session).await;
    let mut all = witness.run_v2("one").await;
    let early = Position::new(&witness.position().epoch, 2);
    all.extend(witness.run_v2("two three").await);
    all.extend(
        witness
            .run_v2(&script(&[json!({"raise": ["agent", "x"]})]))
            .await,
    );
    begin_held(&mut witness, "four").await;
    let (mut client, greeting) = host.resume(session, &early).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    let missed: Vec<_> = all
        .iter()
        .filter(|frame| frame.seq() > Some(2))
        .cloned()
        .collect();
    let replay = events(&greeting.replay);
    assert_eq!(replay[..replay.len() - 2], events(&missed));
    assert_eq!(text_of(&greeting.replay), "two three four");
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    host.shut_down([witness, client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_missed_the_end_gets_the_end() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    let position = client.position();
    client.cut();
    host.stop(session).await;
    host.quiet().await;
    let (mut client, greeting) = host.resume(session, &position).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    assert_eq!(greeting.hello["run"], Value::Null);
    let kinds: Vec<_> = greeting.replay.iter().map(|frame| frame.kind()).collect();
    assert_eq!(kinds, ["stream_stopped", "stream_end"]);
    // Between the two as well.
    let between = Position::new(&position.epoch, position.seq + 1);
    let (other, greeting) = host.resume(session, &between).await;
    assert_eq!(
        (greeting.replay.len(), greeting.replay[0].kind()),
        (1, "stream_end")
    );
    // Nothing missed is nothing to replay.
    let (third, greeting) = host.resume(session, &client.position()).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    assert_eq!((greeting.replay.len(), greeting.range()), (0, (5, 4)));
    client.run_v2("goes on").await;
    host.shut_down([client, other, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_kept_is_trimmed() {
    let host = TestHost::with("limits.replay_records = 3").await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    client.run_v2("before").await;
    let epoch = client.position().epoch;
    let steps = [repeat(10, json!({"type": "own", "n": "{i}"}))];
    client.run_v2(&script(&steps)).await;
    // Events 4 to 15, of which the last three are kept, and the run's start.
    for (after, trimmed) in [(1, true), (4, true), (11, true), (12, false), (15, false)] {
        let (other, greeting) = host.resume(session, &Position::new(&epoch, after)).await;
        assert_eq!(greeting.hello["first_seq"], 13);
        if trimmed {
            assert_eq!(
                greeting.verdict(),
                ("full", false, Some("trimmed")),
                "{after}"
            );
            assert_eq!(greeting.start["complete"], false);
            let seqs: Vec<_> = greeting
                .replay
                .iter()
                .map(|frame| frame.seq().unwrap())
                .collect();
            assert_eq!(seqs, [4, 13, 14, 15]);
        } else {
            assert_eq!(greeting.verdict(), ("suffix", true, None), "{after}");
        }
        other.close().await;
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_cannot_be_used_is_told_why() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let run = client.run_v2("one").await;
    let epoch = client.position().epoch;
    let malformed = |query: &str| {
        host.connect_to(session)
            .query(&format!("v=2&{query}"), Asked::Malformed)
    };
    let after = |epoch: &str, seq| host.connect_to(session).after(&Position::new(epoch, seq));
    for (connect, reason) in [
        (after("other", 1), "epoch_changed"),
        (after("", 0), "epoch_changed"),
        (after("%00%F0%9F%9A%82", 3), "epoch_changed"),
        (after(&epoch, 4), "cursor_ahead"),
        (after(&epoch, u64::MAX), "cursor_ahead"),
        (malformed(&format!("epoch={epoch}")), "epoch_changed"),
        (malformed("after=1"), "epoch_changed"),
        (malformed(&format!("epoch={epoch}&after=")), "epoch_changed"),
        (
            malformed(&format!("epoch={epoch}&after=-1")),
            "epoch_changed",
        ),
        (
            malformed(&format!("epoch={epoch}&after=%2B1")),
            "epoch_changed",
        ),
        (
            malformed(&format!("epoch={epoch}&after=1.0")),
            "epoch_changed",
        ),
        (
            malformed(&format!("epoch={epoch}&after=18446744073709551616")),
            "epoch_changed",
        ),
    ] {
        let (other, greeting) = connect.clone().greeted().await;
        // It gets the latest run.
        assert_eq!(
            greeting.verdict(),
            ("full", false, Some(reason)),
            "{connect:?}"
        );
        assert_eq!(greeting.start["complete"], true);
        assert_eq!(events(&greeting.replay), events(&run));
        other.close().await;
    }
    // Or the one in progress.
    begin_held(&mut client, "two").await;
    let (other, greeting) = after("other", 1).greeted().await;
    assert_eq!(greeting.range(), (4, 5));
    host.stop(session).await;
    ended(&mut client).await;
    // Where there is none, nothing.
    let empty = host.session().await;
    let connect = host.connect_to(empty).after(&Position::new("other", 0));
    let (third, greeting) = connect.greeted().await;
    assert_eq!(greeting.verdict(), ("none", false, Some("epoch_changed")));
    let here = Position::new(&third.position().epoch, 0);
    let (fourth, greeting) = host.resume(empty, &here).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    host.shut_down([client, other, third, fourth]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_too_slow_resumes_or_is_told() {
    let host = TestHost::with("limits.replay_bytes = \"256 KiB\"").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.v2(session).await;
    first.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    let connect = host.connect_to(session).v2().receive_buffer(4096);
    let (mut slow, _) = connect.greeted().await;
    let event = json!({"type": "own", "n": "{i}", "data": "x".repeat(20_000)});
    let witness = tokio::spawn(async move {
        let frames = first.whole_run().await;
        (first, frames)
    });
    puppet.order("count", json!([0, 600, event])).await.unwrap();
    let (frames, close) = slow.rest().await;
    assert_eq!(close.code, 4008, "{} frames", frames.len());
    let position = slow.position();
    let (mut slow, greeting) = host.resume(session, &position).await;
    assert_eq!(greeting.verdict(), ("full", false, Some("trimmed")));
    assert_eq!(greeting.start["complete"], false);
    puppet.finish("").await;
    ended(&mut slow).await;
    let (first, frames) = witness.await.unwrap();
    assert_eq!(first.position(), slow.position());
    assert!(frames.len() > 100);
    host.shut_down([first, slow]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_is_whole_whenever_it_falls() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    // The runs' ends and beginnings fall into the connections of others at every moment.
    let comers: Vec<_> = (0..4)
        .map(|_| {
            let connect = host.connect_to(session);
            tokio::spawn(async move {
                let (mut other, _) = connect.clone().v2().greeted().await;
                for _ in 0..25 {
                    let position = other.position();
                    other.cut();
                    let (again, greeting) = connect.clone().after(&position).greeted().await;
                    assert_eq!(greeting.verdict(), ("suffix", true, None));
                    other = again;
                }
                other.close().await;
            })
        })
        .collect();
    let content = script(&[repeat(30, json!({"type": "stream_delta", "delta": "{i} "}))]);
    while !comers.iter().all(tokio::task::JoinHandle::is_finished) {
        client.run_v2(&content).await;
    }
    for comer in comers {
        comer.await.unwrap();
    }
    host.shut_down([client]).await;
}
