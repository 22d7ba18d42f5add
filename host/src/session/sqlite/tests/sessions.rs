use serde_json::json;

use super::*;
use crate::session::{Entity, FileRef, Metadata, ProfileSwitch, SessionPatch, StoreError};

fn metadata(value: serde_json::Value) -> Metadata {
    serde_json::from_value(value).unwrap()
}

fn is_unknown_session<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.unwrap_err();
    assert!(
        matches!(error, StoreError::NotFound(Entity::Session)),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "session not found");
}

#[tokio::test]
async fn a_session_is_read_as_it_was_made() {
    let (_folder, store) = new_store().await;
    let made = store
        .create(NewSession {
            owner: owner(),
            agent: Some("echo".into()),
            profile: Some("careful".into()),
            title: Some("Überschrift \0 \u{1f600}".into()),
            metadata: metadata(json!({"z": 1, "a": [null, {"b": "c"}]})),
        })
        .await
        .unwrap();
    assert!(made.created_at_ms > 1_600_000_000_000);
    assert_eq!(made.updated_at_ms, made.created_at_ms);
    assert_eq!(store.get(&owner(), made.id).await.unwrap(), made);

    let plain = new_session(&store).await;
    assert_eq!((plain.agent.as_ref(), plain.title.as_ref()), (None, None));
    assert_eq!(store.get(&owner(), plain.id).await.unwrap(), plain);
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let (_folder, store) = new_store().await;
    let made = new_session(&store).await;

    let patch = SessionPatch {
        title: Some(Some("A".into())),
        agent: Some(Some("echo".into())),
        profile: Some(Some("careful".into())),
        metadata: Some(metadata(json!({"k": "v"}))),
    };
    let changed = store.update(&owner(), made.id, patch).await.unwrap();
    assert_eq!(changed.title.as_deref(), Some("A"));
    assert_eq!(changed.agent.as_deref(), Some("echo"));
    assert_eq!(changed.profile.as_deref(), Some("careful"));
    assert_eq!(changed.metadata, metadata(json!({"k": "v"})));
    assert!(changed.updated_at_ms >= made.updated_at_ms);

    let patch = SessionPatch {
        title: Some(None),
        ..SessionPatch::default()
    };
    let cleared = store.update(&owner(), made.id, patch).await.unwrap();
    assert_eq!(cleared.title, None);
    assert_eq!(cleared.agent.as_deref(), Some("echo"));
    assert_eq!(cleared.profile.as_deref(), Some("careful"));
    assert_eq!(cleared.metadata, changed.metadata);
    assert_eq!(store.get(&owner(), made.id).await.unwrap(), cleared);
}

#[tokio::test]
async fn another_owners_session_does_not_exist() {
    let (_folder, store) = new_store().await;
    let (anna, ben) = (Owner::new("anna"), Owner::new("ben"));
    let hers = store.create(NewSession::of(anna.clone())).await.unwrap();
    let file = FileRef {
        name: "a".into(),
        path: "/a".into(),
    };

    for id in [hers.id, SessionId::new()] {
        is_unknown_session(store.get(&ben, id).await);
        is_unknown_session(store.update(&ben, id, SessionPatch::default()).await);
        is_unknown_session(store.delete(&ben, id).await);
        is_unknown_session(store.history(&ben, id, newest()).await);
        is_unknown_session(store.message(id, &ben, message_id(1), 1).await);
        is_unknown_session(store.runs(&ben, id, first()).await);
        is_unknown_session(store.uploads(&ben, id).await);
        is_unknown_session(store.add_upload(&ben, id, file.clone(), 1).await);
    }
    assert_eq!(store.list(&ben, first()).await.unwrap().items, []);
    assert_eq!(store.list(&anna, first()).await.unwrap().items, [hers]);
}

#[tokio::test]
async fn calls_for_a_session_that_is_not_there_say_so() {
    let (_folder, store) = new_store().await;
    let id = SessionId::new();
    is_unknown_session(store.begin_run(begin(id, "hi")).await);
    is_unknown_session(store.agent_history(id, newest()).await);
    is_unknown_session(store.previous_data(id, "echo").await);
    is_unknown_session(store.state_get(id, "echo", "k").await);
    is_unknown_session(store.numbering(id).await);
    is_unknown_session(store.enqueue(queued(id, "hi")).await);
    is_unknown_session(store.latest_run(id, 1000).await);
}

#[tokio::test]
async fn uploads_are_listed_in_order() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let mut added = Vec::new();
    for name in ["b.txt", "a.txt", "a.txt"] {
        let file = FileRef {
            name: name.into(),
            path: format!("/data/{name}"),
        };
        let upload = store.add_upload(&owner(), session.id, file, 5).await;
        added.push(upload.unwrap());
    }
    assert_eq!(store.uploads(&owner(), session.id).await.unwrap(), added);
}

fn first() -> crate::session::PageRequest {
    crate::session::PageRequest::first(10)
}

fn newest() -> crate::session::TurnPageRequest {
    crate::session::TurnPageRequest::newest(10)
}

#[tokio::test]
async fn a_run_leaves_another_profile_unless_somebody_has_chosen_meanwhile() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let switch = async |from: Option<&str>, to: &str| {
        let run = begin(session.id, "hello");
        store.begin_run(run.clone()).await.unwrap();
        let mut end = finish(run.run, "hello");
        end.profile = Some(ProfileSwitch {
            from: from.map(str::to_owned),
            to: to.to_owned(),
        });
        store.finish_run(end).await.unwrap();
        store.get(&owner(), session.id).await.unwrap().profile
    };
    assert_eq!(switch(None, "a").await.as_deref(), Some("a"));
    assert_eq!(switch(Some("a"), "b").await.as_deref(), Some("b"));
    // It began with one that is not in force any more.
    assert_eq!(switch(Some("a"), "c").await.as_deref(), Some("b"));
    assert_eq!(switch(None, "c").await.as_deref(), Some("b"));
}
