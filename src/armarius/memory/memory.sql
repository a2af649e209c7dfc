-- What the memory is asked. Of several notes with one kind and key in a scope the latest counts.

-- name: insert_note
-- A note.
INSERT INTO note (id, kind, key, value, scope, source, confidence, created_at_us, expires_at_us, document)
VALUES (:id, :kind, :key, :value, :scope, :source, :confidence, :created_at_us, :expires_at_us, :document);

-- name: search_notes
-- Notes in which the words occur, the best first; a key counts four times as much as a value.
SELECT note.* FROM words JOIN note ON note.seq = words.rowid
WHERE words MATCH :query AND (expires_at_us IS NULL OR expires_at_us > :now_us)
    AND scope IN (SELECT value FROM json_each(:scopes))
    AND NOT EXISTS (SELECT 1 FROM note AS later
        WHERE later.scope = note.scope AND later.kind = note.kind AND later.key = note.key AND later.seq > note.seq)
ORDER BY bm25(words, 4.0, 1.0), note.seq DESC LIMIT :most;

-- name: latest_notes
-- Notes that count, newest first.
SELECT * FROM note WHERE (expires_at_us IS NULL OR expires_at_us > :now_us)
    AND (CAST(:scope AS TEXT) IS NULL OR scope = :scope) AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind)
    AND NOT EXISTS (SELECT 1 FROM note AS later
        WHERE later.scope = note.scope AND later.kind = note.kind AND later.key = note.key AND later.seq > note.seq)
ORDER BY seq DESC LIMIT :most;

-- name: notes_named
-- Notes by the beginning of their id, their key, or their document.
SELECT * FROM note WHERE substr(id, 1, length(:name)) = :name OR key = :name OR document = :name ORDER BY seq;

-- name: notes_alike
-- A note with all that it has replaced.
SELECT * FROM note WHERE scope = :scope AND kind = :kind AND key = :key ORDER BY seq;

-- name: forget_note
-- A note is gone.
DELETE FROM note WHERE id = :id;

-- name: forget_document
-- The pieces of a document are gone.
DELETE FROM note WHERE document = :document AND scope = :scope;

-- name: forget_expired
-- What is over is gone.
DELETE FROM note WHERE expires_at_us IS NOT NULL AND expires_at_us <= :now_us;
