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
        let own = program_files(program, std::env::var_os("PATH"), std::env::home_dir());
        let mut system = confine::Files::system(
            &[confine::SYSTEM_READ, confine::PROGRAMS_READ],
            &[confine::SYSTEM_WRITE, confine::PROGRAMS_WRITE],
        );
        system.read.extend(own.iter().map(PathBuf::as_path));
        let asked = confine::Files {
            read: self.files.read.iter().map(PathBuf::as_path).collect(),
            write: self.files.write.iter().map(PathBuf::as_path).collect(),
        };
        // What a kernel may lack of it is no more than the moving and truncating of files.
        confine::to_files(system, asked).map(drop)
    }
}

/// What belongs to a program: its file, and if that is in a folder `bin`, what is installed beside it; the same where
/// links lead.
fn program_files(program: &OsStr, path: Option<OsString>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let Some(file) = find(program, path) else {
        return Vec::new();
    };
    let real = file.canonicalize().ok();
    let mut files = Vec::new();
    for file in [Some(file), real].into_iter().flatten() {
        let bin = file.parent().filter(|parent| parent.ends_with("bin"));
        if let Some(bin) = bin {
            let prefix = bin.parent().filter(|prefix| {
                // Not for the sake of a program everything, or all of a user's.
                prefix.parent().is_some() && home.as_deref() != Some(prefix)
            });
            files.push(prefix.unwrap_or(bin).to_owned());
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
        for made in ["real/bin", "linked/bin", "home/bin"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        std::fs::write(root.join("real/bin/tool"), "").unwrap();
        std::fs::write(root.join("home/bin/own"), "").unwrap();
        std::os::unix::fs::symlink(root.join("real/bin/tool"), root.join("linked/bin/tool"))
            .unwrap();
        let path = std::env::join_paths([root.join("linked/bin"), root.join("home/bin")]).unwrap();
        let files = |program: &str| {
            let home = Some(root.join("home"));
            program_files(program.as_ref(), Some(path.clone()), home)
        };
        let expected = ["linked", "linked/bin/tool", "real", "real/bin/tool"];
        assert_eq!(files("tool"), expected.map(|file| root.join(file)));
        let expected = ["home/bin", "home/bin/own"];
        assert_eq!(files("own")[..2], expected.map(|file| root.join(file)));
        assert!(files("none").is_empty());
    }
}
