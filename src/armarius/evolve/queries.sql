-- What evolve asks of the ledger: nights, the evidence of the gate, proposals.

-- name: insert_night
-- Open a night; fails when its experiment has one open.
INSERT INTO night (id, experiment, number, project, target_path, base_hash, state, settings, created_at_us)
VALUES (:id, :experiment, :number, :project, :target_path, :base_hash, 'open', :settings, :now_us);

-- name: nights_of
-- All nights of an experiment, first to last.
SELECT * FROM night WHERE experiment = :experiment ORDER BY number;

-- name: latest_nights
-- The newest nights of a project, or of any where none is named, newest first.
SELECT * FROM night WHERE :project IN ('', project) ORDER BY created_at_us DESC, id DESC LIMIT :most;

-- name: end_night
-- Close a night with its report; changes nothing when it was closed before.
UPDATE night SET state = :state, report = :report, ended_at_us = :now_us WHERE id = :id AND ended_at_us IS NULL;

-- name: insert_candidate
-- A text that somebody proposed; changes nothing when this experiment has it already.
INSERT INTO candidate (id, experiment, course, night_id, target_path, base_hash, proposed_hash, edits, shown, state,
    reason, created_at_us, ended_at_us)
VALUES (:id, :experiment, :course, :night_id, :target_path, :base_hash, :proposed_hash, :edits, :shown, :state,
    '', :created_at_us, :ended_at_us)
ON CONFLICT (experiment) DO NOTHING;

-- name: reopen_candidate
-- Go on with a candidate on which nobody has decided, on the evidence that it has.
UPDATE candidate SET state = 'open', reason = '', ended_at_us = NULL
WHERE experiment = :experiment AND state IN ('dropped', 'void', 'ungated');

-- name: end_candidate
-- Close an open candidate; changes nothing when somebody did before.
UPDATE candidate SET state = :state, reason = :reason, ended_at_us = :now_us WHERE id = :id AND state = 'open';

-- name: candidate_of_experiment
-- The candidate of an experiment.
SELECT * FROM candidate WHERE experiment = :experiment;

-- name: candidates_by_prefix
-- Candidates whose id begins with a text; two are enough to call it ambiguous.
SELECT * FROM candidate WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY id LIMIT 2;

-- name: candidates_of_course
-- All candidates of a course, in the order in which they were proposed.
SELECT * FROM candidate WHERE course = :course ORDER BY created_at_us, id;

-- name: open_candidates
-- The undecided candidates of a project, or of any where none is named, in the order in which they were proposed.
SELECT candidate.* FROM candidate JOIN night ON night.id = candidate.night_id
WHERE candidate.state = 'open' AND :project IN ('', night.project) ORDER BY candidate.created_at_us, candidate.id;

-- name: open_candidates_of
-- The undecided candidates of a skill, in the order in which they were proposed.
SELECT * FROM candidate WHERE target_path = :target_path AND state = 'open' ORDER BY created_at_us, id;

-- name: rejected_candidates_of
-- The candidates of a skill that were turned down, the newest first.
SELECT * FROM candidate WHERE target_path = :target_path AND state = 'rejected'
ORDER BY ended_at_us DESC, id DESC LIMIT :most;

-- name: insert_round
-- A candidate's next round, in a night; a second writing of it changes nothing.
INSERT INTO candidate_round (candidate_id, number, night_id, place)
VALUES (:candidate_id,
    (SELECT coalesce(max(number), 0) + 1 FROM candidate_round WHERE candidate_id = :candidate_id), :night_id, :place);

-- name: rounds_of_night
-- How a night's replays are divided, in order.
SELECT * FROM candidate_round WHERE night_id = :night_id ORDER BY place;

-- name: forget_round
-- Take back a round that a night did not come to, or in which nothing got a score.
DELETE FROM candidate_round WHERE night_id = :night_id AND candidate_id = :candidate_id;

-- name: forget_pairs
-- Take back the pairs of such a round: none of them has a score.
DELETE FROM evidence WHERE candidate_id = :candidate_id AND experiment = :course AND night = :night
    AND (baseline IS NULL OR candidate IS NULL);

-- name: rounds_over
-- How many rounds of a candidate are over.
SELECT count(*) AS number FROM candidate_round JOIN night ON night.id = candidate_round.night_id
WHERE candidate_round.candidate_id = :candidate_id AND night.ended_at_us IS NOT NULL;

-- name: insert_evidence
-- Keep one pair, at the end of its course.
INSERT INTO evidence (experiment, ordinal, night, task, baseline, candidate, baseline_run, candidate_run, at_us,
    candidate_id)
VALUES (:course, (SELECT coalesce(max(ordinal), -1) + 1 FROM evidence WHERE experiment = :course), :night, :task,
    :baseline, :candidate, :baseline_run, :candidate_run, :now_us, :candidate_id);

-- name: evidence_of
-- All pairs of a candidate by its rounds, in the order in which the gate must read them.
SELECT evidence.ordinal, candidate_round.number AS night, evidence.task, evidence.baseline, evidence.candidate,
    evidence.baseline_run, evidence.candidate_run
FROM evidence
JOIN night ON night.experiment = evidence.experiment AND night.number = evidence.night
JOIN candidate_round ON candidate_round.night_id = night.id AND candidate_round.candidate_id = evidence.candidate_id
WHERE evidence.candidate_id = :candidate_id ORDER BY evidence.ordinal;

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
-- The proposal that came last into a state, of a project, or of any where none is named.
SELECT proposal.* FROM proposal JOIN night ON night.id = proposal.night_id
WHERE proposal.state = :state AND :project IN ('', night.project)
ORDER BY coalesce(proposal.adopted_at_us, proposal.created_at_us) DESC, proposal.id DESC LIMIT 1;

-- name: night_of_staged
-- The night whose proposal for this very base of a target still waits to be adopted.
SELECT night.* FROM night JOIN proposal ON proposal.night_id = night.id
WHERE proposal.target_path = :target_path AND proposal.base_hash = :base_hash AND proposal.state = 'staged'
ORDER BY proposal.created_at_us DESC LIMIT 1;

-- name: latest_proposals
-- The newest proposals of a project, or of any where none is named, newest first.
SELECT proposal.* FROM proposal JOIN night ON night.id = proposal.night_id WHERE :project IN ('', night.project)
ORDER BY proposal.created_at_us DESC, proposal.id DESC LIMIT :most;

-- name: mark_adopted
-- A proposal that is live now.
UPDATE proposal SET state = 'adopted', adopted_at_us = :now_us WHERE id = :id AND state = 'staged';

-- name: mark_rolled_back
-- A proposal that was live and is not any more.
UPDATE proposal SET state = 'rolled_back', rolled_back_at_us = :now_us WHERE id = :id AND state = 'adopted';

-- name: mark_rejected
-- A proposal that a person does not want.
UPDATE proposal SET state = 'rejected' WHERE id = :id AND state = 'staged';

-- name: nights_turned_down
-- The nights on a skill whose proposal a person rejected or rolled back, the newest first.
SELECT night.* FROM night JOIN proposal ON proposal.night_id = night.id
WHERE proposal.target_path = :target_path AND proposal.state IN ('rejected', 'rolled_back')
ORDER BY proposal.created_at_us DESC, proposal.id DESC;

-- name: proposals_of_target
-- All that was ever proposed for a skill, newest first.
SELECT * FROM proposal WHERE target_path = :target_path ORDER BY created_at_us DESC, id DESC;

-- name: adopted_proposals
-- What is live, as far as we put it there; newest first.
SELECT * FROM proposal WHERE state = 'adopted' ORDER BY adopted_at_us DESC, id DESC;

-- name: nights_adopted
-- The nights of what is live.
SELECT night.* FROM night JOIN proposal ON proposal.night_id = night.id WHERE proposal.state = 'adopted';
