-- Several candidates of one skill beside each other, each with evidence of its own.

CREATE TABLE candidate (
    id            TEXT PRIMARY KEY NOT NULL,
    experiment    TEXT NOT NULL UNIQUE,
    course        TEXT NOT NULL,
    night_id      TEXT NOT NULL REFERENCES night (id),
    target_path   TEXT NOT NULL,
    base_hash     TEXT NOT NULL,
    proposed_hash TEXT NOT NULL,
    edits         TEXT NOT NULL,
    shown         TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'certified', 'rejected', 'dropped', 'void', 'ungated')),
    reason        TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT,
    CHECK ((ended_at_us IS NULL) = (state = 'open'))
);

CREATE INDEX candidate_target ON candidate (target_path, state);

CREATE TABLE candidate_round (
    candidate_id TEXT NOT NULL REFERENCES candidate (id),
    number       BIGINT NOT NULL CHECK (number > 0),
    night_id     TEXT NOT NULL REFERENCES night (id),
    place        BIGINT NOT NULL,
    PRIMARY KEY (candidate_id, number),
    UNIQUE (night_id, candidate_id)
);

ALTER TABLE evidence ADD COLUMN candidate_id TEXT REFERENCES candidate (id);
CREATE INDEX evidence_candidate ON evidence (candidate_id);
