//! `docs/protocol.md` says what the code says.

use serde_json::Value;

use super::schema::{CLIENT, assert_valid_server_frame};
use crate::protocol::{ErrorCode, errors, kinds};

/// Both pages.
const PAGE: &str = concat!(
    include_str!("../../../../docs/protocol.md"),
    include_str!("../../../../docs/protocol-2.md")
);
const MIB: usize = 1 << 20;

fn assert_mentioned(text: &str) {
    assert!(
        PAGE.contains(&format!("`{text}`")),
        "docs/protocol.md does not mention `{text}`"
    );
}

#[test]
fn every_type_code_and_text_is_there() {
    let types = [&kinds::SERVER_TYPES[..], &kinds::CLIENT_TYPES].concat();
    types
        .into_iter()
        .chain(kinds::RESERVED_KEYS)
        .for_each(assert_mentioned);
    for text in [
        errors::INVALID_JSON,
        errors::INVALID_MESSAGE,
        errors::BUSY,
        errors::SESSION_NOT_FOUND,
        errors::DRAINING,
        errors::NOT_SAVED,
        errors::QUEUE_FULL,
        errors::ID_CONFLICT,
        errors::RATE_LIMITED,
        &errors::too_many_images(11, 10),
        &errors::image_too_large(5 * MIB),
        &errors::image_not_base64(2),
        &errors::image_wrong_type(2),
        &errors::images_too_large(20 * MIB),
        &errors::not_an_upload(1),
        &errors::frame_too_large(32 * MIB),
        &errors::mapper_failed("NAME"),
    ] {
        assert_mentioned(text);
    }
    for code in ErrorCode::ALL {
        assert_mentioned(code.as_str());
    }
    for close in super::texts::CLOSE_CODES {
        let row = PAGE
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", close.code())));
        let reason = close.reason();
        let reason = reason.split_once('=').map_or(&*reason, |(key, _)| key);
        assert!(
            row.is_some_and(|row| row.contains(reason)),
            "docs/protocol.md lacks {close:?}"
        );
    }
}

#[test]
fn its_examples_are_frames() {
    let mut frames = 0;
    for block in PAGE
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
    {
        // A block is one message of a client, or frames of the host, one a line.
        if let Ok(message) = serde_json::from_str::<Value>(block)
            && message["type"] == "message"
        {
            assert!(CLIENT.is_valid(&message), "{block}");
            frames += 1;
            continue;
        }
        for line in block.lines() {
            let frame: Value = serde_json::from_str(line).unwrap();
            if kinds::CLIENT_TYPES.contains(&frame["type"].as_str().unwrap()) {
                assert!(CLIENT.is_valid(&frame), "{line}");
            } else {
                assert_valid_server_frame(line);
            }
            frames += 1;
        }
    }
    assert!(frames >= 10, "only {frames} examples found");
}
