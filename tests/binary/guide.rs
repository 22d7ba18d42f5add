//! The guide for authors of plugins, `docs/writing-plugins.md`: its commands are run in their order, its files are what
//! they compile, and what it shows of their output is what they print.
//!
//! A comment before a block says what it is, where it is no plain command: `<!-- file: PATH -->` for a file that is
//! written, `<!-- background -->` for a host that serves from then on, `<!-- output -->` for lines that the commands
//! before must have printed. `<!-- stop -->` ends the host. Blocks in other languages without a comment are left alone.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::nested::{binaries, environment};

/// What the guide has its reader put into the path.
const READERS_PATH: &str = "/path/to/roundhouse/target/release";

#[derive(Debug, PartialEq)]
enum Step {
    /// Commands.
    Run(String),
    /// A command that goes on.
    Serve(String),
    /// The end of that.
    Stop,
    /// A file and its text.
    File(String, String),
    /// Lines that the latest commands have printed.
    Output(String),
}

/// The steps of the guide, each with the line that it begins in.
fn steps(guide: &str) -> Vec<(usize, Step)> {
    let mut steps = Vec::new();
    let mut comment: Option<String> = None;
    let mut lines = (1..).zip(guide.lines());
    while let Some((number, line)) = lines.next() {
        let said = line
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(said) = said {
            if said == "stop" {
                steps.push((number, Step::Stop));
            } else {
                comment = Some(said.to_owned());
            }
            continue;
        }
        let Some(language) = line.strip_prefix("```") else {
            assert!(
                line.is_empty() || comment.is_none(),
                "line {number}: a block is missing"
            );
            continue;
        };
        let mut text = String::new();
        for (_, line) in lines.by_ref() {
            if line == "```" {
                break;
            }
            let _ = writeln!(text, "{line}");
        }
        let step = match (comment.take().as_deref(), language) {
            (None, "sh") => Step::Run(text),
            (Some("background"), "sh") => Step::Serve(text),
            (Some("output"), _) => Step::Output(text),
            (Some(other), _) => match other.strip_prefix("file: ") {
                Some(path) => Step::File(path.to_owned(), text),
                None => panic!("line {number}: what is `{other}`?"),
            },
            (None, _) => continue,
        };
        steps.push((number, step));
    }
    steps
}

/// A shell script that takes the steps in `folder`. Hosts take a port that is free, whatever the guide says.
fn script(steps: &[(usize, Step)], folder: &Path) -> String {
    let mut script = r#"
        set -euo pipefail
        export ROUNDHOUSE_SERVER__LISTEN=127.0.0.1:0
        HOST=
        end() {
            [ -z "$HOST" ] || { kill -INT "$HOST"; wait "$HOST"; }
            HOST=
        }
        trap 'end || true' EXIT
        roundhouse() {
            if [ "$1" = chat ]; then
                shift
                command roundhouse chat --url "http://$ADDRESS" "$@"
            else
                command roundhouse "$@"
            fi
        }
        serving() {
            until grep -q 'listens on http://' "$1"; do
                kill -0 "$HOST" || { cat "$1"; return 1; }
                sleep 0.02
            done
            ADDRESS=$(sed -n 's/.*listens on http:\/\/\([0-9.:]*\).*/\1/p' "$1" | head -n 1)
        }
    "#
    .to_owned();
    let path = |name: String| folder.join(name).display().to_string();
    for (number, step) in steps {
        let out = path(format!("out.{number}"));
        let _ = match step {
            Step::Run(commands) => {
                let commands = commands
                    .replace(READERS_PATH, &binaries().display().to_string())
                    .replace("127.0.0.1:8080", "$ADDRESS");
                writeln!(
                    script,
                    "echo 'line {number}' >&2\n{{\n{commands}}} > {out} 2>&1 || {{ cat {out}; exit 1; }}"
                )
            }
            Step::Serve(command) => {
                let command = command.trim();
                writeln!(
                    script,
                    "command {command} > {out} 2>&1 & HOST=$!\nserving {out}"
                )
            }
            Step::Stop => writeln!(script, "end"),
            Step::File(name, text) => {
                let from = path(format!("file.{number}"));
                std::fs::write(&from, text).unwrap();
                writeln!(script, "cp {from} {name}")
            }
            Step::Output(_) => Ok(()),
        };
    }
    script
}

#[test]
fn the_guide_leads_from_an_empty_folder_to_production() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/writing-plugins.md");
    let steps = steps(&std::fs::read_to_string(file).unwrap());
    let commands = steps
        .iter()
        .filter(|(_, step)| matches!(step, Step::Run(_)));
    assert!(commands.count() >= 10, "the guide has commands");
    let (scratch, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg(script(&steps, scratch.path()))
        .current_dir(work.path());
    let ended = environment(&mut shell).output().unwrap();
    assert!(
        ended.status.success(),
        "docs/writing-plugins.md, the last of these lines:\n{}{}",
        String::from_utf8_lossy(&ended.stderr),
        String::from_utf8_lossy(&ended.stdout)
    );
    let mut printed = String::new();
    for (number, step) in &steps {
        match step {
            Step::Run(_) => {
                let out = scratch.path().join(format!("out.{number}"));
                printed = std::fs::read_to_string(out).unwrap();
            }
            Step::Output(shown) => {
                // In their order; what the guide leaves out between and behind them is left out.
                let mut rest = printed.as_str();
                for line in shown.lines() {
                    let Some(at) = rest.find(line) else {
                        panic!(
                            "docs/writing-plugins.md:{number}: `{line}` was not printed:\n{printed}"
                        )
                    };
                    rest = &rest[at + line.len()..];
                }
            }
            Step::Serve(_) | Step::Stop | Step::File(..) => {}
        }
    }
}
