//! `roundhouse plugin test`, with the fixture as the agent.

use std::process::Stdio;

use roundhouse_tests::programs;
use tokio::process::Command;

use super::stage::config;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_rules_of_the_boundary() {
    let root = tempfile::tempdir().unwrap();
    let libraries = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    let toml = config(&root, &[], "");
    std::fs::write(root.path().join("host.toml"), toml).unwrap();
    let ended = Command::new(programs().unwrap())
        .current_dir(root.path())
        .args(["plugin", "test", "--config", "host.toml"])
        .arg(libraries.join(format!(
            "{}roundhouse_acp{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        )))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{report}");
    // With all its checks, those that need an instance among them.
    assert!(report.contains("passed: 12 checks"), "{report}");
}
