-- The record of streams. Rows are only ever added: what a stream was is never changed.

CREATE TABLE migration (
    number        BIGINT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    applied_at_us BIGINT NOT NULL
);

-- One stream, by its content. Its bytes lie in a file named after `sha256`. `bad` counts lines that could not be
-- used, as far as the beginning and the end of a line show it.
CREATE TABLE stream (
    id             TEXT PRIMARY KEY NOT NULL,
    sha256         TEXT NOT NULL UNIQUE,
    size           BIGINT NOT NULL CHECK (size > 0),
    bad            BIGINT NOT NULL,
    shape          TEXT NOT NULL CHECK (shape IN ('exec', 'exec_old')),
    ingested_at_us BIGINT NOT NULL
);

CREATE INDEX stream_newest ON stream (ingested_at_us, id);

-- One run of Codex in a stream: where it stands, and how it ended. `usage` is Codex's own last count, as JSON.
CREATE TABLE stream_run (
    stream_id TEXT NOT NULL REFERENCES stream (id),
    number    BIGINT NOT NULL CHECK (number > 0),
    thread_id TEXT NOT NULL,
    byte      BIGINT NOT NULL,
    size      BIGINT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('completed', 'failed', 'open', 'unknown')),
    error     TEXT,
    usage     TEXT,
    PRIMARY KEY (stream_id, number)
);

CREATE INDEX stream_run_thread ON stream_run (thread_id);

-- What somebody said of a stream when it was taken in; the same words are kept once.
CREATE TABLE stream_label (
    stream_id TEXT NOT NULL REFERENCES stream (id),
    number    BIGINT NOT NULL CHECK (number > 0),
    label     TEXT,
    repo      TEXT,
    branch    TEXT,
    purpose   TEXT,
    source    TEXT NOT NULL,
    at_us     BIGINT NOT NULL,
    PRIMARY KEY (stream_id, number)
);

-- Streams whose bytes were thrown away. What they were stays known.
CREATE TABLE stream_pruned (
    stream_id TEXT PRIMARY KEY NOT NULL REFERENCES stream (id),
    at_us     BIGINT NOT NULL
);

CREATE TRIGGER stream_stays BEFORE UPDATE ON stream BEGIN SELECT RAISE(ABORT, 'a stream is never changed'); END;
CREATE TRIGGER stream_kept BEFORE DELETE ON stream BEGIN SELECT RAISE(ABORT, 'a stream is never forgotten'); END;
CREATE TRIGGER stream_run_stays BEFORE UPDATE ON stream_run BEGIN SELECT RAISE(ABORT, 'a run is never changed'); END;
CREATE TRIGGER stream_run_kept BEFORE DELETE ON stream_run BEGIN SELECT RAISE(ABORT, 'a run is never forgotten'); END;
CREATE TRIGGER stream_label_stays BEFORE UPDATE ON stream_label BEGIN SELECT RAISE(ABORT, 'a label stays'); END;
CREATE TRIGGER stream_label_kept BEFORE DELETE ON stream_label BEGIN SELECT RAISE(ABORT, 'a label stays'); END;
