//! A server over standard input and output, written from the protocol's text and nobody's library, that does wrong what a
//! test wants.
//!
//! Its first argument is a folder: `mode` in it says what it does wrong, and to `journal` it writes what it sees.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Notifications of a flood.
const FLOOD: usize = 20_000;

/// Runs the server; `arguments` are those behind the program's name for it.
pub(crate) fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let Some(folder) = arguments.into_iter().next().map(PathBuf::from) else {
        panic!("the folder is missing");
    };
    let mode = std::fs::read_to_string(folder.join("mode")).unwrap_or_default();
    let mut server = Server {
        mode: mode.trim().to_owned(),
        folder,
        waiting: None,
        extra: false,
        lists: 0,
        lines: std::io::stdin().lines(),
    };
    server.journal(&format!("start {}", std::process::id()));
    server.begin()
}

struct Server {
    mode: String,
    folder: PathBuf,
    /// The call that is answered never.
    waiting: Option<Value>,
    /// Whether there is one more tool.
    extra: bool,
    /// How often the tools were listed.
    lists: usize,
    lines: std::io::Lines<std::io::StdinLock<'static>>,
}

impl Server {
    fn journal(&self, line: &str) {
        write_line(&self.folder.join("journal"), line);
    }

    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }

    fn begin(&mut self) -> ExitCode {
        match self.mode.as_str() {
            "exit" => {
                eprintln!("no licence, and the token is {}", variable("SECRET"));
                return ExitCode::from(3);
            }
            "banner" => print!("Welcome!\nThis is a server.\n\n"),
            "family" => self.start_family(),
            _ => {}
        }
        while let Some(Ok(line)) = self.lines.next() {
            let Ok(message) = serde_json::from_str::<Value>(&line) else {
                self.journal(&format!("nonsense {line}"));
                continue;
            };
            if self.is("silent") {
                continue;
            }
            if let Some(code) = self.take(&message) {
                return code;
            }
        }
        self.journal("end of input");
        ExitCode::SUCCESS
    }

    /// A process in a session of its own, which outlives its parent where nobody prevents that.
    fn start_family(&self) {
        let script = "trap '' TERM HUP; echo family $$ >> \"$1\"; while :; do sleep 0.2; done";
        let journal = self.folder.join("journal");
        let started = Command::new("setsid")
            .args(["sh", "-c", script, "sh"])
            .arg(journal)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Err(error) = started {
            panic!("setsid: {error}");
        }
    }

    fn take(&mut self, message: &Value) -> Option<ExitCode> {
        let (id, params) = (&message["id"], &message["params"]);
        match message["method"].as_str().unwrap_or_default() {
            "initialize" if self.is("modern") || self.is("refuse") => {
                fail(id, -32601, "initialize is not known here");
            }
            "initialize" => {
                self.journal(&format!("initialize {}", params["clientInfo"]["name"]));
                result(
                    id,
                    &json!({
                        "protocolVersion": params["protocolVersion"],
                        "capabilities": {"tools": {"listChanged": true}, "logging": {}},
                        "serverInfo": {"name": "fixture", "version": "1"}
                    }),
                );
            }
            "server/discover" if self.is("modern") => {
                self.journal("discover");
                result(
                    id,
                    &json!({
                        "resultType": "complete", "supportedVersions": ["2026-07-28"],
                        "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"
                    }),
                );
            }
            "notifications/initialized" => self.after_handshake(),
            "notifications/cancelled" => {
                self.journal(&format!("cancelled {}", params["requestId"]));
                self.waiting = None;
            }
            "ping" => result(id, &json!({})),
            "tools/list" => self.list(id, params),
            "tools/call" => return self.call(id, params),
            _ if id.is_null() => {}
            method => fail(id, -32601, method),
        }
        None
    }

    fn after_handshake(&mut self) {
        match self.mode.as_str() {
            "babble" => loop {
                write_out("This is no message, and there is no end of it.\n");
            },
            "endless" => {
                write_out("{\"jsonrpc\": \"2.0\", \"method\": \"");
                loop {
                    write_out(&"x".repeat(1 << 16));
                }
            }
            "flood" => {
                for n in 0..FLOOD {
                    notify(
                        "notifications/progress",
                        &json!({"progressToken": n, "progress": n}),
                    );
                    let log = json!({"level": "info", "data": format!("flood {n}")});
                    notify("notifications/message", &log);
                    notify("notifications/tools/list_changed", &json!({}));
                    let asks =
                        json!({"jsonrpc": "2.0", "id": format!("q{n}"), "method": "roots/list"});
                    write_out(&format!("{asks}\n"));
                    eprintln!("flood {n}");
                }
                self.journal("flooded");
            }
            _ => {}
        }
    }

    fn list(&mut self, id: &Value, params: &Value) {
        self.lists += 1;
        // The third is the first that is asked for because of a change; a list has two pages.
        if self.is("moody_list") && self.lists == 3 {
            fail(id, -32603, "not now");
            return;
        }
        if self.is("endless_list") {
            result(id, &json!({"tools": [], "nextCursor": "more"}));
            return;
        }
        let tool = |name: &str, description: &str, properties: Value| {
            json!({
                "name": name, "description": description,
                "inputSchema": {"type": "object", "properties": properties}
            })
        };
        let text = json!({"text": {"type": "string", "description": "What to say."}});
        // In two pages.
        if params["cursor"].is_null() {
            let tools = json!([
                tool("echo", "Says it again.", text),
                tool(
                    "variable",
                    "Reads the environment.",
                    json!({"name": {"type": "string"}})
                ),
                tool("wait", "Answers never.", json!({})),
                tool(
                    "steps",
                    "Goes in steps.",
                    json!({"count": {"type": "integer"}})
                ),
                tool("die", "Ends the server.", json!({})),
            ]);
            result(id, &json!({"tools": tools, "nextCursor": "second"}));
            return;
        }
        let mut tools = vec![
            tool("more", "Brings one more tool.", json!({})),
            tool("ask", "Asks the client.", json!({})),
            tool("log", "Says something on the side.", json!({})),
            tool(
                "large",
                "Gives much.",
                json!({"bytes": {"type": "integer"}}),
            ),
            tool(
                "odd",
                "Gives content of a kind that nobody knows.",
                json!({}),
            ),
            tool("refuse", "Is refused.", json!({})),
            tool("fail", "Fails.", json!({})),
            tool("deaf", "Has the server not read any more.", json!({})),
            tool("busy", "Has the server not read for a while.", json!({})),
            json!({"name": "broken", "description": "Has no schema."}),
            tool("two words", "Has a name that nobody can call.", json!({})),
        ];
        if self.extra {
            tools.push(tool("extra", "Was not there before.", json!({})));
        }
        result(id, &json!({ "tools": tools }));
    }

    fn call(&mut self, id: &Value, params: &Value) -> Option<ExitCode> {
        let (name, args) = (
            params["name"].as_str().unwrap_or_default(),
            &params["arguments"],
        );
        self.journal(&format!("call {name} {id}"));
        let said = |text: &str| result(id, &json!({"content": [{"type": "text", "text": text}]}));
        let string = |key: &str| args[key].as_str().unwrap_or_default().to_owned();
        match name {
            "echo" => said(&string("text")),
            "variable" => said(&variable(&string("name"))),
            "wait" => {
                progress(params, 0, "waiting");
                self.waiting = Some(id.clone());
            }
            "steps" => {
                let count = args["count"].as_u64().unwrap_or_default();
                for step in 1..=count {
                    progress(params, step, "step");
                }
                said(&format!("{count} steps"));
            }
            "die" => return Some(ExitCode::from(9)),
            "more" => {
                self.extra = true;
                notify("notifications/tools/list_changed", &json!({}));
                said("there it is");
            }
            "ask" => {
                let answers = self.ask();
                said(&answers.to_string());
            }
            "log" => {
                let data = json!({"a": 1, "token": variable("SECRET")});
                let log = json!({"level": "warning", "logger": "fixture", "data": data});
                notify("notifications/message", &log);
                eprintln!("on the side: {}\u{1b}[31m", variable("SECRET"));
                said("said");
            }
            "large" => {
                let bytes = args["bytes"].as_u64().unwrap_or_default();
                said(&"x".repeat(usize::try_from(bytes).unwrap_or_default()));
            }
            "odd" => {
                let content = json!([{"type": "smell", "smell": "of roses"}, {"type": "text", "text": "and text"}]);
                result(id, &json!({ "content": content }));
            }
            "refuse" => fail(id, -32000, &format!("not today, {}", variable("SECRET"))),
            "fail" => {
                let content = json!([{"type": "text", "text": "it did not work"}]);
                result(id, &json!({"content": content, "isError": true}));
            }
            "busy" => {
                // For longer than a ping may take where the test asks for many.
                std::thread::sleep(Duration::from_secs(3));
                said("done");
            }
            "deaf" => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            "extra" if self.extra => said("new"),
            _ => fail(id, -32602, "there is no such tool"),
        }
        None
    }

    /// What the client answers to all that a server may ask, by the methods.
    fn ask(&mut self) -> Value {
        let mut answers = json!({});
        for method in [
            "ping",
            "roots/list",
            "sampling/createMessage",
            "elicitation/create",
            "x/y",
        ] {
            let params = match method {
                "sampling/createMessage" => json!({"messages": [], "maxTokens": 1}),
                "elicitation/create" => json!({
                    "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}
                }),
                _ => json!({}),
            };
            let asks = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params});
            write_out(&format!("{asks}\n"));
            while let Some(Ok(line)) = self.lines.next() {
                let answer: Value = serde_json::from_str(&line).unwrap_or_default();
                if answer["id"] == method {
                    answers[method] = match answer["error"]["code"].as_i64() {
                        Some(code) => json!(code),
                        None => answer["result"].clone(),
                    };
                    break;
                }
            }
        }
        answers
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| "(none)".to_owned())
}

fn result(id: &Value, result: &Value) {
    write_out(&format!(
        "{}\n",
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    ));
}

fn fail(id: &Value, code: i64, message: &str) {
    let error = json!({"code": code, "message": message});
    write_out(&format!(
        "{}\n",
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    ));
}

fn notify(method: &str, params: &Value) {
    let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
    write_out(&format!("{message}\n"));
}

fn progress(params: &Value, step: u64, message: &str) {
    let token = &params["_meta"]["progressToken"];
    if !token.is_null() {
        let params =
            json!({"progressToken": token, "progress": step, "total": 10, "message": message});
        notify("notifications/progress", &params);
    }
}

/// Whoever cannot write any more has nobody to serve.
fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

fn write_line(path: &Path, line: &str) {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = written {
        panic!("{}: {error}", path.display());
    }
}
