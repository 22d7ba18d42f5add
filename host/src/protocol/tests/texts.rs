use std::time::Duration;

use crate::protocol::errors::{self, mebibytes};
use crate::protocol::notes::with_notes;
use crate::protocol::{CloseCode, ErrorCode};

const MIB: usize = 1 << 20;

pub(super) const CLOSE_CODES: [CloseCode; 7] = [
    CloseCode::FrameTooLarge,
    CloseCode::Draining {
        retry: Duration::from_millis(2500),
    },
    CloseCode::TooManyConnections,
    CloseCode::SessionNotFound,
    CloseCode::TooSlow,
    CloseCode::NotAuthenticated,
    CloseCode::NotAllowed,
];

#[test]
fn error_texts_to_the_letter() {
    insta::assert_snapshot!(
        [
            errors::INVALID_JSON.to_owned(),
            errors::INVALID_MESSAGE.to_owned(),
            errors::too_many_images(11, 10),
            errors::image_too_large(5 * MIB),
            errors::image_not_base64(2),
            errors::image_wrong_type(2),
            errors::images_too_large(20 * MIB),
            errors::not_an_upload(1),
            errors::BUSY.to_owned(),
            errors::frame_too_large(32 * MIB),
            errors::frame_too_large(4096),
            errors::SESSION_NOT_FOUND.to_owned(),
            errors::DRAINING.to_owned(),
            errors::run_timeout(600),
            errors::NOT_SAVED.to_owned(),
            errors::internal("out of coal"),
            errors::mapper_failed("redact"),
        ]
        .join("\n")
    );
}

#[test]
fn sizes_have_at_most_two_decimals() {
    for (bytes, text) in [
        (5 * MIB, "5"),
        (100 * MIB, "100"),
        (3 * MIB / 2, "1.5"),
        (MIB / 4, "0.25"),
        (4 * MIB / 3, "1.33"),
        (MIB / 10, "0.1"),
        (1, "0"),
        (0, "0"),
    ] {
        assert_eq!(mebibytes(bytes), text);
    }
}

#[test]
fn codes_are_written_as_they_serialize() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert_eq!(code.to_string(), code.as_str());
    }
    insta::assert_snapshot!(ErrorCode::ALL.map(ErrorCode::as_str).join(" "));
}

#[test]
fn close_codes_to_the_letter() {
    assert!(CLOSE_CODES.iter().all(|code| code.reason().len() <= 123));
    let lines = CLOSE_CODES
        .map(|code| format!("{} {:?} {:?}", code.code(), code.reason(), code.reconnect()));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn notes_to_the_letter() {
    let files = [("a b.txt", "/up/1"), ("c", "/up/2")];
    assert_eq!(with_notes("Hi", 0, []), "Hi");
    assert_eq!(
        with_notes("Hi", 1, []),
        "Hi\n\n[1 image attached inline — already in your context, no extra loading needed.]"
    );
    assert_eq!(
        with_notes("Hi\n", 2, files),
        "Hi\n\n\n[2 images attached inline — already in your context, no extra loading needed.]\
         \n\n[Uploaded files on disk:\n- a b.txt → /up/1\n- c → /up/2]"
    );
    assert_eq!(
        with_notes("Hi", 0, [files[0]]),
        "Hi\n\n[Uploaded files on disk:\n- a b.txt → /up/1]"
    );
}
