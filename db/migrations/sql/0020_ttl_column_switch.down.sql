-- The key is what is read again; processes of after must be gone.
SET LOCAL ROLE partyline_owner;
CREATE OR REPLACE VIEW summary_members AS
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

GRANT CREATE ON SCHEMA public, metrics TO partyline_views;
SET LOCAL ROLE partyline_views;
CREATE OR REPLACE VIEW party_positions_visible WITH (security_barrier) AS
SELECT p.session_id, p.user_id, p.recorded_at, p.fix_offset_ms, p.loc, p.accuracy_m, p.precision
FROM party_positions p
JOIN party_sessions s ON s.id = p.session_id
JOIN party_members m ON m.session_id = p.session_id AND m.user_id = p.user_id
JOIN users u ON u.id = p.user_id
WHERE NOT p.ttl_expired
    AND u.erased_at IS NULL
    AND p.recorded_at > now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
    AND p.precision >= coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in);

CREATE OR REPLACE VIEW metrics.session_liveness_daily WITH (security_barrier) AS
SELECT d.day, l.sessions, l.members, l.live_s, l.gaps
FROM (
    SELECT (now() AT TIME ZONE 'UTC')::date - n.ago AS day
    FROM generate_series(0, (SELECT max((s.options ->> 'ttl_hours')::integer) / 24 + 1 FROM public.party_sessions s)) AS n (ago)
) d
CROSS JOIN LATERAL public.liveness_of_day(d.day) l
WHERE l.members > 0;

CREATE OR REPLACE VIEW metrics.commit_delay_daily WITH (security_barrier) AS
SELECT d.day, c.counted AS fixes, c.p50_ms, c.p95_ms, c.p99_ms
FROM (
    SELECT (now() AT TIME ZONE 'UTC')::date - n.ago AS day
    FROM generate_series(0, (SELECT max((s.options ->> 'ttl_hours')::integer) / 24 + 1 FROM public.party_sessions s)) AS n (ago)
) d
CROSS JOIN LATERAL public.delay_of_day(d.day) c
WHERE c.counted > 0;
SET LOCAL ROLE partyline_owner;
REVOKE CREATE ON SCHEMA public, metrics FROM partyline_views;

CREATE OR REPLACE FUNCTION party_track(wanted_session bigint, wanted_users bigint[], from_at timestamptz, to_at timestamptz,
    at_most integer)
    RETURNS TABLE (user_id bigint, recorded_at timestamptz, fix_offset_ms smallint, lat double precision,
        lon double precision, accuracy_m real, "precision" precision_level)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT p.user_id, p.recorded_at, p.fix_offset_ms, ST_Y(p.loc), ST_X(p.loc), p.accuracy_m, p.precision
    FROM party_sessions s
    JOIN party_members m ON m.session_id = s.id
    JOIN users u ON u.id = m.user_id
    JOIN party_positions p ON p.session_id = s.id AND p.user_id = m.user_id
    WHERE s.id = wanted_session
        AND (wanted_users IS NULL OR m.user_id = ANY (wanted_users))
        AND u.erased_at IS NULL
        AND coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in) <> 'private'
        AND NOT p.ttl_expired
        AND p.recorded_at > now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
        AND p.recorded_at BETWEEN from_at - INTERVAL '5 seconds' AND to_at
        AND p.recorded_at + p.fix_offset_ms * INTERVAL '1 millisecond' BETWEEN from_at AND to_at
    ORDER BY p.recorded_at, p.fix_offset_ms, p.user_id
    LIMIT at_most;
END;

CREATE OR REPLACE FUNCTION flag_expired(batch integer, keep_hours integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    due     record;
    reached timestamptz;
    flagged integer;
    room    integer := batch;
BEGIN
    IF batch IS NULL OR batch NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'batch must be from 1 to 1000000' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Chunks are looked up from the bookmark on, so flagged rows are never read again. A session that keeps
    -- as long as the server (keep_hours) is left to the drop of its chunk, which follows within a day.
    FOR due IN
        SELECT s.id, s.flagged_to, now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer) AS cutoff
        FROM party_sessions s
        WHERE s.flagged_to < now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
            AND s.flagged_to < coalesce(s.ended_at + INTERVAL '1 hour', 'infinity')
            AND s.started_at < now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
            AND (keep_hours IS NULL OR (s.options ->> 'ttl_hours')::integer < keep_hours)
        ORDER BY s.flagged_to
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    LOOP
        WITH old AS MATERIALIZED (
            SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p
            WHERE p.session_id = due.id AND p.recorded_at >= due.flagged_to AND p.recorded_at <= due.cutoff
                AND NOT p.ttl_expired
            ORDER BY p.recorded_at LIMIT room
        ), done AS (
            UPDATE party_positions p SET ttl_expired = true FROM old
            WHERE p.session_id = old.session_id AND p.user_id = old.user_id AND p.recorded_at = old.recorded_at
                AND p.recorded_at >= due.flagged_to AND p.recorded_at <= due.cutoff
            RETURNING p.recorded_at
        )
        SELECT count(*), max(recorded_at) INTO flagged, reached FROM done;
        UPDATE party_sessions SET flagged_to = CASE WHEN flagged < room THEN due.cutoff ELSE reached END
        WHERE id = due.id;
        room := room - flagged;
        EXIT WHEN room <= 0;
    END LOOP;
    RETURN batch - room;
END
$$;

ALTER TABLE party_sessions ALTER ttl_hours DROP NOT NULL,
    ADD CONSTRAINT party_sessions_ttl_present CHECK (ttl_hours IS NOT NULL) NOT VALID;
RESET ROLE;
