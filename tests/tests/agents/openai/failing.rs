//! Faults in the middle of an answer, silence, stops, and what none of them may tell.

use std::net::TcpStream;
use std::time::Duration;

use roundhouse_tests::model::{Answer, KEY, chat};
use roundhouse_tests::{ModelServer, TestHost, text_of};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};

use super::stage::{all, config, end, last, stage};

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_middle_ends_the_run_and_keeps_what_was_shown() {
    let (server, host) = stage("").await;
    let error = json!({"error": {"message": "GPU on fire", "code": 500}});
    server.answer(chat::begin().text("So far").data(&error));
    server.answer(chat::begin().text("So far").broken());
    // Ends without a word.
    server.answer(chat::begin().text("So far"));
    server.answer(chat::begin().text("So far").bytes("data: {oops\n\n"));
    server.answer(
        chat::begin()
            .text("So far")
            .data(&chat::finish("content_filter")),
    );
    let session = host.session().await;
    let mut client = host.idle(session).await;
    for expected in [
        "The model's server reported an error: GPU on fire",
        "The connection to the model's server broke: ",
        "The model's answer ended before it was complete.",
        "The model's answer is not what the API says: an event is not JSON (",
        "The model's answer was withheld (content_filter).",
    ] {
        let frames = client.run("hi").await;
        assert_eq!(text_of(&frames), "So far");
        let message = last(&frames)["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
    // What was shown is what the model is told that it said.
    server.answer(chat::says(&["Again."]));
    client.run("and?").await;
    let messages = server.body(5)["messages"].clone();
    assert_eq!(
        messages[1],
        json!({"role": "assistant", "content": "So far"})
    );
    assert_eq!(messages.as_array().unwrap().len(), 11);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_take_the_key_elsewhere() {
    let (server, host) = stage("max_retries = 0").await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/", elsewhere.local_addr().unwrap());
    server.answer(Answer::json(307, &json!(null)).header("location", &location));
    let mut client = host.client().await;
    let frames = tokio::select! {
        frames = client.run("hi") => frames,
        _ = elsewhere.accept() => panic!("it was followed"),
    };
    let message = last(&frames)["message"].as_str().unwrap();
    assert!(message.contains("307"), "{message}");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_before_it_says_anything_is_an_error() {
    let (server, host) = stage("").await;
    server.answer(chat::begin().reasoning("Hm").end("length", 1, 1));
    let mut client = host.client().await;
    assert_eq!(
        last(&client.run("hi").await)["message"],
        "The model's answer has reached its greatest length before it had said anything."
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thinking_that_breaks_off_is_over() {
    let (server, host) = stage("").await;
    server.answer(chat::begin().reasoning("Hm").broken());
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(all(&frames, "thinking_end").len(), 1);
    assert!(last(&frames)["message"].is_string());
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_not_waited_out() {
    let (server, host) = stage("silence_timeout_ms = 200").await;
    // Before the answer's first byte would take another server; here its head has come.
    server.answer(chat::begin().text("So far").stall());
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(
        last(&frames)["message"],
        "The model's server has said nothing for 0.2 seconds."
    );
    server.left_times(1).await;
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_the_request_and_says_nothing_is_given_up() {
    // Accepts connections and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", mute.local_addr().unwrap());
    let server = ModelServer::start().await;
    let toml = config(&server, "silence_timeout_ms = 200", "").replace(&server.url(), &url);
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(
        last(&frames)["message"],
        "The model's server has said nothing for 0.2 seconds."
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_so() {
    // A port that is taken, and that nobody listens on.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/v1", gone.local_addr().unwrap());
    let server = ModelServer::start().await;
    let toml = config(&server, "max_retries = 1", "").replace(&server.url(), &url);
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    let message = last(&frames)["message"].as_str().unwrap();
    assert!(
        message.starts_with("The model's server cannot be reached: ")
            && message.contains("Connection refused"),
        "{message}"
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_connection_is_not_waited_for() {
    // Listens, and has no room for one more that connects: the system answers such a one not at all.
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let filling = tokio::task::spawn_blocking(move || {
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        (0..64).map_while(connect).collect::<Vec<_>>()
    });
    let waiting = filling.await.unwrap();
    assert!(waiting.len() < 64, "there is always room");
    let url = format!("http://{address}/v1");
    let server = ModelServer::start().await;
    let settings = "max_retries = 1\nconnect_timeout_ms = 100";
    let toml = config(&server, settings, "").replace(&server.url(), &url);
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(
        last(&frames)["message"],
        "The model's server cannot be reached: there is no connection after 0.1 seconds."
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_request_at_once() {
    let (server, host) = stage("").await;
    server.answer(chat::begin().text("So far").stall());
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin("hi").await;
    client.expect_kind("stream_delta").await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    // The server notices: the connection is closed.
    server.left_times(1).await;
    server.answer(chat::says(&["Go on."]));
    client.run("go on").await;
    assert_eq!(
        server.body(1)["messages"][1],
        json!({"role": "assistant", "content": "So far"})
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_told_to_nobody() {
    let server = ModelServer::start().await;
    let wrong = "sk-wrong-9876543210";
    let toml = config(&server, "", "").replace(KEY, wrong);
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    // The server has repeated it.
    assert_eq!(
        last(&frames)["message"],
        "The model's server answered 401: Incorrect API key provided: Bearer ***."
    );
    end(server, host, client).await;

    // In an answer as well, and in a page for people, which is not shown at all.
    let (server, host) = stage("").await;
    server.answer(Answer::stream().data(&json!({"error": format!("who is {KEY}?")})));
    server.answer(
        Answer::stream()
            .header("x", "y")
            .bytes(format!("data: {KEY}\n\n")),
    );
    let page = Answer::json(502, &json!(null)).header("retry-after", "3600");
    server.answer(page);
    let mut client = host.client().await;
    for expected in [
        "The model's server reported an error: who is ***?",
        "The model's answer is not what the API says: an event is not JSON (expected value at line 1 column 1)",
        "The model's server answered 502: null (It asks to come back in 3600 seconds.)",
    ] {
        assert_eq!(last(&client.run("hi").await)["message"], expected);
    }
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_will_not_do_are_told_with_their_key() {
    let server = ModelServer::start().await;
    for (settings, expected) in [
        (
            "parameters = { messages = [] }",
            "parameters.messages: the agent writes this key",
        ),
        (
            "headers = { \"a b\" = \"c\" }",
            "headers.a b: is no name of a header",
        ),
        (
            "headers = { \"x\" = \"a\\nb\" }",
            "headers.x: has letters that no header can have",
        ),
    ] {
        let scripted = "[plugins.libraries.scripted]\nfile = \"roundhouse_scripted\"\n\
                        [agents.scripted]\ncomponent = \"scripted/scripted\"\n";
        let toml = config(&server, settings, scripted);
        let folder = tempfile::tempdir().unwrap();
        let config = roundhouse_host::config::Config::from_toml(&toml, folder.path())
            .unwrap_or_else(|faults| panic!("{faults}"));
        let error = match roundhouse_host::plugin::load(&config).await {
            Ok(_) => panic!("{settings}: it loaded"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "{error}");
    }
}
