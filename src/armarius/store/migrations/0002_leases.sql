-- Scarce things, the right to use them, and what was last seen of them.

CREATE TABLE resource (
    name          TEXT PRIMARY KEY NOT NULL,
    spec          TEXT NOT NULL,
    created_at_us BIGINT NOT NULL
);

CREATE TABLE lease (
    resource       TEXT NOT NULL,
    unit           TEXT NOT NULL,
    amount         BIGINT NOT NULL CHECK (amount > 0),
    token          BIGINT NOT NULL CHECK (token > 0),
    host           TEXT NOT NULL,
    boot_id        TEXT NOT NULL,
    namespace      TEXT NOT NULL,
    owner_pid      BIGINT NOT NULL,
    owner_start    BIGINT NOT NULL,
    run_id         TEXT,
    acquired_at_us BIGINT NOT NULL,
    until_us       BIGINT NOT NULL,
    length_us      BIGINT NOT NULL CHECK (length_us > 0),
    PRIMARY KEY (resource, unit),
    UNIQUE (resource, token)
);

CREATE INDEX lease_run ON lease (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE lease_token (
    resource TEXT PRIMARY KEY NOT NULL,
    last     BIGINT NOT NULL
);

CREATE TABLE reading (
    resource TEXT NOT NULL,
    unit     TEXT NOT NULL,
    host     TEXT NOT NULL,
    at_us    BIGINT NOT NULL,
    is_free  BIGINT NOT NULL CHECK (is_free IN (0, 1)),
    reason   TEXT NOT NULL,
    PRIMARY KEY (resource, unit, host)
);
