//! `roundhouse plugin new`.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use crate::project::{self, Name, Parts};

#[derive(Args, Debug)]
pub(super) struct NewArgs {
    /// The plugin's name, perhaps after the folder that its own folder is to be made in.
    #[arg(value_name = "NAME")]
    path: PathBuf,
    #[command(flatten)]
    parts: PartArgs,
}

#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = true)]
struct PartArgs {
    /// With an agent, which answers messages.
    #[arg(long)]
    agent: bool,
    /// With a tool, which agents call.
    #[arg(long)]
    tool: bool,
    /// With a mapper, which changes events on their way to the clients.
    #[arg(long)]
    mapper: bool,
}

/// Makes the project; what to tell of it.
pub(super) fn run(args: &NewArgs) -> anyhow::Result<String> {
    let Some(last) = args.path.file_name() else {
        bail!(
            "`{}` has no name for a plugin at its end",
            args.path.display()
        );
    };
    let name: Name = last.to_string_lossy().parse()?;
    let parent = args.path.parent().unwrap_or(Path::new(""));
    let PartArgs {
        agent,
        tool,
        mapper,
    } = args.parts;
    let folder = project::create(
        parent,
        &name,
        Parts {
            agent,
            tool,
            mapper,
        },
    )?;
    let mut text = format!("made {}; next:\n", folder.display());
    let library = name.library();
    for line in [
        &format!("cd {}", folder.display()),
        "cargo test",
        "cargo build",
        &format!("roundhouse plugin test target/debug/{DLL_PREFIX}{library}{DLL_SUFFIX}"),
        "roundhouse serve",
    ] {
        writeln!(text, "  {line}")?;
    }
    Ok(text)
}
