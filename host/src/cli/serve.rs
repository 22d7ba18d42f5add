//! `roundhouse serve`.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigArgs, telemetry};
use crate::config::{Config, Loader};
use crate::server::{self, Host};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let source = args.loader()?;
    let config = source.clone().load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let telemetry = telemetry::start(&config, runtime.handle())?;
    let served = runtime.block_on(serve(config, source, &args.files()));
    telemetry.end();
    // A plugin's thread that never ends must not keep the process, however it ended.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config, source: Loader, files: &str) -> anyhow::Result<()> {
    let listen = config.server.listen;
    // Before the plugins: a taken port should be told at once.
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let mut signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup())?;
    // Plugins may take their time; whoever does not want to wait for them can still end the process.
    let host = tokio::select! {
        host = Host::start_reloadable(config, source) => host?,
        name = signals.next() => anyhow::bail!("ended by {name} before the host had started"),
    };
    let in_force = host.in_force();
    let agents: Vec<_> = in_force
        .catalog
        .agents()
        .map(|agent| agent.name().to_owned())
        .collect();
    drop(in_force);
    eprintln!(
        "roundhouse {} listens on http://{address}, agents: {}, configuration: {files}",
        env!("CARGO_PKG_VERSION"),
        agents.join(", ")
    );
    let served = server::serve(Arc::clone(&host), listener, signals.asked_to_end());
    tokio::select! {
        () = served => {}
        // Ends with the host, which waits for a reload that has begun.
        never = reload_on(hangups, &host) => match never {},
    }
    tracing::info!("ended");
    Ok(())
}

/// Reads configuration and plugins again at each hang-up, one after the other; those that come meanwhile count as one.
/// What comes of it is in the log.
async fn reload_on(mut hangups: Signal, host: &Arc<Host>) -> Infallible {
    loop {
        match hangups.recv().await {
            Some(()) => drop(host.reload().await),
            // No more will come.
            None => std::future::pending().await,
        }
    }
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
