//! How our types lie in columns.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::ids::{Epoch, MessageId, Owner, RunId, SessionId};
use crate::session::model::RunStatus;

/// A count or position. SQLite's integers are signed; what does not fit is
/// kept as the largest that does.
pub(super) struct Count(pub(super) u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let value = i64::column_result(value)?;
        u64::try_from(value)
            .map(Self)
            .map_err(|_| FromSqlError::OutOfRange(value))
    }
}

/// A value as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// Numbers, usually ascending, as the LEB128 of their differences: about a
/// byte for each delta of a text.
pub(super) struct Numbers(pub(super) Vec<u32>);

/// The other direction, without taking them over.
pub(super) struct NumbersRef<'a>(pub(super) &'a [u32]);

impl ToSql for NumbersRef<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let mut bytes = Vec::with_capacity(self.0.len() + 8);
        let mut last = 0u32;
        for number in self.0 {
            let mut rest = number.wrapping_sub(last);
            last = *number;
            while rest >= 0x80 {
                bytes.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        Ok(bytes.into())
    }
}

impl FromSql for Numbers {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let mut numbers = Vec::new();
        let (mut last, mut difference, mut shift) = (0u32, 0u32, 0u32);
        for byte in value.as_blob()? {
            let bits = u32::from(byte & 0x7f);
            difference |= bits.checked_shl(shift).ok_or(FromSqlError::InvalidType)?;
            shift += 7;
            if byte & 0x80 == 0 {
                last = last.wrapping_add(difference);
                numbers.push(last);
                (difference, shift) = (0, 0);
            }
        }
        Ok(Self(numbers))
    }
}

macro_rules! id_as_text {
    ($($id:ty),*) => { $(
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }

        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(FromSqlError::other)
            }
        }
    )* };
}

id_as_text!(SessionId, RunId, MessageId);

macro_rules! name_as_text {
    ($($name:ty),*) => { $(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.as_str().to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str().map(Self::new)
            }
        }
    )* };
}

name_as_text!(Owner, Epoch);

impl ToSql for RunStatus {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

impl FromSql for RunStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value.as_str()? {
            "running" => Self::Running,
            "completed" => Self::Completed,
            "stopped" => Self::Stopped,
            "error" => Self::Error,
            "lost" => Self::Lost,
            _ => return Err(FromSqlError::InvalidType),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn through_sqlite<T: FromSql>(value: &dyn ToSql) -> T {
        let conn = Connection::open_in_memory().unwrap();
        conn.query_row("SELECT ?1", [value], |row| row.get(0))
            .unwrap()
    }

    proptest! {
        #[test]
        fn numbers_survive(numbers: Vec<u32>) {
            prop_assert_eq!(through_sqlite::<Numbers>(&NumbersRef(&numbers)).0, numbers);
        }

        #[test]
        fn counts_survive_up_to_the_largest(count: u64) {
            prop_assert_eq!(through_sqlite::<Count>(&Count(count)).0, count.min(i64::MAX as u64));
        }

        #[test]
        fn any_bytes_as_numbers_never_panic(bytes: Vec<u8>) {
            let _ = Numbers::column_result(ValueRef::Blob(&bytes));
        }
    }

    #[test]
    fn ascending_numbers_take_a_byte_each() {
        let numbers: Vec<u32> = (1..=1024).map(|n| n * 5).collect();
        let ToSqlOutput::Owned(rusqlite::types::Value::Blob(bytes)) =
            NumbersRef(&numbers).to_sql().unwrap()
        else {
            panic!("not a blob");
        };
        assert_eq!(bytes.len(), 1024);
    }

    #[test]
    fn every_status_survives() {
        for status in [
            RunStatus::Running,
            RunStatus::Completed,
            RunStatus::Stopped,
            RunStatus::Error,
            RunStatus::Lost,
        ] {
            assert_eq!(through_sqlite::<RunStatus>(&status), status);
        }
    }
}
