-- Queries of the session index (SQLite alone).
--
-- What a sync writes comes as one JSON array for each table: one statement runs without the
-- interpreter's lock from its first row to its last, so that the next files are read meanwhile.
-- `jsonb_each` gives rows that are parsed already; of `json_each` each field would be parsed anew.

-- name: add_place
-- Remember a folder.
INSERT OR IGNORE INTO place (kind, path) VALUES (:kind, :path);

-- name: places
-- All folders that were ever looked into.
SELECT id, kind, path FROM place;

-- name: known_files
-- What recognises the files of a folder.
SELECT id, path, thread_id, device, inode, size, mtime_ns, is_archived, offset, head, tail,
    gone_at_us IS NOT NULL, problem, responses, passages, bad_lines
FROM file
WHERE place = :place;

-- name: free_numbers
-- The first unused number of a file, and of a row of words.
SELECT
    (SELECT coalesce(max(id), 0) + 1 FROM file),
    (SELECT coalesce(max(first + count), 1) FROM passage);

-- name: saved
-- What reading this file goes on from.
SELECT saved FROM reading WHERE file = :file;

-- name: is_in_part
-- Whether a part of what reading this file left behind holds that name.
SELECT 1 FROM part_name WHERE file = :file AND name = :name;

-- name: parts
-- All that reading this file left behind, the oldest first.
SELECT saved FROM part WHERE file = :file ORDER BY id;

-- name: is_paid
-- Whether a response of this file is known.
SELECT 1 FROM response WHERE id = :id AND file = :file;

-- name: rows_of_words
-- The first and last row of each block of words of these files.
SELECT first, first + count - 1 FROM passage WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_words
-- Forget a block of words.
DELETE FROM words WHERE rowid BETWEEN :first AND :last;

-- name: drop_passages
-- Forget where the words of these files stand.
DELETE FROM passage WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_responses
-- Forget the responses of these files.
DELETE FROM response WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_turns
-- Forget the turns of these files.
DELETE FROM turn WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_readings
-- Forget what reading these files would go on from.
DELETE FROM reading WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_parts
-- Forget what reading these files left behind.
DELETE FROM part WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_part_names
-- Forget what that was.
DELETE FROM part_name WHERE file IN (SELECT value FROM json_each(:files));

-- name: drop_files
-- Forget these files.
DELETE FROM file WHERE id IN (SELECT value FROM json_each(:files));

-- name: put_files
-- Write what is known of files now.
INSERT OR REPLACE INTO file (
    id, place, path, thread_id, is_archived, device, inode, size, mtime_ns, offset, head, tail,
    gone_at_us, problem, source, cwd, model, parent_id, started_at_us, last_at_us, turns, responses,
    passages, commands, failed_commands, bad_lines, unknown, summary
)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    value ->> 7, value ->> 8, value ->> 9, unhex(value ->> 10), unhex(value ->> 11),
    NULL, value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16, value ->> 17,
    value ->> 18, value ->> 19, value ->> 20, value ->> 21, value ->> 22, value ->> 23, value ->> 24,
    value ->> 25, unhex(value ->> 26)
FROM jsonb_each(:rows);

-- name: put_readings
-- Write what reading goes on from.
INSERT OR REPLACE INTO reading (file, saved)
SELECT value ->> 0, unhex(value ->> 1) FROM jsonb_each(:rows);

-- name: put_parts
-- Write what reading left behind.
INSERT INTO part (file, saved) SELECT value ->> 0, unhex(value ->> 1) FROM jsonb_each(:rows);

-- name: put_part_names
-- Write what is in it.
INSERT OR IGNORE INTO part_name (file, name)
SELECT file.value ->> 0, name.value
FROM jsonb_each(:rows) AS file
JOIN jsonb_each(file.value, '$[1]') AS name;

-- name: put_turns
-- Write turns; one that is as it was is not written.
INSERT INTO turn (file, number, id, state, started_at_us, ended_at_us, model, waited_us)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (file, number) DO UPDATE
SET id = excluded.id, state = excluded.state, started_at_us = excluded.started_at_us,
    ended_at_us = excluded.ended_at_us, model = excluded.model, waited_us = excluded.waited_us
WHERE (id, state, started_at_us, ended_at_us, model, waited_us)
    IS NOT (excluded.id, excluded.state, excluded.started_at_us, excluded.ended_at_us, excluded.model,
        excluded.waited_us);

-- name: cut_turns
-- Forget turns that turned out to be none, given the number of each file's turns now.
DELETE FROM turn
WHERE (file, number) IN (
    SELECT turn.file, turn.number
    FROM jsonb_each(:rows) AS one
    JOIN turn ON turn.file = one.value ->> 0 AND turn.number >= one.value ->> 1
);

-- name: put_responses
-- Write responses.
INSERT OR REPLACE INTO response (
    id, file, at_us, model, input, cached_input, cache_write, output, reasoning
)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    value ->> 7, value ->> 8
FROM jsonb_each(:rows);

-- name: put_passages
-- Write where words stand.
INSERT INTO passage (first, count, file, spots)
SELECT (value ->> 0) + :start, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(:rows);

-- name: put_words
-- Index words, given as an object of row and text.
INSERT INTO words (rowid, text) SELECT CAST(key AS INTEGER) + :start, value FROM jsonb_each(:rows);

-- name: put_spot
-- A file has moved or was only touched: where it is now, with nothing new in it.
UPDATE file
SET place = :place, path = :path, is_archived = :is_archived, device = :device, inode = :inode,
    size = :size, mtime_ns = :mtime_ns, gone_at_us = NULL, problem = NULL
WHERE id = :id;

-- name: put_problem
-- A file that was read before cannot be read now.
UPDATE file SET problem = :problem, gone_at_us = NULL WHERE id = :id;

-- name: put_gone
-- A file is no more.
UPDATE file SET gone_at_us = :at_us WHERE id = :id;

-- name: gone_files
-- The files that are no more.
SELECT id FROM file WHERE gone_at_us IS NOT NULL;

-- name: troubles
-- What could not be used of the files that are there: files, bad lines, unknown records.
SELECT count(*) FILTER (WHERE problem IS NOT NULL), count(*) FILTER (WHERE bad_lines > 0),
    coalesce(sum(bad_lines), 0), coalesce(sum(unknown), 0)
FROM file
WHERE gone_at_us IS NULL AND place IN (SELECT value FROM json_each(:places));

-- name: entries
-- The files of these folders, the one that was written to last first.
SELECT id, place, path, thread_id, is_archived, size, mtime_ns, gone_at_us, problem, turns, summary
FROM file
WHERE place IN (SELECT value FROM json_each(:places))
ORDER BY mtime_ns DESC, path DESC;

-- name: usage_of_files
-- The tokens of each file, every response counted once.
SELECT file, sum(input), sum(cached_input), sum(cache_write), sum(output), sum(reasoning)
FROM counted_response
GROUP BY file;

-- name: search
-- Where words stand, the best first. A match is worth up to double when it is new.
WITH hit AS MATERIALIZED (
    SELECT words.rowid AS row, words.rank AS rank,
        (SELECT max(first) FROM passage WHERE first <= words.rowid) AS first,
        :now_us AS now_us
    FROM words
    WHERE words MATCH :query
)
SELECT file.id, passage.spots ->> (4 * (hit.row - hit.first)), passage.spots ->> (4 * (hit.row - hit.first) + 1),
    passage.spots ->> (4 * (hit.row - hit.first) + 2), passage.spots ->> (4 * (hit.row - hit.first) + 3)
FROM hit
JOIN passage ON passage.first = hit.first
JOIN file ON file.id = passage.file
WHERE file.id IN (SELECT value FROM json_each(:files))
ORDER BY hit.rank * (1 + 1 / (1 + max(0, hit.now_us - coalesce(file.last_at_us, 0)) / 2592e9)), hit.row DESC
LIMIT :most;

-- name: models
-- The models that files name.
SELECT id, model FROM file WHERE model IS NOT NULL
UNION
SELECT file, model FROM turn WHERE model IS NOT NULL;
