//! A host with a suspect among its plugins.

use std::path::PathBuf;
use std::time::Duration;

use roundhouse_host::session::SessionId;
use roundhouse_tests::client::Connect;
use roundhouse_tests::script::delta;
use roundhouse_tests::{Client, Rest, compile_c, script};
use serde_json::{Value, json};

use super::{Component, Fault, Isolation};
use crate::process::Serving;

/// The library that the suspect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    /// The fixture.
    Faulty,
    /// The plugin in C, compiled with these macros: what Rust would not let it do.
    C(&'static [&'static str]),
}

/// A folder with a configuration for one fault of one component, and the host that serves it.
pub(super) struct Host {
    folder: tempfile::TempDir,
    library: Library,
    pub(super) fault: Fault,
    pub(super) component: Component,
    serving: Option<Serving>,
}

impl Host {
    /// Writes the configuration; nothing is started.
    pub(super) fn configured(fault: Fault, component: Component, isolation: Isolation) -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
            library: match fault {
                Fault::GarbageEvents => Library::C(&[]),
                Fault::VersionTooNew => Library::C(&["MINOR=99", "MIN_HOST_MINOR=98"]),
                _ => Library::Faulty,
            },
            fault,
            component,
            serving: None,
        };
        std::fs::create_dir(host.path("config")).unwrap();
        host.write(isolation, true);
        host
    }

    /// Writes the configuration anew, with the suspect required or not.
    pub(super) fn write(&self, isolation: Isolation, required: bool) {
        let text = self.configuration(isolation, required);
        std::fs::write(self.path("config/roundhouse.toml"), text).unwrap();
    }

    fn configuration(&self, isolation: Isolation, required: bool) -> String {
        let file = match self.library {
            Library::Faulty if self.fault == Fault::ReplacedInPlace => self.own_copy(),
            Library::Faulty => PathBuf::from("fixture_faulty"),
            Library::C(macros) => compile_c(self.folder.path(), "c", macros),
        };
        let isolation = match isolation {
            Isolation::InProcess => "",
            Isolation::Process if self.fault == Fault::Leak => {
                "isolation = \"process\"\nmemory_limit = \"160 MiB\"\n"
            }
            Isolation::Process => "isolation = \"process\"\n",
        };
        let text = |path: PathBuf| json!(path.display().to_string());
        let (file, report, until) = (
            text(file),
            text(self.path("report")),
            text(self.path("until")),
        );
        let mut toml = format!(
            "default_agent = \"scripted\"\nstop.grace = \"300ms\"\n\
             [storage]\npath = \"../data\"\n[server]\ndrain_spread = \"0s\"\n\
             [plugins.libraries.scripted]\nfile = \"roundhouse_scripted\"\n\
             [agents.scripted]\ncomponent = \"scripted/scripted\"\n\
             [plugins.libraries.suspect]\nfile = {file}\nrequired = {required}\n{isolation}"
        );
        let config = match self.library {
            Library::C(_) => String::new(),
            Library::Faulty => {
                let create = match self.fault {
                    Fault::SlowStart => "slow",
                    Fault::FailsCreate => "fail",
                    _ => "work",
                };
                match self.component {
                    Component::Mapper => format!(
                        "config = {{ mode = \"told\", create = \"{create}\", until = {until} }}\n"
                    ),
                    _ => format!("config = {{ create = \"{create}\", report = {report} }}\n"),
                }
            }
        };
        // The suspect's own agent is there in any case, for others of its runs, unless it is at fault.
        // It calls no tools, for the plugin in C looks for words in all that it is given.
        toml.push_str("[agents.suspect]\ncomponent = \"suspect/agent\"\ntools = []\n");
        match self.component {
            Component::Agent => toml.push_str(&config),
            Component::Tool => {
                toml.push_str(&format!(
                    "[tools.suspect]\ncomponent = \"suspect/tools\"\ntimeout = \"1s\"\n{config}"
                ));
            }
            Component::Mapper => {
                toml.push_str(&format!(
                    "[agents.mapped]\ncomponent = \"scripted/scripted\"\n\
                     [[agents.mapped.mappers]]\ncomponent = \"suspect/mapper\"\n{config}"
                ));
            }
        }
        toml
    }

    /// A file in the host's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The host's folder.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A library of this test alone.
    fn own_copy(&self) -> PathBuf {
        let own = self.path("suspect.so");
        if !own.exists() {
            std::fs::copy(fixture(), &own).unwrap();
        }
        own
    }

    /// Starts it, or starts it again.
    pub(super) fn start(&mut self) {
        self.serving = Some(Serving::start(self.folder.path(), &[]));
    }

    pub(super) fn serving(&self) -> &Serving {
        self.serving.as_ref().unwrap()
    }

    /// The signal that ends it.
    pub(super) async fn died(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let mut serving = self.serving.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || serving.ended().signal());
        ended.await.unwrap()
    }

    /// Asks it to end; it has to, in order.
    pub(super) async fn ends_in_order(mut self) {
        let serving = self.serving.take().unwrap();
        serving.signal("TERM");
        assert_eq!(crate::signals::exit_code(serving).await, Some(0));
    }

    pub(super) fn rest(&self) -> Rest {
        Rest::of(self.serving().address.parse().unwrap())
    }

    pub(super) async fn session_with(&self, agent: &str) -> SessionId {
        self.rest().create_session(&json!({ "agent": agent })).await
    }

    /// A client of a session in which nothing runs.
    pub(super) async fn idle(&self, session: SessionId) -> Client {
        let address = self.serving().address.parse().unwrap();
        let mut client = Connect::to(address, session).open().await;
        client.expect_kind("session_sync").await;
        client
    }

    /// What `GET /plugins` says of the suspect.
    pub(super) async fn suspect(&self) -> Value {
        let body = self.rest().get("/plugins").await.body;
        let plugins = body["plugins"].as_array().unwrap();
        let suspect = plugins.iter().find(|plugin| plugin["name"] == "suspect");
        suspect.unwrap().clone()
    }

    /// The metrics page.
    pub(super) async fn metrics(&self) -> String {
        self.rest().text("/metrics").await
    }

    /// Waits until its log has this text.
    pub(super) async fn logs(&self, text: &str) {
        let begun = std::time::Instant::now();
        while !self.serving().log().contains(text) {
            assert!(
                begun.elapsed() < crate::process::PATIENCE,
                "`{text}` is not in the log:\n{}",
                self.serving().log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The agent whose runs use the component.
    pub(super) fn agent(&self) -> &'static str {
        match self.component {
            Component::Agent => "suspect",
            Component::Tool => "scripted",
            Component::Mapper => "mapped",
        }
    }

    /// The message that has the component do what is right.
    pub(super) fn harmless(&self) -> String {
        match (self.component, self.library) {
            (Component::Agent, _) => "hello".to_owned(),
            (Component::Tool, Library::Faulty) => call("echo", &json!({"text": "hello"})),
            (Component::Tool, Library::C(_)) => call("good", &json!({})),
            (Component::Mapper, _) => script(&[delta("hello")]),
        }
    }

    /// The message that has it do what is wrong.
    pub(super) fn harmful(&self) -> String {
        let until = self.path("until").display().to_string();
        let order = match self.fault {
            Fault::Panic => "panic",
            Fault::Abort => "abort",
            Fault::Segfault => "segfault",
            Fault::EndlessLoop => "spin",
            Fault::Leak => "leak 200",
            Fault::IgnoresStop => "block",
            Fault::GarbageEvents => "garbage",
            Fault::MillionEvents => "burst",
            Fault::LateEmits => "late",
            _ => return self.harmless(),
        };
        match self.component {
            Component::Agent => match order {
                "block" | "late" => format!("{order} {until}"),
                "burst" => format!("flood {MILLION}"),
                order => order.to_owned(),
            },
            Component::Tool => match order {
                "garbage" => call("garbage", &json!({})),
                "block" | "late" => call(order, &json!({ "until": until })),
                "burst" => call("burst", &json!({ "times": MILLION })),
                order => call("harm", &json!({ "order": order })),
            },
            Component::Mapper => script(&[delta(match order {
                "garbage" => "bad utf8",
                "block" => "hang_close",
                order => order,
            })]),
        }
    }

    /// The message of another run of the suspect, which goes on until it is stopped.
    pub(super) fn waiting(&self) -> &'static str {
        match self.library {
            Library::Faulty => "wait_stop",
            Library::C(_) => "scope",
        }
    }
}

/// A million.
pub(super) const MILLION: u32 = 1_000_000;

/// A script that calls a tool.
fn call(tool: &str, args: &Value) -> String {
    script(&[json!({ "tool": [tool, args] })])
}

/// The fixture's library, as the build has left it.
fn fixture() -> PathBuf {
    use roundhouse_host::config::LibraryFile;
    use roundhouse_host::plugin::SearchPath;
    let name = LibraryFile::Bare("fixture_faulty".to_owned());
    SearchPath::with_defaults(&[]).find(&name).unwrap()
}
