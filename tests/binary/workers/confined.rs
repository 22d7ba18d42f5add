//! What a worker is given, and what it is not.

use std::collections::BTreeSet;

use roundhouse_tests::{TestHost, soon, until};

use super::{answer, client, error_of, executable, exists, host, pid};
use crate::process::Serving;
use crate::signals::folder;

/// The fixture in a worker with these keys, and an agent of it.
async fn confined(keys: &str) -> TestHost {
    let toml = format!(
        "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\nisolation = \"process\"\n{keys}\n\
         [agents.faulty]\ncomponent = \"faulty/agent\"\n"
    );
    TestHost::with_worker(&toml, executable()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_inherits_no_environment_but_what_is_configured() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    assert_eq!(answer(&mut client, "environment").await, "");
    host.shut_down([client]).await;

    let host = confined("env = [\"PATH\", \"ROUNDHOUSE_NOT_SET\"]").await;
    let mut client = super::client(&host, "faulty").await;
    let expected = format!("PATH={}", std::env::var("PATH").unwrap());
    assert_eq!(answer(&mut client, "environment").await, expected);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_inherits_no_descriptors_and_gains_no_privileges() {
    // One that is inherited by whatever does not close it.
    let folder = tempfile::tempdir().unwrap();
    let leaked = folder.path().join("leaked");
    let file = std::fs::File::create(&leaked).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let host = host().await;
    let worker = pid(&host, "faulty").await;
    let mut open = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap();
        open.insert(target.to_string_lossy().into_owned());
    }
    for target in &open {
        let known = target.starts_with("socket:")
            || target.starts_with("pipe:")
            || target.starts_with("anon_inode:")
            || target == "/dev/null";
        assert!(known, "{target}");
    }
    assert!(!open.contains(&*leaked.to_string_lossy()));
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert_eq!(
        core.unwrap().split_whitespace().nth(4),
        Some("0"),
        "{limits}"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_no_more_memory_than_its_limit() {
    let host = confined("memory_limit = \"256 MiB\"").await;
    let mut client = client(&host, "faulty").await;
    let text = error_of(&mut client, "memory").await;
    assert!(text.contains("SIGABRT"), "{text}");
    assert_eq!(answer(&mut client, "again").await, "again");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_uses_no_files_but_those_that_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["read", "write", "other"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("file"), name).unwrap();
    }
    let keys = format!(
        "files.read = [{:?}]\nfiles.write = [{:?}]",
        path("read"),
        path("write")
    );
    let host = confined(&keys).await;
    let mut client = client(&host, "faulty").await;
    let mut told = async |order: &str, name: &str| {
        let content = format!("{order} {}", path(name).join("file").display());
        answer(&mut client, &content).await
    };
    assert_eq!(told("read", "read").await, "read");
    assert_eq!(told("write", "read").await, "refused: PermissionDenied");
    assert_eq!(told("write", "write").await, "written");
    assert_eq!(told("read", "write").await, "written");
    assert_eq!(told("read", "other").await, "refused: PermissionDenied");
    assert_eq!(told("write", "other").await, "refused: PermissionDenied");
    // Nor what the host was started with, which may be secret.
    let environment = format!("read /proc/{}/environ", std::process::id());
    let told = answer(&mut client, &environment).await;
    assert_eq!(told, "refused: PermissionDenied");
    host.shut_down([client]).await;
}

#[test]
fn it_ends_with_a_host_that_is_killed_whatever_it_is_doing() {
    let folder = folder();
    let toml = "default_agent = \"faulty\"\n[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\n\
        isolation = \"process\"\n[agents.faulty]\ncomponent = \"faulty/agent\"\n";
    std::fs::write(folder.path().join("worker.toml"), toml).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut serving = Serving::start(folder.path(), &["--config", "worker.toml"]);
        let address = serving.address.parse().unwrap();
        let rest = roundhouse_tests::Rest::of(address);
        let session = rest.create_session(&serde_json::json!({})).await;
        let mut client = roundhouse_tests::client::Connect::to(address, session)
            .open()
            .await;
        client.expect_kind("session_sync").await;
        client.begin("spin").await;
        client
            .until(|frame| frame.delta() == Some("spinning"))
            .await;
        let plugins = rest.get("/plugins").await.body;
        let plugins = plugins["plugins"].as_array().unwrap();
        let faulty = plugins.iter().find(|plugin| plugin["name"] == "faulty");
        let worker = faulty.unwrap()["worker"]["pid"].as_u64().unwrap();
        assert!(exists(worker));
        serving.signal("KILL");
        soon("the host's end", async { serving.ended() }).await;
        let ended = || {
            // Nobody may be there to wait for it: ended it is all the same.
            let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        until("the worker's end", ended).await;
    });
}
