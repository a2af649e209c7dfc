-- Where Codex's database says how a thread was begun (state_N.sqlite). Its session file is the authority.

-- name: sources
-- How each thread was begun.
SELECT id AS thread_id, source FROM threads;

-- name: set_source
-- Say it otherwise for one thread; nothing changes when it is not what it was.
UPDATE threads SET source = :new WHERE id = :thread_id AND source = :old;
