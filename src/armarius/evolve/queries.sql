-- What evolve asks of the ledger: nights, the evidence of the gate, proposals.

-- name: insert_night
-- Open a night; fails when its experiment has one open.
INSERT INTO night (id, experiment, number, project, target_path, base_hash, state, settings, created_at_us)
VALUES (:id, :experiment, :number, :project, :target_path, :base_hash, 'open', :settings, :now_us);

-- name: nights_of
-- All nights of an experiment, first to last.
SELECT * FROM night WHERE experiment = :experiment ORDER BY number;

-- name: latest_nights
-- The newest nights of any experiment, newest first.
SELECT * FROM night ORDER BY created_at_us DESC, id DESC LIMIT :most;

-- name: end_night
-- Close a night with its report; changes nothing when it was closed before.
UPDATE night SET state = :state, report = :report, ended_at_us = :now_us WHERE id = :id AND ended_at_us IS NULL;

-- name: insert_evidence
-- Keep one pair, at its place in the order; a second writing of it changes nothing.
INSERT INTO evidence (experiment, ordinal, night, task, baseline, candidate, baseline_run, candidate_run, at_us)
VALUES (:experiment, :ordinal, :night, :task, :baseline, :candidate, :baseline_run, :candidate_run, :now_us)
ON CONFLICT (experiment, ordinal) DO NOTHING;

-- name: evidence_of
-- All pairs of an experiment, in the order in which the gate must read them.
SELECT * FROM evidence WHERE experiment = :experiment ORDER BY ordinal;

-- name: insert_proposal
-- A candidate that was staged.
INSERT INTO proposal (id, night_id, target_path, base_hash, proposed_hash, folder, decision, e_value, state, created_at_us)
VALUES (:id, :night_id, :target_path, :base_hash, :proposed_hash, :folder, :decision, :e_value, 'staged', :now_us);

-- name: supersede_staged
-- Set aside what was staged for a target before a newer candidate.
UPDATE proposal SET state = 'superseded' WHERE target_path = :target_path AND state = 'staged' AND id <> :id;

-- name: proposal_of_night
-- What a night staged, if anything.
SELECT * FROM proposal WHERE night_id = :night_id;

-- name: proposals_by_prefix
-- Proposals whose id begins with a text; two are enough to call it ambiguous.
SELECT * FROM proposal WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY id LIMIT 2;

-- name: latest_proposal_in_state
-- The newest proposal in a state.
SELECT * FROM proposal WHERE state = :state ORDER BY created_at_us DESC, id DESC LIMIT 1;

-- name: night_of_staged
-- The night whose proposal for this very base of a target still waits to be adopted.
SELECT night.* FROM night JOIN proposal ON proposal.night_id = night.id
WHERE proposal.target_path = :target_path AND proposal.base_hash = :base_hash AND proposal.state = 'staged'
ORDER BY proposal.created_at_us DESC LIMIT 1;

-- name: latest_proposals
-- The newest proposals, newest first.
SELECT * FROM proposal ORDER BY created_at_us DESC, id DESC LIMIT :most;

-- name: mark_adopted
-- A proposal that is live now.
UPDATE proposal SET state = 'adopted', adopted_at_us = :now_us WHERE id = :id AND state = 'staged';

-- name: mark_rolled_back
-- A proposal that was live and is not any more.
UPDATE proposal SET state = 'rolled_back', rolled_back_at_us = :now_us WHERE id = :id AND state = 'adopted';

-- name: mark_rejected
-- A proposal that a person does not want.
UPDATE proposal SET state = 'rejected' WHERE id = :id AND state = 'staged';

-- name: ended_nights_of_target
-- The newest nights on a skill that are over, whatever their experiment.
SELECT * FROM night WHERE target_path = :target_path AND ended_at_us IS NOT NULL
ORDER BY created_at_us DESC, id DESC LIMIT :most;

-- name: proposals_of_target
-- All that was ever proposed for a skill, newest first.
SELECT * FROM proposal WHERE target_path = :target_path ORDER BY created_at_us DESC, id DESC;

-- name: adopted_proposals
-- What is live, as far as we put it there; newest first.
SELECT * FROM proposal WHERE state = 'adopted' ORDER BY adopted_at_us DESC, id DESC;

-- name: nights_adopted
-- The nights of what is live.
SELECT night.* FROM night JOIN proposal ON proposal.night_id = night.id WHERE proposal.state = 'adopted';
