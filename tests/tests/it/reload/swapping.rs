//! One version of a library after the other.

use roundhouse_tests::{soon, text_of};
use serde_json::json;

use super::{change, done, generations, host, install, refused, settled, versions};

#[tokio::test(flavor = "multi_thread")]
async fn new_runs_take_the_new_version_and_those_in_progress_end_on_the_old() {
    let (host, _) = host("").await;
    let session = host.session_with("teller").await;
    let mut old = host.idle(session).await;
    old.begin("1000000 5").await;
    old.expect_kind("stream_delta").await;

    install(&host, 2);
    let answer = host.reload().await;
    let swap = change(done(&answer), "swap");
    assert_eq!(
        (&swap["change"], &swap["version"]),
        (&json!("replaced"), &json!("2.0.0"))
    );
    assert_eq!(change(done(&answer), "scripted")["change"], "kept");

    // Sessions do not matter: what a run takes is what is in force when it begins.
    let mut new = host.idle(host.session_with("teller").await).await;
    let frames = new.run("4 0").await;
    let number = swap["generation"].as_u64().unwrap();
    assert_eq!(versions(&frames), [format!("2.0.0/{number}")]);

    let seen = generations(&host).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let old_number = seen[0]["number"].as_u64().unwrap();
    assert_eq!(
        (&seen[0]["state"], &seen[0]["version"], &seen[0]["running"]),
        (&json!("retiring"), &json!("1.0.0"), &json!(1))
    );
    assert_eq!(
        (&seen[1]["state"], &seen[1]["version"], &seen[1]["running"]),
        (&json!("serving"), &json!("2.0.0"), &json!(0))
    );
    assert_ne!(seen[0]["sha256"], seen[1]["sha256"]);
    let file = host.path("libswap.so").display().to_string();
    assert!(seen.iter().all(|generation| generation["file"] == file));

    // The old one still is what it was.
    for _ in 0..5 {
        let delta = old.expect_kind("stream_delta").await;
        assert_eq!(versions(&[delta]), [format!("1.0.0/{old_number}")]);
    }
    let report = || std::fs::read_to_string(host.path("report")).unwrap();
    assert!(!report().contains("ended"), "{}", report());
    host.stop(session).await;
    old.until(|frame| frame.kind() == "stream_stopped").await;
    settled(&host, &["retired", "serving"]).await;
    assert!(report().contains(&format!("ended 1.0.0/{old_number}")));
    assert!(!report().contains(&format!("ended 2.0.0/{number}")));
    host.shut_down([old, new]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_its_tools_and_subagents_across_a_swap() {
    let (host, _) = host("").await;
    let mut client = host.idle(host.session_with("teller").await).await;
    // The tool and the subagent come in the middle, when two other versions have been put in force.
    client.begin("60 20").await;
    client.expect_kind("stream_delta").await;
    for version in [2, 1] {
        install(&host, version);
        done(&host.reload().await);
    }
    let first = generations(&host).await[0]["number"].as_u64().unwrap();
    let frames = client.rest_of_run().await;
    assert_eq!(versions(&frames), [format!("1.0.0/{first}")]);
    let last = frames.iter().find(|frame| frame.kind() == "stream_end");
    let content = &last.unwrap().value()["content"];
    assert_eq!(*content, format!("1.0.0/{first}"));
    assert!(frames.iter().any(|frame| frame.kind() == "tool_call"));
    settled(&host, &["retired", "retired", "serving"]).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_opened_again() {
    let (host, toml) = host("").await;
    let before = generations(&host).await;
    // The same file again, a file of the same content elsewhere, and things that are none of a library's business.
    install(&host, 1);
    done(&host.reload().await);
    std::fs::copy(host.path("libswap.so"), host.path("libother.so")).unwrap();
    let moved = toml.replace("libswap.so", "libother.so").replace(
        "[agents.other]",
        "[agents.other]\ndisplay_name = \"The other\"",
    );
    host.reconfigure(&format!("limits.images = 3\n{moved}"));
    let answer = host.reload().await;
    assert_eq!(change(done(&answer), "swap")["change"], "kept");
    let seen = generations(&host).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["number"], before[0]["number"]);
    let agents = host.rest().get("/agents").await.body;
    let agents = agents["agents"].as_array().unwrap();
    assert!(
        agents
            .iter()
            .any(|agent| agent["display_name"] == "The other")
    );

    // What is configured for an instance is its library's business.
    host.reconfigure(&moved.replace("config = {", "config = { greeting = \"hello-\","));
    let answer = host.reload().await;
    assert_eq!(change(done(&answer), "swap")["change"], "replaced");
    let mut client = host.idle(host.session_with("teller").await).await;
    let frames = client.run("1 0").await;
    assert!(text_of(&frames).starts_with("hello-0 1.0.0/"));
    settled(&host, &["retired", "serving"]).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_comes_and_goes() {
    let (host, toml) = host("").await;
    let other = "[plugins.libraries.second]\nfile = \"fixture_swap_two\"\n\
                 [agents.second]\ncomponent = \"second/teller\"\n";
    host.reconfigure(&format!("{toml}\n{other}"));
    assert_eq!(
        change(done(&host.reload().await), "second")["change"],
        "added"
    );
    let mut client = host.idle(host.session_with("second").await).await;
    // The mapper is of another plugin, so that its mark differs.
    let frames = client.run("1 0").await;
    assert!(text_of(&frames).starts_with("0 2.0.0/"));
    host.reconfigure(&toml);
    assert_eq!(
        change(done(&host.reload().await), "second")["change"],
        "removed"
    );
    client.message("1 0").await;
    client
        .expect_error("Agent `second` is not configured.")
        .await;
    let plugins = host.rest().get("/plugins").await.body;
    let gone = plugins["generations"].as_array().unwrap().iter();
    assert_eq!(
        gone.filter(|generation| generation["plugin"] == "second")
            .count(),
        1
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_are_not_opened_without_end() {
    // `scripted`, `puppet` and the first of `swap` are three.
    let (host, toml) = host("reload.max_generations = 6").await;
    let mut warned = Vec::new();
    for version in [2, 1, 2] {
        install(&host, version);
        let answer = host.reload().await;
        warned.push(done(&answer)["warnings"].as_array().unwrap().len());
    }
    assert_eq!(warned, [0, 1, 1], "well before, and not at once");
    install(&host, 1);
    let answer = host.reload().await;
    let problem = refused(&answer, 409, "too-many-generations");
    assert_eq!(
        problem["detail"],
        "swap would have to be opened, and 6 of at most 6 generations have been; what was opened stays in memory, so \
         restart the host, or raise reload.max_generations"
    );
    let mut client = host.idle(host.session_with("teller").await).await;
    assert!(versions(&client.run("1 0").await)[0].starts_with("2.0.0/"));
    assert_eq!(generations(&host).await.len(), 4);

    // What needs no library is still taken up, and so is another bound.
    install(&host, 2);
    host.reconfigure(&format!("limits.images = 3\n{toml}"));
    done(&host.reload().await);
    install(&host, 1);
    host.reconfigure(&toml.replace("max_generations = 6", "max_generations = 7"));
    assert_eq!(
        change(done(&host.reload().await), "swap")["change"],
        "replaced"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_run_keeps_its_generation_and_nothing_else() {
    let (host, toml) = host("").await;
    let faulty = "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\n\
                  [agents.faulty]\ncomponent = \"faulty/agent\"\n";
    let stop = "stop.grace = \"0s\"\n";
    host.reconfigure(&format!("{stop}{toml}\n{faulty}"));
    done(&host.reload().await);
    let session = host.session_with("faulty").await;
    let mut client = host.idle(session).await;
    client
        .begin(&format!("block {}", host.path("go").display()))
        .await;
    client.expect_kind("stream_delta").await;
    host.stop(session).await;
    client.until(|frame| frame.kind() == "stream_stopped").await;

    host.reconfigure(&format!("{stop}{toml}"));
    done(&host.reload().await);
    let faulty = || {
        let all = host.host().in_force().catalog.generations();
        all.into_iter()
            .find(|generation| generation.plugin == "faulty")
            .unwrap()
    };
    let seen = faulty();
    assert_eq!((seen.state.as_str(), seen.stuck), ("retiring", true));
    assert_eq!((seen.running, seen.failures), (1, 1));
    std::fs::write(host.path("go"), "").unwrap();
    roundhouse_tests::until("its end", || faulty().state.as_str() == "retired").await;
    soon("the end", host.shut_down([client])).await;
}
