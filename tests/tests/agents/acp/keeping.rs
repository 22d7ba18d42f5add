//! Processes between turns, and sessions between processes.

use std::time::Duration;

use roundhouse_tests::{TestHost, until};
use serde_json::json;

use super::stage::{
    Stage, all, config, content, error, gone, is_there, pid, say, script, told, work,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_its_process() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let mut other = stage.host.client().await;
    let (process, others) = (pid(&mut client).await, pid(&mut other).await);
    assert_ne!(process, others);
    assert_eq!(pid(&mut client).await, process);
    assert_eq!(told(&mut client, json!({"prompts": true})).await, "3");
    // What is known to the agent already is not told again.
    let prompt = told(&mut client, json!({"prompt": true})).await;
    assert!(!prompt.contains("This conversation has begun"), "{prompt}");
    stage.end([client, other]).await;
    gone(process).await;
    gone(others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_is_ended_and_another_one_is_told_the_conversation() {
    let stage = Stage::with(&[], "idle_timeout_ms = 200").await;
    let mut client = stage.host.client().await;
    client.run("My name is Ada.").await;
    let process = pid(&mut client).await;
    gone(process).await;
    let frames = client.run(&script(&[json!({"prompt": true})])).await;
    let prompt = content(&frames);
    assert!(
        prompt.contains("User: My name is Ada.\\n\\nAssistant: My name is Ada."),
        "{prompt}"
    );
    stage.end([client]).await;
}

async fn kill(process: u32) {
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(killed.unwrap().success());
    gone(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_died_between_turns_is_replaced() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let process = pid(&mut client).await;
    kill(process).await;
    assert_ne!(pid(&mut client).await, process);
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_has_failed_its_first_turn_is_told_the_conversation_in_the_next() {
    for failed in [
        json!({"fail": {"code": -32603, "message": "try later"}}),
        json!({"end": "refusal"}),
    ] {
        let stage = Stage::start().await;
        let mut client = stage.host.client().await;
        client.run("My name is Ada.").await;
        kill(pid(&mut client).await).await;
        client.run(&script(&[failed])).await;
        let prompt = told(&mut client, json!({"prompt": true})).await;
        assert!(prompt.contains("User: My name is Ada."), "{prompt}");
        // And then it knows.
        let prompt = told(&mut client, json!({"prompt": true})).await;
        assert!(!prompt.contains("Ada"), "{prompt}");
        stage.end([client]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_says_between_turns_is_no_part_of_the_next() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    client
        .run(&script(&[say("now"), json!({"afterwards": "late"})]))
        .await;
    let said = stage.work().join(".afterwards");
    until("what comes after the turn", || said.exists()).await;
    assert_eq!(told(&mut client, json!({"prompts": true})).await, "2");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_prints_without_end_between_turns_is_replaced() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let process = pid(&mut client).await;
    client
        .run(&script(&[say("now"), json!({"babble": true})]))
        .await;
    // It prints as long as there is room for it, which is far more than is borne.
    until("a pipe that is full", || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('S')
    })
    .await;
    assert_eq!(content(&client.run("hello").await), "hello");
    gone(process).await;
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_a_killed_guard_does_not_keep_a_place() {
    let stage = Stage::with(&[], "max_children = 1").await;
    let mut client = stage.host.client().await;
    let process = pid(&mut client).await;
    let heir: u32 = told(&mut client, json!({"heir": true}))
        .await
        .parse()
        .unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name, which is in parentheses: the state and the parent.
    let (_, stat) = stat.rsplit_once(") ").unwrap();
    let guard: u32 = stat.split(' ').nth(1).unwrap().parse().unwrap();
    kill(guard).await;
    gone(process).await;
    assert!(content(&client.run("hello").await).ends_with("hello"));
    assert!(is_there(heir));
    kill(heir).await;
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_being_ended_has_its_place_still() {
    let stage = Stage::with(&["lingers"], "max_children = 1").await;
    let (mut one, mut other) = (stage.host.client().await, stage.host.client().await);
    let first = pid(&mut one).await;
    let second = pid(&mut other).await;
    assert!(!is_there(first) && is_there(second));
    stage.end([one, other]).await;
}

/// An agent that can goes on with its own session, which another process of it began.
async fn goes_on(args: &[&str]) {
    let root = tempfile::tempdir().unwrap();
    let host = TestHost::with(&config(&root, args, "")).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.run("one").await;
    client.run("two").await;
    let folder = host.leave_folder([client]).await;

    let host = TestHost::in_folder(folder, &config(&root, args, ""), Duration::ZERO).await;
    let mut client = host.idle(session).await;
    let frames = client
        .run(&script(&[
            json!({"prompts": true}),
            json!({"prompt": true}),
        ]))
        .await;
    let text = content(&frames);
    // Three with this one; what it repeats while it loads is not shown, and it is told nothing again.
    assert!(text.starts_with("3["), "{text}");
    assert!(
        !text.contains("said before") && !text.contains("This conversation has begun"),
        "{text}"
    );

    // One that has lost its session is told the conversation.
    for file in std::fs::read_dir(work(&root)).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let folder = host.leave_folder([client]).await;
    let host = TestHost::in_folder(folder, &config(&root, args, ""), Duration::ZERO).await;
    let mut client = host.idle(session).await;
    let frames = client
        .run(&script(&[
            json!({"prompts": true}),
            json!({"prompt": true}),
        ]))
        .await;
    let text = content(&frames);
    assert!(
        text.starts_with("1[") && text.contains("User: two"),
        "{text}"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_loads_sessions_goes_on_with_its_own() {
    goes_on(&["load"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_resumes_sessions_goes_on_with_its_own() {
    goes_on(&["resume"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_agent_has_said_in_between_is_told() {
    let root = tempfile::tempdir().unwrap();
    let acp = config(&root, &["load"], "");
    let host = TestHost::with(&acp).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.run("known to the agent").await;
    // The same agent by name, another behind it.
    host.reconfigure("default_agent = \"acp\"\n[agents.acp]\ncomponent = \"scripted/scripted\"\n");
    let reloaded = host.reload().await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    client.run("news from elsewhere").await;
    host.reconfigure(&acp);
    let reloaded = host.reload().await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    let frames = client
        .run(&script(&[
            json!({"prompts": true}),
            json!({"prompt": true}),
        ]))
        .await;
    let text = content(&frames);
    assert!(text.starts_with("2["), "{text}");
    assert!(
        text.contains("User: news from elsewhere") && !text.contains("User: known"),
        "{text}"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_processes_than_configured() {
    let stage = Stage::with(&[], "max_children = 2").await;
    let (mut sessions, mut clients, mut processes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let session = stage.host.session().await;
        let mut client = stage.host.idle(session).await;
        sessions.push(session);
        processes.push(pid(&mut client).await);
        clients.push(client);
    }
    // The third has taken the place of the first.
    gone(processes[0]).await;
    assert!(is_there(processes[1]) && is_there(processes[2]));

    let (first, rest) = clients.split_first_mut().unwrap();
    for client in rest.iter_mut() {
        client
            .begin(&script(&[say("busy"), json!({"wait_cancel": ""})]))
            .await;
        client.until(|frame| frame.kind() == "stream_delta").await;
    }
    let frames = first.run("hello").await;
    assert_eq!(
        error(&frames),
        "All 2 processes of this agent are busy (max_children). Try again later."
    );
    for (client, session) in rest.iter_mut().zip(&sessions[1..]) {
        stage.host.stop(*session).await;
        client.rest_of_run().await;
    }
    assert!(content(&first.run("hello").await).ends_with("hello"));
    stage.end(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subagent_has_a_process_for_its_one_question() {
    let root = tempfile::tempdir().unwrap();
    let toml = config(&root, &[], "")
        .replace("default_agent = \"acp\"", "default_agent = \"scripted\"")
        + "\n[agents.scripted]\ncomponent = \"scripted/scripted\"\nsubagents = [\"acp\"]\n";
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let asked = |steps: &[serde_json::Value]| {
        format!("script:{}", json!([{"subagent": ["acp", script(steps)]}]))
    };
    let call = json!({"update": {"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "t", "status": "completed"}});
    let frames = client.run(&asked(&[call, say("done")])).await;
    content(&frames);
    let calls = all(&frames, "tool_call");
    assert_eq!(calls[0]["is_subagent"], true);
    host.shut_down([client]).await;
}
