-- What statistics ask of the session index (SQLite alone). Days are those of the machine's time zone.

-- name: spent
-- Tokens of these files by day, model and how many of the bounds each request is over. A response that
-- several files hold is of the first of them; one that belongs to no turn was made by the file's model.
SELECT file, date(at_us / 1000000, 'unixepoch', 'localtime') AS day,
    coalesce(model, (SELECT model FROM file WHERE file.id = counted_response.file)) AS named,
    (SELECT count(*) FROM json_each(:bounds) AS bound WHERE input > bound.value) AS over,
    sum(input), sum(cached_input), sum(cache_write), sum(output), sum(reasoning)
FROM counted_response
WHERE file IN (SELECT value FROM json_each(:files)) AND (:since_us IS NULL OR at_us >= :since_us)
GROUP BY file, day, named, over;

-- name: turns
-- Turns of these files by day, model and how they ended, and the time before them that was a person's.
-- Of a turn that several files hold, the first of them counts; a turn without an id of its own is named
-- after its place, which says nothing in another file.
WITH told AS (
    SELECT turn.*, row_number() OVER (
        PARTITION BY turn.id, iif(turn.id LIKE 'turn-at-byte-%', turn.file, 0)
        ORDER BY file.thread_id, turn.file
    ) AS telling
    FROM turn
    JOIN file ON file.id = turn.file
)
SELECT file, date(started_at_us / 1000000, 'unixepoch', 'localtime') AS day, model, state, count(*),
    coalesce(sum(waited_us), 0)
FROM told
WHERE telling = 1 AND file IN (SELECT value FROM json_each(:files)) AND (:since_us IS NULL OR started_at_us >= :since_us)
GROUP BY file, day, model, state;
