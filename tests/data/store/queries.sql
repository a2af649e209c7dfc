-- Queries of an imagined domain, in the form every domain uses.

-- name: add_run
-- Queue a run.
INSERT INTO run (id, role, state, folder, cwd, sandbox, request, paid_key, created_at_us)
VALUES (:id, 'worker', 'queued', '/runs', '/', 'read-only', '{}', :paid_key, :created_at_us)
ON CONFLICT DO NOTHING;

-- name: claim_run
-- Take the run that has waited longest.
UPDATE run SET state = 'claimed'
WHERE id = (SELECT id FROM run WHERE state = 'queued' ORDER BY created_at_us, id LIMIT 1)
RETURNING id;

-- name: run_ids
-- All runs, by id.
SELECT id FROM run ORDER BY id;

-- name: add_attempt
-- Claim a run for a process; changes nothing when the run lives or has succeeded.
INSERT INTO attempt (run_id, number, host, boot_id, owner_pid, owner_start, claimed_at_us)
VALUES (:run_id, :number, 'here', 'boot', 1, 1, 1)
ON CONFLICT DO NOTHING;

-- name: end_attempt
-- Say how an attempt ended.
UPDATE attempt SET ended_at_us = 2, outcome = :outcome WHERE run_id = :run_id AND number = :number;

-- name: note
-- Remember a number.
INSERT INTO note (n) VALUES (:n);

-- name: notes
-- All numbers remembered.
SELECT n FROM note ORDER BY n;

-- name: counter
-- The highest number remembered; one row.
SELECT COALESCE(MAX(n), 0) AS n FROM note;
