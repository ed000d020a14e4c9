-- The statements of the database's part. Run by the owner of a `partyline up` of our own, never of another.

-- name: crowd
-- $1 members in parties of five, as the gateway would have stored them six days ago.
WITH people AS (
    INSERT INTO users (location_opt_in) SELECT true FROM generate_series(1, $1::integer) RETURNING id
), numbered AS (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM people
), parties AS (
    INSERT INTO party_sessions (host_user_id, started_at, sharable_token, precision, options, ttl_hours)
    SELECT id, now() - INTERVAL '6 days 12 hours', sha256(('party ' || id)::bytea), 'exact',
        '{"tick_ms": 1000, "live_only": false, "max_members": 50, "rough_cell_m": 500}', 168
    FROM numbered WHERE n % 5 = 0
    RETURNING id, host_user_id
)
INSERT INTO party_members (session_id, user_id, member_no, role, display_name, token_digest, precision, joined_at)
SELECT p.id, m.id, m.n % 5 + 1, CASE m.n % 5 WHEN 0 THEN 'host' ELSE 'member' END, 'of the benchmark',
    sha256(('member ' || m.id)::bytea), 'exact', now() - INTERVAL '6 days 12 hours'
FROM parties p
JOIN numbered h ON h.id = p.host_user_id
JOIN numbered m ON m.n / 5 = h.n / 5

-- name: analyze
-- What autovacuum would do in a minute.
ANALYZE users, party_sessions, party_members

-- name: members
-- Who of the crowd there is.
SELECT session_id, user_id FROM party_members WHERE display_name = 'of the benchmark' ORDER BY session_id, user_id

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

-- name: chunk
-- The table of the chunk of the day from $1 to $2.
SELECT chunk::text FROM positions_chunks() WHERE range_start = $1 AND range_end = $2

-- name: make
-- The chunk of the day of $1, where it is not made by itself as rows come.
SELECT make_positions_chunks($1, $1)

-- name: drop
-- The chunk of the day from $1 to $2.
SELECT count(*) FROM positions_chunks() k, drop_positions_chunk(k.chunk) WHERE k.range_start = $1 AND k.range_end = $2

-- name: drop_before
-- Chunks that end by $1: native partitions were made ahead, and the keeper's function would find an empty one.
SELECT count(*) FROM positions_chunks() k, drop_positions_chunk(k.chunk) WHERE k.range_end <= $1

-- name: checkpoint
-- So that nobody pays for the pages that another has written.
CHECKPOINT

-- name: pass_by
-- Waits while somebody holds the chunk of the day from $1 to $2 against readers.
SELECT FROM party_positions WHERE recorded_at >= $1 AND recorded_at < $2 LIMIT 1

-- name: waits
-- Whether process $1 waits for a lock.
SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)

-- name: drop_oldest_expired_chunk
-- As the keeper drops: one chunk that is older than $1 hours, counted and recorded.
SELECT dropped_rows FROM drop_oldest_expired_chunk($1)
