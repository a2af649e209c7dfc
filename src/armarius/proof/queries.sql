-- What proof asks of the ledger: the chain of receipts, and the events that each of its rows seals.

-- name: last_receipt
-- The newest row of the chain.
SELECT * FROM receipt ORDER BY seq DESC LIMIT 1;

-- name: add_receipt
-- The next row of the chain; its number is taken, if somebody else was faster.
INSERT INTO receipt (seq, kind, run_id, number, path, sha256, last_event, events_sha256, previous, chain, at_us)
VALUES (:seq, :kind, :run_id, :number, :path, :sha256, :last_event, :events_sha256, :previous, :chain, :at_us);

-- name: receipts_after
-- Rows of the chain in their order.
SELECT * FROM receipt WHERE seq > :seq ORDER BY seq LIMIT :most;

-- name: receipts_of_run
-- Everything that was kept about one run, in its order.
SELECT * FROM receipt WHERE run_id = :run_id ORDER BY seq;

-- name: events_between
-- Events with a number above one and up to another, in their order.
SELECT seq, at_us, subject, kind, body FROM event WHERE seq > :above AND seq <= :upto ORDER BY seq LIMIT :most;

-- name: last_event
-- The number of the newest event, 0 when there is none.
SELECT COALESCE(MAX(seq), 0) AS seq FROM event;

-- name: receipts_began
-- When this ledger began to keep receipts.
SELECT applied_at_us FROM migration WHERE number = 7;

-- name: ended_runs_after
-- Runs that are over and were claimed by somebody, in the order of their ids.
SELECT r.* FROM run r WHERE r.id > :id AND r.ended_at_us IS NOT NULL AND r.ended_at_us > :since_us
ORDER BY r.id LIMIT :most;

-- name: attempts_of_run
-- Every attempt of a run.
SELECT * FROM attempt WHERE run_id = :run_id ORDER BY number;

-- name: usage_rows
-- What each response of a run cost.
SELECT response_id, turn_id, input, cached_input, cache_write, output, reasoning FROM response_usage
WHERE run_id = :run_id ORDER BY response_id;
