//! How long a run's begin and end take when a thousand sessions are at it.
//!
//! `cargo test --release -p roundhouse-host --lib -- --ignored --nocapture speed`

use std::sync::Arc;
use std::time::Instant;

use super::*;

const SESSIONS: usize = 1000;
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_thousand_sessions_at_once() {
    let (_folder, store) = new_store().await;
    let store = Arc::new(store);
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(new_session(&store).await.id);
    }
    let transactions = store.writer.transactions();
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for session in sessions {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut worst = std::time::Duration::ZERO;
            for _ in 0..ROUNDS {
                let begin = begin(session, "a question of an ordinary length, more or less");
                let mut end = finish(begin.run, &"an answer ".repeat(50));
                let records = (0..10).map(|n| delta(n, n, &"text ".repeat(10)));
                end.records = numbered(0, records.collect());
                let call = Instant::now();
                store.begin_run(begin).await.unwrap();
                worst = worst.max(call.elapsed());
                store.finish_run(end).await.unwrap();
            }
            worst
        });
    }
    let mut worst = std::time::Duration::ZERO;
    while let Some(result) = tasks.join_next().await {
        worst = worst.max(result.unwrap());
    }
    let elapsed = begun.elapsed();
    let runs = u32::try_from(SESSIONS * ROUNDS).unwrap();
    println!(
        "{runs} runs in {elapsed:?}: {:?} for begin_run and finish_run (10 records) together; \
         {} transactions; slowest begin_run {worst:?}",
        elapsed / runs,
        store.writer.transactions() - transactions,
    );

    let alone = new_session(&store).await.id;
    let begun = Instant::now();
    for _ in 0..100 {
        talk(&store, alone, "q", "a").await;
    }
    println!("one session alone: {:?} a run", begun.elapsed() / 100);
    store.close().await.unwrap();
}
