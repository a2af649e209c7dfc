-- Queries of the harvest cache (SQLite alone).

-- name: episodes_of
-- What was read of these session files, and as what they were then.
SELECT path, size, changed_us, episodes FROM digest WHERE path IN (SELECT value FROM json_each(:paths));

-- name: put_digest
-- What one reading of a session file gave.
INSERT INTO digest (path, size, changed_us, episodes) VALUES (:path, :size, :changed_us, :episodes)
ON CONFLICT (path) DO UPDATE SET size = excluded.size, changed_us = excluded.changed_us, episodes = excluded.episodes;

-- name: outcome_of
-- What came of these very files under this very question.
SELECT outcome FROM outcome WHERE question = :question;

-- name: put_outcome
-- One outcome for each scope; an older one is of no use.
INSERT INTO outcome (scope, question, outcome) VALUES (:scope, :question, :outcome)
ON CONFLICT (scope) DO UPDATE SET question = excluded.question, outcome = excluded.outcome;
