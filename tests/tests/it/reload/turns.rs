//! Reloads that are asked for at the same time.

use futures_util::FutureExt;
use futures_util::future::join_all;
use roundhouse_tests::{TestHost, compile_c, soon, until};

use super::reloads;

#[tokio::test(flavor = "multi_thread")]
async fn those_that_come_while_one_is_in_progress_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let go_on = folder.path().join("go on");
    let macros = [
        "INIT_HANGS".to_owned(),
        format!("UNTIL={go_on:?}"),
        format!("FOLDER={:?}", folder.path()),
    ];
    let library = compile_c(folder.path(), "c", &macros.each_ref().map(String::as_str));
    let host = TestHost::start().await;
    let toml = format!("[plugins.libraries.c]\nfile = {library:?}\n");
    host.reconfigure(&toml);
    let mut first = Box::pin(host.host().reload());
    assert!(first.as_mut().now_or_never().is_none());
    let begun = folder.path().join("go on.begun");
    until("the library's init", || begun.exists()).await;

    // It has read what was there, and they are about this.
    host.reconfigure(&format!("limits.images = 3\n{toml}"));
    let mut others: Vec<_> = (0..20).map(|_| Box::pin(host.host().reload())).collect();
    for other in &mut others {
        assert!(other.as_mut().now_or_never().is_none());
    }
    // One that is given up is made all the same.
    others.truncate(19);
    std::fs::write(&go_on, "").unwrap();
    let first = soon("the first", first).await.unwrap();
    assert_eq!(first.generations.opened, 3);
    for other in soon("the others", join_all(others)).await {
        assert!(other.unwrap().needs_restart.is_empty());
    }
    assert_eq!(host.host().in_force().config.limits.images, 3);
    assert_eq!(reloads(&host, "ok").await, 2);
    // The next one is a new one.
    host.reload().await;
    assert_eq!(reloads(&host, "ok").await, 3);
    host.shut_down([]).await;
}
