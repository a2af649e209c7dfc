-- The session index: a cache of what stands in the session files. It is never migrated: with another
-- text of this file, or another version of Armarius, it is emptied and filled again.

-- A folder that is looked into. Its path is bytes, because a file system takes any.
CREATE TABLE place (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    path BLOB NOT NULL,
    UNIQUE (kind, path)
);

-- A session file. Down to `problem`: how it is recognised, and how far it was read. `head` and `tail`
-- are sha256 of its first 4 KiB and of the 4 KiB before `offset`, both within what was read. `gone_at_us`
-- marks a file that is no more: what it cost and said stays known. `summary` is a Summary in MessagePack
-- without its turns and responses; the columns before it are copies for filters and sums.
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    path TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    is_archived INTEGER NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    head BLOB NOT NULL,
    tail BLOB NOT NULL,
    gone_at_us INTEGER,
    problem TEXT,
    source TEXT,
    cwd TEXT,
    model TEXT,
    parent_id TEXT,
    started_at_us INTEGER,
    last_at_us INTEGER,
    turns INTEGER NOT NULL,
    responses INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    commands INTEGER NOT NULL,
    failed_commands INTEGER NOT NULL,
    bad_lines INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    summary BLOB NOT NULL,
    UNIQUE (place, path)
);

CREATE INDEX file_by_thread ON file (thread_id);

-- What reading a file goes on from (`Scan.saved`), compressed with zstd. It stays small: what is
-- seldom asked for is left in `part`, the older first, and `part_name` says what is in one.
CREATE TABLE reading (
    file INTEGER PRIMARY KEY,
    saved BLOB NOT NULL
);

CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL,
    saved BLOB NOT NULL
);

CREATE INDEX part_by_file ON part (file);

CREATE TABLE part_name (
    file INTEGER NOT NULL,
    name INTEGER NOT NULL,
    PRIMARY KEY (file, name)
) WITHOUT ROWID;

-- `waited_us` is the time between the end of the turn before and the start of this one, when nothing
-- happened because it was a person's turn; NULL where one of the two is not known.
CREATE TABLE turn (
    file INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at_us INTEGER,
    ended_at_us INTEGER,
    model TEXT,
    waited_us INTEGER,
    PRIMARY KEY (file, number)
) WITHOUT ROWID;

-- The tokens of one response of the model, as one file has them. Forks, sub-agents and copies hold
-- responses of others: sums are made over `counted_response`. `model` is that of the response's turn.
CREATE TABLE response (
    id TEXT NOT NULL,
    file INTEGER NOT NULL,
    at_us INTEGER,
    model TEXT,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    PRIMARY KEY (id, file)
) WITHOUT ROWID;

-- Each response once, in the file that has it first: ids of threads grow with time, and a thread that
-- copies from another one is the younger of the two.
CREATE VIEW counted_response AS
SELECT response.*
FROM response
JOIN file ON file.id = response.file
WHERE NOT EXISTS (
    SELECT 1
    FROM response AS other
    JOIN file AS older ON older.id = other.file
    WHERE other.id = response.id
        AND other.file <> response.file
        AND (older.thread_id, other.file) < (file.thread_id, response.file)
);

-- Where words stand: `count` rows of `words` from `first` on are of this file, and `spots` is a JSON
-- array that holds kind, byte, size and time of each in turn. Row by row this would be half the index.
CREATE TABLE passage (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    file INTEGER NOT NULL,
    spots TEXT NOT NULL
);

CREATE INDEX passage_by_file ON passage (file);

-- Words and where they occur, without the text itself.
CREATE VIRTUAL TABLE words USING fts5(text, content = '', contentless_delete = 1);

-- 4 MiB are gathered before a segment is written, which is few segments and little memory.
INSERT INTO words (words, rank) VALUES ('hashsize', 4194304);
