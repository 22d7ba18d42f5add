//! What a worker process sends.

use roundhouse_host::plugin::worker::frame::{Decoder, FromWorker, ToWorker};
use roundhouse_host::run::fuzzing as run;

use crate::input::Input;

/// The longest frame.
const LIMIT: usize = 4096;

/// Takes what comes from a worker's socket, in pieces, as frames; and each frame as either side reads it.
///
/// # Panics
///
/// When what is read is not what was sent.
pub fn worker_frames(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.byte()) + 1;
    let mut decoder = Decoder::new(LIMIT);
    for piece in input.rest().chunks(size) {
        let mut left = piece;
        while !left.is_empty() {
            let room = decoder.room();
            let (now, later) = left.split_at(room.len().min(left.len()));
            room[..now.len()].copy_from_slice(now);
            decoder.filled(now.len());
            left = later;
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => take(frame),
                    Ok(None) => break,
                    // Nothing that comes after it means anything.
                    Err(error) => return assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}

fn take(frame: &[u8]) {
    assert!(frame.len() <= LIMIT);
    let mut again = Vec::new();
    match FromWorker::read(frame) {
        Ok(read) => {
            read.write(&mut again);
            assert_eq!(FromWorker::read(behind_its_length(&again)), Ok(read));
            if let FromWorker::Emit { event, .. } = read {
                let _ = run::event(event, None, 64);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    again.clear();
    if let Ok(read) = ToWorker::read(frame) {
        read.write(&mut again);
        assert_eq!(ToWorker::read(behind_its_length(&again)), Ok(read));
    }
}

/// A frame as a decoder hands it out.
fn behind_its_length(frame: &[u8]) -> &[u8] {
    let (length, frame) = frame.split_first_chunk().unwrap_or((&[0; 4], &[]));
    assert_eq!(u32::from_le_bytes(*length) as usize, frame.len());
    frame
}
