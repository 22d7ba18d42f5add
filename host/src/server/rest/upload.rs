//! Receiving files: from a `multipart/form-data` body to files in a session's upload folder.
//!
//! A file is written under a temporary name as it arrives and gets its own name when the whole request has
//! arrived. Whatever goes wrong before that, a client that leaves included, removes what was written.

use std::io;
use std::path::Path;
use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{FromRequest, Request};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use uuid::Uuid;

use super::file_name;
use super::paced::{Pace, paced};

/// Most files in one request.
pub(super) const MAX_FILES: usize = 32;

/// How long a client may send nothing.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long the rest of a request that was refused is read and dropped.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How much the parser may collect before it finds the next part or a piece of the present one, in bytes.
const UNUSED_BYTES: u64 = 64 * 1024;

/// What is collected before it is written to the disk, in bytes.
const WRITE_BUFFER: usize = 256 * 1024;

/// How many names with a number are tried before a random one.
const NAMES_TRIED: u32 = 100;

/// Why files are not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    #[error("files are sent as `multipart/form-data` with a boundary")]
    MediaType(#[source] MultipartRejection),
    #[error("the multipart body is malformed or was cut short: {0}")]
    Malformed(String),
    #[error("nothing arrived for {} s", IDLE_TIME.as_secs())]
    TooSlow,
    #[error("the request holds no file")]
    NoFile,
    #[error("the part `{}` is no file: it has no `filename`", .name.escape_debug())]
    NotAFile { name: String },
    #[error("a request may hold at most {MAX_FILES} files")]
    TooMany,
    #[error("the file `{}` has more than {limit} bytes", .name.escape_debug())]
    TooLarge { name: String, limit: u64 },
    #[error("the host could not {doing}")]
    Disk {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the host could not write a file")]
    Task(#[from] JoinError),
}

impl UploadFault {
    pub(super) fn disk(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { doing, source }
    }
}

/// A file that has arrived, still under its temporary name. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Received {
    /// As the client called it, fit to be shown.
    pub(super) name: String,
    pub(super) bytes: u64,
    stored_name: String,
    path: TempPath,
}

/// A request's body of parts.
pub(super) struct Form {
    multipart: Multipart,
    pace: Pace,
}

impl Form {
    /// The form in a request, of which nothing is read yet.
    pub(super) async fn of(request: Request) -> Result<Self, UploadFault> {
        let (parts, body) = request.into_parts();
        let (body, pace) = paced(body);
        let request = Request::from_parts(parts, body);
        let multipart = Multipart::from_request(request, &())
            .await
            .map_err(UploadFault::MediaType)?;
        Ok(Self { multipart, pace })
    }

    /// Receives all files into `folder`, which exists. `limit` is the most that one may have, in bytes.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no file.
    pub(super) async fn receive(
        &mut self,
        folder: &Path,
        limit: u64,
    ) -> Result<Vec<Received>, UploadFault> {
        let mut files = Vec::new();
        loop {
            self.pace.allow(UNUSED_BYTES);
            let next = timeout(IDLE_TIME, self.multipart.next_field()).await;
            let next = next.map_err(|_| UploadFault::TooSlow)?;
            let Some(field) = next.map_err(|error| malformed(&error))? else {
                break;
            };
            let Some(name) = field.file_name().map(ToOwned::to_owned) else {
                let name = field.name().unwrap_or_default().chars().take(100).collect();
                return Err(UploadFault::NotAFile { name });
            };
            if files.len() == MAX_FILES {
                return Err(UploadFault::TooMany);
            }
            files.push(receive_file(field, &self.pace, name, folder, limit).await?);
        }
        if files.is_empty() {
            Err(UploadFault::NoFile)
        } else {
            Ok(files)
        }
    }

    /// Reads what is left and drops it, up to `limit` bytes and for some seconds. A client that sends on and on
    /// would not see the answer that it is refused.
    pub(super) async fn drain(&self, limit: u64) {
        // A client that takes longer goes without the answer.
        let _ = timeout(DRAIN_TIME, self.pace.discard(limit)).await;
    }
}

async fn receive_file(
    mut field: Field<'_>,
    pace: &Pace,
    name: String,
    folder: &Path,
    limit: u64,
) -> Result<Received, UploadFault> {
    let folder = folder.to_owned();
    let temporary = spawn_blocking(move || {
        tempfile::Builder::new()
            .prefix(".upload-")
            .tempfile_in(folder)
    })
    .await?;
    let (file, path) = temporary
        .map_err(UploadFault::disk("make a file"))?
        .into_parts();
    let mut file =
        tokio::io::BufWriter::with_capacity(WRITE_BUFFER, tokio::fs::File::from_std(file));
    let mut bytes = 0;
    loop {
        pace.allow(UNUSED_BYTES);
        let chunk = timeout(IDLE_TIME, field.chunk()).await;
        let Some(chunk) = chunk
            .map_err(|_| UploadFault::TooSlow)?
            .map_err(|error| malformed(&error))?
        else {
            break;
        };
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(UploadFault::TooLarge {
                name: file_name::shown(&name),
                limit,
            });
        }
        file.write_all(&chunk)
            .await
            .map_err(UploadFault::disk("write a file"))?;
    }
    file.flush()
        .await
        .map_err(UploadFault::disk("write a file"))?;
    Ok(Received {
        stored_name: file_name::stored(&name),
        name: file_name::shown(&name),
        bytes,
        path,
    })
}

/// What was wrong, in the words of whoever noticed it.
fn malformed(error: &MultipartError) -> UploadFault {
    let innermost =
        std::iter::successors(std::error::Error::source(error), |error| error.source()).last();
    UploadFault::Malformed(innermost.map_or_else(|| error.body_text(), ToString::to_string))
}

/// A file under its own name. Dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(super) struct Placed(TempPath);

impl Placed {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn keep(mut self) {
        self.0.disable_cleanup(true);
    }
}

impl Received {
    /// Gives the file its own name in the folder, one that no other file has. Blocks.
    pub(super) fn place(self, folder: &Path) -> Result<Placed, UploadFault> {
        let mut temporary = self.path;
        let numbered =
            (1..=NAMES_TRIED).map(|number| file_name::numbered(&self.stored_name, number));
        let random =
            std::iter::once_with(|| format!("{}-{}", Uuid::new_v4().simple(), self.stored_name));
        for name in numbered.chain(random) {
            let path = folder.join(name);
            match temporary.persist_noclobber(&path) {
                Ok(()) => {
                    let placed =
                        TempPath::try_from_path(path).map_err(UploadFault::disk("name a file"))?;
                    return Ok(Placed(placed));
                }
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    temporary = error.path
                }
                Err(error) => return Err(UploadFault::disk("name a file")(error.error)),
            }
        }
        Err(UploadFault::disk("name a file")(
            io::ErrorKind::AlreadyExists.into(),
        ))
    }
}
