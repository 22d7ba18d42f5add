//! Opening one dynamic library: copy, check, open, find the entry function.
#![expect(
    unsafe_code,
    reason = "opening a library and naming its entry function cannot be checked"
)]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use libloading::Library;
use plugin_api::abi::types::{ENTRY_SYMBOL, RhEntry};

use super::elf;
use super::staging::{StageError, Staging, sha256_of};

/// What the entry symbols of all majors have in common; the major's number follows.
const SYMBOL_STEM: &str = "rh_plugin_v";

/// Majors looked for, so as to say what a library of another one was built for.
const MAJORS_TRIED: u32 = 100;

/// Enough of an ELF file to hold its headers.
const HEAD_BYTES: u64 = 64 * 1024;

/// A library could not be opened. Every text names the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be copied.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The copy is not the file that was configured.
    #[error("the SHA-256 of `{}` is {found}, but {expected} is configured", file.display())]
    Checksum {
        /// The library as found.
        file: PathBuf,
        /// The configured one, in hexadecimal digits.
        expected: String,
        /// The copy's, in hexadecimal digits.
        found: String,
    },
    /// The file ends before what its headers promise.
    #[error(
        "`{}` was cut short: it has {has} bytes, and its headers speak of {needs}",
        file.display()
    )]
    CutShort {
        /// The library as found.
        file: PathBuf,
        /// Its length.
        has: u64,
        /// What its headers promise.
        needs: u64,
    },
    /// The system's loader refused it.
    #[error("`{}` is not a library that this system can open: {reason}{hint}", file.display())]
    Refused {
        /// The library as found.
        file: PathBuf,
        /// The loader's own words.
        reason: String,
        /// What to do about it, if that is known.
        hint: &'static str,
    },
    /// It exports the entry function of another major.
    #[error(
        "`{}` was built for version {major} of the plugin boundary (it exports \
         `{SYMBOL_STEM}{major}`), and this host has version {} (`{ENTRY_SYMBOL}`)",
        file.display(),
        ENTRY_SYMBOL.trim_start_matches(SYMBOL_STEM)
    )]
    OtherMajor {
        /// The library as found.
        file: PathBuf,
        /// The library's major.
        major: u32,
    },
    /// It exports no entry function at all.
    #[error("`{}` is a library but not a plugin: it exports no `{ENTRY_SYMBOL}`", file.display())]
    NoEntry {
        /// The library as found.
        file: PathBuf,
    },
}

impl OpenError {
    /// Whether the configured checksum, and not the file, may be what is wrong.
    pub(crate) fn is_checksum(&self) -> bool {
        matches!(self, Self::Checksum { .. })
    }
}

/// Copies the library `file` and checks the copy, which is answered with its SHA-256. Blocks.
pub(crate) fn stage(
    file: &Path,
    sha256: Option<&[u8; 32]>,
    staging: &Staging,
) -> Result<(PathBuf, [u8; 32]), OpenError> {
    let staged = staging.stage(file)?;
    match check(file, &staged, sha256) {
        Ok(found) => Ok((staged, found)),
        Err(error) => {
            // It was not opened, so nobody needs it. What cannot be removed is removed with the folder.
            let _ = std::fs::remove_file(&staged);
            Err(error)
        }
    }
}

/// Opens `staged`, a copy of `file` that was never opened in this process before. `mapped` is called once it is, whether
/// or not it has an entry. It is never closed, and its entry function valid for ever.
///
/// Blocks, and runs the library's static initialisers.
pub(crate) fn open(
    file: &Path,
    staged: &Path,
    mapped: impl FnOnce(),
) -> Result<RhEntry, OpenError> {
    let library = open_image(staged).map_err(|error| refused(file, &error))?;
    mapped();
    let entry = find_entry(&library, file);
    // Never closed: threads, thread-local destructors and descriptors of the library outlive any bookkeeping.
    std::mem::forget(library);
    entry
}

/// What can be checked of a copy without opening it; answers its SHA-256.
fn check(file: &Path, staged: &Path, sha256: Option<&[u8; 32]>) -> Result<[u8; 32], OpenError> {
    let found = sha256_of(staged)?;
    if let Some(expected) = sha256.filter(|expected| **expected != found) {
        return Err(OpenError::Checksum {
            file: file.to_owned(),
            expected: hex(expected),
            found: hex(&found),
        });
    }
    check_length(file, staged)?;
    Ok(found)
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_length(file: &Path, staged: &Path) -> Result<(), OpenError> {
    let read = |source| StageError::Read {
        file: staged.to_owned(),
        source,
    };
    let mut copy = File::open(staged).map_err(read)?;
    let has = copy.metadata().map_err(read)?.len();
    let mut head = Vec::new();
    Read::by_ref(&mut copy)
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(read)?;
    match elf::needed_bytes(&head) {
        Some(needs) if needs > has => Err(OpenError::CutShort {
            file: file.to_owned(),
            has,
            needs,
        }),
        _ => Ok(()),
    }
}

fn refused(file: &Path, error: &libloading::Error) -> OpenError {
    // The crate's own text says only "dlopen failed"; the loader's words are its source.
    let reason = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    // What the loader says when the file system of the copy is mounted `noexec`.
    let hint = if reason.contains("failed to map segment") {
        " (is the file system of the data folder mounted `noexec`?)"
    } else {
        ""
    };
    OpenError::Refused {
        file: file.to_owned(),
        reason,
        hint,
    }
}

#[cfg(unix)]
fn open_image(staged: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix;
    // libloading does not name it. It keeps the image mapped whatever becomes of the handle.
    const RTLD_NODELETE: std::ffi::c_int = if cfg!(target_vendor = "apple") {
        0x80
    } else {
        0x1000
    };
    let flags = unix::RTLD_NOW | unix::RTLD_LOCAL | RTLD_NODELETE;
    // SAFETY: Opening runs the library's initialisers, which nobody can vouch for but the operator who
    // configured the file; the checks before this are the most that can be done. The path is that of a
    // regular file that no one else writes to and that was never opened before.
    let library = unsafe { unix::Library::open(Some(staged), flags) }?;
    Ok(library.into())
}

#[cfg(not(unix))]
fn open_image(staged: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: As above; the handle is leaked by the caller, so the library is not unloaded either.
    unsafe { Library::new(staged) }
}

fn find_entry(library: &Library, file: &Path) -> Result<RhEntry, OpenError> {
    // SAFETY: The symbol's name states its type and its major; a library that exports it with another type
    // breaks the boundary's first rule, which cannot be checked from here.
    if let Ok(entry) = unsafe { library.get::<RhEntry>(ENTRY_SYMBOL) } {
        return Ok(*entry);
    }
    let exports = |major: &u32| {
        // SAFETY: The symbol is only looked up, as an address that is never used.
        unsafe { library.get::<*const ()>(format!("{SYMBOL_STEM}{major}")) }.is_ok()
    };
    let file = file.to_owned();
    Err(match (0..MAJORS_TRIED).find(exports) {
        Some(major) => OpenError::OtherMajor { file, major },
        None => OpenError::NoEntry { file },
    })
}
