-- What was seen of each run at its end, one hash after the other.

CREATE TABLE receipt (
    seq           BIGINT PRIMARY KEY NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('run', 'decision', 'verdict')),
    run_id        TEXT NOT NULL REFERENCES run (id),
    number        BIGINT NOT NULL CHECK (number >= 0),
    path          TEXT NOT NULL,
    sha256        TEXT NOT NULL,
    last_event    BIGINT NOT NULL,
    events_sha256 TEXT NOT NULL,
    previous      TEXT NOT NULL,
    chain         TEXT NOT NULL,
    at_us         BIGINT NOT NULL,
    UNIQUE (run_id, kind, number)
);
