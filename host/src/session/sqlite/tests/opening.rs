use std::error::Error as _;

use super::super::{DATABASE, OpenError};
use super::*;
use crate::session::StoreError;

async fn refused(folder: &Path) -> OpenError {
    match SqliteStore::open(SqliteOptions::new(folder)).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn two_hosts_on_one_folder_are_one_too_many() {
    let (folder, store) = new_store().await;
    let error = refused(folder.path()).await;
    assert_eq!(
        error.to_string(),
        format!(
            "the data folder {} is in use by another host (process {}); stop that one, or set \
             `storage.path` to another folder",
            folder.path().display(),
            std::process::id()
        )
    );
    store.close().await.unwrap();
    open(folder.path()).await;
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_alone() {
    let (folder, store) = new_store().await;
    execute(&store, "PRAGMA user_version = 99").await;
    store.close().await.unwrap();
    let before = std::fs::read(folder.path().join(DATABASE)).unwrap();
    let error = refused(folder.path()).await;
    assert_eq!(
        error.to_string(),
        format!(
            "the database {} cannot be used: its schema has version 99, this host knows up to 5; \
             start a newer host, or point `storage.path` elsewhere",
            folder.path().join(DATABASE).display()
        )
    );
    assert_eq!(std::fs::read(folder.path().join(DATABASE)).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = "not a database, but long enough to be taken for one ".repeat(100);
    std::fs::write(folder.path().join(DATABASE), &text).unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, OpenError::Schema { .. }), "{error:?}");
    let mut causes = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes += &error.to_string();
        cause = error.source();
    }
    assert!(causes.contains("file is not a database"), "{causes}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "").unwrap();
    let error = refused(&path.join("data")).await;
    assert_eq!(
        error.to_string(),
        format!(
            "the data folder {} cannot be made or written to",
            path.join("data").display()
        )
    );
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_stored_is_for_the_hosts_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/data");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;

    let store = open(&folder).await;
    new_session(&store).await;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 4, "database, log, index of the log, lock");
    store.close().await.unwrap();

    // One that was opened up is closed again.
    let database = folder.join(DATABASE);
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&folder).await;
    assert_eq!(mode(&database), 0o600);
}

#[tokio::test]
async fn a_closed_store_is_one_file_and_says_that_it_is_closed() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await;
    store.ping().await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Closed)));
    assert!(matches!(
        store.get(&owner(), session.id).await,
        Err(StoreError::Closed)
    ));
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [DATABASE, "roundhouse.lock"]);

    let store = open(folder.path()).await;
    assert_eq!(store.get(&owner(), session.id).await.unwrap(), session);
}
