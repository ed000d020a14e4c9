-- What a party did, asked of its stored positions: how long each stream was live, how exact it was, how long a
-- fix took to its commit, how far people went and where they stayed. Here is all that needs no toolkit; five
-- functions have two bodies, summary/toolkit.sql or summary/plain.sql, of which a database gets one, now.
-- Nothing here tells more than a track does: see
-- summary_members, told_at and tells_place, the one place where that is decided.

-- The toolkit is taken where the server has one that will do and we may create it; else the same answers in plain
-- SQL. What was created in vain is undone with the block.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions
        WHERE name = 'timescaledb_toolkit' AND installed_version IS NULL) THEN
        BEGIN
            CREATE EXTENSION timescaledb_toolkit SCHEMA public;
            IF to_regproc('public.heartbeat_agg') IS NULL THEN
                RAISE feature_not_supported;
            END IF;
        EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN
            RAISE NOTICE 'timescaledb_toolkit is older than 1.15 or may not be created by %: plain SQL is taken', current_user;
        END;
    ELSIF EXISTS (SELECT FROM pg_extension
            WHERE extname = 'timescaledb_toolkit' AND extnamespace = 'public'::regnamespace)
        AND to_regproc('public.heartbeat_agg') IS NULL THEN
        RAISE EXCEPTION 'timescaledb_toolkit is older than 1.15: run ALTER EXTENSION timescaledb_toolkit UPDATE, and migrate again';
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

-- Who may be told of, and how finely. As party_track: nobody who is erased or private now.
CREATE VIEW summary_members AS
SELECT m.session_id, m.user_id, a.allowed,
    now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer) AS kept_after,
    ceil(sqrt(0.5) * (s.options ->> 'rough_cell_m')::double precision) AS cell_accuracy_m
FROM party_sessions s
JOIN party_members m ON m.session_id = s.id
JOIN users u ON u.id = m.user_id
CROSS JOIN LATERAL (
    SELECT coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in) AS allowed OFFSET 0
) a
WHERE u.erased_at IS NULL AND a.allowed <> 'private';
COMMENT ON VIEW summary_members IS 'For summaries alone, nobody has a grant: members who are not private now';
COMMENT ON COLUMN summary_members.session_id IS 'party_sessions.id';
COMMENT ON COLUMN summary_members.user_id IS 'users.id';
COMMENT ON COLUMN summary_members.allowed IS 'What may be shown of the member now: exact or rough';
COMMENT ON COLUMN summary_members.kept_after IS 'Rows recorded until then have expired';
COMMENT ON COLUMN summary_members.cell_accuracy_m IS 'The accuracy of a rough row of the session''s cells: their half diagonal, metres';

-- How much of a row may be told. Who is rough now has the times of beats alone, also of rows stored as exact; and
-- their place and accuracy count only where the row is as coarse as the session's cells. Finer rows are coarsened
-- by a track, with a secret grid that SQL lacks.
CREATE FUNCTION told_at(allowed precision_level, recorded_at timestamptz, fix_offset_ms smallint) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN allowed = 'exact' THEN recorded_at + fix_offset_ms * INTERVAL '1 millisecond'
        ELSE date_bin('60 seconds', recorded_at, timestamptz '1970-01-01 00:00:00+00') END;
COMMENT ON FUNCTION told_at IS 'The fix''s time; for who is rough now, its beat of 60 s';
CREATE FUNCTION is_beat(allowed precision_level, stored precision_level) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN NOT (allowed = 'exact' AND stored = 'exact');
COMMENT ON FUNCTION is_beat IS 'Whether a row stands for a beat of 60 s';
CREATE FUNCTION tells_place(allowed precision_level, stored precision_level, accuracy_m real, cell_accuracy_m double precision)
    RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN allowed = 'exact' OR coalesce(allowed = 'rough' AND stored = 'rough' AND accuracy_m >= cell_accuracy_m, false);
COMMENT ON FUNCTION tells_place IS 'Whether a row''s place and accuracy may be told; else only that it was there. What is missing counts as no';

-- What the two bodies and the other functions read. Not SECURITY DEFINER and without settings, so that the planner
-- sees through them; only functions of the owner may call them. Of a session, rows are looked up by key, a member
-- at a time: user_id has no statistics (they would name people), and a join would be planned for one row.
CREATE FUNCTION session_fixes(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, at timestamptz, beat boolean, tells_place boolean, stored precision_level,
        accuracy_m real, loc geometry, written_by xid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.user_id, told_at(m.allowed, p.recorded_at, p.fix_offset_ms), is_beat(m.allowed, p.precision),
        tells_place(m.allowed, p.precision, p.accuracy_m, m.cell_accuracy_m), p.precision, p.accuracy_m, p.loc, p.xmin
    FROM summary_members m
    CROSS JOIN LATERAL (
        SELECT r.recorded_at, r.fix_offset_ms, r.precision, r.accuracy_m, r.loc, r.xmin
        FROM party_positions r
        WHERE r.session_id = wanted_session AND r.user_id = m.user_id AND r.recorded_at > m.kept_after
            AND NOT r.ttl_expired
        OFFSET 0
    ) p
    WHERE m.session_id = wanted_session AND (wanted_users IS NULL OR m.user_id = ANY (wanted_users));
END;
COMMENT ON FUNCTION session_fixes IS 'Unexpired rows of a session, and what of each may be told. written_by: the transaction, whose commit the server times at no byte a row';

CREATE FUNCTION day_fixes(wanted_day date)
    RETURNS TABLE (session_id bigint, user_id bigint, at timestamptz, beat boolean, written_by xid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.session_id, m.user_id, told_at(m.allowed, r.recorded_at, r.fix_offset_ms), is_beat(m.allowed, r.precision),
        r.xmin
    FROM summary_members m
    JOIN party_positions r ON r.session_id = m.session_id AND r.user_id = m.user_id
    WHERE r.recorded_at >= wanted_day::timestamp AT TIME ZONE 'UTC'
        AND r.recorded_at < (wanted_day + 1)::timestamp AT TIME ZONE 'UTC'
        AND r.recorded_at > m.kept_after
        AND NOT r.ttl_expired;
END;
COMMENT ON FUNCTION day_fixes IS 'The same of all sessions, for a UTC day, without places';

CREATE FUNCTION session_beats(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, at timestamptz) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.user_id, f.at + e.after
    FROM session_fixes(wanted_session, wanted_users) f
    CROSS JOIN LATERAL unnest(CASE WHEN f.beat
        THEN ARRAY[INTERVAL '0', INTERVAL '30 seconds', INTERVAL '60 seconds'] ELSE ARRAY[INTERVAL '0'] END) AS e (after);
END;
COMMENT ON FUNCTION session_beats IS 'Heartbeats of the members'' streams, each live for live_for(). A rough position gives three, for its beat of 60 s and the time after it';

CREATE FUNCTION day_beats(wanted_day date)
    RETURNS TABLE (session_id bigint, user_id bigint, at timestamptz) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT f.session_id, f.user_id, f.at + e.after
    FROM day_fixes(wanted_day) f
    CROSS JOIN LATERAL unnest(CASE WHEN f.beat
        THEN ARRAY[INTERVAL '0', INTERVAL '30 seconds', INTERVAL '60 seconds'] ELSE ARRAY[INTERVAL '0'] END) AS e (after)
    WHERE f.at + e.after < (wanted_day + 1)::timestamp AT TIME ZONE 'UTC';
END;
COMMENT ON FUNCTION day_beats IS 'Heartbeats of all streams in a UTC day';

CREATE FUNCTION session_stretches(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, stretch bigint, at timestamptz, accuracy_m double precision) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT n.user_id, count(*) FILTER (WHERE n.begins) OVER (PARTITION BY n.user_id ORDER BY n.at), n.at, n.accuracy_m
    FROM (
        SELECT f.user_id, f.at, f.accuracy_m::double precision AS accuracy_m,
            f.at - lag(f.at) OVER w > bridged_for(lag(f.beat) OVER w) IS NOT FALSE AS begins
        FROM session_fixes(wanted_session, wanted_users) f
        WHERE f.tells_place AND f.accuracy_m IS NOT NULL
        WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)
    ) n;
END;
COMMENT ON FUNCTION session_stretches IS 'Accuracies that may be told, in numbered stretches without a gap, so that none is carried over one';

-- Rough rows bear their beat's time and not the fix's: a delay from it would be none, and would tell the fix's.
CREATE FUNCTION delays_of(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (delay_ms double precision) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(extract(epoch FROM c.committed_at - f.at) * 1000)::double precision
    FROM session_fixes(wanted_session, wanted_users) f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN (SELECT current_setting('track_commit_timestamp') = 'on')
            THEN pg_xact_commit_timestamp(f.written_by) END AS committed_at OFFSET 0
    ) c
    WHERE NOT f.beat AND c.committed_at IS NOT NULL;
END;
COMMENT ON FUNCTION delays_of IS 'Milliseconds from fix to commit, of exact rows whose commit the server still knows. None with track_commit_timestamp off';

CREATE FUNCTION delays_of_day(wanted_day date)
    RETURNS TABLE (delay_ms double precision) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(extract(epoch FROM c.committed_at - f.at) * 1000)::double precision
    FROM day_fixes(wanted_day) f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN (SELECT current_setting('track_commit_timestamp') = 'on')
            THEN pg_xact_commit_timestamp(f.written_by) END AS committed_at OFFSET 0
    ) c
    WHERE NOT f.beat AND c.committed_at IS NOT NULL;
END;
COMMENT ON FUNCTION delays_of_day IS 'The same of all sessions, for fixes of a UTC day';

-- What needs no second body.
CREATE FUNCTION session_spans(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, fixes bigint, first_at timestamptz, last_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET work_mem = '64MB'
BEGIN ATOMIC
    -- Of a beat nobody learns how many windows it had.
    SELECT f.user_id, count(*) FILTER (WHERE NOT f.beat) + count(DISTINCT f.at) FILTER (WHERE f.beat), min(f.at), max(f.at)
    FROM session_fixes(wanted_session, wanted_users) f
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
        FROM session_fixes(wanted_session, wanted_users) f
        WHERE f.tells_place
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
            greatest(spot_radius_m(), CASE WHEN f.stored = 'rough' THEN f.accuracy_m END) AS radius_m,
            lead(f.at) OVER w AS next_at, lead(f.loc) OVER w AS next_loc,
            lead(greatest(spot_radius_m(), CASE WHEN f.stored = 'rough' THEN f.accuracy_m END)) OVER w AS next_radius_m
        FROM session_fixes(wanted_session, wanted_users) f
        WHERE f.tells_place AND (SELECT count(*) FROM spot) > 0
        WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)
    ), near AS (
        SELECT t.*, p.sequence, p.geo, d.away_m
        FROM step t
        CROSS JOIN spot p
        CROSS JOIN LATERAL (SELECT ST_DistanceSphere(t.loc, p.geo) AS away_m OFFSET 0) d
    ), stay AS (
        SELECT n.user_id, n.sequence, min(n.away_m) AS nearest_m,
            min(n.at) FILTER (WHERE n.away_m <= n.radius_m) AS arrived_at,
            max(n.at) FILTER (WHERE n.away_m <= n.radius_m) AS left_at,
            coalesce(sum(extract(epoch FROM n.next_at - n.at)) FILTER (WHERE n.away_m <= n.radius_m
                AND n.next_at - n.at <= bridged_for(n.beat)
                AND ST_DistanceSphere(n.next_loc, n.geo) <= n.next_radius_m), 0)::double precision AS stay_s
        FROM near n
        GROUP BY n.user_id, n.sequence
    )
    SELECT y.user_id, p.sequence, p.name, p.planned_stay_min, y.nearest_m, y.arrived_at, y.left_at, y.stay_s
    FROM stay y
    JOIN spot p ON p.sequence = y.sequence;
END;
COMMENT ON FUNCTION session_spots IS 'For the gateway: of each member and stop of the session''s trip, how near they came, the first and last fix there, and for how long two fixes in a row were there without a gap';

GRANT EXECUTE ON FUNCTION session_spans, session_distances, session_spots TO partyline_gateway;

RESET ROLE;
