//! The texts of faults.

use insta::assert_snapshot;

use super::*;

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

/// What the loading of plugins does with a component's own schema.
#[test]
fn a_components_table_is_judged_by_its_own_schema() {
    let config = load(&format!(
        "{PLUGIN}[agents.a]\ncomponent = \"echo/echo\"\n[agents.a.config]\nmodel = 3\n\
         mode = \"hush-8c1d\"\napi_key = \"hush-8c1d\"\nurls = [\"a\", \"a\"]\ntemprature = 1\n\
         [agents.a.config.retry]\ntimes = 99\n"
    ));
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["region"],
        "properties": {
            "model": {"type": "string"},
            "mode": {"oneOf": [{"const": "fast"}, {"const": "slow"}]},
            "api_key": {"anyOf": [{"type": "integer"}, {"type": "object"}]},
            "urls": {"type": "array", "uniqueItems": true},
            "temperature": {"type": "number"},
            "region": {"type": "string", "minLength": 1},
            "retry": {"$ref": "#/$defs/Retry"},
        },
        "$defs": {"Retry": {"properties": {"times": {"type": "integer", "maximum": 9}}}},
    });
    let validator = jsonschema::Validator::new(&schema).expect("a valid schema");
    let table = &config.agents["a"].config;
    let found = breaches(&validator, &schema, table.value());
    let faults = found.iter().map(|breach| breach.fault(table)).collect();
    let shown = Faults(faults).to_string();
    assert!(!shown.contains("hush-8c1d"));
    assert_snapshot!(shown, @r#"
    the configuration has 7 faults:
      roundhouse.toml:6: agents.a.config.model: is a number; expected a text
      roundhouse.toml:7: agents.a.config.mode: fits none of the forms that this key takes; expected "fast" or "slow"
      roundhouse.toml:8: agents.a.config.api_key: fits none of the forms that this key takes; expected a whole number or a table
      roundhouse.toml:9: agents.a.config.urls: has an item twice; expected a list
      roundhouse.toml:12: agents.a.config.retry.times: is too large; expected a whole number of at most 9
      roundhouse.toml:10: agents.a.config.temprature: unknown key; did you mean `temperature`?
      roundhouse.toml:5: agents.a.config.region: is missing; expected a text that is not empty
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
fn a_host_that_listens_elsewhere_already_is_judged_by_that() {
    let elsewhere = "0.0.0.0:8080".parse().unwrap();
    let load = |text: &str| {
        let loader = Loader::empty().text("roundhouse.toml", text);
        match loader.listening_on(elsewhere).load() {
            Ok(_) => "no fault".to_owned(),
            Err(faults) => faults.to_string(),
        }
    };
    assert_snapshot!(load("server.listen = \"127.0.0.1:1\"\n[auth]\ntokens = []"), @r#"
    the configuration has a fault:
      roundhouse.toml:2: auth: asks for no authentication, and the host listens on 0.0.0.0:8080 until it is restarted; add tokens under auth.tokens, or write auth.mode = "none" to let everybody in
    "#);
    assert_eq!(load("auth.mode = \"none\""), "no fault");
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
      environment variable ROUNDHOUSE_TYPO: typo: unknown key; known keys here: server, limits, heartbeat, stop, storage, auth, log, metrics, reload, telemetry, plugins, agents, tools, default_agent, mappers
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
