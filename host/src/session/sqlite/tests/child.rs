//! A process of its own that ends without warning in the middle of a run.

use super::*;

pub(super) const TEST: &str = "session::sqlite::tests::child::dies_in_the_middle_of_a_run";
/// The variable that names its folder.
pub(super) const CHILD: &str = "ROUNDHOUSE_TEST_CHILD_FOLDER";
pub(super) const CODE: i32 = 7;

#[tokio::test]
#[ignore = "started as a process of its own by another test"]
async fn dies_in_the_middle_of_a_run() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let folder = Path::new(&folder);
    let store = open(folder).await;
    let session = recovery::half_a_run(&store).await;
    std::fs::write(folder.join("session"), session.to_string()).unwrap();
    // Nothing is dropped, nothing closed.
    std::process::exit(CODE);
}
