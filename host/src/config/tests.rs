//! What an operator sees: whole configurations in, checked values or the list of faults out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::*;

mod faults;
mod hostile;
mod isolation;

fn load(text: &str) -> Config {
    Config::from_toml(text, "").unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(text: &str) -> String {
    match Config::from_toml(text, "") {
        Ok(_) => "no fault".to_owned(),
        Err(faults) => faults.to_string(),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// Enough around a part that is under test.
const PLUGIN: &str = "[plugins.libraries.echo]\nfile = \"roundhouse_echo\"\n";

#[test]
fn without_any_file_echo_is_served() {
    let config = Loader::empty().load().expect("the defaults are right");
    assert_eq!(config.default_agent, "echo");
    let echo = &config.agents["echo"];
    assert_eq!(echo.component.to_string(), "echo/echo");
    assert_eq!(echo.display_name, "echo");
    assert_eq!(echo.tools, ["*"]);
    assert_eq!(echo.config.value(), &json!({}));
    assert_eq!(
        config.plugins.libraries["echo"].file,
        LibraryFile::Bare("roundhouse_echo".to_owned())
    );
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.limits.frame_bytes, 32 << 20);
    assert_eq!(config.limits.run_time, Duration::from_secs(3_600));
    assert_eq!(config.heartbeat.interval, Duration::from_secs(20));
    assert_eq!(config.storage.path, Path::new("data"));
    assert!(matches!(config.auth, Auth::None));
}

#[test]
fn agents_in_a_file_take_the_place_of_the_built_in_one() {
    let config = load(
        r#"
        [plugins.libraries.mine]
        file = "./libmine.so"
        [agents.helper]
        component = "mine/agent"
        "#,
    );
    assert_eq!(config.agents.keys().collect::<Vec<_>>(), ["helper"]);
    assert_eq!(config.default_agent, "helper");
}

#[test]
fn the_shipped_file_is_right_and_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let config = Loader::empty()
        .default_file_in(&root)
        .load()
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(
        config.agents.keys().collect::<Vec<_>>(),
        ["echo", "scripted"]
    );
    assert_eq!(config.default_agent, "echo");
    assert_eq!(
        config.plugins.libraries.keys().collect::<Vec<_>>(),
        ["echo", "redact", "scripted", "toolbox"]
    );
    assert_eq!(config.storage.path, root.join("config/../data"));

    // Whatever the schema knows is named in the file, if only in a comment, and in the guide.
    let guide = root.join("docs/configuration.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let text = std::fs::read_to_string(root.join(DEFAULT_FILE)).expect("shipped file");
    fn keys(node: &serde_json::Value, out: &mut Vec<String>) {
        if let Some(properties) = node.get("properties").and_then(|p| p.as_object()) {
            out.extend(properties.keys().cloned());
        }
        match node {
            serde_json::Value::Object(map) => map.values().for_each(|v| keys(v, out)),
            serde_json::Value::Array(items) => items.iter().for_each(|v| keys(v, out)),
            _ => {}
        }
    }
    let mut known = Vec::new();
    keys(schema(), &mut known);
    assert!(known.len() > 40, "{known:?}");
    for key in known {
        assert!(
            text.contains(&key),
            "config/roundhouse.toml does not show `{key}`"
        );
        assert!(
            guide.contains(&format!("`{key}`")) || guide.contains(&format!(".{key}`")),
            "docs/configuration.md does not explain `{key}`"
        );
    }
}

/// The shipped file's commented-out settings show what could be there: with the comment
/// signs taken off they are right as well, and those that show a default show the real one.
#[test]
fn the_shipped_samples_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(DEFAULT_FILE)).expect("shipped file");
    let uncommented: String = text
        .lines()
        // A setting is commented out with `#` alone, prose with `# `.
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', ':']) && !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(text, uncommented);
    let config = Config::from_toml(&uncommented, root.join("config"))
        .unwrap_or_else(|faults| panic!("{faults}\n{uncommented}"));
    assert!(matches!(&config.auth, Auth::Tokens(tokens) if !tokens.is_empty()));
    assert!(!config.mappers.is_empty());
    let defaults = load("");
    assert_eq!(
        format!("{:?}", config.limits),
        format!("{:?}", defaults.limits)
    );
    assert_eq!(config.server.listen, defaults.server.listen);
    assert_eq!(
        config.server.max_connections,
        defaults.server.max_connections
    );
    assert_eq!(config.heartbeat.interval, defaults.heartbeat.interval);
    assert_eq!(config.stop.grace, defaults.stop.grace);
    assert_eq!(
        format!("{:?}", config.reload),
        format!("{:?}", defaults.reload)
    );
}

#[test]
fn each_layer_overrides_the_one_before() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
        std::fs::write(path, text).expect("file");
    };
    write(
        DEFAULT_FILE,
        "[limits]\nimages = 1\nreplay_records = 1\nsubagent_depth = 1\njson_depth = 11\n\
         [storage]\npath = \"here\"\n[plugins]\nsearch_paths = [\"libs\"]",
    );
    write(
        "other/host.toml",
        "[limits]\nreplay_records = 2\nsubagent_depth = 2\njson_depth = 12\n\
         [plugins.libraries.echo]\nfile = \"../lib/echo.so\"",
    );
    let config = Loader::empty()
        .default_file_in(folder.path())
        .file("other/host.toml")
        .env(variables(&[
            ("ROUNDHOUSE_LIMITS__SUBAGENT_DEPTH", "3"),
            ("ROUNDHOUSE_LIMITS__JSON_DEPTH", "13"),
            ("OTHER_LIMITS__IMAGES", "99"),
        ]))
        .flag("--json-depth", "limits.json_depth", 14)
        .load()
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.limits.images, 1);
    assert_eq!(config.limits.replay_records, 2);
    assert_eq!(config.limits.subagent_depth, 3);
    assert_eq!(config.limits.json_depth, 14);
    // Paths start at the file that names them.
    let config_folder = folder.path().join("config");
    assert_eq!(config.storage.path, config_folder.join("here"));
    assert_eq!(config.plugins.search_paths, [config_folder.join("libs")]);
    assert_eq!(
        config.plugins.libraries["echo"].file,
        LibraryFile::Path(folder.path().join("other/../lib/echo.so"))
    );
}

#[test]
fn paths_from_outside_files_start_in_the_working_directory() {
    let config = Loader::empty()
        .env(variables(&[
            ("ROUNDHOUSE_STORAGE__PATH", "state"),
            ("ROUNDHOUSE_PLUGINS__LIBRARIES__ECHO__FILE", "echo.so"),
        ]))
        .load()
        .expect("right");
    assert_eq!(config.storage.path, Path::new("state"));
    assert_eq!(
        config.plugins.libraries["echo"].file,
        LibraryFile::Path(PathBuf::from("echo.so"))
    );
}

#[test]
fn variables_take_texts_numbers_lists_and_tables() {
    let hash = "1234567890".repeat(6) + "1234";
    let tokens = format!("[{{owner=\"alice\", sha256=\"{hash}\"}}]");
    let config = Loader::empty()
        .env(variables(&[
            ("ROUNDHOUSE_SERVER__LISTEN", "[::1]:0"),
            (
                "ROUNDHOUSE_SERVER__ORIGINS",
                "[\"https://a.example\", https://b.example]",
            ),
            ("ROUNDHOUSE_HEARTBEAT__INTERVAL", "1.5"),
            ("ROUNDHOUSE_STOP__GRACE", "250ms"),
            ("ROUNDHOUSE_LIMITS__EVENT_BYTES", "512 KiB"),
            ("ROUNDHOUSE_LIMITS__IMAGE_BYTES", "1000"),
            ("ROUNDHOUSE_PLUGINS__LIBRARIES__ECHO__REQUIRED", "false"),
            ("ROUNDHOUSE_PLUGINS__LIBRARIES__ECHO__SHA256", &hash),
            ("ROUNDHOUSE_AGENTS__ECHO__DISPLAY_NAME", "42"),
            (
                "ROUNDHOUSE_AGENTS__ECHO__CONFIG",
                "{words = 3, deep = {x = [1, true]}}",
            ),
            ("ROUNDHOUSE_AGENTS__ECHO__CONFIG__DELAY", "0.5"),
            ("ROUNDHOUSE_AUTH__TOKENS", &tokens),
            // What Kubernetes adds for a service named `roundhouse`.
            ("ROUNDHOUSE_SERVICE_HOST", "10.0.0.1"),
            ("ROUNDHOUSE_SERVICE_PORT_HTTP", "80"),
            ("ROUNDHOUSE_PORT", "tcp://10.0.0.1:80"),
            ("ROUNDHOUSE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ]))
        .load()
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.server.listen.to_string(), "[::1]:0");
    assert_eq!(
        config.server.origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(config.heartbeat.interval, Duration::from_millis(1_500));
    assert_eq!(config.stop.grace, Duration::from_millis(250));
    assert_eq!(config.limits.event_bytes, 512 << 10);
    assert_eq!(config.limits.image_bytes, 1_000);
    assert!(!config.plugins.libraries["echo"].required);
    assert!(config.plugins.libraries["echo"].sha256.is_some());
    let echo = &config.agents["echo"];
    assert_eq!(echo.display_name, "42");
    assert_eq!(
        echo.config.value(),
        &json!({"words": 3, "deep": {"x": [1, true]}, "delay": 0.5})
    );
    let delay = echo.config.place("/delay");
    assert_eq!(
        delay.source.to_string(),
        "environment variable ROUNDHOUSE_AGENTS__ECHO__CONFIG__DELAY"
    );
    assert!(matches!(&config.auth, Auth::Tokens(tokens) if tokens[0].sha256[0] == 0x12));
}

#[test]
fn swapping_a_backend_is_one_line() {
    let config = |component: &str| {
        load(&format!(
            "{PLUGIN}[plugins.libraries.scripted]\nfile = \"roundhouse_scripted\"\n\
             [agents.main]\ncomponent = \"{component}\"\n"
        ))
    };
    assert_eq!(config("echo/echo").agents["main"].component.plugin, "echo");
    let swapped = config("scripted/scripted");
    assert_eq!(swapped.agents["main"].component.plugin, "scripted");
}

#[test]
fn a_components_table_keeps_its_order_and_its_places() {
    let config = load(&format!(
        "{PLUGIN}[agents.a]\ncomponent = \"echo/echo\"\n[agents.a.config]\nz = 1\na = [{{ m = 2 }}]\nk = 5.0\n"
    ));
    let table = &config.agents["a"].config;
    assert_eq!(
        table.value().to_string(),
        r#"{"z":1,"a":[{"m":2}],"k":5.0}"#
    );
    let fault = table.fault("/a/0/m", "is wrong", "expected better");
    assert_eq!(
        fault.to_string(),
        "roundhouse.toml:7: agents.a.config.a[0].m: is wrong; expected better"
    );
    let missing = table.fault("/b", "is missing", "");
    assert_eq!(
        missing.to_string(),
        "roundhouse.toml:5: agents.a.config.b: is missing"
    );
}
