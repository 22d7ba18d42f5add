-- Ids that clients gave their messages, for as long as a repetition is known.
CREATE TABLE messages (
    key           INTEGER PRIMARY KEY,
    session       INTEGER NOT NULL REFERENCES sessions (key),
    owner         TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    -- SHA-256 of the content.
    digest        BLOB    NOT NULL,
    -- The id of the message's run, which may not have begun yet.
    run           TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX messages_by_id ON messages (session, owner, id);
CREATE INDEX messages_by_age ON messages (created_at_ms);

-- Messages that wait for the run before them to end. The head of a session's
-- queue has its lowest position, which may be negative.
CREATE TABLE queue (
    key           INTEGER PRIMARY KEY,
    session       INTEGER NOT NULL REFERENCES sessions (key),
    position      INTEGER NOT NULL,
    -- The id of the run that the message will become.
    run           TEXT    NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    -- As in turns.
    content       TEXT    NOT NULL,
    user_text     TEXT,
    files         TEXT
) STRICT;

CREATE UNIQUE INDEX queue_by_session ON queue (session, position);

CREATE TABLE queue_images (
    key        INTEGER PRIMARY KEY,
    message    INTEGER NOT NULL REFERENCES queue (key),
    position   INTEGER NOT NULL,
    media_type TEXT    NOT NULL,
    bytes      BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX queue_images_by_message ON queue_images (message, position);
