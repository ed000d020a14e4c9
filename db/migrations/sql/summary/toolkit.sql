-- On timescaledb_toolkit: the only file that calls it. Every function here stands in plain.sql too, with the same
-- name, arguments, columns and answers; docs/decisions/0014-two-bodies.md says what each toolkit call means.
-- In UTC, because a length of days is added to a start in the session's time zone.
SET LOCAL ROLE partyline_owner;

-- heartbeat_agg takes beats of [start, start + length), and needs a length of more than the liveness.
CREATE FUNCTION session_live_ranges(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, from_at timestamptz, to_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT h.user_id, r.from_at, r.to_at
    FROM (
        SELECT b.user_id, heartbeat_agg(b.at, b.first_at, b.last_at - b.first_at + 2 * live_for(), live_for()) AS stream
        FROM (
            SELECT n.user_id, n.at, min(n.at) OVER w AS first_at, max(n.at) OVER w AS last_at
            FROM session_beats(wanted_session, wanted_users) n
            WINDOW w AS (PARTITION BY n.user_id)
        ) b
        GROUP BY b.user_id
    ) h
    CROSS JOIN LATERAL live_ranges(h.stream) AS r (from_at, to_at)
    $$;

CREATE FUNCTION session_accuracy(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, mean_accuracy_m double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT w.user_id, sum(average(w.weighed) * w.lasted_s) / nullif(sum(w.lasted_s), 0)
    FROM (
        SELECT s.user_id, time_weight('LOCF', s.at, s.accuracy_m) AS weighed,
            extract(epoch FROM max(s.at) - min(s.at))::double precision AS lasted_s
        FROM session_stretches(wanted_session, wanted_users) s
        GROUP BY s.user_id, s.stretch
    ) w
    GROUP BY w.user_id
    $$;

-- 4,096 buckets are more than delays can fill (from an hour ahead to a year behind it is 3,931): the sketch never
-- has to merge any, so its error stays what it began with, and the answer is the same as of plain.sql.
CREATE FUNCTION session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT k.counted, approx_percentile(0.5, k.sketch), approx_percentile(0.95, k.sketch), approx_percentile(0.99, k.sketch)
    FROM (
        SELECT count(*) AS counted, uddsketch(4096, delay_error(), d.delay_ms) AS sketch
        FROM delays_of(wanted_session, wanted_users) d
    ) k
    $$;

CREATE FUNCTION delay_of_day(wanted_day date, OUT counted bigint,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT k.counted, approx_percentile(0.5, k.sketch), approx_percentile(0.95, k.sketch), approx_percentile(0.99, k.sketch)
    FROM (
        SELECT count(*) AS counted, uddsketch(4096, delay_error(), d.delay_ms) AS sketch
        FROM delays_of_day(wanted_day) d
    ) k
    $$;

CREATE FUNCTION liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision,
    OUT gaps bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT count(DISTINCT h.session_id), count(*),
        coalesce(sum(extract(epoch FROM uptime(h.stream))), 0)::double precision,
        coalesce(sum(num_live_ranges(h.stream) - 1), 0)::bigint
    FROM (
        SELECT b.session_id, b.user_id, heartbeat_agg(b.at, wanted_day::timestamp AT TIME ZONE 'UTC', INTERVAL '24 hours', live_for()) AS stream
        FROM day_beats(wanted_day) b
        GROUP BY b.session_id, b.user_id
    ) h
    $$;

RESET ROLE;
