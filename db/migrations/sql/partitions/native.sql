-- The seam on native partitions. pg_partman makes them, a day each, and there is no default partition: a row that
-- fits nowhere fails, and does not lie where no time-to-live looks.
SET LOCAL ROLE partyline_owner;

CREATE FUNCTION positions_chunks(OUT chunk regclass, OUT range_start timestamptz, OUT range_end timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT c.oid::regclass, (regexp_match(b.bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz,
        (regexp_match(b.bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
    WHERE i.inhparent = 'public.party_positions'::regclass
    $$;

CREATE FUNCTION positions_begin() RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT coalesce(min(range_start), '-infinity') FROM positions_chunks()
    $$;

-- In UTC, whoever calls: pg_partman cuts days, and names them, in the session's time zone. ATTACH lets everybody
-- read and write meanwhile.
CREATE FUNCTION make_positions_chunks(from_at timestamptz, to_at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    AS $$
DECLARE
    missing timestamptz[] := ARRAY(
        SELECT day FROM generate_series(date_trunc('day', from_at), to_at, INTERVAL '1 day') AS day
        WHERE NOT EXISTS (SELECT FROM positions_chunks() k WHERE day >= k.range_start AND day < k.range_end)
        ORDER BY day);
BEGIN
    IF cardinality(missing) > 0 THEN
        PERFORM partman.create_partition_time('public.party_positions', missing);
    END IF;
END
$$;

-- A partition's drop locks the parent against everybody. So the partition comes first, which only those wait for
-- who read the past; then the parent, but never for long: who writes queues behind us. The caller tries again.
CREATE FUNCTION drop_positions_chunk(wanted regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET lock_timeout = '50ms'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM positions_chunks() k WHERE k.chunk = wanted) THEN
        RAISE EXCEPTION '% is no partition of party_positions', wanted;
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', wanted);
    EXECUTE format('DROP TABLE %s', wanted);
END
$$;

-- Ahead as far as the keeper may be away, back as far as a party may have started.
SET LOCAL timezone = 'UTC';
SELECT partman.create_parent('public.party_positions', 'recorded_at', '1 day', p_premake => 7,
    p_start_partition => (date_trunc('day', now()) - INTERVAL '8 days')::text, p_default_table => false,
    p_automatic_maintenance => 'off', p_template_table => 'false', p_jobmon => false);

RESET ROLE;
