//! What a message must pass before it becomes a run: each guard is a function of its input and its
//! limits, and answers with the first fault in the protocol's order.
//!
//! - [`images`]: number, size, base64, type
//! - [`files`]: only uploads of the session
//!
//! The guards for the frame itself (JSON, nesting, shape) are in
//! [`protocol::client`](crate::protocol::client), since they are the parser.

pub mod files;
pub mod images;

pub use files::{Disk, FileFault, Resolve, check_files};
pub use images::{GuardedImage, ImageFault, ImageLimits, MediaType, check_images};
