-- name: read_trip_cache
-- A recommendation that is still valid, and until when. $1: the context's hash.
SELECT payload::text AS payload, valid_until
FROM trip_cache
WHERE context_hash = $1 AND valid_until > now()

-- name: write_trip_cache
-- Keeps a recommendation, instead of an older one. $1: the context's hash, $2: the answer, $3: for how many seconds.
INSERT INTO trip_cache (context_hash, payload, created_at, valid_until)
VALUES ($1, $2::text::jsonb, now(), now() + make_interval(secs => $3))
ON CONFLICT (context_hash) DO UPDATE
    SET payload = excluded.payload, created_at = excluded.created_at, valid_until = excluded.valid_until
RETURNING valid_until

-- name: delete_trip_cache
-- Forgets a recommendation. $1: the context's hash.
DELETE FROM trip_cache WHERE context_hash = $1
