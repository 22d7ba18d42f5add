//! The images of a message.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use bytes::Bytes;

use crate::protocol::ErrorCode;
use crate::protocol::errors;

/// Bounds of a message's images. Sizes are of decoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Images in a message.
    pub count: usize,
    /// Bytes of one image.
    pub bytes: usize,
    /// Bytes of all images of a message together.
    pub total: usize,
}

/// An image that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedImage {
    /// Its type, judged by its first bytes; what a `data:` URL claims is not looked at.
    pub media_type: MediaType,
    /// The decoded bytes.
    pub bytes: Bytes,
}

/// The types that an image may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    Png,
    Jpeg,
    Gif,
    WebP,
}

impl MediaType {
    /// The type as MIME has it, such as `image/png`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    /// The type that the first bytes of an image tell.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::WebP),
            _ => None,
        }
    }
}

/// Why a message's images are refused, in the order in which it is looked at. The text is what the client
/// is answered; images are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// More than allowed.
    #[error("{}", errors::too_many_images(*count, *max))]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// One is too large.
    #[error("{}", errors::image_too_large(*max))]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// One is not base64.
    #[error("{}", errors::image_not_base64(*number))]
    NotBase64 {
        /// Which.
        number: usize,
    },
    /// One is of another type.
    #[error("{}", errors::image_wrong_type(*number))]
    WrongType {
        /// Which.
        number: usize,
    },
    /// All together are too large.
    #[error("{}", errors::images_too_large(*max))]
    TotalTooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl ImageFault {
    /// The fault's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TooMany { .. } => ErrorCode::TooManyImages,
            Self::TooLarge { .. } | Self::TotalTooLarge { .. } => ErrorCode::ImageTooLarge,
            Self::NotBase64 { .. } | Self::WrongType { .. } => ErrorCode::InvalidImage,
        }
    }
}

/// RFC 4648's alphabet with its padding, which shows when the end of an image is missing, and nothing
/// else: no white space, no URL-safe letters. Bits that the last letter has too many do no harm and are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// Checks and decodes the images of a message, each base64 or a `data:` URL.
///
/// A fault of an earlier kind wins over one of a later kind, whichever image has it; among images with the
/// same kind of fault the first one is named. Sizes are computed from the length of the text, so an image
/// over the limit is never decoded.
///
/// # Errors
///
/// The first [`ImageFault`] in the order in which they are declared.
pub fn check_images(
    images: &[String],
    limits: &ImageLimits,
) -> Result<Vec<GuardedImage>, ImageFault> {
    if images.len() > limits.count {
        return Err(ImageFault::TooMany {
            count: images.len(),
            max: limits.count,
        });
    }
    let texts: Vec<&str> = images.iter().map(|image| payload(image)).collect();
    if texts.iter().any(|text| decoded_len(text) > limits.bytes) {
        return Err(ImageFault::TooLarge { max: limits.bytes });
    }
    let decoded = numbered(&texts)
        .map(|(number, text)| {
            BASE64
                .decode(text)
                .map_err(|_| ImageFault::NotBase64 { number })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let types = numbered(&decoded)
        .map(|(number, bytes)| MediaType::of(bytes).ok_or(ImageFault::WrongType { number }))
        .collect::<Result<Vec<_>, _>>()?;
    if decoded.iter().map(Vec::len).sum::<usize>() > limits.total {
        return Err(ImageFault::TotalTooLarge { max: limits.total });
    }
    let images = types.into_iter().zip(decoded);
    Ok(images
        .map(|(media_type, bytes)| GuardedImage {
            media_type,
            bytes: bytes.into(),
        })
        .collect())
}

fn numbered<T>(items: &[T]) -> impl Iterator<Item = (usize, &T)> {
    (1..).zip(items)
}

/// The base64 in an image: all of it, or what follows the first comma of a `data:` URL.
fn payload(image: &str) -> &str {
    match image.split_once(',') {
        // A URL's scheme may be written in any case.
        Some((head, rest))
            if head
                .get(..5)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) =>
        {
            rest
        }
        _ => image,
    }
}

/// Bytes that a base64 text stands for; for other texts an estimate.
fn decoded_len(text: &str) -> usize {
    let letters = text.len()
        - text
            .bytes()
            .rev()
            .take(2)
            .take_while(|byte| *byte == b'=')
            .count();
    letters / 4 * 3 + letters % 4 * 3 / 4
}

#[cfg(test)]
#[path = "tests/images.rs"]
mod tests;
