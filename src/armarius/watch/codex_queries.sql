-- What a watch asks Codex's own databases.

-- name: goals
-- What each thread pursues (Codex's goals_N.sqlite).
SELECT thread_id, objective, status, updated_at_ms FROM thread_goals;
