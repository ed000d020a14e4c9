-- name: make_staging
-- A connection's own staging table: COPY cannot decide anything, so it goes here first.
CREATE TEMPORARY TABLE IF NOT EXISTS party_positions_staged (
    session_id    bigint NOT NULL,
    user_id       bigint NOT NULL,
    recorded_at   timestamptz NOT NULL,
    fix_offset_ms smallint NOT NULL,
    loc           geometry(Point, 4326) NOT NULL,
    accuracy_m    real,
    precision     precision_level NOT NULL
) ON COMMIT DELETE ROWS

-- name: decide_and_store
-- Judges each staged row by what is allowed now and stores it, or returns it with the reason it was refused.
-- The verdict is made once for each member of the batch, then each row is held against it. $1: shard,
-- $2: hours that the server keeps. The first row returned is the sum: inserted rows and no reason.
WITH verdict AS MATERIALIZED (
    SELECT p.session_id, p.user_id,
        CASE WHEN u.id IS NOT NULL THEN coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in)
            END AS allowed,
        -- Storing is a choice too: a session that is only live allows nothing.
        coalesce((s.options ->> 'live_only')::boolean, false) AS live_only,
        greatest(
            now() - make_interval(hours => least($2::integer, (s.options ->> 'ttl_hours')::integer)),
            date_bin('5 seconds', s.started_at, timestamptz '1970-01-01 00:00:00+00')
        ) AS oldest
    FROM (SELECT DISTINCT session_id, user_id FROM pg_temp.party_positions_staged) p
    LEFT JOIN party_sessions s ON s.id = p.session_id
    LEFT JOIN party_members m ON m.session_id = p.session_id AND m.user_id = p.user_id
    LEFT JOIN users u ON u.id = m.user_id AND m.session_id = s.id AND u.erased_at IS NULL
), decided AS MATERIALIZED (
    SELECT r.*, CASE
        WHEN r.session_id & 7 <> $1::integer THEN 'shard'
        WHEN v.allowed IS NULL THEN 'gone'
        WHEN v.live_only OR r.precision < v.allowed THEN 'precision'
        WHEN r.recorded_at < v.oldest THEN 'too_old'
        WHEN r.recorded_at > now() + INTERVAL '1 hour' THEN 'future'
        END AS reason
    FROM pg_temp.party_positions_staged r
    JOIN verdict v ON v.session_id = r.session_id AND v.user_id = r.user_id
), stored AS (
    INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision)
    SELECT session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision
    FROM decided WHERE reason IS NULL
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) AS inserted, NULL::bigint AS session_id, NULL::bigint AS user_id,
    NULL::timestamptz AS recorded_at, NULL AS reason
FROM stored
UNION ALL
SELECT 0, session_id, user_id, recorded_at, reason FROM decided WHERE reason IS NOT NULL
