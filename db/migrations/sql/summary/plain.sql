-- Without timescaledb_toolkit: the same names, arguments, columns and answers as toolkit.sql.
SET LOCAL ROLE partyline_owner;

-- As heartbeat_agg: live from a beat for live_for(); a beat that comes no later goes on with the range.
CREATE FUNCTION session_live_ranges(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, from_at timestamptz, to_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    -- Only the beats at the ends of ranges are left for the outer window: a range's first, then its last.
    SELECT r.user_id, r.from_at, r.to_at
    FROM (
        SELECT e.user_id, e.begins, e.at AS from_at,
            live_for() + CASE WHEN e.ends THEN e.at
                ELSE lead(e.at) OVER (PARTITION BY e.user_id ORDER BY e.at, e.ends) END AS to_at
        FROM (
            SELECT b.user_id, b.at, b.at - lag(b.at) OVER w > live_for() IS NOT FALSE AS begins,
                lead(b.at) OVER w - b.at > live_for() IS NOT FALSE AS ends
            FROM session_beats(wanted_session, wanted_users) b
            WINDOW w AS (PARTITION BY b.user_id ORDER BY b.at)
        ) e
        WHERE e.begins OR e.ends
    ) r
    WHERE r.begins
    $$;

-- As average(time_weight('LOCF', …)): a value holds until the next; the last has no weight; one alone is no mean.
CREATE FUNCTION session_accuracy(wanted_session bigint, wanted_users bigint[])
    RETURNS TABLE (user_id bigint, mean_accuracy_m double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT w.user_id, sum(w.accuracy_m * w.held_s) / nullif(sum(w.held_s), 0)
    FROM (
        SELECT s.user_id, s.accuracy_m,
            extract(epoch FROM lead(s.at) OVER (PARTITION BY s.user_id, s.stretch ORDER BY s.at) - s.at)::double precision AS held_s
        FROM session_stretches(wanted_session, wanted_users) s
    ) w
    GROUP BY w.user_id
    $$;

-- As uddsketch and approx_percentile: a value is counted in the bucket of its logarithm, and a bucket answers with
-- one value that is within delay_error() of all in it. Delays are whole milliseconds, so the smallest buckets are
-- those of -1, 0 and 1: numbered here by sign and distance from 0, in the order of their values.
CREATE FUNCTION delay_bucket(delay_ms double precision) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN delay_ms = 0 THEN 0
        ELSE sign(delay_ms) * (1 + ceil(ln(abs(delay_ms)) / ln((1 + delay_error()) / (1 - delay_error())))) END;
COMMENT ON FUNCTION delay_bucket IS 'Which bucket a delay is counted in';

CREATE FUNCTION bucket_percentiles(buckets integer[], counts bigint[], OUT counted bigint,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(max(r.total), 0)::bigint,
        min(r.delay_ms) FILTER (WHERE r.up_to >= least(floor(r.total * 0.5) + 1, r.total)),
        min(r.delay_ms) FILTER (WHERE r.up_to >= least(floor(r.total * 0.95) + 1, r.total)),
        min(r.delay_ms) FILTER (WHERE r.up_to >= least(floor(r.total * 0.99) + 1, r.total))
    FROM (
        SELECT sign(b.bucket) * power((1 + delay_error()) / (1 - delay_error()), abs(b.bucket) - 2) * (1 + delay_error()) AS delay_ms,
            sum(b.held) OVER (ORDER BY b.bucket) AS up_to, sum(b.held) OVER () AS total
        FROM unnest(buckets, counts) AS b (bucket, held)
    ) r;
END;
COMMENT ON FUNCTION bucket_percentiles IS 'Percentiles of delays that were counted in buckets';

CREATE FUNCTION session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT p.counted, p.p50_ms, p.p95_ms, p.p99_ms
    FROM (
        SELECT array_agg(c.bucket) AS buckets, array_agg(c.held) AS counts
        FROM (
            SELECT delay_bucket(d.delay_ms) AS bucket, count(*) AS held
            FROM delays_of(wanted_session, wanted_users) d
            GROUP BY 1
        ) c
    ) a
    CROSS JOIN LATERAL bucket_percentiles(a.buckets, a.counts) p
    $$;

CREATE FUNCTION delay_of_day(wanted_day date, OUT counted bigint,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT p.counted, p.p50_ms, p.p95_ms, p.p99_ms
    FROM (
        SELECT array_agg(c.bucket) AS buckets, array_agg(c.held) AS counts
        FROM (
            SELECT delay_bucket(d.delay_ms) AS bucket, count(*) AS held FROM delays_of_day(wanted_day) d GROUP BY 1
        ) c
    ) a
    CROSS JOIN LATERAL bucket_percentiles(a.buckets, a.counts) p
    $$;

-- As uptime and num_live_ranges of a heartbeat_agg of the day: cut at midnight, not carried over from the day before.
CREATE FUNCTION liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision,
    OUT gaps bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    SET work_mem = '64MB'
    AS $$
    SELECT count(DISTINCT b.session_id), count(*) FILTER (WHERE b.next_at IS NULL),
        coalesce(sum(extract(epoch FROM least(b.next_at - b.at, live_for(),
            (wanted_day + 1)::timestamp AT TIME ZONE 'UTC' - b.at))), 0)::double precision,
        count(*) FILTER (WHERE b.next_at - b.at > live_for())
    FROM (
        SELECT n.session_id, n.user_id, n.at, lead(n.at) OVER (PARTITION BY n.session_id, n.user_id ORDER BY n.at) AS next_at
        FROM day_beats(wanted_day) n
    ) b
    $$;

RESET ROLE;
