//! The table in `docs/faults.md` is the cells.

use std::fmt::Write as _;
use std::path::Path;

use super::cells::{Cell, Client, Operator, Survives, cell};
use super::{ALL, Combination, Component, Fault, Isolation};

const BEGIN: &str = "<!-- The table is made by the tests: UPDATE_DOCS=1 cargo test -p roundhouse-host --test binary faults::document -->\n";
const END: &str = "<!-- The end of the table. -->\n";

#[test]
fn it_is_what_the_tests_expect() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(
        found == table,
        "docs/faults.md is stale; run: UPDATE_DOCS=1 cargo test -p roundhouse-host --test binary faults::document"
    );
}

fn table() -> String {
    let mut table = "\n| fault | in | isolation | the client sees | the operator sees | what survives | test |\n\
                     | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for combination in ALL.iter().copied().flatten() {
        let Combination {
            test,
            fault,
            component,
            isolation,
        } = combination;
        let Cell {
            client,
            operator,
            survives,
        } = cell(*fault, *component, *isolation);
        let mut operator: Vec<String> = operator
            .iter()
            .map(|seen| seen_by_operator(*seen))
            .collect();
        if operator.is_empty() {
            operator.push("nothing unusual".to_owned());
        }
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | `{test}` |",
            fault_name(*fault),
            component_name(*component),
            isolation_name(*isolation),
            seen_by_client(client),
            operator.join("; "),
            what_survives(survives),
        )
        .unwrap();
    }
    table.push('\n');
    table
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Panic => "panic",
        Fault::Abort => "abort",
        Fault::Segfault => "segfault",
        Fault::EndlessLoop => "endless loop",
        Fault::IgnoresStop => "ignores stop",
        Fault::GarbageEvents => "garbage events",
        Fault::MillionEvents => "million-event burst",
        Fault::LateEmits => "late emits",
        Fault::Leak => "leak",
        Fault::SlowStart => "slow start",
        Fault::FailsCreate => "fails `create`",
        Fault::VersionTooNew => "version too new",
        Fault::ReplacedInPlace => "library replaced in place",
    }
}

fn component_name(component: Component) -> &'static str {
    match component {
        Component::Agent => "agent",
        Component::Tool => "tool",
        Component::Mapper => "mapper",
    }
}

fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::InProcess => "in-process",
        Isolation::Process => "process",
    }
}

fn seen_by_client(client: Client) -> String {
    match client {
        Client::Ends => "nothing unusual: all of it, and `stream_end`".to_owned(),
        Client::Error(message) => format!("`error`: `{message}`"),
        Client::Refused(message) => format!("the message is refused: {}", code(message)),
        Client::Stopped => "`stream_stopped`".to_owned(),
        Client::ToolFails(result) => format!(
            "`tool_call` without success: {}; the agent goes on",
            code(result)
        ),
        Client::Lost => "the connection breaks; after the next start the run is `lost`".to_owned(),
        Client::Waits => "nobody can connect until it is made; then nothing unusual".to_owned(),
    }
}

fn seen_by_operator(seen: Operator) -> String {
    match seen {
        Operator::Counted(kind) => format!("`roundhouse_plugin_failures_total{{kind=\"{kind}\"}}`"),
        Operator::Logged(text) => format!("log: {}", code(text)),
        Operator::Died(6) => "**the host is ended by SIGABRT**".to_owned(),
        Operator::Died(11) => "**the host is ended by SIGSEGV**".to_owned(),
        Operator::Died(signal) => format!("**the host is ended by signal {signal}**"),
        Operator::Grows => "the host's memory grows, until it is restarted".to_owned(),
        Operator::Failed(reason) => format!(
            "`check` and a start are refused: {}; with `required = false` `/plugins` shows it as failed",
            code(reason)
        ),
    }
}

/// Text that may hold backticks, as code.
fn code(text: &str) -> String {
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

fn what_survives(survives: Survives) -> &'static str {
    match survives {
        Survives::All => "every other run, those of the plugin too; the session's next run",
        Survives::FreshCopy => {
            "the runs of other plugins; the plugin's next run is served from a fresh copy of the library"
        }
        Survives::NewWorker => {
            "the runs of other plugins; those of the same worker end with the same error, and the plugin's next run is served by a new one"
        }
        Survives::OtherWorker => {
            "the runs of other plugins; the plugin's next run is served by another worker, and this one is ended as soon as its other runs are over"
        }
        Survives::Stored => {
            "what is stored; all runs in progress are `lost`, and the next start serves"
        }
        Survives::Everything => "there is nothing yet that could be harmed",
        Survives::Others => "everything that does not need the plugin",
    }
}
