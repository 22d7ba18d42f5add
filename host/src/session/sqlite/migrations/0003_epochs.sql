-- Every session has a numbering from its creation on. From here on `epoch` is
-- never null.
UPDATE sessions SET epoch = lower(hex(randomblob(16))) WHERE epoch IS NULL;
