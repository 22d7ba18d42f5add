//! Making and ending instances.

use plugin_api::Health;
use plugin_api::abi::import::{AgentFns, Completion, ComponentKind, DescribeError, FailureKind};
use plugin_api::abi::types::ERR_INTERNAL;
use plugin_api::serde_json::{self, json};
use plugin_api::wire::InstanceParams;

use crate::fixture::NOTES;
use crate::host::{PLUGIN, agent, host, instance_params, soon};

fn picky() -> AgentFns {
    match PLUGIN.component("picky") {
        ComponentKind::Agent(functions) => functions,
        other => panic!("{other}"),
    }
}

async fn failure(config: &str) -> (FailureKind, String) {
    let mut scope = host().scope();
    picky().create(scope.id, config, &instance_params());
    scope.failed().await
}

#[test]
fn the_descriptor_says_what_is_there() {
    let plugin = &PLUGIN.descriptor;
    assert_eq!(
        (plugin.name.as_str(), plugin.version.as_str()),
        ("roundhouse-plugin-api", env!("CARGO_PKG_VERSION"))
    );
    assert!(plugin.built_with.starts_with("plugin_api ") && plugin.built_with.contains("rustc 1."));
    assert_eq!(plugin.panic_abort, cfg!(panic = "abort"));
    let components: Vec<_> = plugin
        .components
        .iter()
        .map(|component| format!("{} {}", component.kind, component.name))
        .collect();
    assert_eq!(
        components,
        [
            "agent worker",
            "agent picky",
            "toolset box",
            "toolset add",
            "mapper edit",
            "mapper broken"
        ]
    );
}

#[test]
fn components_describe_themselves() {
    let describe = |at: usize| PLUGIN.descriptor.components[at].describe().unwrap();
    assert_eq!(describe(0).summary, "Does what it is told.");
    assert_eq!(describe(0).config_schema["additionalProperties"], false);
    assert_eq!(
        describe(1).config_schema["properties"]["how"]["type"],
        "string"
    );
    assert_eq!(describe(3).summary, "Adds two numbers.");
    // And one whose schema panics does not.
    let broken = PLUGIN.descriptor.components[5].describe();
    assert!(matches!(broken, Err(DescribeError::Refused(ERR_INTERNAL))));
}

#[tokio::test]
async fn the_context_says_who_the_instance_is() {
    assert_eq!(
        failure("{\"how\":\"context\"}").await,
        (FailureKind::Agent, "mine 3 fixture".to_owned())
    );
}

#[tokio::test]
async fn an_instance_says_how_it_is() {
    let mut scope = host().scope();
    picky().create(scope.id, "{\"how\":\"health\"}", &instance_params());
    scope.created().await;
    let said: Vec<Health> = host()
        .healths
        .borrow()
        .iter()
        .filter(|(of, _)| *of == scope.id)
        .map(|(_, health)| health.clone())
        .collect();
    assert_eq!(
        said,
        [Health::failing("it hurts"), Health::degraded("a little")]
    );
}

#[tokio::test]
async fn a_child_is_started_by_the_hosts_own_guard() {
    let (kind, text) = failure("{\"how\":\"child\"}").await;
    assert_eq!(kind, FailureKind::Agent);
    // Which this host only claims to have.
    assert!(
        text.starts_with("no process could be started: No such file"),
        "{text}"
    );
}

#[tokio::test]
async fn faults_of_the_configuration_are_told_apart() {
    assert_eq!(
        failure("{\"how\":\"config\"}").await,
        (FailureKind::Config, "how: no".to_owned())
    );
    assert_eq!(
        failure("{\"how\":[\"secret\"]}").await,
        (FailureKind::Config, "how: expected a string".to_owned())
    );
    assert_eq!(
        failure("").await,
        (FailureKind::Config, "missing field `how`".to_owned())
    );
    assert_eq!(failure("{").await.0, FailureKind::Config);
}

#[tokio::test]
async fn a_panic_in_create_fails_it() {
    assert_eq!(
        failure("{\"how\":\"panic\"}").await,
        (FailureKind::Internal, "in create".to_owned())
    );
}

#[tokio::test]
async fn a_create_that_never_ends_is_dropped_at_the_deadline() {
    let mut params = InstanceParams::default();
    params.deadline_ms = 20;
    let mut scope = host().scope();
    picky().create(
        scope.id,
        "{\"how\":\"never\"}",
        &serde_json::to_string(&params).unwrap(),
    );
    assert_eq!(
        scope.failed().await,
        (
            FailureKind::Internal,
            "create took longer than 0.02 s".to_owned()
        )
    );
}

#[tokio::test]
async fn an_instance_that_nobody_wants_any_more_is_shut_down() {
    let mut scope = host().scope();
    picky().create(scope.id, "{\"how\":\"wait\"}", &instance_params());
    let request = scope.request().await;
    assert_eq!(
        (request.method.as_str(), request.params),
        ("tools/changed", json!({}))
    );
    // The host gives up, and then the agent is ready.
    drop(scope);
    request.sink.done(Ok("{}"));
    let mut notes = NOTES.subscribe();
    soon(notes.wait_for(|notes| notes.iter().any(|note| note == "picky shut down")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panic_in_shutdown_is_told_and_harms_nobody() {
    let picky = agent("picky", "{\"how\":\"\"}").await;
    let mut scope = host().scope();
    picky.shutdown(scope.id);
    assert_eq!(
        scope.failed().await,
        (FailureKind::Internal, "in shutdown".to_owned())
    );
}

#[tokio::test]
async fn an_instance_hears_of_sessions_that_end_and_of_its_own_end() {
    let worker = agent("worker", "{}").await;
    assert!(worker.session_ended("s-1"));
    assert!(worker.session_ended("panic"));
    assert!(worker.session_ended("s-2"));
    let ended: Vec<_> = NOTES
        .borrow()
        .iter()
        .filter(|note| note.starts_with("ended s-"))
        .cloned()
        .collect();
    assert_eq!(ended, ["ended s-1", "ended s-2"]);
    let mut scope = host().scope();
    worker.shutdown(scope.id);
    assert!(
        matches!(scope.completion().await, Completion::Finished { value: None, json } if json.is_empty())
    );
    assert!(
        NOTES
            .borrow()
            .iter()
            .any(|note| note == "worker mine shut down")
    );
}
