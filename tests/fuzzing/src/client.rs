//! What a client sends.

use std::io;
use std::path::{Path, PathBuf};

use plugin_api::serde_json::Value;
use roundhouse_host::guard::{ImageLimits, Resolve, check_files, check_images};
use roundhouse_host::protocol::{
    ClientMessage, ClientRequest, ParseLimits, Version, notes, parse_client_frame,
};

const LIMITS: ParseLimits = ParseLimits {
    depth: 64,
    images: 3,
};

const IMAGES: ImageLimits = ImageLimits {
    count: 3,
    bytes: 64,
    total: 100,
};

/// The session's folder.
const FOLDER: &str = "/uploads/session";

/// A disk on which everything is there.
struct Everything;

impl Resolve for Everything {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        // As the system does, with links left out.
        let mut resolved = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    resolved.pop();
                }
                std::path::Component::CurDir => {}
                part => resolved.push(part),
            }
        }
        Ok(resolved)
    }

    fn is_file(&self, _: &Path) -> bool {
        true
    }
}

/// Takes a text frame of a client in both versions of the protocol, and a message in it through all guards.
///
/// # Panics
///
/// When something passes that must not.
pub fn client_frame(data: &[u8]) {
    // A frame that is no UTF-8 does not get this far.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for version in Version::ALL {
        match parse_client_frame(text, LIMITS, version) {
            Ok(ClientRequest::Message(content, delivery)) => {
                let is_object = serde_json::from_str::<Value>(text);
                let is_object = is_object.map(|value| value.is_object());
                // Where the parser does not look, it does not count; what it reads is JSON.
                assert!(is_object.unwrap_or(true), "{text}");
                if let Some(id) = delivery.id {
                    assert_eq!(version, Version::V2);
                    assert_eq!(id.text.parse(), Ok(id.id));
                }
                message(content);
            }
            Ok(ClientRequest::Stop(_)) => assert_eq!(version, Version::V2),
            Err(unreadable) => {
                assert!(!unreadable.fault.to_string().is_empty());
                let _ = unreadable.fault.code();
            }
        }
    }
}

fn message(message: ClientMessage) {
    assert!(!message.content.is_empty());
    assert!(message.images.len() <= LIMITS.images);
    let Ok(images) = check_images(&message.images, &IMAGES) else {
        return;
    };
    let total: usize = images.iter().map(|image| image.bytes.len()).sum();
    assert!(total <= IMAGES.total);
    assert!(images.iter().all(|image| image.bytes.len() <= IMAGES.bytes));
    let Ok(files) = check_files(&message.files, Path::new(FOLDER), &Everything) else {
        return;
    };
    for file in &files {
        assert!(Path::new(&file.path).starts_with(FOLDER), "{}", file.path);
        assert!(!file.name.contains(char::is_control), "{:?}", file.name);
    }
    let named = files
        .iter()
        .map(|file| (file.name.as_str(), file.path.as_str()));
    let content = notes::with_notes(&message.content, images.len(), named);
    assert!(content.contains(&message.content), "{content}");
}
