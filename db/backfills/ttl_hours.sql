-- name: total
-- Sessions whose time-to-live is in their options alone. For migration 0020.
SELECT count(*) FROM party_sessions WHERE ttl_hours IS NULL

-- name: batch
-- Writing a row is enough: the trigger party_sessions_ttl_in_step fills its column. $1: the cursor, $2: how many.
WITH page AS (
    SELECT id FROM party_sessions WHERE id > $1::bigint AND ttl_hours IS NULL
    ORDER BY id LIMIT $2::bigint FOR NO KEY UPDATE
), written AS (
    UPDATE party_sessions s SET options = s.options FROM page WHERE s.id = page.id RETURNING s.id
)
SELECT max(id), count(*) FROM written
