//! The files that an agent reads and writes by asking for it: those beneath its folder, and no others.
//!
//! A path is opened beneath the open folder in one step (`openat2`), in which the kernel refuses whatever leads out of it:
//! `..`, absolute links, links to elsewhere. Nothing is looked at first and opened afterwards, so nothing can be put in its
//! place in between.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The largest file that is read or written.
pub(crate) const MAX_FILE: u64 = 10 * 1024 * 1024;

/// Whether this system can.
pub(crate) const SERVED: bool = cfg!(target_os = "linux");

/// A file was not read or written. The agent reads the text.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("`{}` is outside of the folder `{}`", .path.display(), .folder.display())]
    Outside { path: PathBuf, folder: PathBuf },
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    #[error("`{}` is not a regular file", .0.display())]
    NoFile(PathBuf),
    #[error("`{}` is larger than {} MiB", .0.display(), MAX_FILE / 1024 / 1024)]
    TooLarge(PathBuf),
    #[error("`{}` is not UTF-8 text", .0.display())]
    NoText(PathBuf),
    #[error("`{}`: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Reads a text file beneath the folder: all of it, or `limit` lines from line `line` on, counted from 1.
pub(crate) fn read(
    folder: &Path,
    path: &Path,
    line: Option<u32>,
    limit: Option<u32>,
) -> Result<String, FileError> {
    let text = text(path, open(folder, path, Access::Read)?)?;
    Ok(lines(text, line, limit))
}

/// As [`read`], of a file that is known to be one of the session's uploads.
pub(crate) fn read_upload(
    path: &Path,
    line: Option<u32>,
    limit: Option<u32>,
) -> Result<String, FileError> {
    let file = std::fs::File::open(path).map_err(|source| fault(path, source))?;
    Ok(lines(text(path, file)?, line, limit))
}

/// Writes a text file beneath the folder, in place of what there is.
pub(crate) fn write(folder: &Path, path: &Path, content: &str) -> Result<(), FileError> {
    if content.len() as u64 > MAX_FILE {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    let mut file = open(folder, path, Access::Write)?;
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(content.as_bytes()));
    written.map_err(|source| fault(path, source))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    Read,
    Write,
}

fn fault(path: &Path, source: io::Error) -> FileError {
    match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
        _ => FileError::Io {
            path: path.to_owned(),
            source,
        },
    }
}

/// Opens a regular file beneath the folder.
fn open(folder: &Path, path: &Path, access: Access) -> Result<std::fs::File, FileError> {
    let outside = || FileError::Outside {
        path: path.to_owned(),
        folder: folder.to_owned(),
    };
    let beneath = match path.strip_prefix(folder) {
        Ok(beneath) => beneath,
        Err(_) if path.is_relative() => path,
        Err(_) => return Err(outside()),
    };
    if beneath.as_os_str().is_empty() {
        return Err(FileError::NoFile(path.to_owned()));
    }
    let file = match open_beneath(folder, beneath, access) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Err(outside()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            return Err(FileError::NoFile(path.to_owned()));
        }
        opened => opened.map_err(|source| fault(path, source))?,
    };
    let metadata = file.metadata().map_err(|source| fault(path, source))?;
    match metadata.is_file() {
        true => Ok(file),
        false => Err(FileError::NoFile(path.to_owned())),
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(folder: &Path, beneath: &Path, access: Access) -> io::Result<std::fs::File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;

    let root = std::fs::File::open(folder)?;
    // A named pipe that nobody reads must not keep the thread.
    let common = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let (flags, mode) = match access {
        Access::Read => (OFlags::RDONLY | common, Mode::empty()),
        Access::Write => (
            OFlags::WRONLY | OFlags::CREATE | common,
            Mode::from_raw_mode(0o666),
        ),
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks to try again when something was renamed on the way.
    for _ in 0..16 {
        match openat2(&root, beneath, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(file) => return Ok(file.into()),
        }
    }
    Err(io::Error::other("the folder is being changed all the time"))
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(_: &Path, _: &Path, _: Access) -> io::Result<std::fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is in a file that has been opened, not more than [`MAX_FILE`].
fn text(path: &Path, file: std::fs::File) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| fault(path, source))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| FileError::NoText(path.to_owned()))
}

fn lines(text: String, line: Option<u32>, limit: Option<u32>) -> String {
    if line.is_none() && limit.is_none() {
        return text;
    }
    let skipped = line.unwrap_or(1).saturating_sub(1) as usize;
    let most = limit.map_or(usize::MAX, |limit| limit as usize);
    text.split_inclusive('\n')
        .skip(skipped)
        .take(most)
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("inside"), root.join("outside"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "one\ntwo\nthree\n").unwrap();
        }
        (temp, inside, outside)
    }

    fn refused(result: Result<String, FileError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_whole_or_in_part() {
        let (_temp, inside, _) = folder();
        let file = inside.join("file");
        let part = |line, limit| read(&inside, &file, line, limit).unwrap();
        assert_eq!(part(None, None), "one\ntwo\nthree\n");
        assert_eq!(part(Some(2), None), "two\nthree\n");
        assert_eq!(part(Some(2), Some(1)), "two\n");
        assert_eq!(part(None, Some(1)), "one\n");
        assert_eq!(part(Some(9), Some(9)), "");
        assert_eq!(part(Some(0), Some(0)), "");
    }

    #[test]
    fn a_file_is_written_and_put_in_the_place_of_another() {
        let (_temp, inside, _) = folder();
        for content in ["a longer text", "short"] {
            write(&inside, &inside.join("new"), content).unwrap();
            assert_eq!(
                read(&inside, &inside.join("new"), None, None).unwrap(),
                content
            );
        }
        let nowhere = write(&inside, &inside.join("no/such/file"), "x");
        assert!(matches!(nowhere, Err(FileError::Missing(_))), "{nowhere:?}");
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let (_temp, inside, outside) = folder();
        let target = outside.join("file");
        symlink(&target, inside.join("absolute")).unwrap();
        symlink("../outside/file", inside.join("relative")).unwrap();
        symlink("../outside", inside.join("folder")).unwrap();
        symlink("file", inside.join("good")).unwrap();
        for name in [
            "absolute",
            "relative",
            "folder/file",
            "../outside/file",
            "folder/new",
        ] {
            let path = inside.join(name);
            assert!(
                refused(read(&inside, &path, None, None)).contains("outside"),
                "{name}"
            );
            assert!(write(&inside, &path, "changed").is_err(), "{name}");
        }
        assert!(refused(read(&inside, &target, None, None)).contains("outside of the folder"));
        assert!(
            refused(read(
                &inside,
                Path::new("/proc/self/root/etc/passwd"),
                None,
                None
            ))
            .contains("outside")
        );
        assert_eq!(
            std::fs::read_to_string(target).unwrap(),
            "one\ntwo\nthree\n"
        );
        assert!(!outside.join("new").exists());
        assert!(read(&inside, &inside.join("good"), None, None).is_ok());
    }

    #[test]
    fn what_is_no_text_file_is_told() {
        let (_temp, inside, _) = folder();
        std::fs::write(inside.join("binary"), [0xff, 0xfe]).unwrap();
        std::fs::File::create(inside.join("large"))
            .unwrap()
            .set_len(MAX_FILE + 1)
            .unwrap();
        let reading = |name: &str| refused(read(&inside, &inside.join(name), None, None));
        assert!(reading("binary").contains("not UTF-8"));
        assert!(reading("large").contains("larger than 10 MiB"));
        assert!(reading("missing").contains("does not exist"));
        assert!(refused(read(&inside, &inside, None, None)).contains("not a regular file"));
        std::fs::create_dir(inside.join("sub")).unwrap();
        assert!(reading("sub").contains("not a regular file"));
        let pipe = inside.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(reading("pipe").contains("not a regular file"));
        assert!(write(&inside, &pipe, "x").is_err());
    }
}
