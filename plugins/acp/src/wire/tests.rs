use plugin_api::tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, duplex};
use plugin_api::tokio::time::{Duration, timeout};

use super::*;

/// A wire, and the program's ends: what it reads and what it prints. Little goes through them at a time.
fn wire() -> (Wire<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
    let (stdin, reads) = duplex(64);
    let (prints, stdout) = duplex(64);
    (Wire::new(stdin, stdout, Arc::default()), reads, prints)
}

#[tokio::test]
async fn messages_are_told_apart() {
    let (mut wire, _reads, mut prints) = wire();
    let printing = tokio::spawn(async move {
        let lines: [&[u8]; 6] = [
            b"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"m\",\"params\":{\"x\":1}}\n",
            b"no message\n\n[1]\n",
            b"{\"method\":\"n\"}\r\n",
            b"{\"id\":7,\"result\":null}\n",
            b"{\"id\":8,\"error\":{\"code\":-32601,\"message\":\"what?\"}}\n",
            b"{\"id\":null,\"method\":\"m\"}\nhalf",
        ];
        for line in lines {
            prints.write_all(line).await.unwrap();
        }
    });
    let mut next = async || wire.next().await;
    assert!(
        matches!(next().await, Ok(Incoming::Request { id: v1::RequestId::Str(id), params, .. })
        if id == "a" && params.get() == "{\"x\":1}")
    );
    assert!(matches!(next().await, Ok(Incoming::Notification { method, .. }) if method == "n"));
    assert!(
        matches!(next().await, Ok(Incoming::Response { id: v1::RequestId::Number(7), result: Ok(result) })
        if result.get() == "null")
    );
    assert!(
        matches!(next().await, Ok(Incoming::Response { result: Err(error), .. })
        if error.message == "what?")
    );
    assert!(matches!(
        next().await,
        Ok(Incoming::Request {
            id: v1::RequestId::Null,
            ..
        })
    ));
    assert!(matches!(next().await, Err(WireError::Closed)));
    assert_eq!(wire.garbage(), Some((2, "[1]")));
    printing.await.unwrap();
}

#[tokio::test]
async fn a_program_that_prints_before_it_reads_is_not_waited_for() {
    let (mut wire, reads, mut prints) = wire();
    let long = "x".repeat(100_000);
    let asked = wire.request("long", &json!({ "text": long }));
    let program = tokio::spawn(async move {
        for _ in 0..1000 {
            prints.write_all(b"{\"method\":\"first\"}\n").await.unwrap();
        }
        let mut line = String::new();
        BufReader::new(reads).read_line(&mut line).await.unwrap();
        prints
            .write_all(b"{\"id\":0,\"result\":1}\n")
            .await
            .unwrap();
        line.len()
    });
    loop {
        // Given up again and again, and nothing is lost.
        match timeout(Duration::from_millis(1), wire.next()).await {
            Ok(Ok(Incoming::Response { id, .. })) if id == asked => break,
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => panic!("{error}"),
        }
    }
    assert!(program.await.unwrap() > 100_000);
}

#[tokio::test]
async fn what_a_program_said_before_it_went_is_heard() {
    let (mut wire, reads, mut prints) = wire();
    drop(reads);
    prints.write_all(b"{\"method\":\"last\"}\n").await.unwrap();
    drop(prints);
    wire.notify("anything", &json!({}));
    assert!(matches!(
        wire.next().await,
        Ok(Incoming::Notification { .. })
    ));
    assert!(matches!(wire.next().await, Err(WireError::Closed)));
}

#[tokio::test]
async fn one_that_takes_nothing_more_is_still_heard() {
    let (mut wire, reads, mut prints) = wire();
    drop(reads);
    prints.write_all(b"{\"method\":\"first\"}\n").await.unwrap();
    wire.notify("anything", &json!({}));
    while wire.is_open() {
        wire.exchange().await.unwrap();
    }
    assert!(wire.next().await.is_ok());
    // As much as is kept for one that reads slowly.
    wire.notify("much", &json!("x".repeat(MAX_WAITING)));
    prints.write_all(b"{\"method\":\"last\"}\n").await.unwrap();
    let last = timeout(Duration::from_secs(10), wire.next()).await;
    assert!(last.unwrap().is_ok());
}

#[tokio::test]
async fn one_that_prints_no_messages_is_not_read_for_ever() {
    let (mut wire, _reads, mut prints) = wire();
    tokio::spawn(async move { while prints.write_all(b"what?\n\n").await.is_ok() {} });
    assert!(matches!(wire.next().await, Err(WireError::Garbage)));
}
