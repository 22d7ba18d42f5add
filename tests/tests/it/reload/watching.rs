//! A host that looks after its files by itself.

use roundhouse_tests::until;

use super::{done, generations, host, install, reloads, settled, versions};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_library_and_a_changed_configuration_are_taken_up() {
    let (host, toml) = host("reload.watch = \"20ms\"").await;
    install(&host, 2);
    settled(&host, &["retired", "serving"]).await;
    let mut client = host.idle(host.session_with("teller").await).await;
    assert!(versions(&client.run("1 0").await)[0].starts_with("2.0.0/"));

    let images = || host.host().in_force().config.limits.images;
    host.reconfigure(&format!("limits.images = 3\n{toml}"));
    until("the new limit", || images() == 3).await;
    assert_eq!(generations(&host).await.len(), 2, "no library for a limit");

    // What is wrong is left until it is right.
    host.reconfigure("limits.images = 4\nnonsense");
    let counted = reloads(&host, "refused").await;
    until_async("the refusal", async || {
        reloads(&host, "refused").await > counted
    })
    .await;
    assert_eq!(images(), 3);
    host.reconfigure(&format!("limits.images = 5\n{toml}"));
    until("the next limit", || images() == 5).await;

    // It can be told to look no more, and to look again.
    host.reconfigure(&toml.replace("20ms", "0s"));
    until("the end of it", || {
        host.host().in_force().config.reload.watch.is_zero()
    })
    .await;
    host.reconfigure(&format!("limits.images = 6\n{toml}"));
    done(&host.reload().await);
    assert_eq!(images(), 6);
    install(&host, 1);
    settled(&host, &["retired", "retired", "serving"]).await;
    host.shut_down([client]).await;
}

async fn until_async(what: &str, is_so: impl AsyncFn() -> bool) {
    roundhouse_tests::soon(what, async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
}
