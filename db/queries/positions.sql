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

-- name: look_up_by_key
-- For this transaction: plans are kept, and one that was made while a table was small would read all of it
-- once it is large.
SELECT set_config('enable_seqscan', 'off', true)

-- name: doubtful
-- Sessions of which not every row of one label may surely be stored now; most often none. $1: the shard whose
-- fence is held, $2: hours that the server keeps, $3: the label, $4: sessions, $5: of each its first time,
-- $6 and $7: where its users begin and end in $8, $9: how many different users these are, $10: the last time
-- of all. Times are microseconds since 2000. One look at a session and its members settles all its rows, and
-- all users are looked up in one go; one user that does not fit puts everybody in doubt. It may doubt too
-- much, never too little; `refuse` has the last word.
-- LATERAL with OFFSET 0 makes it look-ups by key, whatever the planner believes of the arrays. A session's
-- first minute counts as a whole: a rough row bears the time of its 60-second beat, which may lie before the
-- start.
WITH all_users AS MATERIALIZED (
    SELECT $8::text::bigint[] AS ids
)
SELECT p.session_id
FROM (
    SELECT b.session_id, (SELECT ids FROM all_users)[b.begins:b.ends] AS users,
        timestamptz '2000-01-01 00:00:00+00' + b.first * INTERVAL '1 microsecond' AS first
    FROM unnest($4::text::bigint[], $5::text::bigint[], $6::text::integer[], $7::text::integer[]) AS b (session_id, first, begins, ends)
    OFFSET 0
) p
LEFT JOIN LATERAL (
    SELECT $3::precision_level >= s.precision
        AND NOT coalesce((s.options ->> 'live_only')::boolean, false)
        AND p.first >= now() - make_interval(hours => least($2::integer, s.ttl_hours))
        AND p.first >= date_bin('60 seconds', s.started_at, timestamptz '1970-01-01 00:00:00+00') AS fits,
        (
            SELECT count(*)
            FROM party_members m
            WHERE m.session_id = s.id AND m.user_id = ANY (p.users) AND $3::precision_level >= m.precision
        ) AS fitting_members
    FROM party_sessions s
    WHERE s.id = p.session_id
    OFFSET 0
) v ON true
WHERE (
    p.session_id & 7 = $1::integer AND v.fits AND v.fitting_members = cardinality(p.users)
    AND (
        SELECT count(*) = $9::integer
        FROM users u
        WHERE u.id = ANY ((SELECT ids FROM all_users)::bigint[]) AND u.erased_at IS NULL AND u.location_opt_in
            AND $3::precision_level >= u.privacy_level
    )
    AND timestamptz '2000-01-01 00:00:00+00' + $10::bigint * INTERVAL '1 microsecond' <= now() + INTERVAL '1 hour'
) IS NOT TRUE

-- name: refuse
-- Takes out of the staging table what may not be stored now, and returns it with the reason. $1 and $2 as
-- above, $3: the sessions in doubt, null for all. The verdict is made once for each member, then each row held
-- against it. A day that was dropped does not come back, whatever the times to live say by now.
WITH kept AS MATERIALIZED (
    SELECT positions_begin() AS begins
), person AS MATERIALIZED (
    SELECT DISTINCT session_id, user_id FROM pg_temp.party_positions_staged
    WHERE $3::bigint[] IS NULL OR session_id = ANY ($3)
), verdict AS MATERIALIZED (
    SELECT p.session_id, p.user_id, v.allowed, v.live_only, v.oldest
    FROM person p
    LEFT JOIN LATERAL (
        SELECT coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in) AS allowed,
            -- Storing is a choice too: a session that is only live allows nothing.
            coalesce((s.options ->> 'live_only')::boolean, false) AS live_only,
            greatest(
                now() - make_interval(hours => least($2::integer, s.ttl_hours)),
                date_bin('60 seconds', s.started_at, timestamptz '1970-01-01 00:00:00+00'),
                (SELECT begins FROM kept)
            ) AS oldest
        FROM party_sessions s
        JOIN party_members m ON m.session_id = s.id
        JOIN users u ON u.id = m.user_id
        WHERE s.id = p.session_id AND m.user_id = p.user_id AND u.erased_at IS NULL
        OFFSET 0
    ) v ON true
), judged AS (
    SELECT r.ctid AS place, CASE
        WHEN r.session_id & 7 <> $1::integer THEN 'shard'
        WHEN v.allowed IS NULL THEN 'gone'
        WHEN v.live_only OR r.precision < v.allowed THEN 'precision'
        WHEN r.recorded_at < v.oldest THEN 'too_old'
        WHEN r.recorded_at > now() + INTERVAL '1 hour' THEN 'future'
        END AS reason
    FROM verdict v
    JOIN pg_temp.party_positions_staged r ON r.session_id = v.session_id AND r.user_id = v.user_id
)
DELETE FROM pg_temp.party_positions_staged r USING judged j
WHERE r.ctid = j.place AND j.reason IS NOT NULL
RETURNING r.session_id, r.user_id, r.recorded_at, j.reason

-- name: store
-- Stores what is left in the staging table; rows that are there already stay as they are (G2).
INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision)
SELECT session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision
FROM pg_temp.party_positions_staged
ON CONFLICT DO NOTHING
