-- What the record of streams is asked. Nothing here changes a row; none but `stream_pruned` ever loses one.

-- name: insert_stream
-- A stream that was taken in.
INSERT INTO stream (id, sha256, size, bad, shape, ingested_at_us)
VALUES (:id, :sha256, :size, :bad, :shape, :now_us);

-- name: insert_runs
-- Runs in a stream, in their order: each an array in an array.
INSERT INTO stream_run (stream_id, number, thread_id, byte, size, state, error, usage)
SELECT :stream_id, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
FROM json_each(:runs);

-- name: insert_label
-- What was said of a stream, as the next thing that was said of it.
INSERT INTO stream_label (stream_id, number, label, repo, branch, purpose, source, at_us)
VALUES (:stream_id, (SELECT COALESCE(MAX(number), 0) + 1 FROM stream_label WHERE stream_id = :stream_id),
    :label, :repo, :branch, :purpose, :source, :now_us);

-- name: insert_pruned
-- A stream whose bytes are thrown away.
INSERT INTO stream_pruned (stream_id, at_us) VALUES (:stream_id, :now_us) ON CONFLICT (stream_id) DO NOTHING;

-- name: forget_pruned
-- A stream whose bytes came back.
DELETE FROM stream_pruned WHERE stream_id = (SELECT id FROM stream WHERE sha256 = :sha256);

-- name: stream_by_hash
-- The stream with this content.
SELECT stream.*, stream_pruned.at_us AS pruned_at_us FROM stream
LEFT JOIN stream_pruned ON stream_pruned.stream_id = stream.id WHERE sha256 = :sha256;

-- name: streams_since
-- Streams that were taken in since a time, newest first.
SELECT stream.*, stream_pruned.at_us AS pruned_at_us FROM stream
LEFT JOIN stream_pruned ON stream_pruned.stream_id = stream.id
WHERE ingested_at_us >= :since_us ORDER BY ingested_at_us DESC, id DESC;

-- name: streams_before
-- Streams that were taken in before a time and whose bytes are still kept, oldest first.
SELECT stream.*, stream_pruned.at_us AS pruned_at_us FROM stream
LEFT JOIN stream_pruned ON stream_pruned.stream_id = stream.id
WHERE ingested_at_us < :before_us AND stream_pruned.at_us IS NULL ORDER BY ingested_at_us, id;

-- name: runs_of
-- The runs of a stream in their order.
SELECT * FROM stream_run WHERE stream_id = :stream_id ORDER BY number;

-- name: runs_named
-- Runs whose thread, stream or content begins with a text, or whose label it is; newest first.
SELECT stream_run.* FROM stream_run JOIN stream ON stream.id = stream_run.stream_id
WHERE substr(thread_id, 1, length(:name)) = :name OR substr(stream.id, 1, length(:name)) = :name
    OR substr(stream.sha256, 8, length(:name)) = :name OR stream.sha256 = :name
    OR EXISTS (SELECT 1 FROM stream_label WHERE stream_label.stream_id = stream.id AND label = :name)
ORDER BY stream.ingested_at_us DESC, stream.id DESC, number;

-- name: counted_runs
-- All runs of a thread that ended with a count of its tokens.
SELECT * FROM stream_run WHERE thread_id = :thread_id AND usage IS NOT NULL;

-- name: last_label
-- What was said of a stream last.
SELECT label, repo, branch, purpose, source, at_us FROM stream_label
WHERE stream_id = :stream_id ORDER BY number DESC LIMIT 1;

-- name: stream_by_id
-- One stream.
SELECT stream.*, stream_pruned.at_us AS pruned_at_us FROM stream
LEFT JOIN stream_pruned ON stream_pruned.stream_id = stream.id WHERE stream.id = :id;
