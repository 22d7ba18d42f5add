//! Records as the store keeps them.

use super::log::Closed;
use super::record::{Form, Record};
use crate::session::{Forms, NumberedRecords, StoredRecord};

/// The stored form of what a run has to save.
pub(super) fn records(closed: &Closed) -> NumberedRecords {
    NumberedRecords {
        first: closed.first,
        records: closed.records.iter().map(|own| record(own)).collect(),
    }
}

/// The stored form of a record.
fn record(record: &Record) -> StoredRecord {
    let mut json = Vec::new();
    record.event.encode_full(&mut json);
    // The encoder writes JSON, which is UTF-8.
    let json = String::from_utf8_lossy(&json).into_owned();
    StoredRecord {
        seq_from: record.seq_from,
        seq: record.seq,
        kind: record.event.type_name().to_owned(),
        forms: match record.form {
            Form::AsEmitted => Forms::Same(json),
            Form::Mapped => Forms::Inserted(json),
            Form::Unsent => Forms::Dropped(json),
        },
        bounds: (!record.bounds().is_empty()).then(|| record.bounds().to_vec()),
    }
}
