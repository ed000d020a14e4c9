-- name: act
-- For this transaction: as the owner, and waiting at most $1 for what somebody else holds.
SELECT set_config('role', 'partyline_owner', true), set_config('lock_timeout', $1::text, true)

-- name: begin
-- The first run of backfill $1, which has $2 rows to do. Does nothing to one that is under way.
INSERT INTO backfills (name, total_rows) VALUES ($1, $2::bigint) ON CONFLICT (name) DO NOTHING

-- name: begin_again
-- Backfill $1 was finished, but there are $2 rows to do.
UPDATE backfills SET cursor = 0, done_rows = 0, total_rows = $2::bigint, started_at = now(), finished_at = NULL
WHERE name = $1 AND finished_at IS NOT NULL

-- name: hold
-- How far backfill $1 is. It stays there until this transaction ends: two runs take turns.
SELECT name, cursor, done_rows, total_rows, started_at, finished_at FROM backfills WHERE name = $1 FOR UPDATE

-- name: move
-- $3 more rows are done, up to the key $2.
UPDATE backfills SET cursor = $2::bigint, done_rows = done_rows + $3::bigint WHERE name = $1

-- name: finish
-- No row is left.
UPDATE backfills SET finished_at = now() WHERE name = $1

-- name: all
-- How far each one is.
SELECT name, cursor, done_rows, total_rows, started_at, finished_at FROM backfills
