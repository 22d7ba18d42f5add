//! Clients that read more slowly than an agent emits.

use std::time::{Duration, Instant};

use roundhouse_host::server::Patience;
use roundhouse_tests::script::{delta, hold, repeat};
use roundhouse_tests::{Client, Close, Frame, Strings, TestHost, script, soon, text_of, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Bytes of room that a client leaves for what it has not read, far less than what is sent to it.
const SMALL: u32 = 16 * 1024;

/// A host that gives up on its clients soon.
const STALL: Patience = Patience {
    head: Duration::from_secs(30),
    stall: Duration::from_secs(2),
};

/// A connection of which the system reads no more than this ahead.
async fn raw(host: &TestHost, bytes: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(host.address()).await.unwrap()
}

/// A text that is recognised by its place.
fn piece(number: usize) -> String {
    format!("{number:0>200} ")
}

/// Reads on until the run's last frame, or until the host closes the connection.
async fn read_on(client: &mut Client) -> (Vec<Frame>, Option<Close>) {
    let mut frames = Vec::new();
    loop {
        match client.next_or_close().await {
            Ok(frame) => {
                let was_last = frame.ends_run();
                frames.push(frame);
                if was_last {
                    return (frames, None);
                }
            }
            Err(close) => return (frames, Some(close)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_behind_gets_folded_deltas_and_loses_no_character() {
    const COUNT: usize = 40_000;
    let toml = "limits = { slow_wait = 0, replay_records = 100000, replay_bytes = \"64 MiB\" }";
    let host = TestHost::with(toml).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut slow = host.connect_to(session).receive_buffer(SMALL).open().await;
    slow.expect_kind("session_sync").await;
    slow.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mut quick = host.connect(session).await;
    quick.expect_kind("stream_start").await;
    let quick = tokio::spawn(async move {
        let frames = quick.rest_of_run().await;
        (frames, quick)
    });

    for number in 0..10 {
        puppet.delta(&piece(number)).await;
    }
    let taken = puppet
        .order(
            "count",
            json!([10, COUNT, {"type": "stream_delta", "delta": "{i} "}]),
        )
        .await;
    assert_eq!(taken, Ok(json!(COUNT - 10)));
    puppet.finish("").await;

    let expected: String = (0..COUNT).map(piece).collect();
    let (frames, mut quick) = quick.await.unwrap();
    assert!(text_of(&frames) == expected, "the quick one lost something");
    quick.expect_kind("session_sync").await;
    let (frames, close) = read_on(&mut slow).await;
    assert_eq!(close, None);
    assert!(text_of(&frames) == expected, "the slow one lost something");
    assert!(frames.len() < COUNT / 2, "{} frames", frames.len());
    let longest = frames.iter().filter_map(Frame::delta).map(str::len).max();
    assert!(
        longest > Some(8 * 1024) && longest <= Some(16 * 1024),
        "{longest:?}"
    );
    host.shut_down([slow, quick]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_next_event_is_gone_is_closed_and_may_come_back() {
    const COUNT: usize = 40_000;
    let host = TestHost::with("limits.slow_wait = 0").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut slow = host.connect_to(session).receive_buffer(SMALL).open().await;
    slow.expect_kind("session_sync").await;
    slow.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let taken = puppet
        .order("count", json!([0, COUNT, {"type": "own", "n": "{i}"}]))
        .await;
    assert_eq!(taken, Ok(json!(COUNT)));

    let (frames, close) = read_on(&mut slow).await;
    let too_slow = Close {
        code: 4008,
        reason: "Too slow".to_owned(),
    };
    assert_eq!(close, Some(too_slow));
    // What it was given until then has no gap.
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame.value()["n"], piece(number).trim_end());
    }
    assert!(frames.len() < COUNT);

    let mut back = host.connect(session).await;
    back.expect_kind("stream_start").await;
    let replay = back.replay().await;
    assert_eq!(replay.len(), 500);
    assert_eq!(replay[499].value()["n"], piece(COUNT - 1).trim_end());
    puppet.finish("").await;
    back.expect_kind("stream_end").await;
    host.shut_down([back]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_reading_is_let_go_of_and_holds_nobody_up() {
    const COUNT: usize = 60_000;
    let host = TestHost::with_patience("limits.slow_wait = 0", STALL).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mut stalled = host.connect_to(session).receive_buffer(SMALL).open().await;
    stalled.expect_kind("stream_start").await;
    let begun = Instant::now();
    let reading = tokio::spawn(async move {
        let frames = client.rest_of_run().await;
        (frames, client)
    });
    puppet
        .order(
            "count",
            json!([0, COUNT, {"type": "stream_delta", "delta": "{i} "}]),
        )
        .await
        .unwrap();
    puppet.finish("").await;
    let (frames, client) = reading.await.unwrap();
    assert!(text_of(&frames) == (0..COUNT).map(piece).collect::<String>());
    until("the end of the stalled connection", || {
        host.host().connections.len() == 1
    })
    .await;
    assert!(begun.elapsed() >= STALL.stall);
    stalled.cut();
    host.shut_down([client]).await;
}

#[test]
fn a_write_stalls_when_nothing_was_taken_for_30_seconds() {
    assert_eq!(Patience::default().stall, Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_reads_slowly_all_the_time_gets_a_large_replay_whole() {
    let host = TestHost::with_patience("", STALL).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let text = "x".repeat(1000);
    client
        .begin(&script(&[
            repeat(400, json!({"type": "own", "text": text})),
            delta("all"),
            hold(),
        ]))
        .await;
    client.until(|frame| frame.kind() == "stream_delta").await;

    // No client library: one would read ahead.
    let mut slow = raw(&host, SMALL / 4).await;
    let request = format!(
        "GET /ws/sessions/{session} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    slow.write_all(request.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let (mut got, mut few) = (Vec::new(), [0; 700]);
    while !String::from_utf8_lossy(&got[got.len().saturating_sub(1000)..]).contains("replay_end") {
        let count = soon("the next bytes", slow.read(&mut few)).await.unwrap();
        assert!(count > 0, "closed after {} bytes", got.len());
        got.extend_from_slice(&few[..count]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(got.len() > 400_000);
    assert!(begun.elapsed() > 2 * STALL.stall, "{:?}", begun.elapsed());
    drop(slow);
    host.stop(session).await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_a_moment_for_those_who_lag() {
    // Nobody is lost at full speed, with little room, when an emit waits for the readers.
    const COUNT: usize = 30_000;
    let host = TestHost::with("limits = { slow_wait = \"20s\", replay_records = 10 }").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.connect_to(session).receive_buffer(SMALL).open().await;
    client.expect_kind("session_sync").await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet
        .begin("count", json!([0, COUNT, {"type": "own", "n": "{i}"}]))
        .await;
    for number in 0..COUNT {
        let frame = client.next().await;
        assert_eq!(frame.value()["n"], piece(number).trim_end());
    }
    assert_eq!(puppet.answer().await, Ok(Value::from(COUNT)));
    puppet.finish("").await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}
