//! Event mappers in a chain.

use plugin_api::Event;
use roundhouse_host::plugin::{COPIES_OPENED, Catalog, Mapped, MapperChain, MapperFault};
use serde_json::json;

use super::stage::{EVENT_BYTES, FAULTY, Stage, answer, mapper_params, soon};

const MAIN: &str = "[agents.main]\ncomponent = \"faulty/agent\"\n";

async fn catalog(stage: &Stage, of_agent: &[&str], of_all: &[&str]) -> std::sync::Arc<Catalog> {
    let entry = |list: &str, mode: &&str| {
        format!("[[{list}]]\ncomponent = \"faulty/mapper\"\nconfig = {{ mode = {mode} }}\n")
    };
    let of_agent: String = of_agent
        .iter()
        .map(|mode| entry("agents.main.mappers", mode))
        .collect();
    let of_all: String = of_all.iter().map(|mode| entry("mappers", mode)).collect();
    stage
        .load(&format!("{FAULTY}{MAIN}{of_agent}{of_all}"))
        .await
}

async fn chain(catalog: &Catalog) -> Result<MapperChain, MapperFault> {
    catalog
        .agent("main")
        .unwrap()
        .open_mappers(&mapper_params())
        .await
}

/// What becomes of an event: the events that are sent on.
fn map(chain: &mut MapperChain, event: &Event) -> Result<Vec<Event>, MapperFault> {
    let mut out = Vec::new();
    let mapped = event.with_parts(|parts| {
        chain.map(parts, EVENT_BYTES, &mut |event| {
            out.push(Event::from_parts(event).unwrap())
        })
    })?;
    match mapped {
        Mapped::Passed => {
            assert!(out.is_empty());
            out.push(event.clone());
        }
        Mapped::Replaced(count) => assert_eq!(count, out.len()),
    }
    Ok(out)
}

fn event(wire: serde_json::Value) -> Event {
    Event::from_wire_value(wire).unwrap()
}

fn delta(text: &str) -> Event {
    Event::stream_delta(text)
}

#[tokio::test]
async fn mappers_form_a_chain_the_agents_own_first() {
    let stage = Stage::new();
    let catalog = catalog(&stage, &["\"dot\"", "\"double\""], &["\"count\""]).await;
    let mut chain = chain(&catalog).await.unwrap();
    // One event becomes two behind the second mapper; the third one counts what it sees.
    assert_eq!(
        map(&mut chain, &delta("a")).unwrap(),
        [delta("1"), delta("2")]
    );
    assert_eq!(
        map(&mut chain, &delta("b")).unwrap(),
        [delta("3"), delta("4")]
    );
    let mut other = self::chain(&catalog).await.unwrap();
    assert_eq!(
        map(&mut other, &delta("a")).unwrap(),
        [delta("1"), delta("2")],
        "each run has its own state"
    );
}

#[tokio::test]
async fn a_dropped_event_is_gone_and_a_passed_one_is_itself() {
    let stage = Stage::new();
    let dropping = catalog(&stage, &["\"pass\"", "\"drop\"", "\"dot\""], &[]).await;
    assert_eq!(
        map(&mut chain(&dropping).await.unwrap(), &delta("a")).unwrap(),
        []
    );
    let passing = catalog(&stage, &["\"pass\"", "\"pass\""], &[]).await;
    let mut passing = chain(&passing).await.unwrap();
    let custom = event(json!({"type": "weather", "sky": {"clouds": [1, 2]}}));
    assert_eq!(map(&mut passing, &custom).unwrap(), [custom]);
}

#[tokio::test]
async fn what_no_mapper_wants_costs_nothing() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "{FAULTY}{MAIN}[[agents.main.mappers]]\ncomponent = \"faulty/mapper\"\nconfig = {{ mode = \"drop\", deltas_only = true }}\n"
        ))
        .await;
    let mut chain = chain(&catalog).await.unwrap();
    let wants = |event: &Event| chain.wants(event.kind());
    assert!(wants(&delta("a")));
    assert!(!wants(&Event::thinking_delta("a")) && !wants(&event(json!({"type": "weather"}))));
    assert!(!chain.wants(64) && !chain.wants(u32::MAX));
    assert_eq!(
        map(&mut chain, &Event::thinking_end()).unwrap(),
        [Event::thinking_end()]
    );
    assert!(!MapperChain::empty().wants(delta("a").kind()));
}

#[tokio::test]
async fn a_mapper_that_fails_in_whatever_way_lets_nothing_through() {
    let stage = Stage::new();
    for (mode, reason) in [
        ("\"fail\"", "failed"),
        ("\"panic\"", "failed"),
        ("\"overrun\"", "1000 are allowed"),
        ("\"grow\"", "and 8192 are allowed"),
        ("\"forge\"", "`stream_stopped`, which is the host's own"),
        ("\"flood\"", "more than 1024 events"),
    ] {
        let catalog = catalog(&stage, &["\"dot\"", mode, "\"pass\""], &[]).await;
        let mut chain = chain(&catalog).await.unwrap();
        let mut out = 0;
        let fault = delta("secret")
            .with_parts(|parts| chain.map(parts, EVENT_BYTES, &mut |_| out += 1))
            .expect_err(mode);
        assert_eq!(fault.to_string(), "mapper faulty/mapper");
        assert!(fault.reason.contains(reason), "{mode}: {}", fault.reason);
        assert_eq!(out, 0, "{mode}");
    }
}

#[tokio::test]
async fn a_mapper_that_cannot_be_opened_is_a_fault() {
    let stage = Stage::new();
    let catalog = catalog(&stage, &["\"fail_open\""], &[]).await;
    let fault = chain(&catalog).await.err().unwrap();
    assert_eq!(fault.mapper, "faulty/mapper");
}

/// The mapper's library, of which the agent tells the generation, and the file that ends what hangs in it.
async fn hanging(stage: &Stage, mode: &str) -> std::sync::Arc<Catalog> {
    let until = super::stage::toml_path(&stage.path("until"));
    stage
        .load(&format!(
            "{FAULTY}{MAIN}[[agents.main.mappers]]\ncomponent = \"faulty/mapper\"\n\
             config = {{ mode = \"{mode}\", until = {until} }}\n"
        ))
        .await
}

async fn generation(catalog: &Catalog) -> u64 {
    let generation = answer(catalog.agent("main").unwrap(), "generation").await;
    generation.parse().unwrap()
}

// On one thread, which the mapper would block.
#[tokio::test]
async fn an_open_that_never_returns_is_a_fault_and_a_fresh_copy_serves() {
    let stage = Stage::new();
    let catalog = hanging(&stage, "hang_open").await;
    let first = generation(&catalog).await;
    let fault = soon("opening", chain(&catalog)).await.err().unwrap();
    assert_eq!(fault.to_string(), "mapper faulty/mapper");
    assert!(
        fault.reason.contains("1000 ms are allowed"),
        "{}",
        fault.reason
    );
    assert!(generation(&catalog).await > first);
    std::fs::write(stage.path("until"), "").unwrap();
    chain(&catalog).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_never_returns_is_seen_from_outside() {
    let stage = Stage::new();
    let catalog = hanging(&stage, "hang").await;
    let first = generation(&catalog).await;
    let mut chain = chain(&catalog).await.unwrap();
    let watch = chain.watch();
    let mapping = std::thread::spawn(move || map(&mut chain, &delta("secret")));
    let fault = soon("the overrun", watch.overrun()).await;
    assert_eq!(fault.to_string(), "mapper faulty/mapper");
    assert!(generation(&catalog).await > first);
    assert!(!mapping.is_finished());
    std::fs::write(stage.path("until"), "").unwrap();
    let late = soon("the map", tokio::task::spawn_blocking(|| mapping.join())).await;
    let fault = late.unwrap().unwrap().unwrap_err();
    assert!(fault.reason.contains("are allowed"), "{}", fault.reason);
    soon("the close", watch.closed()).await;
}

#[tokio::test]
async fn while_a_call_hangs_in_the_last_copy_it_takes_nothing_new() {
    let stage = Stage::new();
    let catalog = hanging(&stage, "hang_open").await;
    for _ in 1..COPIES_OPENED {
        let host = super::stage::Recorder::new();
        let handle = super::stage::start(catalog.agent("main").unwrap(), "wait_stop", &host).await;
        handle.abandon();
        generation(&catalog).await;
    }
    let last = generation(&catalog).await;
    let fault = soon("opening", chain(&catalog)).await.err().unwrap();
    assert!(fault.reason.contains("goes on"), "{}", fault.reason);
    let refused = soon("opening", chain(&catalog)).await.err().unwrap();
    assert_eq!(
        refused.reason,
        "calls of it hang, in the last of the 16 copies that are opened of a library"
    );
    std::fs::write(stage.path("until"), "").unwrap();
    soon("opening again", async {
        while chain(&catalog).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(generation(&catalog).await, last);
}

#[tokio::test]
async fn of_the_hosts_own_events_only_the_text_can_change() {
    let stage = Stage::new();
    let end = event(
        json!({"type": "stream_end", "content": "done", "token_count": 3, "elapsed_seconds": 1.5}),
    );
    let catalog_with = async |mode| catalog(&stage, &[mode], &[]).await;

    let dotting = catalog_with("\"dot\"").await;
    let mapped = map(&mut chain(&dotting).await.unwrap(), &end).unwrap();
    let expected = event(
        json!({"type": "stream_end", "content": "done.", "token_count": 3, "elapsed_seconds": 1.5}),
    );
    assert_eq!(mapped, [expected]);
    let error = event(json!({"type": "error", "message": "no"}));
    let mapped = map(&mut chain(&dotting).await.unwrap(), &error).unwrap();
    assert_eq!(mapped, [event(json!({"type": "error", "message": "no."}))]);

    for (mode, reason) in [
        ("\"drop\"", "dropped or multiplied `stream_end`"),
        ("\"double\"", "dropped or multiplied `stream_end`"),
        ("\"forge\"", "turned `stream_end`"),
    ] {
        let catalog = catalog_with(mode).await;
        let fault = map(&mut chain(&catalog).await.unwrap(), &end).unwrap_err();
        assert!(fault.reason.contains(reason), "{}", fault.reason);
    }
}

#[tokio::test]
async fn configuration_faults_name_the_place_in_the_list() {
    let stage = Stage::new();
    let faults = stage
        .faults(&format!(
            "{FAULTY}{MAIN}[[mappers]]\ncomponent = \"faulty/mapper\"\nconfig.mode = \"pass\"\n\
             [[mappers]]\ncomponent = \"faulty/mapper\"\n[[mappers]]\ncomponent = \"faulty/map\"\n\
             [[agents.main.mappers]]\ncomponent = \"faulty/mapper\"\nconfig = {{ mode = \"pass\", create = \"refuse\" }}\n"
        ))
        .await;
    assert!(
        faults.contains("mappers[1].config.mode: is missing"),
        "{faults}"
    );
    assert!(
        faults
            .contains("mappers[2].component: plugin `faulty` has no mapper `map`; it has: mapper"),
        "{faults}"
    );
}
