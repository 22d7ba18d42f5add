//! More events than the queue between a worker and its host holds.

use std::fmt::Write as _;

use roundhouse_tests::text_of;

use super::{answer, client, host};

/// Some 30 bytes each on their way: many times what the queue holds.
const EVENTS: usize = 200_000;

fn all() -> String {
    let mut text = String::new();
    for index in 0..EVENTS {
        let _ = write!(text, "{index},");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_that_pays_no_heed_to_a_slow_host_arrives_whole_and_in_order() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    let frames = client.run(&format!("rush {EVENTS}")).await;
    assert!(
        text_of(&frames) == all(),
        "something is lost or out of order"
    );
    assert_eq!(frames.last().unwrap().text_at("content"), "rushed");
    assert_eq!(answer(&mut client, "again").await, "again");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beside_one_another_keep_their_order_and_all_of_their_events() {
    let host = host().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(client(&host, "faulty").await);
    }
    for client in &mut clients {
        client.begin("flood 20000").await;
    }
    let mut expected = String::new();
    for index in 0..20_000 {
        let _ = write!(expected, "{index}");
    }
    for client in &mut clients {
        let frames = client.rest_of_run().await;
        assert!(
            text_of(&frames) == expected,
            "something is lost or out of order"
        );
    }
    host.shut_down(clients).await;
}
