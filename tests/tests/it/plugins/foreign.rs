//! Libraries that were built otherwise than the host: by another release of the compiler, with another
//! optimisation, with another allocator, and with `panic=abort`.
//!
//! They are built here, of the same fixture, into a target folder of their own. The first time takes a minute.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use roundhouse_host::plugin::{Mapped, RunEnd, ToolRequest};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::stage::{EVENT_BYTES, Recorder, Stage, answer, mapper_params, run, soon, toml_path};

/// Where everything of this module is built. Of the build's own target folder, so that it is kept.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign")
}

/// Builds the fixture and answers where a copy of its library is. `name` tells the copies apart: Cargo has one name
/// for all of them.
fn build(name: &str, toolchain: Option<&str>, cargo: &[&str], rustc: &[&str]) -> PathBuf {
    std::fs::create_dir_all(target()).unwrap();
    // One at a time, for they build the same file. Held until the copy was made.
    let turn = File::create(target().join("turn")).unwrap();
    turn.lock().unwrap();
    // What the build that runs this test was told is not meant for this one.
    let cargo_itself = match toolchain {
        None => env!("CARGO"),
        Some(_) => "cargo",
    };
    let mut command = Command::new(cargo_itself);
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        let is_cargos = name.starts_with("CARGO_") && name != "CARGO_HOME";
        if is_cargos
            || name.starts_with("RUSTC")
            || name.contains("RUSTFLAGS")
            || name == "LD_LIBRARY_PATH"
        {
            command.env_remove(&variable);
        }
    }
    if let Some(toolchain) = toolchain {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    command
        .args([
            "rustc",
            "--offline",
            "--locked",
            "--quiet",
            "--lib",
            "--crate-type",
            "cdylib",
        ])
        .args(["--package", "roundhouse-fixture-faulty", "--target-dir"])
        .arg(target())
        // Nobody debugs these, and without it they are built in half the time.
        .args(["--config", "profile.dev.debug=false"])
        .args(cargo)
        .arg("--")
        .args(rustc)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let built = target().join("debug").join(library("fixture_faulty"));
    let copy = target().join(library(name));
    std::fs::copy(built, &copy).unwrap();
    copy
}

fn library(name: &str) -> String {
    format!(
        "{}{name}{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

/// Does a bit of everything with the library.
async fn works(file: &Path) {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "[plugins.libraries.faulty]\nfile = {}\n[agents.main]\ncomponent = \"faulty/agent\"\nconfig.key = \"k\"\n\
             [[agents.main.mappers]]\ncomponent = \"faulty/mapper\"\nconfig.mode = \"dot\"\n\
             [tools.t]\ncomponent = \"faulty/tools\"\n",
            toml_path(file)
        ))
        .await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    assert!(matches!(
        run(agent, "threads 4 100", &host).await,
        RunEnd::Finished(_)
    ));
    assert_eq!(host.deltas().len(), 400);
    assert_eq!(answer(agent, "key").await, "k");
    assert_eq!(answer(agent, "tool any {}").await, "true from the host");
    assert!(matches!(
        run(agent, "panic", &host).await,
        RunEnd::Failed { .. }
    ));

    let (args, cancel) = (json!({"text": "hello"}), CancellationToken::new());
    let request = ToolRequest {
        tool: "echo",
        args: &args,
        call_id: "c",
        run_id: "r",
        session_id: "s",
    };
    let output = soon("a call", catalog.call_tool(agent, request, |_| {}, &cancel)).await;
    assert_eq!((output.success, output.text.as_str()), (true, "hello"));

    let mut chain = agent.open_mappers(&mapper_params()).await.unwrap();
    let mut mapped = Vec::new();
    let became = plugin_api::Event::stream_delta("text").with_parts(|parts| {
        chain.map(parts, EVENT_BYTES, &mut |event| {
            mapped.push(event.text.to_owned())
        })
    });
    assert_eq!(
        (became, mapped),
        (Ok(Mapped::Replaced(1)), vec!["text.".to_owned()])
    );
    drop(chain);
    soon(
        "shutting down",
        catalog.shutdown(std::time::Duration::from_secs(30)),
    )
    .await;
}

#[tokio::test]
async fn another_optimisation_and_another_allocator_make_no_difference() {
    let optimised = [
        "--config",
        "profile.dev.package.roundhouse-plugin-api.opt-level=3",
    ];
    let cargo = [&optimised[..], &["--features", "marking-allocator"]].concat();
    works(&build("optimised", None, &cargo, &["-C", "opt-level=3"])).await;
}

#[tokio::test]
async fn a_library_that_would_end_the_host_with_a_panic_is_refused() {
    let file = build("aborting", None, &[], &["-C", "panic=abort"]);
    let stage = Stage::new();
    let faults = stage
        .faults(&format!(
            "[plugins.libraries.faulty]\nfile = {}\n[agents.main]\ncomponent = \"faulty/agent\"\n",
            toml_path(&file)
        ))
        .await;
    assert!(
        faults.contains("it was built with `panic = \"abort\"`"),
        "{faults}"
    );
}

/// Another toolchain that is installed, and what it is.
fn other_toolchain() -> Option<(String, String)> {
    let version = |toolchain: &str| {
        let output = Command::new("rustup")
            .args(["run", toolchain, "rustc", "--version"])
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let list = Command::new("rustup")
        .args(["toolchain", "list", "--quiet"])
        .output()
        .ok()?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let own = Command::new(env!("CARGO")).arg("--version").output().ok()?;
    let own = String::from_utf8_lossy(&own.stdout)
        .split(' ')
        .nth(1)?
        .to_owned();
    let mut others: Vec<(String, String)> = list
        .lines()
        .filter_map(|line| Some((line.to_owned(), version(line)?)))
        .filter(|(_, version)| version.split(' ').nth(1) != Some(&own))
        .collect();
    // The farther from this one the better.
    others.sort_by_key(|(name, _)| !name.starts_with("nightly"));
    others.into_iter().next()
}

#[tokio::test]
async fn another_release_of_the_compiler_makes_no_difference() {
    let Some((toolchain, version)) = other_toolchain() else {
        // Past the test harness, which keeps what a test that passes prints.
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: no second Rust toolchain is installed (rustup)"
        );
        return;
    };
    let file = build("other_compiler", Some(&toolchain), &[], &[]);
    let search = roundhouse_host::plugin::SearchPath::default();
    let stage = Stage::new();
    let library = roundhouse_host::config::LibraryFile::Path(file.clone());
    let found = roundhouse_host::plugin::inspect(&library, &search, &stage.path("data")).unwrap();
    assert!(
        found.built_with.contains(&version),
        "{} is not {version}",
        found.built_with
    );
    works(&file).await;
}
