//! What instances say of how they are, as the operator sees it.

use roundhouse_tests::{Rest, Strings, TestHost, soon};
use serde_json::{Value, json};

async fn health(host: &Rest) -> Value {
    let answer = host.get("/agents").await.body;
    let agents = answer["agents"].as_array().unwrap();
    let puppet = agents.iter().find(|agent| agent["name"] == "puppet");
    puppet.unwrap()["health"].clone()
}

/// From a worker it comes a little later.
async fn shows(host: &Rest, expected: &Value) {
    soon("the health", async {
        while health(host).await != *expected {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
}

async fn an_instance_says_how_it_is(isolation: &str) {
    let toml = format!("[plugins.libraries.puppet]\nisolation = \"{isolation}\"\n");
    let host = TestHost::with(&toml).await;
    let rest = host.rest();
    assert_eq!(health(&rest).await, json!({"state": "ok", "text": ""}));

    let strings = Strings::new().await;
    let mut client = host.idle(host.session_with("puppet").await).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    for (state, text) in [("failing", "no air"), ("degraded", "thin air"), ("ok", "")] {
        puppet.order("health", json!([state, text])).await.unwrap();
        shows(&rest, &json!({"state": state, "text": text})).await;
    }
    // Of a text as long as this the beginning will do.
    let long = "ä".repeat(5000);
    puppet
        .order("health", json!(["failing", long]))
        .await
        .unwrap();
    shows(
        &rest,
        &json!({"state": "failing", "text": "ä".repeat(1000)}),
    )
    .await;
    puppet.finish("").await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_in_the_host_says_how_it_is() {
    an_instance_says_how_it_is("in-process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_in_a_worker_says_how_it_is() {
    an_instance_says_how_it_is("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_reads_what_is_wrong() {
    // The tokens are "one" and "two".
    let host = TestHost::with(
        r#"
        [[auth.tokens]]
        owner = "ada"
        admin = true
        sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

        [[auth.tokens]]
        owner = "bob"
        sha256 = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
        "#,
    )
    .await;
    let operator = host.rest().header("authorization", "Bearer one");
    let other = host.rest().header("authorization", "Bearer two");
    let strings = Strings::new().await;
    let session = operator.create_session(&json!({"agent": "puppet"})).await;
    let connect = host.connect_to(session);
    let mut client = connect.header("authorization", "Bearer one").open().await;
    client.expect_kind("session_sync").await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let order = puppet.order("health", json!(["failing", "ada's secret"]));
    order.await.unwrap();
    let told = json!({"state": "failing", "text": "ada's secret"});
    shows(&operator, &told).await;
    let told = json!({"state": "failing", "text": ""});
    assert_eq!(health(&other).await, told);
    puppet.finish("").await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn toolsets_have_a_health_too() {
    let toml = "[plugins.libraries.toolbox]\nfile = \"roundhouse_toolbox\"\n[tools.box]\ncomponent = \"toolbox/toolbox\"\n";
    let host = TestHost::with(toml).await;
    let answer = host.rest().get("/tools").await.body;
    assert_eq!(
        answer["toolsets"][0]["health"],
        json!({"state": "ok", "text": ""})
    );
    host.shut_down([]).await;
}
