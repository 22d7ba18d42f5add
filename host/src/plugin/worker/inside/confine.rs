//! What a worker gives up before it opens its library. What the system does not offer is reported, each by a line.
#![expect(
    unsafe_code,
    reason = "descriptors that somebody else has left open have no owner here"
)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::super::described::{Files, Hello};

/// How much rather than another process the system should end this one when memory runs out; of 1000.
const OOM_SCORE: &str = "500";

/// Closes all descriptors but the socket's and the standard ones. Libraries in the host's process may have opened some
/// without saying that they are not to be inherited.
pub(super) fn close_descriptors(socket: &UnixStream, unavailable: &mut Vec<String>) {
    let kept = socket.as_raw_fd();
    let entries = match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries,
        Err(error) => {
            unavailable.push(format!(
                "inherited descriptors cannot be found and closed (/proc/self/fd: {error})"
            ));
            return;
        }
    };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2 && *descriptor != kept)
        .collect();
    for descriptor in open {
        // That by which the folder was read is closed already.
        if std::fs::symlink_metadata(format!("/proc/self/fd/{descriptor}")).is_err() {
            continue;
        }
        // SAFETY: the process has only begun, and has one thread: nothing in it owns a descriptor but the standard ones
        // and the socket, so whatever is open besides was inherited, and it is open, as was just seen.
        unsafe { rustix::io::close(descriptor) };
    }
}

/// Gives up what it can. To be called before the process has a second thread.
///
/// # Errors
///
/// A text, when what is configured cannot be enforced: the library must not be opened then.
#[cfg(target_os = "linux")]
pub(super) fn confine(hello: &Hello, unavailable: &mut Vec<String>) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        unavailable.push(format!(
            "when memory runs out the host may be ended before its worker (/proc/self/oom_score_adj: {error})"
        ));
    }
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        unavailable.push(format!(
            "programs that it starts may gain privileges (no_new_privs: {error})"
        ));
    }
    let limit = |resource, bytes| {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        setrlimit(resource, limit)
    };
    // What is in memory, secrets too, is not to end in a file.
    if let Err(error) = limit(Resource::Core, 0) {
        unavailable.push(format!(
            "a crash may leave a core file (RLIMIT_CORE: {error})"
        ));
    }
    if let Some(bytes) = hello.memory_limit {
        limit(Resource::Data, bytes).map_err(|error| {
            format!("its memory_limit cannot be enforced (RLIMIT_DATA: {error})")
        })?;
    }
    if let Some(files) = &hello.files {
        restrict_files(files, hello, unavailable)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn confine(hello: &Hello, unavailable: &mut Vec<String>) -> Result<(), String> {
    let _ = (OOM_SCORE, hello.files.as_ref().map(|Files { .. }| ()));
    if hello.memory_limit.is_some() {
        return Err("its memory_limit cannot be enforced on this system".to_owned());
    }
    if hello.files.is_some() {
        return Err("its files cannot be restricted on this system".to_owned());
    }
    unavailable.push("a worker is not confined on this system".to_owned());
    Ok(())
}

#[cfg(target_os = "linux")]
fn restrict_files(
    files: &Files,
    hello: &Hello,
    unavailable: &mut Vec<String>,
) -> Result<(), String> {
    use std::path::{Path, PathBuf};

    use crate::confine::{self, ConfineError, Confined};

    let mut system = confine::Files::system(&[confine::SYSTEM_READ], &[confine::SYSTEM_WRITE]);
    system.read.push(&hello.library);
    // By which the library starts processes that end with this one.
    system.read.push(Path::new("/proc/self/exe"));
    let asked = confine::Files {
        read: files.read.iter().map(PathBuf::as_path).collect(),
        write: files.write.iter().map(PathBuf::as_path).collect(),
    };
    match confine::to_files(system, asked) {
        Ok(Confined::Wholly) => Ok(()),
        Ok(Confined::InPart) => {
            unavailable.push(format!("its files are restricted {}", confine::IN_PART));
            Ok(())
        }
        Err(error @ ConfineError::NotEnforced) => Err(format!(
            "its files cannot be restricted: {error}; without `files` the plugin may use all that the host may"
        )),
        Err(error) => Err(format!("its files cannot be restricted: {error}")),
    }
}
