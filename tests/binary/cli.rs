//! The command line: what it prints, where, and with which exit code.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, Serving, output, roundhouse};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must succeed; its standard output.
fn good(folder: &Path, args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = output(folder, args);
    assert!(status.success(), "{args:?}: {status}\n{}", text(&stderr));
    text(&stdout)
}

/// Runs a command that must fail with exit code 1 and nothing on standard output; its standard error.
fn bad(folder: &Path, args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = output(folder, args);
    assert_eq!(status.code(), Some(1), "{args:?}\n{}", text(&stderr));
    assert_eq!(text(&stdout), "", "{args:?}");
    text(&stderr)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn schemas_are_those_that_are_checked_in() {
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    for name in ["client", "server", "config", "openapi", "asyncapi"] {
        let printed = good(folder().path(), &["schema", name]);
        let file = checked_in.join(name).with_extension("json");
        let expected = std::fs::read_to_string(&file).unwrap();
        assert!(
            printed == expected,
            "{} is stale: roundhouse schema {name} > {0}",
            file.display()
        );
    }
}

#[test]
fn without_any_file_echo_is_served() {
    let folder = folder();
    let checked = good(folder.path(), &["check"]);
    assert!(
        checked.contains("agents: echo (default: echo)"),
        "{checked}"
    );
    assert!(checked.ends_with("ok\n"), "{checked}");
    assert!(
        !folder.path().join("data").exists(),
        "a check leaves nothing behind"
    );
}

#[test]
fn the_shipped_configuration_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = good(&root, &["plugin", "list"]);
    for name in ["echo", "redact", "scripted", "toolbox"] {
        assert!(
            listed.contains(&format!("{name}\tloaded\trequired\t")),
            "{listed}"
        );
    }
}

#[test]
fn check_tells_every_fault_at_once() {
    let folder = folder();
    let file = folder.path().join("bad.toml");
    std::fs::write(
        &file,
        "[server]\nlisen = \"x\"\n[limits]\nimages = \"many\"\n",
    )
    .unwrap();
    let said = bad(folder.path(), &["check", "--config", "bad.toml"]);
    assert!(
        said.contains("bad.toml:2: server.lisen: unknown key; did you mean `listen`?"),
        "{said}"
    );
    assert!(said.contains("limits.images"), "{said}");
}

#[test]
fn check_tells_every_faulty_plugin() {
    let folder = folder();
    let file = folder.path().join("bad.toml");
    let text = r#"
        default_agent = "a"
        [plugins.libraries.gone]
        file = "./gone.so"
        [plugins.libraries.text]
        file = "./text.so"
        [plugins.libraries.echo]
        file = "roundhouse_echo"
        [agents.a]
        component = "echo/nobody"
        [agents.b]
        component = "gone/b"
        [agents.c]
        component = "text/c"
    "#;
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("text.so"), "not a library").unwrap();
    let checked = bad(folder.path(), &["check", "--config", "bad.toml"]);
    for part in ["gone.so", "text.so", "has no agent `nobody`"] {
        assert!(checked.contains(part), "{part} is missing in:\n{checked}");
    }
    let said = bad(
        folder.path(),
        &["serve", "--config", "bad.toml", "--listen", "127.0.0.1:0"],
    );
    // The system's own reason names the copy, which lies elsewhere each time.
    let words = |said: &str| -> Vec<String> {
        let line = |line: &str| {
            line.split(" can open:")
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        said.lines().map(line).collect()
    };
    assert_eq!(words(&checked), words(&said), "serve tells them likewise");
    let listed = bad(folder.path(), &["plugin", "list", "--config", "bad.toml"]);
    assert_eq!(words(&checked), words(&listed));
    // In the file's order, whatever the plugins' names are.
    let places: Vec<u32> = said
        .lines()
        .filter_map(|line| {
            line.split_once("bad.toml:")?
                .1
                .split(':')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(places.len(), 3, "{said}");
    assert!(places.is_sorted(), "{said}");
}

#[test]
fn a_process_that_a_plugin_leaves_behind_holds_nobody_up() {
    let folder = folder();
    let until = folder.path().join("until");
    let toml = format!(
        "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\n[agents.a]\ncomponent = \"faulty/agent\"\nconfig.child = {until:?}\n"
    );
    std::fs::write(folder.path().join("c.toml"), toml).unwrap();
    let mut check = roundhouse(folder.path(), &["check", "--config", "c.toml"]);
    let mut check = check.stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        match check.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if begun.elapsed() > PATIENCE => break None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    std::fs::write(until, "").unwrap();
    if status.is_none() {
        check.kill().unwrap();
    }
    let checked = check.wait_with_output().unwrap();
    assert!(status.is_some_and(|status| status.success()), "{checked:?}");
    assert!(text(&checked.stdout).ends_with("ok\n"), "{checked:?}");
}

#[test]
fn check_fails_when_the_default_agent_cannot_answer() {
    let folder = folder();
    let text = r#"
        default_agent = "gone"
        [plugins.libraries.gone]
        file = "./gone.so"
        required = false
        [agents.gone]
        component = "gone/gone"
    "#;
    std::fs::write(folder.path().join("c.toml"), text).unwrap();
    let checked = output(folder.path(), &["check", "--config", "c.toml"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        self::text(&checked.stdout).contains("agent gone: not available"),
        "{checked:?}"
    );
    assert!(
        self::text(&checked.stderr).contains("the default agent `gone`"),
        "{checked:?}"
    );
}

#[test]
fn flags_do_without_the_name_of_the_usual_command() {
    let folder = folder();
    let said = bad(folder.path(), &["--config", "missing.toml"]);
    assert!(said.contains("missing.toml"), "{said}");
}

#[test]
fn inspect_shows_a_library_without_a_configuration() {
    let folder = folder();
    let shown = good(folder.path(), &["plugin", "inspect", "roundhouse_scripted"]);
    assert!(shown.contains("agent `scripted`"), "{shown}");
    let json = good(
        folder.path(),
        &["plugin", "inspect", "--json", "roundhouse_redact"],
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["components"][0]["kind"], "mapper");
    assert_eq!(json["components"][0]["config_schema"]["type"], "object");
}

#[test]
fn inspect_finds_what_the_configuration_names() {
    let folder = folder();
    // A place of its own and a name of its own.
    let shown = good(folder.path(), &["plugin", "inspect", "roundhouse_echo"]);
    let file = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("file "));
    std::fs::create_dir(folder.path().join("own")).unwrap();
    let copy = format!(
        "{}own_name{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    std::fs::copy(file.unwrap().trim(), folder.path().join("own").join(copy)).unwrap();
    let text =
        "[plugins]\nsearch_paths = [\"own\"]\n[plugins.libraries.bird]\nfile = \"own_name\"\n";
    std::fs::write(folder.path().join("own.toml"), text).unwrap();
    for name in ["own_name", "bird"] {
        let args = ["plugin", "inspect", name, "--config", "own.toml"];
        assert!(
            good(folder.path(), &args).contains("agent `echo`"),
            "{name}"
        );
    }
    // Whoever looks for the right settings may have got them wrong.
    std::fs::write(folder.path().join("wrong.toml"), "wrong = 1").unwrap();
    let inspect = |name| ["plugin", "inspect", name, "--config", "wrong.toml"];
    assert!(good(folder.path(), &inspect("roundhouse_echo")).contains("agent `echo`"));
    let said = bad(folder.path(), &inspect("bird"));
    assert!(
        said.contains("wrong.toml:1") && said.contains("libbird"),
        "{said}"
    );
}

#[test]
fn help_is_a_command() {
    let folder = folder();
    assert!(good(folder.path(), &["help"]).contains("Usage: roundhouse"));
    assert!(good(folder.path(), &["help", "serve"]).contains("--listen"));
}

#[test]
fn a_reader_that_has_enough_is_no_fault() {
    let folder = folder();
    for args in [&["schema", "server"][..], &["plugin", "list"], &["check"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = roundhouse(folder.path(), args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(text(&ended.stderr), "", "{args:?}");
        assert!(ended.status.success(), "{args:?}: {}", ended.status);
    }
}

#[test]
fn inspect_of_what_is_no_plugin_says_why() {
    let folder = folder();
    let said = bad(folder.path(), &["plugin", "inspect", "./nothing.so"]);
    assert!(said.contains("there is no file `./nothing.so`"), "{said}");
    let said = bad(folder.path(), &["plugin", "inspect", "nothing"]);
    assert!(
        said.contains("libnothing.so") && said.contains("looked in"),
        "{said}"
    );
}

#[test]
fn a_wrong_call_is_told_from_a_failure() {
    let wrong = output(folder().path(), &["srve"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("serve"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn nothing_is_coloured_where_nobody_looks() {
    let folder = folder();
    let said = bad(folder.path(), &["check", "--config", "missing.toml"]);
    assert!(said.contains("missing.toml"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn a_taken_port_is_told_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = bad(folder().path(), &["serve", "--listen", &address]);
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
}

#[test]
fn other_addresses_need_authentication() {
    let said = bad(folder().path(), &["serve", "--listen", "0.0.0.0:0"]);
    assert!(said.contains("auth"), "{said}");
}

#[test]
fn the_backend_is_swapped_from_the_environment() {
    let folder = folder();
    let mut check = roundhouse(folder.path(), &["check"]);
    check.env("ROUNDHOUSE_AGENTS__ECHO__COMPONENT", "echo/other");
    let checked = check.output().unwrap();
    let said = text(&checked.stderr);
    assert!(
        said.contains("ROUNDHOUSE_AGENTS__ECHO__COMPONENT") && said.contains("other"),
        "{said}"
    );
}

#[test]
fn one_data_folder_serves_one_host() {
    let folder = folder();
    let _first = Serving::start(folder.path(), &[]);
    let said = bad(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("data"), "{said}");
}

#[test]
fn a_second_signal_is_not_needed() {
    let folder = folder();
    for signal in ["TERM", "INT"] {
        let mut host = Serving::start(folder.path(), &[]);
        assert!(host.address.starts_with("127.0.0.1:"), "{}", host.address);
        host.signal(signal);
        assert_eq!(host.ended().code(), Some(0), "{signal}");
    }
}
