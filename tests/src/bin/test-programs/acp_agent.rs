//! An agent that speaks the Agent Client Protocol and does what the message says, well or badly.
//!
//! The last text of a prompt that is a JSON list is a script, whose steps [`Agent::step`] has; any other text is said
//! back. The arguments say how it begins: see [`Agent::begin`]. It is written by hand, without the crate that the plugin
//! uses, so that it can be as wrong as it likes.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

/// How a prompt ends.
type Ended = Result<&'static str, Value>;

pub(crate) fn run(args: &[String]) -> ExitCode {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(message) = serde_json::from_str::<Value>(&line) else {
                eprintln!("the host has sent what is no JSON: {line}");
                std::process::exit(70);
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    Agent {
        args: args.to_vec(),
        incoming: receiver,
        asked: 0,
        babbles: false,
        afterwards: Vec::new(),
        sessions: HashMap::new(),
    }
    .serve()
}

struct Agent {
    args: Vec<String>,
    incoming: Receiver<Value>,
    asked: u64,
    /// Whether it does not leave off printing when its turn is over.
    babbles: bool,
    /// What it says when its turn is over.
    afterwards: Vec<String>,
    /// How many prompts each session has had.
    sessions: HashMap<String, usize>,
}

fn send(message: &Value) {
    let mut out = std::io::stdout().lock();
    // When nobody listens any more the end of the input says so.
    let _ = writeln!(out, "{message}");
    let _ = out.flush();
}

fn update(session: &str, update: &Value) {
    send(&json!({"jsonrpc": "2.0", "method": "session/update",
        "params": {"sessionId": session, "update": update}}));
}

fn say(session: &str, text: &str) {
    let content = json!({"type": "text", "text": text});
    update(
        session,
        &json!({"sessionUpdate": "agent_message_chunk", "content": content}),
    );
}

fn fault(code: i64, message: &str) -> Value {
    json!({"code": code, "message": message})
}

/// The file that it makes when it has said what it says after a turn.
const AFTERWARDS: &str = ".afterwards";

/// Where a session is kept, with `load` or `resume`.
fn kept(session: &str) -> String {
    format!(".session-{session}")
}

impl Agent {
    fn has(&self, arg: &str) -> bool {
        self.args.iter().any(|given| given == arg)
    }

    fn serve(mut self) -> ExitCode {
        if self.has("dies") {
            eprintln!("there is no model today");
            return ExitCode::from(3);
        }
        if self.has("banner") {
            println!("Welcome to the agent!\n\n{{\"half\": ");
        }
        while let Ok(message) = self.incoming.recv() {
            let Some(method) = message["method"].as_str() else {
                continue;
            };
            let answer = self.begin(method, &message["params"]);
            let id = &message["id"];
            match answer {
                None => {}
                Some(_) if id.is_null() => {}
                Some(Ok(result)) => send(&json!({"jsonrpc": "2.0", "id": id, "result": result})),
                Some(Err(error)) => send(&json!({"jsonrpc": "2.0", "id": id, "error": error})),
            }
            let session = message["params"]["sessionId"].as_str().unwrap_or_default();
            if self.babbles {
                loop {
                    println!("This is no message.");
                }
            }
            let afterwards = std::mem::take(&mut self.afterwards);
            for text in &afterwards {
                say(session, text);
            }
            // So that somebody can wait for it.
            if !afterwards.is_empty()
                && let Err(error) = std::fs::write(AFTERWARDS, "")
            {
                eprintln!("{AFTERWARDS}: {error}");
            }
        }
        while self.has("lingers") {
            std::thread::sleep(Duration::from_secs(1));
        }
        ExitCode::SUCCESS
    }

    /// Answers a request. `silent` answers none, `silent-session` no `session/new`.
    fn begin(&mut self, method: &str, params: &Value) -> Option<Result<Value, Value>> {
        if self.has("silent") {
            return None;
        }
        Some(match method {
            "initialize" => Ok(json!({
                "protocolVersion": if self.has("newer") { 2 } else { 1 },
                "agentCapabilities": {
                    "loadSession": self.has("load"),
                    "promptCapabilities": {"image": self.has("images"), "embeddedContext": self.has("embedded")},
                    "sessionCapabilities": if self.has("resume") { json!({"resume": {}}) } else { json!({}) },
                },
                "authMethods": if self.has("login") {
                    json!([{"id": "key", "name": "An API key"}])
                } else {
                    json!([])
                },
            })),
            "authenticate" if params["methodId"] == "key" => {
                self.args.retain(|arg| arg != "login");
                Ok(json!({}))
            }
            "session/new" if self.has("login") => Err(fault(-32000, "Authentication required")),
            "session/new" if self.has("silent-session") => return None,
            "session/new" => {
                let session = format!("{}-{}", std::process::id(), self.sessions.len());
                self.sessions.insert(session.clone(), 0);
                Ok(json!({"sessionId": session}))
            }
            "session/load" | "session/resume" => self.go_on(method, params),
            "session/prompt" => {
                let session = params["sessionId"].as_str().unwrap_or_default().to_owned();
                let ended = self.prompt(&session, &params["prompt"]);
                ended.map(|reason| json!({"stopReason": reason}))
            }
            "session/cancel" => return None,
            _ => Err(fault(-32601, "Method not found")),
        })
    }

    fn go_on(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        let session = params["sessionId"].as_str().unwrap_or_default();
        let Ok(prompts) = std::fs::read_to_string(kept(session)) else {
            return Err(fault(-32002, "Resource not found"));
        };
        let lines = prompts.lines().count();
        self.sessions.insert(session.to_owned(), lines);
        if method == "session/load" {
            for line in prompts.lines() {
                let content = json!({"type": "text", "text": line});
                update(
                    session,
                    &json!({"sessionUpdate": "user_message_chunk", "content": content}),
                );
                say(session, "said before");
            }
        }
        Ok(json!({}))
    }

    fn prompt(&mut self, session: &str, prompt: &Value) -> Ended {
        let Some(prompts) = self.sessions.get_mut(session) else {
            return Err(fault(-32002, "no such session"));
        };
        *prompts += 1;
        let blocks = prompt.as_array().cloned().unwrap_or_default();
        let mut texts = blocks
            .iter()
            .rev()
            .filter_map(|block| block["text"].as_str());
        let text = texts.next().unwrap_or_default().to_owned();
        if self.has("load") || self.has("resume") {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(kept(session));
            if let Err(error) = file.and_then(|mut file| writeln!(file, "prompt")) {
                return Err(fault(-32603, &error.to_string()));
            }
        }
        let Ok(steps) = serde_json::from_str::<Vec<Value>>(&text) else {
            say(session, &text);
            return Ok("end_turn");
        };
        for step in &steps {
            let Some((name, value)) = step.as_object().and_then(|step| step.iter().next()) else {
                return Err(fault(-32602, "a step is an object with one key"));
            };
            if let Some(ended) = self.step(session, name, value, prompt) {
                return ended;
            }
        }
        Ok("end_turn")
    }

    fn step(&mut self, session: &str, name: &str, value: &Value, prompt: &Value) -> Option<Ended> {
        let text = value.as_str().unwrap_or_default();
        match name {
            "update" => update(session, value),
            "say" => say(session, text),
            "afterwards" => self.afterwards.push(text.to_owned()),
            // A request of the host: what it answers is said.
            "ask" => {
                let answer = self.ask(session, &value["method"], &value["params"]);
                say(session, &answer.to_string());
            }
            "flood" => (0..value.as_u64().unwrap_or(0))
                .for_each(|number| say(session, &format!("{number} "))),
            "prompt" => say(session, &prompt.to_string()),
            "prompts" => say(session, &self.sessions[session].to_string()),
            "pid" => say(session, &std::process::id().to_string()),
            "folder" => say(
                session,
                &std::env::current_dir()
                    .unwrap_or_default()
                    .display()
                    .to_string(),
            ),
            "env" => say(session, &format!("{:?}", std::env::var(text).ok())),
            // Opened by itself, without the host.
            "open" => say(
                session,
                &format!(
                    "{:?}",
                    std::fs::read_to_string(text).map_err(|error| error.kind())
                ),
            ),
            "create" => say(
                session,
                &format!(
                    "{:?}",
                    std::fs::write(text, "x").map_err(|error| error.kind())
                ),
            ),
            "link" => say(
                session,
                &format!(
                    "{:?}",
                    std::os::unix::fs::symlink(text, "link").map_err(|error| error.kind())
                ),
            ),
            // Out of its family, as far as that goes.
            "daemon" => say(session, &daemon(Stdio::null())),
            // One that goes on complaining in its name.
            "heir" => say(session, &daemon(Stdio::inherit())),
            "babble" => self.babbles = true,
            "raw" => {
                println!("{text}");
            }
            "complain" => eprintln!("{text}"),
            "endless" => loop {
                let mut out = std::io::stdout().lock();
                if out.write_all(&[b'x'; 65536]).is_err() {
                    std::process::exit(0);
                }
            },
            "exit" => std::process::exit(
                value
                    .as_i64()
                    .and_then(|code| code.try_into().ok())
                    .unwrap_or(1),
            ),
            "wait_cancel" => {
                while let Ok(message) = self.incoming.recv() {
                    if message["method"] == "session/cancel" {
                        say(session, text);
                        return Some(Ok("cancelled"));
                    }
                }
                std::process::exit(0);
            }
            "until_cancel" => {
                while let Ok(message) = self.incoming.recv() {
                    if message["method"] == "session/cancel" {
                        return None;
                    }
                }
                std::process::exit(0);
            }
            "hang" => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            "end" => {
                return Some(Ok(match text {
                    "max_tokens" => "max_tokens",
                    "max_turn_requests" => "max_turn_requests",
                    "refusal" => "refusal",
                    "cancelled" => "cancelled",
                    _ => "a_new_reason",
                }));
            }
            "fail" => return Some(Err(value.clone())),
            _ => return Some(Err(fault(-32602, name))),
        }
        None
    }

    /// Sends a request and waits for its answer. Of a `session/cancel` in between it takes no notice.
    fn ask(&mut self, session: &str, method: &Value, params: &Value) -> Value {
        self.asked += 1;
        // A text, which is an id as good as a number.
        let id = format!("ask-{}", self.asked);
        let mut params = params.clone();
        params["sessionId"] = Value::from(session);
        send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        while let Ok(message) = self.incoming.recv() {
            if message["id"] == id.as_str() {
                return match message.get("error") {
                    Some(error) => json!({"error": error}),
                    None => message["result"].clone(),
                };
            }
        }
        std::process::exit(0);
    }
}

/// Starts a process in a session of its own that has nothing of this one, and tells its number.
fn daemon(stderr: Stdio) -> String {
    let started = Command::new("setsid")
        .args(["--fork", "sh", "-c", "echo $$; exec sleep 1000 >/dev/null"])
        .stdin(Stdio::null())
        .stderr(stderr)
        .stdout(Stdio::piped())
        .spawn();
    let mut line = String::new();
    if let Some(out) = started.ok().and_then(|mut child| child.stdout.take()) {
        // Empty when it does not run, which the test then sees.
        let _ = std::io::BufReader::new(out).read_line(&mut line);
    }
    line.trim().to_owned()
}
