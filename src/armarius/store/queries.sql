-- What the store itself asks: the record of migrations and the event log that every domain writes.

-- name: latest_migration
-- The number of the last migration applied; one row, 0 when there is none.
SELECT COALESCE(MAX(number), 0) AS number FROM migration;

-- name: record_migration
-- Note that a migration has been applied, in the transaction that applied it.
INSERT INTO migration (number, name, applied_at_us) VALUES (:number, :name, :applied_at_us);

-- name: append_event
-- Add one event at the end of the log; its number follows the last, which only the one writer may do.
INSERT INTO event (seq, at_us, subject, kind, body)
VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM event), :at_us, :subject, :kind, :body)
RETURNING seq;

-- name: events_after
-- The next events after a number, oldest first; how a watcher follows the ledger.
SELECT seq, at_us, subject, kind, body FROM event WHERE seq > :seq ORDER BY seq LIMIT :most;

-- name: events_of
-- Everything recorded about one subject, oldest first.
SELECT seq, at_us, subject, kind, body FROM event WHERE subject = :subject ORDER BY seq;
