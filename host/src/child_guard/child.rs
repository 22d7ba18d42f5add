//! Becoming the program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{CANNOT_START, FileArgs};
use crate::confine;

/// The program is not there.
const NOT_FOUND: u8 = 127;

/// Arguments of `guarded-child`.
#[derive(Args, Debug)]
pub(crate) struct GuardedChildArgs {
    /// The guard's process.
    #[arg(long)]
    parent: u32,
    #[command(flatten)]
    files: FileArgs,
    /// The program and its arguments.
    #[arg(last = true, required = true, num_args = 1..)]
    command: Vec<OsString>,
}

impl GuardedChildArgs {
    /// Returns only if that goes wrong.
    pub(crate) fn run(&self) -> ExitCode {
        let (code, text) = self.become_program();
        eprintln!("roundhouse child-guard: {text}");
        ExitCode::from(code)
    }

    #[cfg(not(unix))]
    fn become_program(&self) -> (u8, String) {
        (CANNOT_START, "this system cannot do it".to_owned())
    }

    #[cfg(unix)]
    fn become_program(&self) -> (u8, String) {
        use std::io::ErrorKind;
        use std::os::unix::process::CommandExt;

        let Some((program, args)) = self.command.split_first() else {
            return (CANNOT_START, "no program is named".to_owned());
        };
        if let Err(text) = self.end_with_guard() {
            return (CANNOT_START, text);
        }
        // Away from the host's terminal, which is not the program's to read and write. No process leads a group that the
        // guard has just started, which is all that this may fail for.
        if let Err(error) = rustix::process::setsid() {
            return (CANNOT_START, format!("no session of its own: {error}"));
        }
        if self.files.confine
            && let Err(error) = self.confine(program)
        {
            let text = format!("`{}` cannot be confined: {error}", program.display());
            return (CANNOT_START, text);
        }
        let error = std::process::Command::new(program).args(args).exec();
        let code = match error.kind() {
            ErrorKind::NotFound => NOT_FOUND,
            _ => CANNOT_START,
        };
        let text = format!("`{}` cannot be started: {error}", program.display());
        (code, text)
    }

    /// Should the guard be killed, this process is as well.
    #[cfg(target_os = "linux")]
    fn end_with_guard(&self) -> Result<(), String> {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};

        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| format!("no signal at the guard's death: {error}"))?;
        let parent = getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
        if parent == Some(self.parent) {
            Ok(())
        } else {
            Err("the guard is gone".to_owned())
        }
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn end_with_guard(&self) -> Result<(), String> {
        let _ = self.parent;
        Ok(())
    }

    #[cfg(unix)]
    fn confine(&self, program: &OsStr) -> Result<(), confine::ConfineError> {
        #[cfg(target_os = "linux")]
        rustix::thread::set_no_new_privs(true)
            .map_err(|error| confine::ConfineError::Refused(format!("no_new_privs: {error}")))?;
        let own = program_files(program, std::env::var_os("PATH"));
        let mut system = confine::Files::system(
            &[confine::SYSTEM_READ, confine::PROGRAMS_READ],
            &[confine::SYSTEM_WRITE, confine::PROGRAMS_WRITE],
        );
        system.read.extend(own.iter().map(PathBuf::as_path));
        let asked = confine::Files {
            read: self.files.read.iter().map(PathBuf::as_path).collect(),
            write: self.files.write.iter().map(PathBuf::as_path).collect(),
        };
        if confine::to_files(system, asked)? == confine::Confined::InPart {
            // Where whoever has started the program looks for what is the matter with it.
            eprintln!(
                "roundhouse child-guard: its files are confined {}",
                confine::IN_PART
            );
        }
        Ok(())
    }
}

/// What stands beside a folder `bin` and belongs to the programs in it. Not all that stands there: that may be a home.
const INSTALLED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libexec", "pyvenv.cfg"];

/// What belongs to a program: its file, and if that is in a folder `bin`, what is installed with it; the same where links
/// lead.
fn program_files(program: &OsStr, path: Option<OsString>) -> Vec<PathBuf> {
    let Some(file) = find(program, path) else {
        return Vec::new();
    };
    let real = file.canonicalize().ok().filter(|real| *real != file);
    let mut files = Vec::new();
    for file in [Some(file), real].into_iter().flatten() {
        let bin = file.parent().filter(|parent| parent.ends_with("bin"));
        if let Some(prefix) = bin.and_then(Path::parent) {
            files.extend(INSTALLED.map(|name| prefix.join(name)));
        }
        files.push(file);
    }
    files
}

/// Where a program is that is named as for the system.
fn find(program: &OsStr, path: Option<OsString>) -> Option<PathBuf> {
    let program = Path::new(program);
    if program.components().count() > 1 {
        return std::path::absolute(program).ok();
    }
    let path = path?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_program_has_what_is_installed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for made in ["real/bin", "linked/bin", "other"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        for made in ["real/bin/tool", "other/own"] {
            std::fs::write(root.join(made), "").unwrap();
        }
        std::os::unix::fs::symlink(root.join("real/bin/tool"), root.join("linked/bin/tool"))
            .unwrap();
        let path = std::env::join_paths([root.join("linked/bin"), root.join("other")]).unwrap();
        let files = |program: &str| program_files(program.as_ref(), Some(path.clone()));
        let installed = |prefix: &str| {
            let beside = INSTALLED.map(|name| root.join(prefix).join(name));
            let file = root.join(prefix).join("bin/tool");
            beside.into_iter().chain([file]).collect::<Vec<_>>()
        };
        let both = [installed("linked"), installed("real")].concat();
        assert_eq!(files("tool"), both);
        assert_eq!(files("own"), [root.join("other/own")]);
        assert!(files("none").is_empty());
    }
}
