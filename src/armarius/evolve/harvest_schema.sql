-- The harvest cache: what was taken from session files, redacted. It is never migrated: with another text of
-- this file, or another edition, it is emptied and the files are read again.

-- The episodes of one file in MessagePack, as it was at this size and time.
CREATE TABLE digest (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    episodes BLOB NOT NULL
) WITHOUT ROWID;

-- What the last harvest of a scope came to. `question` is a hash of the files, as they were, and of all that was asked.
CREATE TABLE outcome (
    scope TEXT PRIMARY KEY,
    question TEXT NOT NULL,
    outcome BLOB NOT NULL
) WITHOUT ROWID;
