//! What an operator sees: whole configurations in, checked values or the list of faults out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use super::*;

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

    // Whatever the schema knows is named in the file, if only in a comment.
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

#[test]
fn faults_of_every_kind_are_told_at_once() {
    assert_snapshot!(faults(
        r#"
hartbeat = { interval = "20s" }
default_agent = "ecko"
mappers = [{ component = "redact/redact", config = { patterns = [] } }, { config = 3 }]

[server]
listen = "localhost:8080"
lisen = "127.0.0.1:1"
origins = ["https://a.example/path", 7]
max_connections = 0

[limits]
images = "ten"
replay_bytes = "8 MB"
frame_bytes = "20 MiB"
event_bytes = 0
json_depth = 1000
run_seconds = "1 hour"
slow_wait = true

[heartbeat]
interval = 0

[storage]
path = ""

[auth]
mode = "token"
tokens = [{ owner = " ", sha256 = "abc" }, { owner = "bob" }]

[log]
filter = "info,=="
format = "xml"

[plugins]
search = ["plugins"]

[plugins.libraries."a/b"]
file = "x"

[plugins.libraries.echo]
file = "roundhouse_echo"
required = "yes"
sha256 = "00"

[agents.echo]
component = "echo"
subagents = ["nobody", "fine"]

[agents.fine]
component = "ehco/echo"
tools = "calculator"

[agents.none]
display_name = "None"

[tools.box]
component = "toolbox/box"
timeout = "0s"
prefix = "my box"
"#
    ), @r#"
    the configuration has 36 faults:
      roundhouse.toml:2: hartbeat: unknown key; did you mean `heartbeat`?
      roundhouse.toml:3: default_agent: names an agent that is not configured; did you mean `echo`?
      roundhouse.toml:4: mappers[1].config: is a number; expected a table
      roundhouse.toml:4: mappers[1].component: is missing; expected a component written as PLUGIN/COMPONENT, such as "echo/echo"
      roundhouse.toml:4: mappers[0].component: names a plugin that is not configured; configured: a/b, echo
      roundhouse.toml:7: server.listen: is not an address to listen on; expected an IP address and a port, such as "127.0.0.1:8080" or "[::1]:8080"
      roundhouse.toml:8: server.lisen: unknown key; did you mean `listen`?
      roundhouse.toml:9: server.origins[1]: is a number; expected a text
      roundhouse.toml:10: server.max_connections: is too small; expected a whole number from 1 to 1000000
      roundhouse.toml:13: limits.images: is a text; expected a whole number from 0 to 1000
      roundhouse.toml:14: limits.replay_bytes: does not have the right form; expected a number of bytes, or a text with a unit (B, KiB, MiB, GiB) such as "512 KiB", "5 MiB"
      roundhouse.toml:15: limits.frame_bytes: is below 4/3 of limits.images_total_bytes; images travel as base64: expected at least 27962027 bytes
      roundhouse.toml:16: limits.event_bytes: is zero; expected a size of at least one byte
      roundhouse.toml:17: limits.json_depth: is too large; expected a whole number from 4 to 127
      roundhouse.toml:18: limits.run_seconds: does not have the right form; expected a number of seconds, or a text with a unit (ms, s, m, h, d) such as "500ms", "20s", "5m"
      roundhouse.toml:19: limits.slow_wait: is a boolean; expected a number of seconds, or a text with a unit (ms, s, m, h, d) such as "500ms", "20s", "5m"
      roundhouse.toml:22: heartbeat.interval: is zero; expected a duration of more than zero
      roundhouse.toml:25: storage.path: is empty; expected a text that is not empty
      roundhouse.toml:28: auth.mode: is not a value that this key takes; expected "none" or "tokens"
      roundhouse.toml:29: auth.tokens[0].owner: does not have the right form; expected a name that is not blank
      roundhouse.toml:29: auth.tokens[0].sha256: does not have the right form; expected a SHA-256: 64 hexadecimal digits
      roundhouse.toml:29: auth.tokens[1].sha256: is missing; expected a SHA-256: 64 hexadecimal digits
      roundhouse.toml:32: log.filter: is not a log filter; expected a level, or directives such as "info,roundhouse_host::run=debug"
      roundhouse.toml:33: log.format: is not a value that this key takes; expected "text" or "json"
      roundhouse.toml:36: plugins.search: unknown key; did you mean `search_paths`?
      roundhouse.toml:38: plugins.libraries."a/b": is not a valid name; expected a name of letters, digits, `.`, `_` and `-` that starts with a letter or a digit
      roundhouse.toml:43: plugins.libraries.echo.required: is a text; expected true or false
      roundhouse.toml:44: plugins.libraries.echo.sha256: does not have the right form; expected a SHA-256: 64 hexadecimal digits
      roundhouse.toml:47: agents.echo.component: does not have the right form; expected a component written as PLUGIN/COMPONENT, such as "echo/echo"
      roundhouse.toml:48: agents.echo.subagents[0]: names an agent that is not configured; configured: echo, fine, none
      roundhouse.toml:51: agents.fine.component: names a plugin that is not configured; did you mean `echo`?
      roundhouse.toml:52: agents.fine.tools: is a text; expected a list
      roundhouse.toml:54: agents.none.component: is missing; expected a component written as PLUGIN/COMPONENT, such as "echo/echo"
      roundhouse.toml:58: tools.box.component: names a plugin that is not configured; configured: a/b, echo
      roundhouse.toml:59: tools.box.timeout: is zero; expected a duration of more than zero
      roundhouse.toml:60: tools.box.prefix: does not have the right form; expected letters, digits, `_` and `-`
    "#);
}

#[test]
fn plugin_tables_in_the_wrong_place_are_led_to_the_right_one() {
    assert_snapshot!(faults("[plugins.echo]\nfile = \"x\"\n"), @r#"
    the configuration has a fault:
      roundhouse.toml:1: plugins.echo: unknown key; did you mean `libraries.echo`?
    "#);
}

#[test]
fn listening_elsewhere_takes_tokens_or_a_plain_word() {
    let open = "server.listen = \"0.0.0.0:8080\"\n";
    assert_snapshot!(faults(open), @r#"
    the configuration has a fault:
      roundhouse.toml:1: server.listen: is not a loopback address, and no authentication is configured; add tokens under auth.tokens, or write auth.mode = "none" to let everybody in
    "#);
    assert!(matches!(
        load(&format!("{open}auth.mode = \"none\"")).auth,
        Auth::None
    ));
    let tokens = format!(
        "{open}[[auth.tokens]]\nowner = \"a\"\nsha256 = \"{:064}\"",
        1
    );
    assert!(matches!(load(&tokens).auth, Auth::Tokens(_)));
    assert_snapshot!(faults("auth.mode = \"tokens\""), @r#"
    the configuration has a fault:
      roundhouse.toml:1: auth.mode: asks for tokens, but none are listed; add a token under auth.tokens, or write mode = "none"
    "#);
    assert!(matches!(
        load("server.listen = \"[::ffff:127.0.0.1]:1\"").auth,
        Auth::None
    ));
}

#[test]
fn a_token_is_listed_once() {
    let same = "[[auth.tokens]]\nowner = \"a\"\nsha256 = \"AB";
    let text = format!("{same}{:062}\"\n{}{:062}\"", 7, same.to_lowercase(), 7);
    assert_snapshot!(faults(&text), @r#"
    the configuration has a fault:
      roundhouse.toml:6: auth.tokens[1].sha256: is the same token as auth.tokens[0]; remove one of the two
    "#);
}

#[test]
fn the_frame_must_hold_the_images() {
    assert_snapshot!(faults("limits.frame_bytes = \"26 MiB\""), @r#"
    the configuration has a fault:
      roundhouse.toml:1: limits.frame_bytes: is below 4/3 of limits.images_total_bytes; images travel as base64: expected at least 27962027 bytes
    "#);
    assert_snapshot!(faults("limits.images_total_bytes = \"30 MiB\""), @r#"
    the configuration has a fault:
      roundhouse.toml:1: limits.images_total_bytes: is above 3/4 of limits.frame_bytes; images travel as base64: expected at most 25165824 bytes
    "#);
    load("limits = { frame_bytes = \"40 MiB\", images_total_bytes = \"30 MiB\" }");
}

#[test]
fn several_agents_need_a_default() {
    let agents = "[agents.a]\ncomponent = \"echo/echo\"\n[agents.b]\ncomponent = \"echo/echo\"\n";
    assert_snapshot!(faults(&format!("{PLUGIN}{agents}")), @r#"
    the configuration has a fault:
      roundhouse.toml:3: default_agent: is missing; of several agents, name the one of a session that names none
    "#);
    load(&format!("default_agent = \"b\"\n{PLUGIN}{agents}"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join(DEFAULT_FILE);
    std::fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
    std::fs::write(
        &path,
        "[server\nlisten = \"127.0.0.1:1\"\nport = 1\nport = 2\n",
    )
    .expect("file");
    let faults = Loader::empty()
        .default_file_in(folder.path())
        .file("missing.toml")
        .env(variables(&[("ROUNDHOUSE___X", "1")]))
        .load()
        .expect_err("two broken files");
    let shown = faults
        .to_string()
        .replace(&folder.path().display().to_string(), "FOLDER");
    assert_snapshot!(shown, @r#"
    the configuration has 3 faults:
      FOLDER/config/roundhouse.toml:1: is not valid TOML: unclosed table, expected `]`
      FOLDER/missing.toml: cannot be read: No such file or directory (os error 2)
      environment variable ROUNDHOUSE___X: does not name a key; write the key's levels with two underscores between them, as in ROUNDHOUSE_SERVER__LISTEN
    "#);
}

#[test]
fn variables_and_flags_are_named_in_faults() {
    let faults = Loader::empty()
        .env(variables(&[
            ("ROUNDHOUSE_SERVER__MAX_CONNECTIONS", "many"),
            ("ROUNDHOUSE_SERVER__LISTEM", "127.0.0.1:1"),
            ("ROUNDHOUSE_TYPO", "1"),
            ("ROUNDHOUSE_LOG", "debug"),
            ("ROUNDHOUSE_HEARTBEAT__INTERVAL", "often"),
        ]))
        .flag("--listen", "server.listen", "8080")
        .load()
        .expect_err("wrong");
    assert_snapshot!(faults.to_string(), @r#"
    the configuration has 6 faults:
      environment variable ROUNDHOUSE_HEARTBEAT__INTERVAL: heartbeat.interval: does not have the right form; expected a number of seconds, or a text with a unit (ms, s, m, h, d) such as "500ms", "20s", "5m"
      environment variable ROUNDHOUSE_LOG: log: is a text; expected a table
      environment variable ROUNDHOUSE_SERVER__LISTEM: server.listem: unknown key; did you mean `listen`?
      environment variable ROUNDHOUSE_SERVER__MAX_CONNECTIONS: server.max_connections: is a text; expected a whole number from 1 to 1000000
      environment variable ROUNDHOUSE_TYPO: typo: unknown key; known keys here: server, limits, heartbeat, stop, storage, auth, log, plugins, agents, tools, default_agent, mappers
      flag --listen: server.listen: is not an address to listen on; expected an IP address and a port, such as "127.0.0.1:8080" or "[::1]:8080"
    "#);
    let faults = Loader::empty()
        .env(variables(&[
            ("ROUNDHOUSE_LOG", "debug"),
            ("ROUNDHOUSE_LOG__FORMAT", "json"),
        ]))
        .load()
        .expect_err("wrong");
    assert_snapshot!(faults.to_string(), @r#"
    the configuration has a fault:
      environment variable ROUNDHOUSE_LOG: stands where ROUNDHOUSE_LOG__FORMAT expects a table; remove one of the two
    "#);
}

/// A text that must not be seen, put in the place of every value of a configuration.
#[test]
fn no_fault_shows_a_value() {
    const HIDDEN: &str = "hush-8c1d";
    let keys = [
        "server.listen",
        "server.origins",
        "server.max_connections",
        "limits.images",
        "limits.event_bytes",
        "limits.run_seconds",
        "heartbeat.interval",
        "heartbeat",
        "auth",
        "auth.mode",
        "auth.tokens",
        "log.format",
        "plugins.search_paths",
        "plugins.libraries",
        "plugins.libraries.echo",
        "plugins.libraries.echo.sha256",
        "plugins.libraries.echo.required",
        "agents",
        "agents.echo",
        "agents.echo.config",
        "agents.echo.tools",
        "agents.echo.mappers",
        "tools",
        "mappers",
        "unknown",
        "agents.echo.unknown",
    ];
    for key in keys {
        for value in [
            json!(HIDDEN),
            json!([HIDDEN]),
            json!([[HIDDEN]]),
            json!({"owner": HIDDEN, "sha256": HIDDEN}),
            json!([{"owner": HIDDEN, "sha256": HIDDEN, "mode": [HIDDEN]}]),
        ] {
            if let Err(faults) = Loader::empty().flag("--flag", key, value.clone()).load() {
                let shown = format!("{faults} {faults:?}");
                assert!(!shown.contains(HIDDEN), "{key} = {value}: {shown}");
            }
        }
    }
    // What a broken file holds is not quoted either.
    for text in [
        "a = \"hush-8c1d",
        "hush = = 'hush-8c1d'",
        "[a]\nb = hush-8c1d",
    ] {
        let shown = faults(text);
        assert!(!shown.contains("hush-8c1d"), "{shown}");
    }
    let config = load(&format!(
        "{PLUGIN}[agents.a]\ncomponent = \"echo/echo\"\nconfig.key = \"{HIDDEN}\"\n\
         [[auth.tokens]]\nowner = \"o\"\nsha256 = \"{:064}\"",
        1
    ));
    assert!(!format!("{config:?}").contains(HIDDEN));
    assert!(!format!("{config:?}").contains("sha256: [0"));
}

proptest! {
    /// A value of any kind in any place either works or is a fault that names the place;
    /// nothing gets past the schema that the types then refuse.
    #[test]
    fn any_value_anywhere_is_judged(
        key in prop::sample::select(vec![
            "server", "server.listen", "server.origins", "server.max_connections", "limits",
            "limits.replay_records", "limits.file_bytes", "limits.run_seconds",
            "limits.json_depth", "heartbeat.interval", "stop.grace", "storage.path",
            "auth.mode", "auth.tokens", "log.filter", "log.format", "plugins",
            "plugins.libraries.echo", "plugins.libraries.echo.file", "agents", "agents.echo",
            "agents.echo.component", "agents.echo.subagents", "agents.echo.mappers",
            "tools", "tools.t.timeout", "mappers", "default_agent", "x",
        ]),
        value in prop_oneof![
            any::<bool>().prop_map(|v| json!(v)),
            any::<i64>().prop_map(|v| json!(v)),
            (-10_000i64..10_000).prop_map(|v| json!(v)),
            (-1e12f64..1e12).prop_map(|v| json!(v)),
            (-100i32..100).prop_map(|v| json!(f64::from(v))),
            "[a-z0-9:./ ]{0,12}".prop_map(|v| json!(v)),
            "[0-9]{1,12} ?(s|ms|MiB|B)".prop_map(|v| json!(v)),
            Just(json!([])),
            Just(json!({})),
            Just(json!([{"component": 1}, {"owner": "x"}, 5, "a"])),
            Just(json!({"component": "echo/echo", "config": 1})),
        ],
    ) {
        if let Err(Faults(faults)) = Loader::empty().flag("--set", key, value).load() {
            for fault in faults {
                prop_assert!(!fault.key.is_empty(), "{fault}");
                prop_assert!(!fault.problem.is_empty());
            }
        }
    }
}
