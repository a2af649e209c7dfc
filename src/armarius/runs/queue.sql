-- Runs that wait for a worker, and the workers.

-- name: insert_waiting_run
-- A new run that nobody has claimed.
INSERT INTO run (id, role, state, folder, cwd, sandbox, model, effort, request, paid_key, created_at_us)
VALUES (:id, :role, 'queued', :folder, :cwd, :sandbox, :model, :effort, :request, :paid_key, :now_us);

-- name: insert_queued_run
-- What it needs of the place that does it.
INSERT INTO queued_run (run_id, seat, lane, variables, tries, queued_at_us)
VALUES (:run_id, :seat, :lane, :variables, :tries, :now_us);

-- name: queued_run
-- What a run of the queue needs; nothing for a run that was never in it.
SELECT * FROM queued_run WHERE run_id = :run_id;

-- name: waiting
-- The oldest runs that wait, and are for this seat or for anybody.
SELECT run.id, run.cwd, queued_run.seat, queued_run.lane, queued_run.variables
FROM run JOIN queued_run ON queued_run.run_id = run.id
WHERE run.state = 'queued' AND (queued_run.seat IS NULL OR queued_run.seat = :seat)
ORDER BY run.created_at_us, run.id LIMIT :most;

-- name: line
-- Every run that waits, in its order.
SELECT id FROM run WHERE state = 'queued' ORDER BY created_at_us, id;

-- name: claim_queued
-- Take a run that waits; changes nothing when somebody was faster or it was cancelled.
UPDATE run SET state = 'claimed', folder = :folder, codex_version = :codex_version
WHERE id = :id AND state = 'queued';

-- name: end_queued
-- End a run that nobody has claimed.
UPDATE run SET state = :state, result = :result, error_code = :error_code, error_message = :error_message,
    ended_at_us = :now_us
WHERE id = :id AND state = 'queued';

-- name: open_of_queue
-- Open attempts of runs of the queue whose folders lie below one, on one host.
SELECT attempt.* FROM attempt JOIN queued_run ON queued_run.run_id = attempt.run_id
JOIN run ON run.id = attempt.run_id
WHERE attempt.host = :host AND attempt.ended_at_us IS NULL AND substr(run.folder, 1, length(:runs)) = :runs;

-- name: insert_worker
-- A worker that begins.
INSERT INTO worker (id, seat, host, boot_id, owner_pid, owner_start, jobs, started_at_us, until_us)
VALUES (:id, :seat, :host, :boot_id, :owner_pid, :owner_start, :jobs, :now_us, :until_us);

-- name: beat
-- A worker that goes on; changes nothing when it was taken for gone.
UPDATE worker SET until_us = :until_us WHERE id = :id;

-- name: remove_worker
-- A worker that ends, or is gone.
DELETE FROM worker WHERE id = :id;

-- name: workers
-- Every worker of this ledger.
SELECT * FROM worker ORDER BY id;

-- name: insert_schedule
-- Runs that are to come by the clock.
INSERT INTO schedule (id, cron, zone, request, seat, lane, variables, created_at_us)
VALUES (:id, :cron, :zone, :request, :seat, :lane, :variables, :now_us);

-- name: schedules
-- Schedules that are in force, with the last moment of each that became a run, oldest first.
SELECT schedule.*, (SELECT MAX(tick_us) FROM schedule_tick WHERE schedule_id = schedule.id) AS last_us
FROM schedule WHERE removed_at_us IS NULL ORDER BY created_at_us, id;

-- name: remove_schedule
-- End a schedule; its runs stay.
UPDATE schedule SET removed_at_us = :now_us WHERE id = :id AND removed_at_us IS NULL;

-- name: in_force
-- Whether a schedule is still there.
SELECT id FROM schedule WHERE id = :id AND removed_at_us IS NULL;

-- name: insert_tick
-- A moment of a schedule becomes a run.
INSERT INTO schedule_tick (schedule_id, tick_us, run_id) VALUES (:schedule_id, :tick_us, :run_id);

-- name: tick
-- The run that a moment of a schedule became.
SELECT run_id FROM schedule_tick WHERE schedule_id = :schedule_id AND tick_us >= :tick_us;
