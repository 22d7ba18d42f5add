//! Lowers the configuration as written to the checked form, and collects every fault.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checked::{
    Auth, Config, Heartbeat, Limits, Log, LogFormat, Metrics, Reload, Server, Stop, Storage,
    Telemetry, Token,
};
use super::fault::Fault;
use super::located::Located;
use super::origin;
use super::raw;
use super::values::{ByteSize, HumanDuration};

mod entries;
mod isolation;

/// What the lowering knows besides the values.
pub(super) struct Lowering<'a> {
    /// The merged configuration, as it was before faulty values were taken out.
    root: &'a Located,
    /// Pointers of the values that the schema refused: what depends on one of them is not
    /// judged, for the fault would only be a consequence.
    refused: &'a [String],
    /// Where relative paths start that no file names.
    folder: &'a Path,
    /// Where a host listens that is running already.
    listening: Option<SocketAddr>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        root: &'a Located,
        refused: &'a [String],
        folder: &'a Path,
        listening: Option<SocketAddr>,
    ) -> Self {
        Self {
            root,
            refused,
            folder,
            listening,
            faults: Vec::new(),
        }
    }

    /// The checked form; worth something only if [`faults`](Self::faults) is empty after.
    pub(super) fn config(&mut self, raw: &raw::Raw) -> Config {
        let server = self.server(&raw.server);
        Config {
            auth: self.auth(&raw.auth, server.listen),
            server,
            limits: self.limits(&raw.limits),
            heartbeat: Heartbeat {
                interval: self.positive("/heartbeat/interval", raw.heartbeat.interval),
                ping: raw.heartbeat.ping.0,
                pong_deadline: self
                    .positive("/heartbeat/pong_deadline", raw.heartbeat.pong_deadline),
            },
            stop: Stop {
                grace: raw.stop.grace.0,
            },
            storage: Storage {
                path: self.path("/storage/path", &raw.storage.path),
            },
            log: self.log(&raw.log),
            metrics: Metrics {
                public: raw.metrics.public,
            },
            reload: Reload {
                watch: raw.reload.watch.0,
                max_generations: count(raw.reload.max_generations),
            },
            telemetry: Telemetry {
                otlp_endpoint: raw.telemetry.otlp_endpoint.clone(),
            },
            plugins: self.plugins(&raw.plugins),
            agents: self.agents(&raw.agents),
            tools: self.tools(&raw.tools),
            default_agent: self.default_agent(raw),
            mappers: self.mappers("/mappers", &raw.mappers),
        }
    }

    fn server(&mut self, raw: &raw::Server) -> Server {
        let listen = raw.listen.parse().unwrap_or_else(|_| {
            self.fault(
                "/server/listen",
                "is not an address to listen on",
                "expected an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
            );
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        });
        let mut origins = Vec::new();
        for (index, text) in raw.origins.iter().enumerate() {
            match origin::normalise(text) {
                Ok(origin) => origins.push(origin),
                Err(why) => self.fault(
                    &format!("/server/origins/{index}"),
                    &why.to_string(),
                    "expected scheme://host or scheme://host:port, such as \
                     \"https://chat.example.com\"",
                ),
            }
        }
        Server {
            listen,
            origins,
            max_connections: count(raw.max_connections),
            max_connections_per_owner: count(raw.max_connections_per_owner),
            drain: raw.drain.0,
            drain_spread: raw.drain_spread.0,
        }
    }

    fn limits(&mut self, raw: &raw::Limits) -> Limits {
        let limits = Limits {
            replay_records: count(raw.replay_records),
            replay_bytes: self.bytes("/limits/replay_bytes", raw.replay_bytes),
            replay_keep: raw.replay_seconds.0,
            queue: count(raw.queue),
            messages_per_minute: raw.messages_per_minute,
            log_bytes: self.bytes("/limits/log_bytes", raw.log_bytes),
            event_bytes: self.bytes("/limits/event_bytes", raw.event_bytes),
            history_bytes: self.bytes("/limits/history_bytes", raw.history_bytes),
            images: count(raw.images),
            image_bytes: self.bytes("/limits/image_bytes", raw.image_bytes),
            images_total_bytes: self.bytes("/limits/images_total_bytes", raw.images_total_bytes),
            file_bytes: raw.file_bytes.0,
            frame_bytes: self.bytes("/limits/frame_bytes", raw.frame_bytes),
            json_depth: count(raw.json_depth),
            run_time: self.positive("/limits/run_seconds", raw.run_seconds),
            subagent_depth: raw.subagent_depth,
            slow_wait: raw.slow_wait.0,
        };
        let (frame, total) = ("/limits/frame_bytes", "/limits/images_total_bytes");
        let too_small =
            limits.frame_bytes.saturating_mul(3) < limits.images_total_bytes.saturating_mul(4);
        if too_small && !self.refused(frame) && !self.refused(total) {
            // Of the two, blame the one that somebody wrote.
            let written = self.root.place(frame) != &super::Place::BUILT_IN;
            let (blamed, problem, side) = if written {
                (
                    frame,
                    "is below 4/3 of limits.images_total_bytes",
                    "at least",
                )
            } else {
                (total, "is above 3/4 of limits.frame_bytes", "at most")
            };
            let bound = if written {
                limits.images_total_bytes.saturating_mul(4).div_ceil(3)
            } else {
                limits.frame_bytes / 4 * 3
            };
            let expected = format!("images travel as base64: expected {side} {bound} bytes");
            self.fault(blamed, problem, &expected);
        }
        limits
    }

    fn auth(&mut self, raw: &raw::Auth, listen: SocketAddr) -> Auth {
        let mut tokens: Vec<Token> = Vec::new();
        for (index, token) in raw.tokens.iter().enumerate() {
            let pointer = format!("/auth/tokens/{index}/sha256");
            let Some(sha256) = self.sha256(&pointer, &token.sha256) else {
                continue;
            };
            if let Some(first) = tokens.iter().position(|t| t.sha256 == sha256) {
                let problem = format!("is the same token as auth.tokens[{first}]");
                self.fault(&pointer, &problem, "remove one of the two");
            }
            tokens.push(Token {
                owner: token.owner.clone(),
                sha256,
                admin: token.admin,
            });
        }
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        let loopback = is_loopback(listen);
        let beyond = self.listening.filter(|address| !is_loopback(*address));
        match raw.mode {
            Some(raw::AuthMode::None) => Auth::None,
            Some(raw::AuthMode::Tokens) if raw.tokens.is_empty() => {
                if !self.refused("/auth") {
                    self.fault(
                        "/auth/mode",
                        "asks for tokens, but none are listed",
                        "add a token under auth.tokens, or write mode = \"none\"",
                    );
                }
                Auth::Tokens(tokens)
            }
            None if raw.tokens.is_empty() => {
                if !loopback && !self.refused("/auth") && !self.refused("/server/listen") {
                    self.fault(
                        "/server/listen",
                        "is not a loopback address, and no authentication is configured",
                        "add tokens under auth.tokens, or write auth.mode = \"none\" to let \
                         everybody in",
                    );
                } else if let Some(address) = beyond
                    && !self.refused("/auth")
                {
                    let problem = format!(
                        "asks for no authentication, and the host listens on {address} until it is restarted"
                    );
                    self.fault(
                        "/auth",
                        &problem,
                        "add tokens under auth.tokens, or write auth.mode = \"none\" to let \
                         everybody in",
                    );
                }
                Auth::None
            }
            _ => Auth::Tokens(tokens),
        }
    }

    fn log(&mut self, raw: &raw::Log) -> Log {
        if tracing_subscriber::EnvFilter::builder()
            .parse(&raw.filter)
            .is_err()
        {
            self.fault(
                "/log/filter",
                "is not a log filter",
                "expected a level, or directives such as \"info,roundhouse_host::run=debug\"",
            );
        }
        Log {
            filter: raw.filter.clone(),
            format: match raw.format {
                raw::LogFormat::Text => LogFormat::Text,
                raw::LogFormat::Json => LogFormat::Json,
            },
        }
    }

    fn path(&self, pointer: &str, path: &str) -> PathBuf {
        self.root.folder(pointer).unwrap_or(self.folder).join(path)
    }

    fn positive(&mut self, pointer: &str, duration: HumanDuration) -> Duration {
        if duration.0.is_zero() {
            self.fault(pointer, "is zero", "expected a duration of more than zero");
        }
        duration.0
    }

    fn bytes(&mut self, pointer: &str, size: ByteSize) -> usize {
        if size.0 == 0 {
            self.fault(pointer, "is zero", "expected a size of at least one byte");
        }
        // What does not fit in memory anyway is no limit.
        usize::try_from(size.0).unwrap_or(usize::MAX)
    }

    fn sha256(&mut self, pointer: &str, hex: &raw::Sha256Hex) -> Option<[u8; 32]> {
        if self.refused(pointer) {
            return None;
        }
        let parsed = parse_sha256(&hex.0);
        if parsed.is_none() {
            self.fault(
                pointer,
                "is not a SHA-256",
                "expected 64 hexadecimal digits",
            );
        }
        parsed
    }

    fn fault(&mut self, pointer: &str, problem: &str, expected: &str) {
        self.faults
            .push(self.root.fault(pointer, problem, expected));
    }

    /// Whether the schema refused the value at `pointer`, something in it, or what it is in.
    fn refused(&self, pointer: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.refused
            .iter()
            .any(|refused| inside(pointer, refused) || inside(refused, pointer))
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn parse_sha256(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}
