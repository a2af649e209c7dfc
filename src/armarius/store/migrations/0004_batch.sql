-- Runs that were handed in together.

CREATE TABLE batch (
    id            TEXT PRIMARY KEY NOT NULL,
    plan          TEXT NOT NULL,
    host          TEXT NOT NULL,
    boot_id       TEXT NOT NULL,
    owner_pid     BIGINT NOT NULL,
    owner_start   BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    begun_at_us   BIGINT NOT NULL,
    ended_at_us   BIGINT
);
