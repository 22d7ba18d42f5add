use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::session::{Cursor, PageRequest};

/// Reads all pages; between two, makes and deletes sessions.
async fn read_all(
    store: &SqliteStore,
    owner: &Owner,
    limit: u32,
    meanwhile: &[(usize, bool)],
) -> (Vec<SessionId>, HashSet<SessionId>) {
    let mut seen = Vec::new();
    let mut deleted = HashSet::new();
    let mut request = PageRequest::first(limit);
    let mut meanwhile = meanwhile.iter();
    loop {
        let page = store.list(owner, request).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        seen.extend(page.items.iter().map(|session| session.id));
        let Some(next) = page.next else {
            return (seen, deleted);
        };
        // Through its text, as a client does.
        request.cursor = Some(Cursor::parse(&next.to_string()).unwrap());
        if let Some((new, delete_last)) = meanwhile.next() {
            for _ in 0..*new {
                store.create(NewSession::of(owner.clone())).await.unwrap();
            }
            // The very entry that the cursor points at.
            if *delete_last && let Some(last) = page.items.last() {
                store.delete(owner, last.id).await.unwrap();
                deleted.insert(last.id);
            }
        }
    }
}

#[test]
fn every_session_is_on_exactly_one_page() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_folder, store) = runtime.block_on(new_store());
    let strategy = (
        0usize..20,
        1u32..8,
        proptest::collection::vec((0usize..4, any::<bool>()), 0..10),
    );
    let mut owners = 0..;
    let next_owner = std::cell::RefCell::new(&mut owners);
    TestRunner::new(Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    })
    .run(&strategy, |(existing, limit, meanwhile)| {
        let number: u32 = next_owner.borrow_mut().next().unwrap();
        let owner = Owner::new(format!("owner {number}"));
        runtime.block_on(async {
            let mut made = Vec::new();
            for _ in 0..existing {
                made.push(
                    store
                        .create(NewSession::of(owner.clone()))
                        .await
                        .unwrap()
                        .id,
                );
            }
            made.reverse();
            let (seen, _) = read_all(&store, &owner, limit, &meanwhile).await;
            prop_assert_eq!(seen, made);
            Ok(())
        })
    })
    .unwrap();
}

#[tokio::test]
async fn runs_are_paged_newest_first() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(talk(&store, session.id, &n.to_string(), "a").await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut request = PageRequest::first(3);
    loop {
        let page = store.runs(&owner(), session.id, request).await.unwrap();
        seen.extend(page.items.iter().map(|run| run.id));
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
        talk(&store, session.id, "more", "a").await;
    }
    assert_eq!(seen, made);

    // A cursor of another list leads nowhere.
    request.cursor = Some(Cursor::after(*session.id.as_uuid()));
    let page = store.runs(&owner(), session.id, request).await.unwrap();
    assert_eq!((page.items, page.next), (vec![], None));
}
