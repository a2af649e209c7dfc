-- What leases ask of the ledger.

-- name: leases_of_resource
-- Who has a unit of a resource, whether or not they are still there.
SELECT * FROM lease WHERE resource = :resource ORDER BY token;

-- name: all_leases
-- Every lease, whether or not its owner is still there.
SELECT * FROM lease ORDER BY resource, token;

-- name: leases_of_run
-- What a run holds.
SELECT * FROM lease WHERE run_id = :run_id ORDER BY resource, token;

-- name: next_token
-- The next fencing token of a resource, one more than ever before.
INSERT INTO lease_token (resource, last) VALUES (:resource, 1)
ON CONFLICT (resource) DO UPDATE SET last = lease_token.last + 1
RETURNING last;

-- name: insert_lease
-- Take a unit; fails when somebody has it.
INSERT INTO lease (resource, unit, amount, token, host, boot_id, namespace, owner_pid, owner_start, run_id,
    acquired_at_us, until_us, length_us)
VALUES (:resource, :unit, :amount, :token, :host, :boot_id, :namespace, :owner_pid, :owner_start, :run_id,
    :acquired_at_us, :until_us, :length_us);

-- name: lease_by_token
-- The lease with a token, if it was not given up, taken away or replaced.
SELECT * FROM lease WHERE resource = :resource AND unit = :unit AND token = :token;

-- name: renew_lease
-- Move the end of a lease.
UPDATE lease SET until_us = :until_us, length_us = :length_us
WHERE resource = :resource AND unit = :unit AND token = :token;

-- name: hand_over_lease
-- Make another process the owner of a lease, which keeps its token.
UPDATE lease SET host = :host, boot_id = :boot_id, namespace = :namespace,
    owner_pid = :owner_pid, owner_start = :owner_start, run_id = :run_id
WHERE resource = :resource AND unit = :unit AND token = :token;

-- name: delete_lease
-- Give a unit back; changes nothing when the token is an old one.
DELETE FROM lease WHERE resource = :resource AND unit = :unit AND token = :token;

-- name: open_run
-- A run, if somebody has claimed it and its end is not recorded.
SELECT id FROM run WHERE id = :id AND state IN ('claimed', 'running');
