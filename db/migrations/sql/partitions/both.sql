-- What stands on the seam, the same for both kinds.
SET LOCAL ROLE partyline_owner;

COMMENT ON FUNCTION positions_chunks IS 'The seam: the chunks of party_positions (a hypertable''s chunks, or partitions), and from when to when each reaches';
COMMENT ON FUNCTION positions_begin IS 'The seam: rows from before have no chunk and must not get one; -infinity where any row gets one';
COMMENT ON FUNCTION make_positions_chunks IS 'The seam: makes the chunks that rows of this time need; a hypertable makes its own';
COMMENT ON FUNCTION drop_positions_chunk IS 'The seam: drops one chunk';
GRANT EXECUTE ON FUNCTION positions_begin TO partyline_writer;

-- A chunk that was never analysed has -1 rows in pg_class, hence greatest().
CREATE OR REPLACE FUNCTION positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(k.range_start)
    FROM positions_chunks() k
    JOIN pg_class c ON c.oid = k.chunk
    $$;
COMMENT ON FUNCTION positions_state IS 'party_positions now: chunks, estimated rows, bytes, where the oldest chunk begins';

CREATE OR REPLACE FUNCTION drop_oldest_expired_chunk(ttl_hours integer) RETURNS SETOF retention_runs
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    began   timestamptz := clock_timestamp();
    horizon timestamptz;
    oldest  regclass;
    name    text;
    before  record;
    after   record;
    counted bigint;
BEGIN
    IF ttl_hours IS NULL OR ttl_hours NOT BETWEEN 1 AND 8760 THEN
        RAISE EXCEPTION 'ttl_hours must be from 1 to 8760' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two keepers take turns: the second finds the chunk gone instead of failing on it.
    PERFORM pg_advisory_xact_lock(1346458196, -1);
    horizon := now() - make_interval(hours => ttl_hours);
    SELECT k.chunk, k.chunk::text INTO oldest, name
    FROM positions_chunks() k WHERE k.range_end <= horizon ORDER BY k.range_start LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Nobody may add to the chunk between the count and the drop; reading goes on meanwhile.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', oldest);
    SELECT * INTO before FROM positions_state();
    EXECUTE format('SELECT count(*) FROM %s', oldest) INTO counted;
    PERFORM drop_positions_chunk(oldest);
    SELECT * INTO after FROM positions_state();
    RETURN QUERY
    INSERT INTO retention_runs (started_at, duration_ms, cutoff, chunks_before, chunks_after, rows_before,
        rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows)
    VALUES (began, extract(epoch FROM clock_timestamp() - began) * 1000, horizon, before.chunks, after.chunks,
        after.rows + counted, after.rows, before.bytes, after.bytes, before.oldest, after.oldest, ARRAY[name],
        counted)
    RETURNING *;
END
$$;

-- Days between the oldest chunk and today that are missing are made too (the keeper was away for long); a day
-- that was dropped never comes back. pg_partman leaves tables alone that are not ours, and so do we.
CREATE FUNCTION maintain_partitions() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
    AS $$
DECLARE
    parent  text;
    private record;
BEGIN
    -- Keepers take turns, with each other's drops too.
    PERFORM pg_advisory_xact_lock(1346458196, -1);
    PERFORM make_positions_chunks(
        coalesce((SELECT min(range_start) FROM positions_chunks()), now() - INTERVAL '8 days'),
        now() + INTERVAL '7 days');
    FOR parent IN
        SELECT p.parent_table FROM partman.part_config p
        JOIN pg_class c ON c.oid = to_regclass(p.parent_table) AND c.relowner = 'partyline_owner'::regrole
        WHERE p.automatic_maintenance = 'on'
        ORDER BY p.parent_table
    LOOP
        PERFORM partman.run_maintenance(parent, p_jobmon => false);
    END LOOP;
    -- A column that has no statistics in the table must have none in a partition: a new one does not know.
    FOR private IN
        SELECT c.oid::regclass AS part, a.attname AS name
        FROM pg_class p
        JOIN pg_inherits i ON i.inhparent = p.oid
        JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
        JOIN pg_attribute o ON o.attrelid = p.oid AND o.attstattarget = 0
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = o.attname AND a.attstattarget IS DISTINCT FROM 0
        WHERE p.relkind = 'p' AND p.relowner = 'partyline_owner'::regrole
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I SET STATISTICS 0', private.part, private.name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION maintain_partitions IS 'What make_partitions_ahead() does, with the owner''s rights';

-- pg_partman sets the search_path for the session and puts back the one it found, which is the owner's function's:
-- what the caller had is put back here.
CREATE FUNCTION make_partitions_ahead() RETURNS void
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    callers text := pg_catalog.current_setting('search_path');
BEGIN
    PERFORM public.maintain_partitions();
    PERFORM pg_catalog.set_config('search_path', callers, false);
END
$$;
COMMENT ON FUNCTION make_partitions_ahead IS 'For the keeper: makes the partitions that the coming days and months need; at once when nothing is missing';
GRANT EXECUTE ON FUNCTION maintain_partitions, make_partitions_ahead TO partyline_keeper;

SELECT make_partitions_ahead();

RESET ROLE;
