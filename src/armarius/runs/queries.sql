-- What dispatch asks of the ledger: runs, their attempts, their usage.

-- name: insert_run
-- A new run, claimed by the one who inserts it.
INSERT INTO run (id, role, state, folder, cwd, sandbox, model, effort, codex_version, request, paid_key, created_at_us)
VALUES (:id, :role, 'claimed', :folder, :cwd, :sandbox, :model, :effort, :codex_version, :request, :paid_key, :now_us);

-- name: run_by_id
-- One run.
SELECT * FROM run WHERE id = :id;

-- name: run_by_paid_key
-- The run that has, or is doing, a paid unit.
SELECT * FROM run WHERE paid_key = :paid_key;

-- name: runs_by_prefix
-- Runs whose id begins with a text, as people abbreviate it; two are enough to call it ambiguous.
SELECT * FROM run WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY id LIMIT 2;

-- name: latest_runs
-- The newest runs of any role, newest first.
SELECT * FROM run ORDER BY created_at_us DESC, id DESC LIMIT :most;

-- name: latest_runs_of_role
-- The newest runs of one role, newest first.
SELECT * FROM run WHERE role = :role ORDER BY created_at_us DESC, id DESC LIMIT :most;

-- name: open_runs
-- Runs that nobody has closed, oldest first; what a crash may have left.
SELECT * FROM run WHERE state IN ('claimed', 'running') ORDER BY created_at_us, id;

-- name: insert_attempt
-- Claim the next attempt of a run; fails when one lives or has succeeded.
INSERT INTO attempt (run_id, number, host, boot_id, owner_pid, owner_start, claimed_at_us)
VALUES (:run_id, :number, :host, :boot_id, :owner_pid, :owner_start, :now_us);

-- name: last_attempt
-- The newest attempt of a run.
SELECT * FROM attempt WHERE run_id = :run_id ORDER BY number DESC LIMIT 1;

-- name: take_over_attempt
-- Become the owner of an attempt whose owner is gone; nothing changes when somebody else was faster.
UPDATE attempt SET host = :host, boot_id = :boot_id, owner_pid = :owner_pid, owner_start = :owner_start
WHERE run_id = :run_id AND number = :number AND owner_pid = :old_pid AND owner_start = :old_start
AND ended_at_us IS NULL;

-- name: record_guard
-- Who guards an attempt, once it has been started.
UPDATE attempt SET guard_pid = :guard_pid, guard_start = :guard_start
WHERE run_id = :run_id AND number = :number AND ended_at_us IS NULL;

-- name: mark_running
-- A run whose attempt has been started.
UPDATE run SET state = 'running', started_at_us = COALESCE(started_at_us, :now_us)
WHERE id = :id AND ended_at_us IS NULL;

-- name: reclaim_run
-- Open a run again whose last attempt was lost, so that another one may try.
UPDATE run SET state = 'claimed', ended_at_us = NULL, error_code = NULL, error_message = NULL, result = NULL
WHERE id = :id;

-- name: end_attempt
-- Close an attempt; changes nothing when it was closed before.
UPDATE attempt SET ended_at_us = :now_us, outcome = :outcome
WHERE run_id = :run_id AND number = :number AND ended_at_us IS NULL;

-- name: end_run
-- Close a run with what came of it.
UPDATE run SET state = :state, thread_id = :thread_id, exit_status = :exit_status, result = :result,
    error_code = :error_code, error_message = :error_message, ended_at_us = :now_us
WHERE id = :id AND ended_at_us IS NULL;

-- name: requeue_run
-- Put a run back whose attempt was cut short by a crash, if it is one of the queue and has tries left; an attempt
-- that never came to have a guard was none.
UPDATE run SET state = 'queued' WHERE id = :id AND ended_at_us IS NULL
AND (SELECT tries FROM queued_run WHERE run_id = :id) >
    (SELECT COUNT(*) FROM attempt WHERE run_id = :id AND guard_pid IS NOT NULL);

-- name: record_usage
-- Tokens of one response; a second report of it changes nothing.
INSERT INTO response_usage (run_id, response_id, turn_id, input, cached_input, cache_write, output, reasoning, source)
VALUES (:run_id, :response_id, :turn_id, :input, :cached_input, :cache_write, :output, :reasoning, :source)
ON CONFLICT (run_id, response_id) DO NOTHING;

-- name: run_by_thread
-- The newest run in a thread; none that was meant for another one.
SELECT * FROM run WHERE thread_id = :thread_id AND (error_code IS NULL OR error_code <> 'thread-other')
ORDER BY created_at_us DESC, id DESC LIMIT 1;

-- name: batch_by_id
-- One batch.
SELECT * FROM batch WHERE id = :id;

-- name: batches_by_prefix
-- Batches whose id begins with a text; two are enough to call it ambiguous.
SELECT * FROM batch WHERE substr(id, 1, length(:prefix)) = :prefix ORDER BY id LIMIT 2;

-- name: own_batch
-- Become the owner of a batch, new or not; whoever asks has looked that nobody else is.
INSERT INTO batch (id, plan, host, boot_id, owner_pid, owner_start, created_at_us, begun_at_us)
VALUES (:id, :plan, :host, :boot_id, :owner_pid, :owner_start, :now_us, :now_us)
ON CONFLICT (id) DO UPDATE SET plan = :plan, host = :host, boot_id = :boot_id, owner_pid = :owner_pid,
    owner_start = :owner_start, begun_at_us = :now_us, ended_at_us = NULL;

-- name: give_batch
-- A batch that was handed in by a process is seen to by another one of its host.
UPDATE batch SET owner_pid = :new_pid, owner_start = :new_start, begun_at_us = :now_us, ended_at_us = NULL
WHERE id = :id AND host = :host AND owner_pid = :owner_pid AND owner_start = :owner_start AND ended_at_us IS NOT NULL;

-- name: end_batch
-- Nobody sees to a batch any more.
UPDATE batch SET ended_at_us = :now_us
WHERE id = :id AND host = :host AND owner_pid = :owner_pid AND owner_start = :owner_start;

-- name: usage_of_run
-- What each response of a run cost in all.
SELECT response_id, turn_id, input + output AS tokens FROM response_usage WHERE run_id = :run_id;

-- name: spent_in_pot
-- What the runs have used up that joined a pot; the body of such an event is {"run":"ID"} and no more.
WITH chosen AS (
    SELECT r.id, r.started_at_us, r.ended_at_us FROM event e
    JOIN run r ON r.id = substr(e.body, 9, length(e.body) - 10)
    WHERE e.subject = :pot AND e.kind = :kind
)
SELECT
    (SELECT CAST(COALESCE(SUM(u.input + u.output), 0) AS BIGINT)
        FROM response_usage u JOIN chosen c ON c.id = u.run_id) AS tokens,
    (SELECT COUNT(*) FROM response_usage u JOIN chosen c ON c.id = u.run_id) AS requests,
    (SELECT COUNT(DISTINCT u.turn_id) FROM response_usage u JOIN chosen c ON c.id = u.run_id) AS turns,
    (SELECT COUNT(*) FROM event a JOIN chosen c ON c.id = a.subject WHERE a.kind = 'agent_started') AS agents,
    (SELECT CAST(COALESCE(SUM(COALESCE(ended_at_us, :now_us) - started_at_us), 0) AS BIGINT)
        FROM chosen WHERE started_at_us IS NOT NULL) AS wall_us;

-- name: spent_since
-- What the runs have used up that live or ended since a time.
WITH chosen AS (
    SELECT id, CASE WHEN started_at_us < :since_us THEN :since_us ELSE started_at_us END AS started_at_us, ended_at_us
    FROM run WHERE created_at_us >= :oldest_us AND (ended_at_us IS NULL OR ended_at_us >= :since_us)
)
SELECT
    (SELECT CAST(COALESCE(SUM(u.input + u.output), 0) AS BIGINT)
        FROM response_usage u JOIN chosen c ON c.id = u.run_id) AS tokens,
    (SELECT COUNT(*) FROM response_usage u JOIN chosen c ON c.id = u.run_id) AS requests,
    (SELECT COUNT(DISTINCT u.turn_id) FROM response_usage u JOIN chosen c ON c.id = u.run_id) AS turns,
    (SELECT COUNT(*) FROM event a JOIN chosen c ON c.id = a.subject WHERE a.kind = 'agent_started') AS agents,
    (SELECT CAST(COALESCE(SUM(COALESCE(ended_at_us, :now_us) - started_at_us), 0) AS BIGINT)
        FROM chosen WHERE started_at_us IS NOT NULL) AS wall_us;

-- name: change_request
-- What an open run asks for from its next attempt on.
UPDATE run SET request = :request WHERE id = :id AND ended_at_us IS NULL;

-- name: goals_by_prefix
-- Goals whose id begins with a text; two are enough to call it ambiguous.
SELECT subject FROM event WHERE kind = 'goal_started' AND substr(subject, 1, length(:prefix)) = :prefix
ORDER BY subject LIMIT 2;
