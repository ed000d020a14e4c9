-- name: total
-- Sessions whose options still bear the key that migration 0021 has left without a meaning. Before 0021 there
-- is nothing to do: processes of before read it.
SELECT count(*) FROM party_sessions
WHERE options ? 'ttl_hours' AND to_regproc('public.party_sessions_ttl_in_step') IS NULL

-- name: batch
-- Takes the key out. $1: the cursor, $2: how many.
WITH page AS (
    SELECT id FROM party_sessions
    WHERE id > $1::bigint AND options ? 'ttl_hours' AND to_regproc('public.party_sessions_ttl_in_step') IS NULL
    ORDER BY id LIMIT $2::bigint FOR NO KEY UPDATE
), written AS (
    UPDATE party_sessions s SET options = s.options - 'ttl_hours' FROM page WHERE s.id = page.id RETURNING s.id
)
SELECT max(id), count(*) FROM written
