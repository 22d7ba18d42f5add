-- The profile under which the session's agent works; null = the agent's own choice.
ALTER TABLE sessions ADD COLUMN profile TEXT;

-- What agents remember for an owner, across sessions.
CREATE TABLE memory (
    key           INTEGER PRIMARY KEY,
    owner         TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    text          TEXT    NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX memory_by_name ON memory (owner, name);
CREATE INDEX memory_by_age ON memory (owner, updated_at_ms);

-- The words of it. Triggers keep it the same.
CREATE VIRTUAL TABLE memory_words USING fts5 (
    name, text, content = 'memory', content_rowid = 'key', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER memory_inserted AFTER INSERT ON memory BEGIN
    INSERT INTO memory_words (rowid, name, text) VALUES (new.key, new.name, new.text);
END;

CREATE TRIGGER memory_deleted AFTER DELETE ON memory BEGIN
    INSERT INTO memory_words (memory_words, rowid, name, text)
        VALUES ('delete', old.key, old.name, old.text);
END;

CREATE TRIGGER memory_updated AFTER UPDATE ON memory BEGIN
    INSERT INTO memory_words (memory_words, rowid, name, text)
        VALUES ('delete', old.key, old.name, old.text);
    INSERT INTO memory_words (rowid, name, text) VALUES (new.key, new.name, new.text);
END;
