//! Requests that fail before anything was shown are sent again.

use roundhouse_tests::model::{Answer, chat};
use serde_json::json;

use super::stage::{all, end, kinds, last, stage};

fn refusal(status: u16, message: &str, code: &str) -> Answer {
    Answer::json(
        status,
        &json!({"error": {"message": message, "type": "error", "code": code}}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again() {
    let (server, host) = stage("").await;
    server.answer(refusal(429, "Slow down", "rate_limit_exceeded"));
    server.answer(refusal(503, "Overloaded", ""));
    server.answer(Answer::stream().data(&json!({"error": {"message": "No worker", "code": 502}})));
    // It breaks before anything is said.
    server.answer(chat::begin().broken());
    server.answer(chat::says(&["At last."]));
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(
        kinds(&frames),
        ["stream_start", "stream_delta", "stream_end"]
    );
    assert_eq!(last(&frames)["content"], "At last.");
    assert_eq!(server.asked().len(), 5);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_when_the_server_says() {
    // Without `Retry-After` it would wait for a minute, and the test would not end in time.
    let (server, host) = stage("retry_delay_ms = 60000").await;
    server.answer(refusal(429, "Slow down", "").header("retry-after", "0"));
    server.answer(refusal(429, "Slow down", "").header("retry-after-ms", "5"));
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    server.answer(refusal(503, "Slow down", "").header("retry-after", past));
    server.answer(chat::says(&["yes"]));
    let mut client = host.client().await;
    assert_eq!(last(&client.run("hi").await)["content"], "yes");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_too_long_is_not_waited_for() {
    let (server, host) = stage("").await;
    server.answer(refusal(429, "Come tomorrow", "").header("retry-after", "86400"));
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(
        last(&frames)["message"],
        "The model's server answered 429: Come tomorrow (It asks to come back in 86400 seconds.)"
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_up_after_so_many_times() {
    let (server, host) = stage("max_retries = 2").await;
    for _ in 0..3 {
        server.answer(refusal(500, "Oh no", ""));
    }
    let mut client = host.v2(host.session().await).await;
    let frames = client.run_v2("hi").await;
    let error = all(&frames, "error")[0];
    assert_eq!(error["message"], "The model's server answered 500: Oh no");
    assert_eq!(error["code"], "agent");
    assert_eq!(server.asked().len(), 3);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_asked_once() {
    let (server, host) = stage("").await;
    server.answer(refusal(404, "No such model", "model_not_found"));
    let pay = refusal(429, "Pay first", "insufficient_quota");
    server.answer(pay.header("retry-after", "1"));
    let mut client = host.client().await;
    for expected in [
        "The model's server answered 404: No such model",
        "The model's server answered 429: Pay first",
    ] {
        assert_eq!(last(&client.run("hi").await)["message"], expected);
    }
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_waiting() {
    let (server, host) = stage("retry_delay_ms = 60000").await;
    server.answer(refusal(503, "Overloaded", ""));
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin("hi").await;
    server.asked_times(1).await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    end(server, host, client).await;
}
