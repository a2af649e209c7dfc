-- What was declared of resources, and what was last seen of them.

-- name: declared
-- Every resource that was declared in the ledger.
SELECT name, spec FROM resource ORDER BY name;

-- name: declare
-- Declare a resource; changes nothing when there is one of that name.
INSERT INTO resource (name, spec, created_at_us) VALUES (:name, :spec, :now_us)
ON CONFLICT (name) DO NOTHING;

-- name: withdraw
-- Take a declaration back.
DELETE FROM resource WHERE name = :name;

-- name: record_reading
-- What a host just saw of a unit, instead of what it saw before.
INSERT INTO reading (resource, unit, host, at_us, is_free, reason)
VALUES (:resource, :unit, :host, :at_us, :is_free, :reason)
ON CONFLICT (resource, unit, host) DO UPDATE
SET at_us = excluded.at_us, is_free = excluded.is_free, reason = excluded.reason;

-- name: forget_readings
-- Make room for what a host sees now of a resource, whose units may be others than before.
DELETE FROM reading WHERE resource = :resource AND host = :host;

-- name: readings
-- What was last seen of everything.
SELECT * FROM reading ORDER BY resource, host, unit;
