-- The ledger's first tables. `schema.sql` says what each is for.

CREATE TABLE migration (
    number        BIGINT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    applied_at_us BIGINT NOT NULL
);

CREATE TABLE run (
    id            TEXT PRIMARY KEY NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('worker', 'replay', 'reflection', 'validator', 'reviewer')),
    state         TEXT NOT NULL CHECK (state IN (
        'queued', 'claimed', 'running',
        'succeeded', 'failed', 'interrupted', 'cancelled', 'crashed', 'timed_out'
    )),
    folder        TEXT NOT NULL,
    cwd           TEXT NOT NULL,
    sandbox       TEXT NOT NULL CHECK (sandbox IN ('read-only', 'workspace-write', 'danger-full-access')),
    model         TEXT,
    effort        TEXT,
    codex_version TEXT,
    request       TEXT NOT NULL,
    paid_key      TEXT UNIQUE,
    thread_id     TEXT,
    exit_status   TEXT,
    result        TEXT,
    error_code    TEXT,
    error_message TEXT,
    created_at_us BIGINT NOT NULL,
    started_at_us BIGINT,
    ended_at_us   BIGINT,
    CHECK ((ended_at_us IS NULL) = (state IN ('queued', 'claimed', 'running'))),
    CHECK (state <> 'running' OR started_at_us IS NOT NULL),
    CHECK ((error_code IS NULL) = (error_message IS NULL))
);

CREATE INDEX run_queue ON run (state, created_at_us, id);
CREATE INDEX run_newest ON run (created_at_us, id);

CREATE TABLE attempt (
    run_id        TEXT NOT NULL REFERENCES run (id),
    number        BIGINT NOT NULL CHECK (number > 0),
    host          TEXT NOT NULL,
    boot_id       TEXT NOT NULL,
    owner_pid     BIGINT NOT NULL,
    owner_start   BIGINT NOT NULL,
    guard_pid     BIGINT,
    guard_start   BIGINT,
    claimed_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT,
    outcome       TEXT CHECK (outcome IN (
        'succeeded', 'failed', 'interrupted', 'cancelled', 'crashed', 'timed_out'
    )),
    PRIMARY KEY (run_id, number),
    CHECK ((guard_pid IS NULL) = (guard_start IS NULL)),
    CHECK ((ended_at_us IS NULL) = (outcome IS NULL))
);

CREATE UNIQUE INDEX attempt_live_or_succeeded ON attempt (run_id)
    WHERE ended_at_us IS NULL OR outcome = 'succeeded';

CREATE INDEX attempt_open ON attempt (host) WHERE ended_at_us IS NULL;

CREATE TABLE event (
    seq     BIGINT PRIMARY KEY NOT NULL,
    at_us   BIGINT NOT NULL,
    subject TEXT NOT NULL,
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL
);

CREATE INDEX event_subject ON event (subject, seq);

CREATE TABLE response_usage (
    run_id       TEXT NOT NULL REFERENCES run (id),
    response_id  TEXT NOT NULL,
    turn_id      TEXT NOT NULL,
    input        BIGINT NOT NULL,
    cached_input BIGINT NOT NULL,
    cache_write  BIGINT NOT NULL,
    output       BIGINT NOT NULL,
    reasoning    BIGINT NOT NULL,
    source       TEXT NOT NULL CHECK (source IN ('rollout', 'stream')),
    PRIMARY KEY (run_id, response_id)
);

CREATE TABLE night (
    id            TEXT PRIMARY KEY NOT NULL,
    experiment    TEXT NOT NULL,
    number        BIGINT NOT NULL CHECK (number > 0),
    project       TEXT NOT NULL,
    target_path   TEXT NOT NULL,
    base_hash     TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'judged', 'staged', 'nothing', 'failed')),
    settings      TEXT NOT NULL,
    report        TEXT,
    created_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT,
    UNIQUE (experiment, number),
    CHECK ((ended_at_us IS NULL) = (state IN ('open', 'judged')))
);

CREATE UNIQUE INDEX night_open ON night (experiment) WHERE ended_at_us IS NULL;

CREATE TABLE evidence (
    experiment    TEXT NOT NULL,
    ordinal       BIGINT NOT NULL,
    night         BIGINT NOT NULL,
    task          TEXT NOT NULL,
    baseline      DOUBLE PRECISION CHECK (baseline BETWEEN 0 AND 1),
    candidate     DOUBLE PRECISION CHECK (candidate BETWEEN 0 AND 1),
    baseline_run  TEXT REFERENCES run (id),
    candidate_run TEXT REFERENCES run (id),
    at_us         BIGINT NOT NULL,
    PRIMARY KEY (experiment, ordinal),
    FOREIGN KEY (experiment, night) REFERENCES night (experiment, number),
    UNIQUE (experiment, baseline_run, candidate_run),
    CHECK (baseline IS NULL OR baseline_run IS NOT NULL),
    CHECK (candidate IS NULL OR candidate_run IS NOT NULL)
);

CREATE TABLE proposal (
    id                TEXT PRIMARY KEY NOT NULL,
    night_id          TEXT NOT NULL REFERENCES night (id),
    target_path       TEXT NOT NULL,
    base_hash         TEXT NOT NULL,
    proposed_hash     TEXT NOT NULL,
    folder            TEXT NOT NULL,
    decision          TEXT NOT NULL,
    e_value           DOUBLE PRECISION NOT NULL CHECK (e_value >= 0),
    state             TEXT NOT NULL CHECK (state IN (
        'staged', 'adopted', 'rolled_back', 'rejected', 'superseded'
    )),
    created_at_us     BIGINT NOT NULL,
    adopted_at_us     BIGINT,
    rolled_back_at_us BIGINT,
    CHECK (state NOT IN ('adopted', 'rolled_back') OR adopted_at_us IS NOT NULL),
    CHECK ((state = 'rolled_back') = (rolled_back_at_us IS NOT NULL))
);

CREATE INDEX proposal_target ON proposal (target_path, state);
CREATE INDEX proposal_night ON proposal (night_id);
