-- What Codex's own databases say of its threads. Only columns that every known version has.

-- name: last_turns
-- The last turn of each thread (thread_history_N.sqlite).
SELECT thread_id, turn_id, status, started_at, completed_at, MAX(rollout_ordinal) AS ordinal
FROM thread_turns
GROUP BY thread_id;

-- name: queued
-- How many messages wait for each thread (queue_N.sqlite).
SELECT thread_id, COUNT(*) AS waiting FROM queued_items GROUP BY thread_id;

-- name: goals
-- What each thread pursues (goals_N.sqlite).
SELECT thread_id, objective, status, token_budget, tokens_used, updated_at_ms FROM thread_goals;

-- name: archived
-- The threads that were put away (state_N.sqlite).
SELECT id AS thread_id FROM threads WHERE archived <> 0;

-- name: rollout_paths
-- Where each thread's file should be (state_N.sqlite).
SELECT id AS thread_id, rollout_path AS path, archived <> 0 AS is_archived FROM threads;

-- name: open_turns
-- Turns that the database takes for running (thread_history_N.sqlite).
SELECT thread_id, turn_id FROM thread_turns WHERE status = 'inProgress';
