//! What is wrong is told, all of it, and nothing is changed.

use std::path::PathBuf;

use roundhouse_host::config::Loader;
use roundhouse_host::plugin;
use serde_json::json;

use super::{change, done, generations, host, install, refused, versions};

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_configuration_are_told_as_check_tells_them() {
    let (host, toml) = host("").await;
    let wrong = format!("limits.images = -1\nserver.lisen = \"x\"\n{toml}");
    host.reconfigure(&wrong);
    let answer = host.reload().await;
    let problem = refused(&answer, 422, "invalid-configuration");
    assert_eq!(
        problem["detail"],
        "the configuration has 2 faults, and the host serves as before"
    );
    let own = host.path("test.toml");
    let folder: PathBuf = own.parent().unwrap().into();
    let read = Loader::empty().default_file_in(folder).file(own).load();
    let told: Vec<String> = read
        .unwrap_err()
        .0
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(problem["faults"], json!(told));
    assert!(told[1].contains("did you mean `listen`?"), "{told:?}");

    std::fs::write(host.path("test.toml"), "no TOML").unwrap();
    let answer = host.reload().await;
    let problem = refused(&answer, 422, "invalid-configuration");
    assert_eq!(problem["faults"].as_array().unwrap().len(), 1);
    // It serves, and with the next change that is right all is well.
    let mut client = host.client().await;
    client.run("still there").await;
    host.reconfigure(&toml);
    done(&host.reload().await);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_plugins_are_told_together_and_the_old_ones_serve_on() {
    let (host, toml) = host("").await;
    // One library that is not there, one that refuses its configuration, and one that is right and must not serve all the same.
    let more = r#"
        [plugins.libraries.missing]
        file = "missing.so"
        [plugins.libraries.second]
        file = "fixture_swap_two"
        [agents.second]
        component = "second/teller"
        config = { refuse = true }
        [agents.third]
        component = "swap/nobody"
    "#;
    install(&host, 2);
    host.reconfigure(&format!("{toml}\n{more}"));
    let answer = host.reload().await;
    let problem = refused(&answer, 422, "invalid-configuration");
    let own = host.path("test.toml");
    let folder: PathBuf = own.parent().unwrap().into();
    let mut config = Loader::empty()
        .default_file_in(folder)
        .file(own)
        .load()
        .unwrap();
    config.storage.path = host.path("elsewhere");
    let told = plugin::load(&config).await.unwrap_err();
    let plugin::CatalogError::Plugins(faults) = told else {
        panic!("{told}")
    };
    let told: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
    assert_eq!(problem["faults"], json!(told));
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told.iter().any(|fault| fault.contains("`nobody`")));

    let mut client = host.idle(host.session_with("teller").await).await;
    assert!(versions(&client.run("1 0").await)[0].starts_with("1.0.0/"));
    let agents = host.rest().get("/agents").await.body;
    assert_eq!(agents["agents"].as_array().unwrap().len(), 4, "{agents}");
    // What was opened for it counts, and has ended.
    let plugins = host.rest().get("/plugins").await.body;
    let all = plugins["generations"].as_array().unwrap();
    let states: Vec<_> = all[3..].iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["refused", "refused"]);

    host.reconfigure(&toml);
    assert_eq!(
        change(done(&host.reload().await), "swap")["version"],
        "2.0.0"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_use_of_a_library_that_has_not_changed_costs_no_generation() {
    let (host, toml) = host("").await;
    host.reconfigure(&toml.replace("config = {", "config = { greting = \"x\","));
    let answer = host.reload().await;
    let problem = refused(&answer, 422, "invalid-configuration");
    let fault = problem["faults"][0].as_str().unwrap();
    assert!(
        fault.ends_with("unknown key; did you mean `greeting`?"),
        "{fault}"
    );
    assert_eq!(generations(&host).await.len(), 1);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_plugin_may_be_missing_but_does_not_go_missing() {
    let (host, toml) = host("").await;
    let optional = "[plugins.libraries.maybe]\nfile = \"maybe.so\"\nrequired = false\n";
    host.reconfigure(&format!("{toml}\n{optional}"));
    // It was not there before either.
    let answer = host.reload().await;
    assert_eq!(change(done(&answer), "maybe")["change"], "failed");
    let warning = done(&answer)["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("plugin maybe failed, but is not required"),
        "{warning}"
    );

    std::fs::copy(super::built(2), host.path("maybe.so")).unwrap();
    assert_eq!(
        change(done(&host.reload().await), "maybe")["change"],
        "added"
    );
    std::fs::write(host.path("maybe.so"), "broken").unwrap();
    let answer = host.reload().await;
    let problem = refused(&answer, 422, "invalid-configuration");
    let fault = problem["faults"][0].as_str().unwrap();
    assert!(fault.contains("plugins.libraries.maybe.file"), "{fault}");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_is_kept_to() {
    let (host, toml) = host("").await;
    let sum = generations(&host).await[0]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let pinned = toml.replace(
        "\"libswap.so\"",
        &format!("\"libswap.so\"\nsha256 = \"{sum}\""),
    );
    host.reconfigure(&pinned);
    assert_eq!(change(done(&host.reload().await), "swap")["change"], "kept");
    install(&host, 2);
    let answer = host.reload().await;
    let problem = refused(&answer, 422, "invalid-configuration");
    let fault = problem["faults"][0].as_str().unwrap();
    assert!(
        fault.contains("plugins.libraries.swap.sha256: the SHA-256 of"),
        "{fault}"
    );
    assert_eq!(generations(&host).await.len(), 1, "it was not opened");
    host.shut_down([]).await;
}
