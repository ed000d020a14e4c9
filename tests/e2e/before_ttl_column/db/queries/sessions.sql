-- name: hold_trip
-- True for a trip that is recommended or the user's own; it stays until the transaction ends.
SELECT hold_trip($1, $2)

-- name: create
-- A new live session.
INSERT INTO party_sessions (host_user_id, trip_id, started_at, sharable_token, precision, options)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb)
RETURNING id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses

-- name: find
-- A session by its id.
SELECT id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses
FROM party_sessions WHERE id = $1

-- name: find_by_token
-- The session that a sharable token invites to.
SELECT id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses
FROM party_sessions WHERE sharable_token = $1

-- name: find_by_token_locked
-- The same, and it stays as it is until this transaction ends: joins of a session come one after another.
SELECT id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses
FROM party_sessions WHERE sharable_token = $1 FOR UPDATE

-- name: lock
-- The session's precision, locked: members can neither come nor choose until this transaction ends.
SELECT precision FROM party_sessions WHERE id = $1 FOR UPDATE

-- name: set_precision
-- What the host allows from now on.
UPDATE party_sessions SET precision = $2, revision = revision + 1 WHERE id = $1
RETURNING id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses

-- name: set_options
-- New options; the revision counts them too, because live_only is a tightening.
UPDATE party_sessions SET options = $2::text::jsonb, revision = revision + 1 WHERE id = $1
RETURNING id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses

-- name: rotate_token
-- A new invitation: the old one is dead, and the uses are counted anew.
UPDATE party_sessions SET sharable_token = $2, token_uses = 0, revision = revision + 1 WHERE id = $1
RETURNING id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses

-- name: end
-- Ends a live session.
UPDATE party_sessions SET status = 'ended', ended_at = now(), revision = revision + 1
WHERE id = $1 AND status = 'live'
RETURNING id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses

-- name: count_change
-- The membership changed; $2 people came in by the token.
UPDATE party_sessions SET revision = revision + 1, token_uses = token_uses + $2 WHERE id = $1
RETURNING id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses
