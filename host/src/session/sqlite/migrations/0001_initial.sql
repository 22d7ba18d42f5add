-- Times are Unix milliseconds. "key" columns are SQLite's own row numbers and
-- never leave this file; ids are UUIDs as text.

CREATE TABLE sessions (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    owner         TEXT    NOT NULL,
    agent         TEXT,
    title         TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    -- The number of the last turn given out, saved or still to come.
    turns         INTEGER NOT NULL DEFAULT 0,
    -- The numbering of the session's events; clean = no run is open, so nobody
    -- can have seen anything after last_seq.
    epoch         TEXT,
    last_seq      INTEGER NOT NULL DEFAULT 0,
    clean         INTEGER NOT NULL DEFAULT 1,
    -- 1 = gone for everybody, rows are being deleted.
    deleting      INTEGER NOT NULL DEFAULT 0,
    metadata      TEXT    NOT NULL
) STRICT;

CREATE INDEX sessions_by_owner ON sessions (owner, id) WHERE deleting = 0;
CREATE INDEX sessions_deleting ON sessions (key) WHERE deleting = 1;

CREATE TABLE runs (
    key                INTEGER PRIMARY KEY,
    id                 TEXT    NOT NULL UNIQUE,
    session            INTEGER NOT NULL REFERENCES sessions (key),
    -- The number of the assistant's turn; the user's is one less.
    turn               INTEGER NOT NULL,
    agent              TEXT    NOT NULL,
    status             TEXT    NOT NULL
                       CHECK (status IN ('running', 'completed', 'stopped', 'error', 'lost')),
    started_at_ms      INTEGER NOT NULL,
    first_seq          INTEGER NOT NULL,
    last_seq           INTEGER NOT NULL,
    truncated          INTEGER NOT NULL DEFAULT 0,
    -- From here on null until the run's end, and for ever when it was lost.
    ended_at_ms        INTEGER,
    elapsed_seconds    REAL,
    context_tokens     INTEGER,
    max_context_tokens INTEGER,
    token_count        INTEGER,
    tool_call_count    INTEGER,
    -- Only of a failed run; the sent text where a mapper changed it.
    error_code         TEXT,
    error_text         TEXT,
    error_text_sent    TEXT,
    -- The agent's own, JSON.
    data               TEXT
) STRICT;

CREATE UNIQUE INDEX runs_by_session ON runs (session, turn);
CREATE INDEX runs_running ON runs (session) WHERE status = 'running';
CREATE INDEX runs_with_data ON runs (session, agent, turn) WHERE data IS NOT NULL;

CREATE TABLE turns (
    key           INTEGER PRIMARY KEY,
    session       INTEGER NOT NULL REFERENCES sessions (key),
    number        INTEGER NOT NULL,
    run           INTEGER NOT NULL REFERENCES runs (key),
    role          TEXT    NOT NULL CHECK (role IN ('user', 'assistant')),
    created_at_ms INTEGER NOT NULL,
    -- What the agent received, or emitted.
    content       TEXT    NOT NULL,
    -- The client's own text; null = the content.
    user_text     TEXT,
    -- What clients were sent; null = the content.
    content_sent  TEXT,
    -- JSON [{"name":…,"path":…}]; null = none.
    files         TEXT
) STRICT;

CREATE UNIQUE INDEX turns_by_session ON turns (session, number);
CREATE INDEX turns_by_run ON turns (run);

CREATE TABLE images (
    key        INTEGER PRIMARY KEY,
    run        INTEGER NOT NULL REFERENCES runs (key),
    position   INTEGER NOT NULL,
    media_type TEXT    NOT NULL,
    bytes      BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX images_by_run ON images (run, position);

-- Rows of a run are in the order of their keys.
CREATE TABLE records (
    key      INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL REFERENCES runs (key),
    seq_from INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    -- same: emitted is null and reads as sent; mapped: both are there;
    -- inserted: only sent, nothing was emitted; dropped: only emitted.
    form     TEXT    NOT NULL CHECK (form IN ('same', 'mapped', 'inserted', 'dropped')),
    sent     TEXT,
    emitted  TEXT,
    -- Differences as LEB128.
    bounds   BLOB
) STRICT;

CREATE INDEX records_by_run ON records (run);

CREATE TABLE state (
    key        INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL REFERENCES sessions (key),
    agent      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    version    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX state_by_name ON state (session, agent, name);

CREATE TABLE uploads (
    key           INTEGER PRIMARY KEY,
    session       INTEGER NOT NULL REFERENCES sessions (key),
    name          TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    bytes         INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_by_session ON uploads (session);
