-- The ledger, as it is after all migrations. Read this one; `migrations/` is how a ledger gets here,
-- and a test shows that both arrive at the same place, on SQLite and on PostgreSQL.
--
-- One text for both: times are BIGINT microseconds since 1970 UTC (`…_us`), JSON is TEXT, truth is
-- BIGINT 0 or 1, ids and hashes are TEXT. A primary key of TEXT says NOT NULL, which SQLite would
-- otherwise forget.
--
-- Nothing here forbids UPDATE or DELETE on `event`: a trigger that does has no spelling that both
-- databases read. The log stays append-only because no query of the package changes it; a test
-- reads all of them.

-- What has been applied to this database.
CREATE TABLE migration (
    number        BIGINT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    applied_at_us BIGINT NOT NULL
);

-- One dispatched piece of work. A retry is a new attempt of the same run, never a second run, so
-- `paid_key` is simply unique: whoever asks for the same paid unit finds the run that has it.
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
    model         TEXT,           -- NULL: Codex's own default, not yet known
    effort        TEXT,
    codex_version TEXT,
    request       TEXT NOT NULL,  -- JSON
    paid_key      TEXT UNIQUE,
    thread_id     TEXT,
    exit_status   TEXT,           -- JSON, of the last attempt
    result        TEXT,           -- JSON
    error_code    TEXT,
    error_message TEXT,
    created_at_us BIGINT NOT NULL,
    started_at_us BIGINT,
    ended_at_us   BIGINT,
    CHECK ((ended_at_us IS NULL) = (state IN ('queued', 'claimed', 'running'))),
    CHECK (state <> 'running' OR started_at_us IS NOT NULL),
    CHECK ((error_code IS NULL) = (error_message IS NULL))
);

-- The queue is read by state, oldest first.
CREATE INDEX run_queue ON run (state, created_at_us, id);

-- People ask for the newest, whatever its state.
CREATE INDEX run_newest ON run (created_at_us, id);

-- One process that tried a run. `owner_…` is the Armarius that claimed it, before anything was
-- started; `guard_…` the guard it then started. A start time (clock ticks since boot) tells a process
-- from a later one with the same pid.
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

-- The rule about money, kept by the database: a run has at most one attempt that lives or has
-- succeeded. A crashed one leaves the index and makes room for the next; after a success there is
-- no room for another claim, and the claim comes before the spawn.
CREATE UNIQUE INDEX attempt_live_or_succeeded ON attempt (run_id)
    WHERE ended_at_us IS NULL OR outcome = 'succeeded';

-- A restarted Armarius looks for what its host left open.
CREATE INDEX attempt_open ON attempt (host) WHERE ended_at_us IS NULL;

-- What happened, append-only. `seq` is given by the one writer inside its transaction, so its order
-- is the order of commits: a reader that remembers the last `seq` it saw misses nothing. A sequence
-- or an identity column would not promise that, since a lower number can be committed later.
CREATE TABLE event (
    seq     BIGINT PRIMARY KEY NOT NULL,
    at_us   BIGINT NOT NULL,
    subject TEXT NOT NULL,  -- a run, a night, a proposal
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL   -- JSON
);

CREATE INDEX event_subject ON event (subject, seq);

-- Tokens of one response of the model; totals are derived.
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

-- One evolve cycle. The experiment is a hash over everything that evidence depends on (base of the
-- target skill, model, effort, Codex version, judge …); evidence adds up within it and nowhere else.
CREATE TABLE night (
    id            TEXT PRIMARY KEY NOT NULL,
    experiment    TEXT NOT NULL,
    number        BIGINT NOT NULL CHECK (number > 0),
    project       TEXT NOT NULL,
    target_path   TEXT NOT NULL,
    base_hash     TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'judged', 'staged', 'nothing', 'failed')),
    settings      TEXT NOT NULL,  -- JSON
    report        TEXT,           -- JSON
    created_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT,
    UNIQUE (experiment, number),
    CHECK ((ended_at_us IS NULL) = (state IN ('open', 'judged')))
);

-- Two nights of one experiment at once would mix the order of its evidence.
CREATE UNIQUE INDEX night_open ON night (experiment) WHERE ended_at_us IS NULL;

-- A text that may replace a skill's. Its experiment is a hash over the course (the `experiment` of its nights) and
-- the text, so that the same proposal is the same candidate, and evidence adds up for it and for no other.
CREATE TABLE candidate (
    id            TEXT PRIMARY KEY NOT NULL,
    experiment    TEXT NOT NULL UNIQUE,
    course        TEXT NOT NULL,
    night_id      TEXT NOT NULL REFERENCES night (id),  -- in which it was proposed, or taken over from another base
    target_path   TEXT NOT NULL,
    base_hash     TEXT NOT NULL,
    proposed_hash TEXT NOT NULL,
    edits         TEXT NOT NULL,  -- JSON
    shown         TEXT NOT NULL,  -- JSON: hashes of the tasks that its proposer saw
    state         TEXT NOT NULL CHECK (state IN ('open', 'certified', 'rejected', 'dropped', 'void', 'ungated')),
    reason        TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT,
    CHECK ((ended_at_us IS NULL) = (state = 'open'))
);

CREATE INDEX candidate_target ON candidate (target_path, state);

-- How a night's replays are divided: written down before the first of them. `number` counts a candidate's rounds,
-- which are the nights of its gate.
CREATE TABLE candidate_round (
    candidate_id TEXT NOT NULL REFERENCES candidate (id),
    number       BIGINT NOT NULL CHECK (number > 0),
    night_id     TEXT NOT NULL REFERENCES night (id),
    place        BIGINT NOT NULL,
    PRIMARY KEY (candidate_id, number),
    UNIQUE (night_id, candidate_id)
);

-- One pair of replays, in the order in which the gate must read them. NULL is an arm without a
-- score: its replay or its judge failed, and an error is never a score.
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
    candidate_id  TEXT REFERENCES candidate (id),
    PRIMARY KEY (experiment, ordinal),
    FOREIGN KEY (experiment, night) REFERENCES night (experiment, number),
    UNIQUE (experiment, baseline_run, candidate_run),  -- a pair counts once, whoever repeats the write
    CHECK (baseline IS NULL OR baseline_run IS NOT NULL),
    CHECK (candidate IS NULL OR candidate_run IS NOT NULL)
);

CREATE INDEX evidence_candidate ON evidence (candidate_id);

-- A candidate that passed or failed the gate, and what became of it.
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

-- Something scarce that was declared for all who share this ledger. `spec` says of which kind; it
-- never holds a program, which only the configuration of the user who runs it may name.
CREATE TABLE resource (
    name          TEXT PRIMARY KEY NOT NULL,
    spec          TEXT NOT NULL,  -- JSON
    created_at_us BIGINT NOT NULL
);

-- The right to use one unit of something; a row is there while somebody has it, and goes with them.
-- `until_us` is on the ledger's own clock: the server's, or for a file the machine's monotonic one.
-- `namespace` is that of the owner's pid, which means nothing in another one. An amount (bytes of
-- memory) is a unit of its own.
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
    run_id         TEXT,           -- no reference: a lease may come before its run
    acquired_at_us BIGINT NOT NULL,
    until_us       BIGINT NOT NULL,
    length_us      BIGINT NOT NULL CHECK (length_us > 0),
    PRIMARY KEY (resource, unit),
    UNIQUE (resource, token)
);

CREATE INDEX lease_run ON lease (run_id) WHERE run_id IS NOT NULL;

-- The last fencing token given for a resource. Apart from the leases, which come and go, so that a
-- token is never given twice.
CREATE TABLE lease_token (
    resource TEXT PRIMARY KEY NOT NULL,
    last     BIGINT NOT NULL
);

-- What a host last saw of a unit.
CREATE TABLE reading (
    resource TEXT NOT NULL,
    unit     TEXT NOT NULL,
    host     TEXT NOT NULL,
    at_us    BIGINT NOT NULL,
    is_free  BIGINT NOT NULL CHECK (is_free IN (0, 1)),
    reason   TEXT NOT NULL,
    PRIMARY KEY (resource, unit, host)
);

-- What a run that waits for a worker needs of the place that does it. It stays when the run is claimed and
-- ended: a run that has such a row is tried again when a crash cut its attempt short, and is a worker's to adopt.
CREATE TABLE queued_run (
    run_id       TEXT PRIMARY KEY NOT NULL REFERENCES run (id),
    seat         TEXT,  -- host and home of whom alone it is for; NULL: of anybody who has what it needs
    lane         TEXT NOT NULL,
    variables    TEXT NOT NULL,  -- JSON: the names of variables that its provider needs; never a value
    tries        BIGINT NOT NULL CHECK (tries > 0),  -- how many attempts there may be
    queued_at_us BIGINT NOT NULL
);

-- Workers that live, or lived a moment ago. `until_us` is on the server's clock, or for a file on wall time;
-- on its own host the process itself is looked at.
CREATE TABLE worker (
    id            TEXT PRIMARY KEY NOT NULL,
    seat          TEXT NOT NULL,
    host          TEXT NOT NULL,
    boot_id       TEXT NOT NULL,
    owner_pid     BIGINT NOT NULL,
    owner_start   BIGINT NOT NULL,
    jobs          BIGINT NOT NULL CHECK (jobs > 0),
    started_at_us BIGINT NOT NULL,
    until_us      BIGINT NOT NULL
);

-- Runs that come by the clock: a cron expression in a time zone (IANA), and what is asked each time.
CREATE TABLE schedule (
    id            TEXT PRIMARY KEY NOT NULL,
    cron          TEXT NOT NULL,
    zone          TEXT NOT NULL,
    request       TEXT NOT NULL,  -- JSON
    seat          TEXT,
    lane          TEXT NOT NULL,
    variables     TEXT NOT NULL,  -- JSON
    created_at_us BIGINT NOT NULL,
    removed_at_us BIGINT
);

-- Which run a moment of a schedule has become. The key makes it one, whoever looks at the clock.
CREATE TABLE schedule_tick (
    schedule_id TEXT NOT NULL REFERENCES schedule (id),
    tick_us     BIGINT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES run (id),
    PRIMARY KEY (schedule_id, tick_us)
);

-- Runs that were handed in together, with what comes after what. `plan` is all that was asked, so that it can
-- go on without its file; which runs are its own is said by their paid keys. `owner_…` is the process that sees
-- to it, or did last, since `begun_at_us`; `ended_at_us` is NULL as long as it does.
CREATE TABLE batch (
    id            TEXT PRIMARY KEY NOT NULL,
    plan          TEXT NOT NULL,  -- JSON
    host          TEXT NOT NULL,
    boot_id       TEXT NOT NULL,
    owner_pid     BIGINT NOT NULL,
    owner_start   BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    begun_at_us   BIGINT NOT NULL,
    ended_at_us   BIGINT
);

-- What was seen of each run at its end, and what was decided about it: a file, its hash, and one hash after the
-- other, so that none of them can be changed or taken away unseen. Each row also seals the events that were added
-- since the one before. `number` is the attempt of a run (0: it was never started), or counts decisions.
CREATE TABLE receipt (
    seq           BIGINT PRIMARY KEY NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('run', 'decision', 'verdict')),
    run_id        TEXT NOT NULL REFERENCES run (id),
    number        BIGINT NOT NULL CHECK (number >= 0),
    path          TEXT NOT NULL,
    sha256        TEXT NOT NULL,  -- of the file
    last_event    BIGINT NOT NULL,
    events_sha256 TEXT NOT NULL,
    previous      TEXT NOT NULL,
    chain         TEXT NOT NULL,  -- the hash of this row, with `previous` in it
    at_us         BIGINT NOT NULL,
    UNIQUE (run_id, kind, number)
);
