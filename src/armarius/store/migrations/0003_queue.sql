-- Runs that wait for a worker, the workers, and runs that come by the clock.

CREATE TABLE queued_run (
    run_id       TEXT PRIMARY KEY NOT NULL REFERENCES run (id),
    seat         TEXT,
    lane         TEXT NOT NULL,
    variables    TEXT NOT NULL,
    tries        BIGINT NOT NULL CHECK (tries > 0),
    queued_at_us BIGINT NOT NULL
);

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

CREATE TABLE schedule (
    id            TEXT PRIMARY KEY NOT NULL,
    cron          TEXT NOT NULL,
    zone          TEXT NOT NULL,
    request       TEXT NOT NULL,
    seat          TEXT,
    lane          TEXT NOT NULL,
    variables     TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    removed_at_us BIGINT
);

CREATE TABLE schedule_tick (
    schedule_id TEXT NOT NULL REFERENCES schedule (id),
    tick_us     BIGINT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES run (id),
    PRIMARY KEY (schedule_id, tick_us)
);
