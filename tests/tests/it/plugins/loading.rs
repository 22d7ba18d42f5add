//! Every way in which a library or what is configured of it can be wrong, and how that is told.

use roundhouse_host::config::LibraryFile;
use roundhouse_host::plugin::{PluginState, SearchPath, inspect};

use super::stage::{FAULTY, Recorder, Stage, answer, params, soon, toml_path};

const MAIN: &str = "[agents.main]\ncomponent = \"faulty/agent\"\n";

#[tokio::test]
async fn a_plugin_by_its_bare_name_is_found_beside_the_program() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    assert_eq!(agent.unavailable(), None);
    assert_eq!(agent.summary(), "Does as it is told, however bad that is.");
    assert_eq!(answer(agent, "hello").await, "hello");

    let plugins = catalog.plugins();
    assert_eq!(plugins.len(), 1);
    let PluginState::Loaded {
        library,
        version,
        components,
        ..
    } = &plugins[0].state
    else {
        panic!("{plugins:?}");
    };
    assert_eq!(
        (library.as_str(), version.as_str()),
        ("roundhouse-fixture-faulty", env!("CARGO_PKG_VERSION"))
    );
    let components: Vec<_> = components
        .iter()
        .map(|info| format!("{} {}", info.kind, info.name))
        .collect();
    assert_eq!(
        components,
        [
            "agent agent",
            "agent undescribed",
            "toolset tools",
            "toolset single",
            "mapper mapper"
        ]
    );

    // The copies are the host's own, and gone with it.
    let copies = std::fs::read_dir(stage.path("data/plugins"))
        .unwrap()
        .count();
    assert_eq!(copies, 2, "this host's folder and the lock");
    soon(
        "shutting down",
        catalog.shutdown(std::time::Duration::from_secs(30)),
    )
    .await;
    drop(catalog);
    assert_eq!(
        std::fs::read_dir(stage.path("data/plugins"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn a_missing_file_says_where_it_was_looked_for() {
    let stage = Stage::new();
    let faults = stage
        .faults(&format!(
            "[plugins]\nsearch_paths = [\"here\"]\n[plugins.libraries.faulty]\nfile = \"no_such_plugin\"\n{MAIN}"
        ))
        .await;
    assert!(
        faults.contains("plugins.libraries.faulty.file: there is no `libno_such_plugin.so`"),
        "{faults}"
    );
    assert!(faults.contains("FOLDER/here"), "{faults}");
    assert!(faults.contains("/deps`"), "{faults}");
    let faults = stage
        .faults(&format!(
            "[plugins.libraries.faulty]\nfile = \"./not/there.so\"\n{MAIN}"
        ))
        .await;
    assert!(
        faults.contains("there is no file `FOLDER/./not/there.so`")
            || faults.contains("FOLDER/not/there.so"),
        "{faults}"
    );
}

#[tokio::test]
async fn what_is_no_library_is_told_in_the_loaders_own_words() {
    let stage = Stage::new();
    std::fs::write(stage.path("text.so"), "this is no library").unwrap();
    let faults = stage
        .faults(&format!(
            "[plugins.libraries.faulty]\nfile = \"./text.so\"\n{MAIN}"
        ))
        .await;
    assert!(
        faults.contains("text.so` is not a library that this system can open"),
        "{faults}"
    );
    assert!(
        faults.contains("invalid ELF header") || faults.contains("file too short"),
        "{faults}"
    );
}

#[tokio::test]
async fn a_library_that_was_cut_short_does_not_end_the_host() {
    let stage = Stage::new();
    let whole = SearchPath::with_defaults(&[])
        .find(&LibraryFile::Bare("fixture_faulty".to_owned()))
        .unwrap();
    let bytes = std::fs::read(whole).unwrap();
    // Behind what is loaded there are debug symbols, which nobody would miss.
    std::fs::write(stage.path("half.so"), &bytes[..256 * 1024]).unwrap();
    let faults = stage
        .faults(&format!(
            "[plugins.libraries.faulty]\nfile = \"./half.so\"\n{MAIN}"
        ))
        .await;
    assert!(faults.contains("half.so` was cut short"), "{faults}");
}

#[tokio::test]
async fn the_checksum_is_that_of_the_copy() {
    let stage = Stage::new();
    let wrong = "0".repeat(64);
    let faults = stage
        .faults(&format!("{FAULTY}sha256 = \"{wrong}\"\n{MAIN}"))
        .await;
    assert!(
        faults.contains("plugins.libraries.faulty.sha256"),
        "{faults}"
    );
    assert!(
        faults.contains(&format!("but {wrong} is configured")),
        "{faults}"
    );
    let found = faults
        .split("` is ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(found.len(), 64, "{faults}");
    let catalog = stage
        .load(&format!("{FAULTY}sha256 = \"{found}\"\n{MAIN}"))
        .await;
    assert_eq!(
        answer(catalog.agent("main").unwrap(), "hello").await,
        "hello"
    );
}

#[tokio::test]
async fn a_component_that_is_not_there_is_told_with_those_that_are() {
    let stage = Stage::new();
    let faults = stage
        .faults(&format!(
            "default_agent = \"a\"\n{FAULTY}[agents.a]\ncomponent = \"faulty/agnet\"\n\
             [agents.b]\ncomponent = \"faulty/tools\"\n[tools.c]\ncomponent = \"faulty/nothing\"\n"
        ))
        .await;
    assert!(
        faults.contains(
            "agents.a.component: plugin `faulty` has no agent `agnet`; it has: agent, undescribed"
        ),
        "{faults}"
    );
    assert!(
        faults.contains(
            "agents.b.component: plugin `faulty` has no agent `tools`; `tools` is a toolset"
        ),
        "{faults}"
    );
    assert!(
        faults.contains("tools.c.component: plugin `faulty` has no toolset `nothing`"),
        "{faults}"
    );
}

#[tokio::test]
async fn configuration_is_checked_against_the_components_schema() {
    let stage = Stage::new();
    let faults = stage
        .faults(&format!(
            "{FAULTY}{MAIN}[agents.main.config]\ndelay_ms = \"hunter2\"\nmodels = [{{ name = 3, key = \"hunter2\" }}]\n\
             ceate = \"panic\"\ncreate = \"hunter2\"\nkey = {{ env = \"NO_SUCH_VARIABLE_IS_SET\" }}\n"
        ))
        .await;
    // Secrets are resolved first: without them nothing can be said about the rest.
    assert!(faults.contains("agents.main.config.key"), "{faults}");
    assert!(
        faults.contains("`NO_SUCH_VARIABLE_IS_SET`, which is not set"),
        "{faults}"
    );

    let faults = stage
        .faults(&format!(
            "{FAULTY}{MAIN}[agents.main.config]\ndelay_ms = \"hunter2\"\nmodels = [{{ name = 3, key = \"hunter2\" }}]\n\
             ceate = \"panic\"\ncreate = \"hunter2\"\n"
        ))
        .await;
    for expected in [
        "agents.main.config.delay_ms: is a text; expected a whole number",
        "agents.main.config.models[0].name: is a number; expected a text",
        "agents.main.config.ceate: unknown key; did you mean `create`?",
        "agents.main.config.create: ",
    ] {
        assert!(faults.contains(expected), "{expected}\n{faults}");
    }
    assert!(faults.contains("FOLDER/roundhouse.toml:"), "{faults}");
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[tokio::test]
async fn secrets_reach_the_component_and_nobody_else() {
    let stage = Stage::new();
    std::fs::write(stage.path("key"), "from-the-file\n").unwrap();
    let catalog = stage
        .load(&format!(
            "default_agent = \"main\"\n{FAULTY}{MAIN}config.key = {{ file = \"key\" }}\n\
             [agents.other]\ncomponent = \"faulty/agent\"\nconfig.key = {{ env = \"PATH\" }}\n\
             [agents.plain]\ncomponent = \"faulty/agent\"\nconfig.key = \"plain\"\n"
        ))
        .await;
    let key = async |agent| answer(catalog.agent(agent).unwrap(), "key").await;
    assert_eq!(key("main").await, "from-the-file");
    assert_eq!(key("other").await, std::env::var("PATH").unwrap());
    assert_eq!(key("plain").await, "plain");
}

/// The host's clock runs ahead when it has nothing to do but wait.
#[tokio::test]
async fn two_tools_of_one_name_are_told() {
    let stage = Stage::new();
    let two =
        "[tools.one]\ncomponent = \"faulty/single\"\n[tools.two]\ncomponent = \"faulty/single\"\n";
    let faults = stage.faults(&format!("{FAULTY}{MAIN}{two}")).await;
    assert!(
        faults.contains(
            "tools.two.prefix: leaves two tools called `add`: one here and one of toolset `one`"
        ),
        "{faults}"
    );
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}{two}prefix = \"other_\"\n"))
        .await;
    let names: Vec<_> = catalog.tools().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["add", "other_add"]);
}

#[tokio::test]
async fn all_faults_are_told_together_and_what_was_made_is_ended() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let faults = stage
        .faults(&format!(
            "default_agent = \"main\"\n{FAULTY}{MAIN}config.create = \"fail\"\n\
             [agents.bad]\ncomponent = \"faulty/agent\"\nconfig.create = \"refuse\"\n\
             [plugins.libraries.missing]\nfile = \"no_such_plugin\"\n[plugins.libraries.good]\nfile = \"fixture_faulty\"\n\
             [agents.good]\ncomponent = \"good/agent\"\nconfig.report = {report}\n"
        ))
        .await;
    for expected in [
        "3 faults",
        "told to fail",
        "told to refuse",
        "libno_such_plugin.so",
    ] {
        assert!(faults.contains(expected), "{expected}\n{faults}");
    }
    let lines = stage.report("report");
    assert_eq!(lines[0], "created good");
    assert!(lines[1].starts_with("shut down "), "{lines:?}");
}

#[tokio::test]
async fn an_optional_plugin_that_fails_takes_with_it_what_needs_it() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "default_agent = \"main\"\n{FAULTY}{MAIN}tools = [\"*\"]\n\
             [plugins.libraries.gone]\nfile = \"no_such_plugin\"\nrequired = false\n\
             [agents.lost]\ncomponent = \"gone/agent\"\n[tools.lost]\ncomponent = \"gone/tools\"\n\
             [[agents.mapped.mappers]]\ncomponent = \"gone/mapper\"\n[agents.mapped]\ncomponent = \"faulty/agent\"\n"
        ))
        .await;
    let plugins = catalog.plugins();
    let gone = plugins.iter().find(|plugin| plugin.name == "gone").unwrap();
    let PluginState::Failed { reasons } = &gone.state else {
        panic!("{gone:?}")
    };
    assert!(reasons[0].contains("libno_such_plugin.so"), "{reasons:?}");
    assert!(!gone.required);

    assert_eq!(
        answer(catalog.agent("main").unwrap(), "hello").await,
        "hello"
    );
    // An agent whose events would go out without its mapper must not run.
    for lost in ["lost", "mapped"] {
        let agent = catalog.agent(lost).unwrap();
        let reason = agent.unavailable().unwrap();
        assert!(
            reason.contains("plugin `gone` failed to load")
                && reason.contains("libno_such_plugin.so"),
            "{reason}"
        );
        let refused = agent
            .start(&params("hello"), Recorder::new())
            .await
            .err()
            .unwrap();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    let toolsets = catalog.toolsets();
    assert!(
        toolsets[0]
            .unavailable
            .as_ref()
            .unwrap()
            .contains("libno_such_plugin.so"),
        "{toolsets:?}"
    );
    assert!(catalog.tools().is_empty());
}

#[test]
fn a_library_is_inspected_without_making_anything() {
    let stage = Stage::new();
    let search = SearchPath::with_defaults(&[]);
    let found = inspect(
        &LibraryFile::Bare("fixture_faulty".to_owned()),
        &search,
        &stage.path("data"),
    )
    .unwrap();
    assert_eq!(found.name, "roundhouse-fixture-faulty");
    assert!(found.built_with.contains("rustc"), "{}", found.built_with);
    let agent = &found.components[0];
    assert_eq!(
        (agent.kind.as_str(), agent.name.as_str(), agent.supported),
        ("agent", "agent", true)
    );
    assert!(
        agent.config_schema["properties"]["delay_ms"].is_object(),
        "{}",
        agent.config_schema
    );
    assert!(serde_json::to_string(&found).unwrap().contains("mapper"));
}
