-- What a party did, asked of its stored positions: how long each stream was live, how exact it was, how long a
-- fix took to its commit, how far people went and where they stayed. Here is all that needs no toolkit; five
-- functions have two bodies, summary/toolkit.sql or summary/plain.sql, of which a database gets one, now.
-- Nothing here tells more than a track does: see summary_fixes, the one place where rows are chosen.

-- The toolkit is taken where the server has it and we may create it; else the same answers in plain SQL.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions
        WHERE name = 'timescaledb_toolkit' AND installed_version IS NULL) THEN
        BEGIN
            CREATE EXTENSION timescaledb_toolkit SCHEMA public;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'timescaledb_toolkit may not be created by %: plain SQL is taken', current_user;
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb_toolkit' AND extnamespace = 'public'::regnamespace)
        AND to_regproc('public.heartbeat_agg') IS NULL THEN
        RAISE EXCEPTION 'timescaledb_toolkit is older than 1.15: ALTER EXTENSION timescaledb_toolkit UPDATE, and migrate again';
    END IF;
END
$$;

SET LOCAL ROLE partyline_owner;

-- The host of a new session names a trip. Locked, so that it cannot go between the answer and the insert.
CREATE FUNCTION hold_trip(wanted_trip bigint, wanted_user bigint) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT true FROM trips t WHERE t.id = wanted_trip AND (t.user_id IS NULL OR t.user_id = wanted_user) FOR KEY SHARE;
END;
COMMENT ON FUNCTION hold_trip IS 'For the gateway: true for a trip that is recommended or the user''s own, and keeps it until the transaction ends; null for any other, there or not';
GRANT EXECUTE ON FUNCTION hold_trip TO partyline_gateway;

-- The numbers, each in one place. The first is protocol/limits.py's STALE_MS; a test compares them.
CREATE FUNCTION live_for() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN INTERVAL '30 seconds';
COMMENT ON FUNCTION live_for IS 'How long a stream counts as live after a fix; the wire calls a member stale after the same time';
CREATE FUNCTION bridged_for(beat boolean) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN beat THEN INTERVAL '90 seconds' ELSE INTERVAL '30 seconds' END;
COMMENT ON FUNCTION bridged_for IS 'Two fixes further apart than this have a gap between them. A rough position stands for its beat of 60 s, and is live for 30 s after it';
CREATE FUNCTION spot_radius_m() RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 100.0;
COMMENT ON FUNCTION spot_radius_m IS 'Who is no further from a place is at it, metres; for a rough position its own accuracy, if that is more';
CREATE FUNCTION delay_error() RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 0.005;
COMMENT ON FUNCTION delay_error IS 'How far a percentile of delays may be off, as a part of it';

-- The rows that summaries are made of, and how much of each may be told. As party_track: nothing expired, nothing
-- of who is erased or private now. Who is rough now has the times of beats alone, also of rows stored as exact;
-- and their place and accuracy count only where the row is as coarse as the session's cells: the accuracy of a
-- rough row is its cell's half diagonal. Finer rows are coarsened by a track, with a secret grid that SQL lacks.
CREATE VIEW summary_fixes AS
SELECT p.session_id, p.user_id, p.recorded_at,
    CASE WHEN a.allowed = 'exact' THEN p.recorded_at + p.fix_offset_ms * INTERVAL '1 millisecond'
        ELSE date_bin('60 seconds', p.recorded_at, timestamptz '1970-01-01 00:00:00+00') END AS at,
    a.allowed,
    a.allowed <> 'exact' OR p.precision <> 'exact' AS beat,
    a.allowed = 'exact' OR coalesce(
        p.precision = 'rough' AND p.accuracy_m >= ceil(sqrt(0.5) * (s.options ->> 'rough_cell_m')::double precision),
        false) AS shown,
    p.precision, p.accuracy_m, p.loc, p.xmin AS written_by
FROM party_sessions s
JOIN party_members m ON m.session_id = s.id
JOIN users u ON u.id = m.user_id
CROSS JOIN LATERAL (
    SELECT coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in) AS allowed OFFSET 0
) a
JOIN party_positions p ON p.session_id = s.id AND p.user_id = m.user_id
WHERE u.erased_at IS NULL
    AND a.allowed <> 'private'
    AND p.precision <> 'private'
    AND NOT p.ttl_expired
    AND p.recorded_at > now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer);
COMMENT ON VIEW summary_fixes IS 'For summaries alone, nobody has a grant: unexpired rows of who is not private now, and what of each may be told';
COMMENT ON COLUMN summary_fixes.session_id IS 'party_sessions.id';
COMMENT ON COLUMN summary_fixes.user_id IS 'users.id';
COMMENT ON COLUMN summary_fixes.recorded_at IS 'Start of the window';
COMMENT ON COLUMN summary_fixes.at IS 'The fix''s time; for who is rough now, its beat of 60 s';
COMMENT ON COLUMN summary_fixes.allowed IS 'What may be shown of the member now: exact or rough';
COMMENT ON COLUMN summary_fixes.beat IS 'It stands for a beat of 60 s';
COMMENT ON COLUMN summary_fixes.shown IS 'Its place and accuracy may be told; else only that it was there';
COMMENT ON COLUMN summary_fixes.precision IS 'How fine it was stored';
COMMENT ON COLUMN summary_fixes.accuracy_m IS 'Radius in metres';
COMMENT ON COLUMN summary_fixes.loc IS 'WGS 84';
COMMENT ON COLUMN summary_fixes.written_by IS 'The transaction that wrote the row: its commit is timed by the server, at no byte a row';

-- What the two bodies read. Not SECURITY DEFINER and without settings, so that the planner sees through them;
-- only functions of the owner may call them.
CREATE FUNCTION session_beats(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, at timestamptz) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.user_id, f.at + e.after
    FROM summary_fixes f
    CROSS JOIN LATERAL unnest(CASE WHEN f.beat
        THEN ARRAY[INTERVAL '0', INTERVAL '30 seconds', INTERVAL '60 seconds'] ELSE ARRAY[INTERVAL '0'] END) AS e (after)
    WHERE f.session_id = wanted_session AND (wanted_users IS NULL OR f.user_id = ANY (wanted_users));
END;
COMMENT ON FUNCTION session_beats IS 'Heartbeats of the members'' streams, each live for live_for(). A rough position gives three, for its beat of 60 s and the time after it';

CREATE FUNCTION day_beats(wanted_day date)
    RETURNS TABLE (session_id bigint, user_id bigint, at timestamptz) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.session_id, f.user_id, f.at + e.after
    FROM summary_fixes f
    CROSS JOIN LATERAL unnest(CASE WHEN f.beat
        THEN ARRAY[INTERVAL '0', INTERVAL '30 seconds', INTERVAL '60 seconds'] ELSE ARRAY[INTERVAL '0'] END) AS e (after)
    WHERE f.recorded_at >= wanted_day::timestamp AT TIME ZONE 'UTC'
        AND f.recorded_at < (wanted_day + 1)::timestamp AT TIME ZONE 'UTC'
        AND f.at + e.after < (wanted_day + 1)::timestamp AT TIME ZONE 'UTC';
END;
COMMENT ON FUNCTION day_beats IS 'Heartbeats of all streams in a UTC day';

CREATE FUNCTION session_stretches(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, stretch bigint, at timestamptz, accuracy_m double precision) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT n.user_id, count(*) FILTER (WHERE n.begins) OVER (PARTITION BY n.user_id ORDER BY n.at), n.at, n.accuracy_m
    FROM (
        SELECT f.user_id, f.at, f.accuracy_m::double precision AS accuracy_m,
            f.at - lag(f.at) OVER w > bridged_for(lag(f.beat) OVER w) IS NOT FALSE AS begins
        FROM summary_fixes f
        WHERE f.session_id = wanted_session AND (wanted_users IS NULL OR f.user_id = ANY (wanted_users))
            AND f.shown AND f.accuracy_m IS NOT NULL
        WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)
    ) n;
END;
COMMENT ON FUNCTION session_stretches IS 'Accuracies that may be told, in numbered stretches without a gap, so that none is carried over one';

-- Rough rows bear their beat's time and not the fix's: a delay from it would be none, and would tell the fix's.
CREATE FUNCTION delays_of(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (delay_ms double precision) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(extract(epoch FROM c.committed_at - f.at) * 1000)::double precision
    FROM summary_fixes f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN (SELECT current_setting('track_commit_timestamp') = 'on')
            THEN pg_xact_commit_timestamp(f.written_by) END AS committed_at OFFSET 0
    ) c
    WHERE f.session_id = wanted_session AND (wanted_users IS NULL OR f.user_id = ANY (wanted_users))
        AND NOT f.beat AND c.committed_at IS NOT NULL;
END;
COMMENT ON FUNCTION delays_of IS 'Milliseconds from fix to commit, of exact rows whose commit the server still knows. None with track_commit_timestamp off';

CREATE FUNCTION delays_of_day(wanted_day date)
    RETURNS TABLE (delay_ms double precision) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(extract(epoch FROM c.committed_at - f.at) * 1000)::double precision
    FROM summary_fixes f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN (SELECT current_setting('track_commit_timestamp') = 'on')
            THEN pg_xact_commit_timestamp(f.written_by) END AS committed_at OFFSET 0
    ) c
    WHERE f.recorded_at >= wanted_day::timestamp AT TIME ZONE 'UTC'
        AND f.recorded_at < (wanted_day + 1)::timestamp AT TIME ZONE 'UTC'
        AND NOT f.beat AND c.committed_at IS NOT NULL;
END;
COMMENT ON FUNCTION delays_of_day IS 'The same of all sessions, for fixes of a UTC day';

-- What needs no second body.
CREATE FUNCTION session_spans(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, fixes bigint, first_at timestamptz, last_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET work_mem = '64MB'
BEGIN ATOMIC
    -- Of a beat nobody learns how many windows it had.
    SELECT f.user_id, count(*) FILTER (WHERE NOT f.beat) + count(DISTINCT f.at) FILTER (WHERE f.beat), min(f.at), max(f.at)
    FROM summary_fixes f
    WHERE f.session_id = wanted_session AND (wanted_users IS NULL OR f.user_id = ANY (wanted_users))
    GROUP BY f.user_id;
END;
COMMENT ON FUNCTION session_spans IS 'For the gateway: of each member who is not private now and has fixes, how many, the first and the last';

CREATE FUNCTION session_distances(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, distance_m double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET work_mem = '64MB'
BEGIN ATOMIC
    SELECT s.user_id, coalesce(sum(ST_DistanceSphere(s.loc, s.next_loc)) FILTER (WHERE s.next_at - s.at <= bridged_for(s.beat)), 0)
    FROM (
        SELECT f.user_id, f.at, f.beat, f.loc, lead(f.at) OVER w AS next_at, lead(f.loc) OVER w AS next_loc
        FROM summary_fixes f
        WHERE f.session_id = wanted_session AND (wanted_users IS NULL OR f.user_id = ANY (wanted_users)) AND f.shown
        WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)
    ) s
    GROUP BY s.user_id;
END;
COMMENT ON FUNCTION session_distances IS 'For the gateway: metres along the positions that may be told, not across gaps';

CREATE FUNCTION session_spots(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, sequence integer, place text, planned_stay_min integer, nearest_m double precision,
        arrived_at timestamptz, left_at timestamptz, stay_s double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET work_mem = '64MB'
BEGIN ATOMIC
    WITH spot AS MATERIALIZED (
        SELECT n.sequence, c.name, n.planned_stay_min, c.geo
        FROM party_sessions s
        JOIN trip_nodes n ON n.trip_id = s.trip_id
        JOIN places c ON c.id = n.place_id
        WHERE s.id = wanted_session
    ), step AS (
        SELECT f.user_id, f.at, f.loc, f.beat,
            greatest(spot_radius_m(), CASE WHEN f.precision = 'rough' THEN f.accuracy_m END) AS radius_m,
            lead(f.at) OVER w AS next_at, lead(f.loc) OVER w AS next_loc,
            lead(greatest(spot_radius_m(), CASE WHEN f.precision = 'rough' THEN f.accuracy_m END)) OVER w AS next_radius_m
        FROM summary_fixes f
        WHERE f.session_id = wanted_session AND (wanted_users IS NULL OR f.user_id = ANY (wanted_users)) AND f.shown
        WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)
    ), near AS (
        SELECT t.*, p.sequence, p.name, p.planned_stay_min, p.geo, d.away_m
        FROM step t
        CROSS JOIN spot p
        CROSS JOIN LATERAL (SELECT ST_DistanceSphere(t.loc, p.geo) AS away_m OFFSET 0) d
    )
    SELECT n.user_id, n.sequence, n.name, n.planned_stay_min, min(n.away_m),
        min(n.at) FILTER (WHERE n.away_m <= n.radius_m), max(n.at) FILTER (WHERE n.away_m <= n.radius_m),
        coalesce(sum(extract(epoch FROM n.next_at - n.at)) FILTER (WHERE n.away_m <= n.radius_m
            AND n.next_at - n.at <= bridged_for(n.beat)
            AND ST_DistanceSphere(n.next_loc, n.geo) <= n.next_radius_m), 0)::double precision
    FROM near n
    GROUP BY n.user_id, n.sequence, n.name, n.planned_stay_min;
END;
COMMENT ON FUNCTION session_spots IS 'For the gateway: of each member and stop of the session''s trip, how near they came, the first and last fix there, and for how long two fixes in a row were there without a gap';

GRANT EXECUTE ON FUNCTION session_spans, session_distances, session_spots TO partyline_gateway;

RESET ROLE;
