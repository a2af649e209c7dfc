-- Notes and pieces of documents. `words` has what is found by its words; a row of it has the number of its note.

CREATE TABLE migration (
    number        BIGINT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    applied_at_us BIGINT NOT NULL
);

CREATE TABLE note (
    seq           INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    kind          TEXT NOT NULL CHECK (kind IN ('preference', 'constraint', 'fact', 'chunk')),
    key           TEXT NOT NULL,
    value         TEXT NOT NULL,
    scope         TEXT NOT NULL,
    source        TEXT NOT NULL,
    confidence    REAL NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    created_at_us BIGINT NOT NULL,
    expires_at_us BIGINT,
    document      TEXT
);

CREATE INDEX note_latest ON note (scope, kind, key, seq);
CREATE INDEX note_document ON note (document);

CREATE VIRTUAL TABLE words USING fts5 (key, value, content = 'note', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2');

-- What is forgotten is gone from the index, too, and not only marked.
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER note_added AFTER INSERT ON note BEGIN
    INSERT INTO words (rowid, key, value) VALUES (new.seq, new.key, new.value);
END;

CREATE TRIGGER note_gone AFTER DELETE ON note BEGIN
    INSERT INTO words (words, rowid, key, value) VALUES ('delete', old.seq, old.key, old.value);
END;
