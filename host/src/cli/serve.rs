//! `roundhouse serve`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigArgs, telemetry};
use crate::server::{self, Host};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let telemetry = telemetry::start(&config, runtime.handle())?;
    let served = runtime.block_on(serve(config, &args.files()));
    telemetry.end();
    // A plugin's thread that never ends must not keep the process, however it ended.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: crate::config::Config, files: &str) -> anyhow::Result<()> {
    let listen = config.server.listen;
    // Before the plugins: a taken port should be told at once.
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let mut signals = Signals::new()?;
    // Plugins may take their time; whoever does not want to wait for them can still end the process.
    let host = tokio::select! {
        host = Host::start(config) => host?,
        name = signals.next() => anyhow::bail!("ended by {name} before the host had started"),
    };
    let in_force = host.in_force();
    let agents: Vec<_> = in_force
        .catalog
        .agents()
        .map(|agent| agent.name().to_owned())
        .collect();
    let drain = in_force.config.server.drain;
    drop(in_force);
    eprintln!(
        "roundhouse {} listens on http://{address}, agents: {}, configuration: {files}",
        env!("CARGO_PKG_VERSION"),
        agents.join(", ")
    );
    server::serve(host, listener, signals.asked_to_end(), drain).await;
    tracing::info!("ended");
    Ok(())
}

/// The signals that ask the host to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Completes at the first signal; a second one ends the process at once.
    async fn asked_to_end(mut self) {
        let name = self.next().await;
        tracing::info!(signal = name, "ending; a second signal ends at once");
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "ended at once");
            std::process::exit(130);
        });
    }
}
