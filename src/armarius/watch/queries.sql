-- What a watch asks the ledger.

-- name: last_event
-- The number of the newest event; 0 in a ledger without any.
SELECT COALESCE(MAX(seq), 0) AS seq FROM event;

-- name: thread_of_run
-- The thread that a run had, if it is known.
SELECT thread_id FROM run WHERE id = :id;
