use proptest::prelude::*;

use super::*;
use plugin_api::EventRef;

fn frames() -> Vec<FromWorker<'static>> {
    let event = EventRef {
        kind: 1,
        subagent: true,
        name: "stream_delta",
        id: "",
        parent: "p",
        text: "a text \u{1f5bc}",
        json: "",
    };
    let custom = EventRef {
        kind: 0,
        name: "mine",
        json: r#"{"a":1}"#,
        ..EventRef::default()
    };
    let unknown = EventRef {
        kind: 77,
        name: "later",
        ..EventRef::default()
    };
    vec![
        FromWorker::Opened("{}"),
        FromWorker::Refused("no"),
        FromWorker::Emit { scope: 7, event },
        FromWorker::Emit {
            scope: 7,
            event: custom,
        },
        FromWorker::Emit {
            scope: u64::MAX,
            event: unknown,
        },
        FromWorker::Complete {
            scope: 7,
            end: End::Finished("{}"),
        },
        FromWorker::Complete {
            scope: 7,
            end: End::Made,
        },
        FromWorker::Complete {
            scope: 7,
            end: End::Stopped(""),
        },
        FromWorker::Complete {
            scope: 7,
            end: End::Failed(3, "why"),
        },
        FromWorker::Request {
            scope: 7,
            id: 1,
            method: "tools/call",
            params: "{}",
        },
        FromWorker::Cancel { scope: 7, id: 1 },
        FromWorker::Image {
            scope: 7,
            handle: 0,
            ticket: 3,
        },
        FromWorker::Log {
            scope: 0,
            level: 2,
            target: "a::b",
            message: "m",
            fields: "",
        },
        FromWorker::Health {
            scope: 7,
            state: 1,
            text: "t",
        },
    ]
}

fn commands() -> Vec<ToWorker<'static>> {
    vec![
        ToWorker::Hello("{}"),
        ToWorker::Create {
            scope: 1,
            kind: 2,
            component: "c",
            config: "{}",
            params: "{}",
        },
        ToWorker::Shutdown {
            instance: 1,
            scope: 2,
        },
        ToWorker::SessionEnded {
            instance: 1,
            session: "s",
        },
        ToWorker::Run {
            instance: 1,
            scope: 2,
            params: "{}",
        },
        ToWorker::Stop {
            instance: 1,
            scope: 2,
        },
        ToWorker::Resume {
            instance: 1,
            scope: 2,
            count: 3,
        },
        ToWorker::Pause { scope: 2, seen: 3 },
        ToWorker::Over { scope: 2 },
        ToWorker::List {
            instance: 1,
            scope: 2,
        },
        ToWorker::Call {
            instance: 1,
            scope: 2,
            name: "n",
            args: "{}",
            params: "{}",
        },
        ToWorker::CancelCall {
            instance: 1,
            scope: 2,
        },
        ToWorker::Item {
            scope: 2,
            id: 4,
            json: "1",
        },
        ToWorker::Done {
            scope: 2,
            id: 4,
            reply: Reply::Ok("2"),
        },
        ToWorker::Done {
            scope: 2,
            id: 4,
            reply: Reply::Unsupported,
        },
        ToWorker::Done {
            scope: 2,
            id: 4,
            reply: Reply::Cancelled,
        },
        ToWorker::Done {
            scope: 2,
            id: 4,
            reply: Reply::Failed("{}"),
        },
        ToWorker::Image {
            ticket: 3,
            bytes: None,
        },
        ToWorker::Image {
            ticket: 3,
            bytes: Some(&[0xff, 0]),
        },
        ToWorker::Bye,
    ]
}

/// Puts bytes into a decoder as they come, `piece` at a time, and has each frame taken.
fn decode(
    bytes: &[u8],
    piece: usize,
    limit: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), FrameError> {
    let mut decoder = Decoder::new(limit);
    for mut piece in bytes.chunks(piece.max(1)) {
        while !piece.is_empty() {
            let room = decoder.room();
            let fits = room.len().min(piece.len());
            room[..fits].copy_from_slice(&piece[..fits]);
            decoder.filled(fits);
            piece = &piece[fits..];
            while let Some(frame) = decoder.next_frame()? {
                take(frame);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_written_is_read_however_it_comes() {
    let mut bytes = Vec::new();
    for frame in frames() {
        frame.write(&mut bytes);
    }
    for command in commands() {
        command.write(&mut bytes);
    }
    for piece in [1, 3, 64, bytes.len()] {
        let (mut read, mut all) = (0, frames().into_iter());
        let mut others = commands().into_iter();
        decode(&bytes, piece, 1024, |frame| {
            read += 1;
            match all.next() {
                Some(expected) => assert_eq!(FromWorker::read(frame), Ok(expected)),
                None => assert_eq!(ToWorker::read(frame), Ok(others.next().unwrap())),
            }
        })
        .unwrap();
        assert_eq!(read, frames().len() + commands().len());
    }
}

#[test]
fn a_frame_that_is_none_is_told_apart() {
    assert_eq!(FromWorker::read(&[]), Err(FrameError::Empty));
    assert_eq!(FromWorker::read(&[99]), Err(FrameError::UnknownKind(99)));
    assert_eq!(FromWorker::read(&[6, 1]), Err(FrameError::CutShort(6)));
    let mut bytes = Vec::new();
    FromWorker::Refused("no").write(&mut bytes);
    let frame = &bytes[4..];
    // The length of its text claims more than there is.
    let mut longer = frame.to_vec();
    longer[1] = 200;
    assert_eq!(FromWorker::read(&longer), Err(FrameError::CutShort(2)));
    let mut more = frame.to_vec();
    more.push(0);
    let too_much = FrameError::TooMuch { kind: 2, bytes: 1 };
    assert_eq!(FromWorker::read(&more), Err(too_much));
    let mut garbled = frame.to_vec();
    garbled[5] = 0xff;
    assert_eq!(FromWorker::read(&garbled), Err(FrameError::NotUtf8(2)));
    let mut end = Vec::new();
    FromWorker::Complete {
        scope: 1,
        end: End::Made,
    }
    .write(&mut end);
    end[4 + 9] = 9;
    let bad = FrameError::BadValue { kind: 4, value: 9 };
    assert_eq!(FromWorker::read(&end[4..]), Err(bad));
}

#[test]
fn a_length_that_is_only_claimed_takes_no_memory() {
    let mut decoder = Decoder::new(1 << 30);
    let room = decoder.room();
    room[..4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    decoder.filled(4);
    assert_eq!(decoder.next_frame(), Ok(None));
    assert!(decoder.room().len() <= FIRST_ROOM);
    let mut decoder = Decoder::new(1000);
    decoder.room()[..4].copy_from_slice(&1001_u32.to_le_bytes());
    decoder.filled(4);
    let too_long = FrameError::TooLong {
        length: 1001,
        limit: 1000,
    };
    assert_eq!(decoder.next_frame().unwrap_err(), too_long);
}

#[test]
fn a_known_kind_has_its_own_name_whatever_is_claimed() {
    let event = EventRef {
        kind: 1,
        name: "stream_end",
        text: "t",
        ..EventRef::default()
    };
    let mut bytes = Vec::new();
    FromWorker::Emit { scope: 1, event }.write(&mut bytes);
    match FromWorker::read(&bytes[4..]) {
        Ok(FromWorker::Emit { event, .. }) => assert_eq!(event.name, "stream_delta"),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_a_frame_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        piece in 1_usize..300,
    ) {
        let _ = decode(&bytes, piece, 4096, |frame| {
            let _ = (FromWorker::read(frame), ToWorker::read(frame));
        });
        let _ = (FromWorker::read(&bytes), ToWorker::read(&bytes));
    }

    #[test]
    fn a_frame_with_something_changed_is_a_frame_or_an_error(
        which in 0_usize..13, at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = Vec::new();
        frames()[which].write(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes, 7, 4096, |frame| {
            if let Ok(read) = FromWorker::read(frame) {
                let mut again = Vec::new();
                read.write(&mut again);
                assert_eq!(FromWorker::read(&again[4..]), Ok(read));
            }
        });
    }
}
