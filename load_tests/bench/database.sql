-- The statements of the database's part. Run by the owner of a `partyline up` of our own, never of another.

-- name: backdate
-- The load's sessions began six days ago, so that rows of past days are taken.
UPDATE party_sessions SET started_at = now() - INTERVAL '6 days 12 hours'

-- name: members
-- Who may have rows, at most $1 of them.
SELECT m.session_id, m.user_id
FROM party_members m
JOIN party_sessions s ON s.id = m.session_id
WHERE s.status = 'live' AND m.left_at IS NULL
ORDER BY m.session_id, m.user_id
LIMIT $1

-- name: count
-- Rows from $1 to before $2.
SELECT count(*) FROM party_positions WHERE recorded_at >= $1 AND recorded_at < $2

-- name: fill
-- $2 windows of $3 members, from $1 on, in the order in which they would come.
INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision)
SELECT 1000000 + m / 5, 1000000 + m, $1::timestamptz + w * INTERVAL '5 seconds', 700,
    ST_SetSRID(ST_MakePoint(126.9 + w * 1e-6, 37.5 + m * 1e-4), 4326), 5, 'exact'
FROM generate_series(0, $2::integer - 1) w, generate_series(1, $3::integer) m

-- name: delete
-- Rows from $1 to before $2, one by one.
DELETE FROM party_positions WHERE recorded_at >= $1 AND recorded_at < $2

-- name: drop
-- The chunk of the day from $1 to $2.
SELECT count(*) FROM drop_chunks('party_positions', newer_than => $1::timestamptz, older_than => $2::timestamptz)

-- name: checkpoint
-- So that nobody pays for the pages that another has written.
CHECKPOINT
