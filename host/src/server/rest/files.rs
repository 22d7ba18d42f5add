//! The files that clients upload for a session's agent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Endpoint;
use super::gate::{Client, SessionPath};
use super::upload::{Form, Received, UploadFault};
use crate::server::Host;
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};
use crate::session::{Entity, FileRef, Owner, SessionId, StoreError, Upload};

const FILES: &str = "/sessions/{session_id}/files";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation = |method, id, summary| Operation::new(method, FILES, id, summary).tag("files");
    vec![
        Endpoint::new(
            operation(Method::POST, "uploadFiles", "Upload files")
                .description(
                    "Every part of the form is a file, whatever its name is; up to 32 of them. Either all are kept or none. \
                     The answer is what `files` of a message takes.",
                )
                .body_as::<UploadForm>(true, "multipart/form-data")
                .answer::<Vec<UploadedFile>>(StatusCode::CREATED, "The files, in the order in which they were sent.")
                .problems(&[
                    ProblemKind::SessionNotFound,
                    ProblemKind::InvalidMultipart,
                    ProblemKind::InvalidBody,
                    ProblemKind::RequestTimeout,
                    ProblemKind::FileTooLarge,
                    ProblemKind::UnsupportedMediaType,
                ]),
            upload,
        ),
        Endpoint::new(
            operation(Method::GET, "listFiles", "List a session's files, the oldest first")
                .answer::<FileList>(StatusCode::OK, "All of them.")
                .problems(&[ProblemKind::SessionNotFound]),
            list,
        ),
    ]
}

/// A form of files.
struct UploadForm;

impl JsonSchema for UploadForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UploadForm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Files; the names of the parts do not matter, each needs a `filename`.",
            "type": "object",
            "properties": {
                "file": {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
            }
        })
    }
}

/// A file that was uploaded, as a message names it.
#[derive(Debug, Serialize, JsonSchema)]
struct UploadedFile {
    /// The name that it was sent with, without control characters.
    name: String,
    /// Where it lies on the host.
    path: String,
    bytes: u64,
}

/// A session's files.
#[derive(Debug, Serialize, JsonSchema)]
struct FileList {
    files: Vec<ListedFile>,
}

/// A file that was uploaded.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedFile {
    /// The name that it was sent with, without control characters.
    name: String,
    /// Where it lies on the host.
    path: String,
    bytes: u64,
    created_at_ms: u64,
}

async fn upload(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
    request: Request,
) -> Result<(StatusCode, Json<Vec<UploadedFile>>), Problem> {
    let limit = host.in_force().config.limits.file_bytes;
    let mut form = Form::of(request).await?;
    match receive_and_place(&host, &owner, id, &mut form, limit).await {
        Ok(files) => Ok((StatusCode::CREATED, Json(files))),
        Err(problem) => {
            form.drain(limit).await;
            // Whatever went wrong: if the session was deleted meanwhile, then that is why.
            host.store.get(&owner, id).await?;
            Err(problem)
        }
    }
}

async fn receive_and_place(
    host: &Arc<Host>,
    owner: &Owner,
    id: SessionId,
    form: &mut Form,
    limit: u64,
) -> Result<Vec<UploadedFile>, Problem> {
    host.store.get(owner, id).await?;
    let folder = make_folder(host, id).await?;
    if let Err(error) = host.store.get(owner, id).await {
        // It was deleted between the two looks, perhaps before the folder was made.
        remove_folder_of_gone(host, id, &error).await;
        return Err(error.into());
    }
    let received = form.receive(&folder, limit).await?;
    // Goes on when the client does not wait: a file with its own name is to be listed as well.
    let placing = host.errands.spawn(place_all(
        Arc::clone(host),
        owner.clone(),
        id,
        folder,
        received,
    ));
    placing.await.map_err(|error| Problem::internal(&error))?
}

async fn make_folder(host: &Host, id: SessionId) -> Result<PathBuf, UploadFault> {
    let uploads = host.uploads.clone();
    let created = spawn_blocking(move || uploads.create(id)).await?;
    let folder = created.map_err(UploadFault::disk("make the session's upload folder"))?;
    // Paths are told to clients and agents as text.
    if folder.to_str().is_none() {
        let source = io::Error::new(
            io::ErrorKind::InvalidFilename,
            "the data folder's path is not UTF-8",
        );
        return Err(UploadFault::Disk {
            doing: "use the session's upload folder",
            source,
        });
    }
    Ok(folder)
}

/// Gives the files their own names and records them.
async fn place_all(
    host: Arc<Host>,
    owner: Owner,
    id: SessionId,
    folder: PathBuf,
    received: Vec<Received>,
) -> Result<Vec<UploadedFile>, Problem> {
    let mut files = Vec::with_capacity(received.len());
    for file in received {
        let (name, bytes, folder) = (file.name.clone(), file.bytes, folder.clone());
        let placed = spawn_blocking(move || file.place(&folder))
            .await
            .map_err(UploadFault::Task)??;
        let file = FileRef {
            name,
            path: placed.path().to_string_lossy().into_owned(),
        };
        match host.store.add_upload(&owner, id, file, bytes).await {
            Ok(Upload {
                file: FileRef { name, path },
                bytes,
                ..
            }) => {
                placed.keep();
                files.push(UploadedFile { name, path, bytes });
            }
            Err(error) => {
                drop(placed);
                remove_folder_of_gone(&host, id, &error).await;
                return Err(error.into());
            }
        }
    }
    Ok(files)
}

/// Removes the folder of a session that was deleted: it may have been made anew after that.
async fn remove_folder_of_gone(host: &Host, id: SessionId, error: &StoreError) {
    if !matches!(error, StoreError::NotFound(Entity::Session)) {
        return;
    }
    let uploads = host.uploads.clone();
    let removed = spawn_blocking(move || uploads.remove(id))
        .await
        .unwrap_or_else(|error| Err(error.into()));
    if let Err(error) = removed {
        tracing::warn!(session = %id, %error, "the upload folder of a deleted session could not be removed");
    }
}

async fn list(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
) -> Result<Json<FileList>, Problem> {
    let uploads = host.store.uploads(&owner, id).await?.into_iter();
    let files = uploads.map(
        |Upload {
             file,
             bytes,
             created_at_ms,
         }| ListedFile {
            name: file.name,
            path: file.path,
            bytes,
            created_at_ms,
        },
    );
    Ok(Json(FileList {
        files: files.collect(),
    }))
}
