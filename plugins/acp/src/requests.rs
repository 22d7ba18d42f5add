//! What an agent asks of the host for its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_client_protocol_schema::v1::{
    self, CLIENT_METHOD_NAMES, ReadTextFileRequest, ReadTextFileResponse, WriteTextFileRequest,
    WriteTextFileResponse,
};
use plugin_api::serde::{Serialize, de::DeserializeOwned};
use plugin_api::serde_json::{self, Value, value::RawValue};
use plugin_api::tokio;

use crate::files::{self, FileError};

/// Files that an agent may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    /// Uploads of the message in progress, to be read alone.
    uploads: Arc<[PathBuf]>,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            uploads: Arc::default(),
        }
    }

    pub(crate) fn with_uploads(folder: &Path, uploads: impl Iterator<Item = PathBuf>) -> Self {
        Self {
            uploads: uploads.collect(),
            ..Self::of(folder)
        }
    }

    /// Answers a request; one that is not about files is refused.
    pub(crate) async fn answer(&self, method: &str, params: &RawValue) -> Result<Value, v1::Error> {
        let names = &CLIENT_METHOD_NAMES;
        if !files::SERVED || ![names.fs_read_text_file, names.fs_write_text_file].contains(&method)
        {
            return Err(v1::Error::method_not_found());
        }
        let this = self.clone();
        if method == names.fs_read_text_file {
            let asked: ReadTextFileRequest = parsed(params)?;
            let content = blocking(move || this.read(&asked)).await?;
            return answer(&ReadTextFileResponse::new(content));
        }
        let asked: WriteTextFileRequest = parsed(params)?;
        blocking(move || files::write(&this.folder, &asked.path, &asked.content)).await?;
        answer(&WriteTextFileResponse::new())
    }

    fn read(&self, asked: &ReadTextFileRequest) -> Result<String, FileError> {
        match self.uploads.contains(&asked.path) {
            true => files::read_upload(&asked.path, asked.line, asked.limit),
            false => files::read(&self.folder, &asked.path, asked.line, asked.limit),
        }
    }
}

/// The parameters of a request.
pub(crate) fn parsed<T: DeserializeOwned>(params: &RawValue) -> Result<T, v1::Error> {
    serde_json::from_str(params.get())
        .map_err(|error| v1::Error::invalid_params().data(error.to_string()))
}

/// The result of a request.
pub(crate) fn answer(result: &impl Serialize) -> Result<Value, v1::Error> {
    serde_json::to_value(result)
        .map_err(|error| v1::Error::internal_error().data(error.to_string()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, v1::Error> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| v1::Error::internal_error().data(error.to_string()))?;
    done.map_err(|error| {
        let kind = match &error {
            FileError::Missing(_) => v1::Error::resource_not_found(None),
            FileError::Io { .. } => v1::Error::internal_error(),
            _ => v1::Error::invalid_params(),
        };
        kind.data(error.to_string())
    })
}
