//! Who may have the host read again, and what becomes of clients when what lets them in changes.

use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::sse::EventSource;
use roundhouse_tests::{Close, Rest, TestHost, script};
use serde_json::json;

use super::{done, refused};

/// The tokens are "one", the operator's, and "two".
const ADA: &str = "[[auth.tokens]]\nowner = \"ada\"\nadmin = true\n\
    sha256 = \"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\"\n";
const BOB: &str = "[[auth.tokens]]\nowner = \"bob\"\n\
    sha256 = \"3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3\"\n";

fn rest(host: &TestHost, token: &str) -> Rest {
    host.rest()
        .header("authorization", &format!("Bearer {token}"))
}

async fn reload(rest: &Rest) -> roundhouse_tests::Answer {
    rest.post("/admin/reload", &json!({})).await
}

fn not_authenticated() -> Close {
    Close {
        code: 4401,
        reason: "Not authenticated".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_it_takes_one_of_the_operators() {
    let host = TestHost::with(&format!("{ADA}{BOB}")).await;
    refused(&reload(&host.rest()).await, 401, "not-authenticated");
    refused(
        &reload(&rest(&host, "three")).await,
        401,
        "not-authenticated",
    );
    let answer = reload(&rest(&host, "two")).await;
    let problem = refused(&answer, 403, "not-permitted");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("`admin = true`")
    );
    done(&reload(&rest(&host, "one")).await);
    // Pages of other origins, as everywhere.
    let page = rest(&host, "one").header("origin", "https://evil.example");
    refused(&reload(&page).await, 403, "origin-not-allowed");

    // The right goes with the configuration, at once.
    let swapped = format!(
        "{}{}",
        ADA.replace("admin = true\n", ""),
        BOB.replace("owner", "admin = true\nowner")
    );
    host.reconfigure(&swapped);
    done(&reload(&rest(&host, "one")).await);
    refused(&reload(&rest(&host, "one")).await, 403, "not-permitted");
    done(&reload(&rest(&host, "two")).await);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_it_takes_a_host_on_loopback() {
    let host = TestHost::start().await;
    done(&host.reload().await);
    let rebound = host.rest().header("origin", "http://evil.example");
    refused(&reload(&rebound).await, 403, "origin-not-allowed");
    host.shut_down([]).await;
    // Everybody may use this one. (The test's own socket is on loopback, whatever is configured.)
    let host = TestHost::with("server.listen = \"0.0.0.0:0\"\nauth.mode = \"none\"").await;
    assert_eq!(host.rest().get("/agents").await.status, 200);
    let answer = host.reload().await;
    let problem = refused(&answer, 403, "not-permitted");
    assert!(problem["detail"].as_str().unwrap().contains("SIGHUP"));
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_beyond_loopback_is_not_left_open_by_a_slip() {
    let open = "server.listen = \"0.0.0.0:0\"\n";
    let host = TestHost::with(&format!("{open}{ADA}")).await;
    // As a new host's this would be right, for it would listen on loopback.
    host.reconfigure("");
    let answer = reload(&rest(&host, "one")).await;
    let problem = refused(&answer, 422, "invalid-configuration");
    assert_eq!(
        problem["faults"],
        json!([
            "built-in default: auth: asks for no authentication, and the host listens on 0.0.0.0:0 until it is \
             restarted; add tokens under auth.tokens, or write auth.mode = \"none\" to let everybody in"
        ])
    );
    assert_eq!(host.rest().get("/agents").await.status, 401);
    host.reconfigure("auth.mode = \"none\"");
    done(&reload(&rest(&host, "one")).await);
    assert_eq!(host.rest().get("/agents").await.status, 200);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_removed_closes_its_connections_and_no_others() {
    let host = TestHost::with(&format!("{ADA}{BOB}")).await;
    let session = rest(&host, "two").create_session(&json!({})).await;
    let connect = || {
        host.connect_to(session)
            .header("authorization", "Bearer two")
    };
    let mut first = connect().open().await;
    first.expect_kind("session_sync").await;
    let (mut second, _) = connect().v2().greeted().await;
    let token = [("authorization", "Bearer two")];
    let mut stream = EventSource::open(host.address(), session, "", &token)
        .await
        .unwrap();
    let own = rest(&host, "one").create_session(&json!({})).await;
    let mut other = host
        .connect_to(own)
        .header("authorization", "Bearer one")
        .open()
        .await;
    other.expect_kind("session_sync").await;
    // In the middle of a run, which is its session's and goes on.
    first.begin(&script(&[delta("a"), hold()])).await;
    first.expect_kind("stream_delta").await;

    host.reconfigure(ADA);
    done(&reload(&rest(&host, "one")).await);
    assert_eq!(first.closed().await, not_authenticated());
    let (_, close) = second.rest().await;
    assert_eq!(close, not_authenticated());
    while stream.next().await.is_some() {}
    let refused = EventSource::open(host.address(), session, "", &token).await;
    assert_eq!(refused.err(), Some(401));
    assert_eq!(connect().open().await.closed().await, not_authenticated());
    assert!(host.host().registry.current_run(session).is_some());
    other.run("still there").await;

    // With the token back everything is as it was.
    host.reconfigure(&format!("{ADA}{BOB}"));
    done(&reload(&rest(&host, "one")).await);
    let mut back = connect().open().await;
    back.expect_kind("stream_start").await;
    assert_eq!(rest(&host, "two").stop(session).await.status, 200);
    back.until(|frame| frame.kind() == "stream_stopped").await;
    host.shut_down([other, back]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_without_a_token_goes_when_one_is_asked_for() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    host.reconfigure(ADA);
    done(&host.reload().await);
    assert_eq!(client.closed().await, not_authenticated());
    refused(&host.reload().await, 401, "not-authenticated");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_change_with_the_next_request() {
    let host = TestHost::start().await;
    let page = host.rest().header("origin", "https://app.example");
    let new = async || page.post("/sessions", &json!({})).await;
    refused(&new().await, 403, "origin-not-allowed");
    host.reconfigure("server.origins = [\"https://app.example\"]");
    done(&host.reload().await);
    assert_eq!(new().await.status, 201);
    host.reconfigure("");
    done(&host.reload().await);
    refused(&new().await, 403, "origin-not-allowed");
    host.shut_down([]).await;
}
