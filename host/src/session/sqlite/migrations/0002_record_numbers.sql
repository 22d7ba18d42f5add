-- A record's place in its run: 0, 1, 2 … What is saved a second time, because
-- nobody knew whether the first took effect, meets its own number.
ALTER TABLE records ADD COLUMN number INTEGER NOT NULL DEFAULT 0;

UPDATE records SET number = numbered.number FROM (
    SELECT key, row_number() OVER (PARTITION BY run ORDER BY key) - 1 AS number FROM records
) AS numbered WHERE records.key = numbered.key;

DROP INDEX records_by_run;
CREATE UNIQUE INDEX records_by_run ON records (run, number);
