-- What a watch asks the ledger, and Codex's own databases.

-- name: last_event
-- The number of the newest event; 0 in a ledger without any.
SELECT COALESCE(MAX(seq), 0) AS seq FROM event;

-- name: thread_of_run
-- The thread that a run had, if it is known.
SELECT thread_id FROM run WHERE id = :id;

-- name: goals
-- What each thread pursues (Codex's goals_N.sqlite).
SELECT thread_id, objective, status, updated_at_ms FROM thread_goals;
