//! Processes that are no worker, or none that does as it should.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use roundhouse_host::config::Config;

const TOML: &str = "[storage]\npath = \"data\"\n[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\n\
    isolation = \"process\"\n[agents.faulty]\ncomponent = \"faulty/agent\"\n";

/// Why the plugin does not load when its worker runs this script.
async fn refusal(script: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let executable: PathBuf = folder.path().join("worker");
    if let Some(script) = script {
        std::fs::write(&executable, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&executable, mode).unwrap();
    }
    let mut config = Config::from_toml(TOML, folder.path()).unwrap();
    config.plugins.worker_executable = Some(executable);
    match roundhouse_host::plugin::load(&config).await {
        Ok(_) => panic!("it loaded"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_the_worker_and_not_the_host() {
    // Its length would be 4 GiB.
    let text = refusal(Some(r"printf '\377\377\377\377' >&0; /bin/sleep 60")).await;
    assert!(
        text.contains("it sent a frame of 4294967295 bytes, and 67108864 are allowed"),
        "{text}"
    );
    let text = refusal(Some(r"printf '\001\000\000\000\143' >&0; /bin/sleep 60")).await;
    assert!(
        text.contains("it sent a frame of an unknown kind (99)"),
        "{text}"
    );
    assert!(text.contains("plugins.libraries.faulty.file"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_or_is_not_there_is_told() {
    let text = refusal(Some("exit 3")).await;
    assert!(
        text.contains("ended by itself with exit code 3 while it opened the library"),
        "{text}"
    );
    let text = refusal(None).await;
    assert!(
        text.contains("its worker process could not be started"),
        "{text}"
    );
}
