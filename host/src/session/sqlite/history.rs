//! Turns, read in pages.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use super::columns::{Count, Json};
use super::fault::Fault;
use super::records::{self, Form};
use super::runs::{read_failure, read_outcome};
use super::sessions;
use crate::session::ids::RunId;
use crate::session::model::{AssistantTurn, ImageData, ImageMeta, Turn, TurnBody, UserTurn};
use crate::session::page::{MAX_PAGE, TurnPage, TurnPageRequest};
use crate::session::store::Entity;

pub(super) fn page(
    conn: &Connection,
    session: i64,
    request: TurnPageRequest,
    form: Form,
) -> Result<TurnPage, Fault> {
    let limit = request.limit.clamp(1, MAX_PAGE) as usize;
    let mut statement = conn.prepare_cached(match form {
        Form::Sent => {
            "SELECT turns.number, runs.id, turns.created_at_ms, turns.role, runs.key,
                coalesce(turns.content_sent, turns.content), turns.user_text, turns.files,
                runs.agent, runs.status, runs.truncated, NULL,
                runs.context_tokens, runs.max_context_tokens, runs.token_count,
                runs.tool_call_count, runs.elapsed_seconds,
                runs.error_code, coalesce(runs.error_text_sent, runs.error_text)
             FROM turns JOIN runs ON runs.key = turns.run
             WHERE turns.session = ?1 AND turns.number < ?2 ORDER BY turns.number DESC"
        }
        Form::Emitted => {
            "SELECT turns.number, runs.id, turns.created_at_ms, turns.role, runs.key,
                turns.content, turns.user_text, turns.files,
                runs.agent, runs.status, runs.truncated, runs.data,
                runs.context_tokens, runs.max_context_tokens, runs.token_count,
                runs.tool_call_count, runs.elapsed_seconds,
                runs.error_code, runs.error_text
             FROM turns JOIN runs ON runs.key = turns.run
             WHERE turns.session = ?1 AND turns.number < ?2 ORDER BY turns.number DESC"
        }
    })?;
    let mut rows = statement.query(params![session, Count(request.before.unwrap_or(u64::MAX))])?;
    let mut turns = Vec::new();
    let mut bytes = 0;
    let mut more = false;
    while let Some(row) = rows.next()? {
        if turns.len() == limit || (!turns.is_empty() && bytes >= request.max_bytes) {
            more = true;
            break;
        }
        let turn = read_turn(conn, row, form)?;
        bytes += size(&turn);
        turns.push(turn);
    }
    turns.reverse();
    let before = turns.first().filter(|_| more).map(|oldest| oldest.number);
    Ok(TurnPage {
        turns,
        before,
        numbering: sessions::numbering(conn, session)?.0,
    })
}

fn read_turn(conn: &Connection, row: &Row<'_>, form: Form) -> Result<Turn, Fault> {
    let run: i64 = row.get(4)?;
    let content: String = row.get(5)?;
    let body = if row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)? == "user" {
        TurnBody::User(UserTurn {
            user_text: row
                .get::<_, Option<_>>(6)?
                .unwrap_or_else(|| content.clone()),
            content,
            images: image_list(conn, run)?,
            files: row
                .get::<_, Option<Json<_>>>(7)?
                .map_or_else(Vec::new, |files| files.0),
        })
    } else {
        let mut list = Vec::new();
        records::for_each(conn, run, form, |record| list.push(record))?;
        TurnBody::Assistant(AssistantTurn {
            agent: row.get(8)?,
            content,
            status: row.get(9)?,
            truncated: row.get(10)?,
            data: row.get::<_, Option<Json<Value>>>(11)?.map(|data| data.0),
            outcome: read_outcome(row, 12)?,
            failure: read_failure(row, 17)?,
            records: list,
        })
    };
    Ok(Turn {
        number: row.get::<_, Count>(0)?.0,
        run: row.get(1)?,
        created_at_ms: row.get::<_, Count>(2)?.0,
        body,
    })
}

/// About what the turn takes in memory and on the wire.
fn size(turn: &Turn) -> u64 {
    let bytes = match &turn.body {
        TurnBody::User(user) => user.content.len() + user.user_text.len(),
        TurnBody::Assistant(assistant) => {
            let records = assistant.records.iter();
            assistant.content.len() + records.map(|record| record.json.len()).sum::<usize>()
        }
    };
    bytes as u64
}

fn image_list(conn: &Connection, run: i64) -> Result<Vec<ImageMeta>, Fault> {
    // The length of a blob is known without reading it.
    Ok(conn
        .prepare_cached(
            "SELECT media_type, length(bytes) FROM images WHERE run = ?1 ORDER BY position",
        )?
        .query_map([run], |row| {
            Ok(ImageMeta {
                media_type: row.get(0)?,
                bytes: row.get::<_, Count>(1)?.0,
            })
        })?
        .collect::<Result<_, _>>()?)
}

pub(super) fn image(conn: &Connection, run: RunId, index: u32) -> Result<ImageData, Fault> {
    conn.prepare_cached(
        "SELECT images.media_type, images.bytes FROM runs
         JOIN sessions ON sessions.key = runs.session AND sessions.deleting = 0
         JOIN images ON images.run = runs.key
         WHERE runs.id = ?1 AND images.position = ?2",
    )?
    .query_row(params![run, index], |row| {
        Ok(ImageData {
            media_type: row.get(0)?,
            bytes: row.get::<_, Vec<u8>>(1)?.into(),
        })
    })
    .optional()?
    .ok_or(Fault::not_found(Entity::Image))
}

pub(super) fn previous_data(
    conn: &Connection,
    session: i64,
    agent: &str,
) -> Result<Option<Value>, Fault> {
    Ok(conn
        .prepare_cached(
            "SELECT data FROM runs WHERE session = ?1 AND agent = ?2 AND data IS NOT NULL
             ORDER BY turn DESC LIMIT 1",
        )?
        .query_row(params![session, agent], |row| row.get::<_, Json<_>>(0))
        .optional()?
        .map(|data| data.0))
}
