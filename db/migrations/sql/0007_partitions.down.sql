-- Back to the functions of 0005. Partitions that were made stay, and so does the extension: they hold rows, and
-- other tables may use it. Natively the old functions do not work, as ever before 0007.
SET LOCAL check_function_bodies = off;
SET LOCAL ROLE partyline_owner;
DELETE FROM partman.part_config WHERE parent_table = 'public.party_positions';
-- A chunk that was never analysed has -1 rows in pg_class, hence greatest().
CREATE OR REPLACE FUNCTION positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(k.range_start)
    FROM timescaledb_information.chunks k
    JOIN pg_class c ON c.oid = format('%I.%I', k.chunk_schema, k.chunk_name)::regclass
    WHERE k.hypertable_schema = 'public' AND k.hypertable_name = 'party_positions'
    $$;
COMMENT ON FUNCTION positions_state IS 'The hypertable now: chunks, estimated rows, bytes, where the oldest chunk begins';

CREATE OR REPLACE FUNCTION drop_oldest_expired_chunk(ttl_hours integer) RETURNS SETOF retention_runs
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    began   timestamptz := clock_timestamp();
    horizon timestamptz;
    chunk   record;
    before  record;
    after   record;
    counted bigint;
    dropped text[];
BEGIN
    IF ttl_hours IS NULL OR ttl_hours NOT BETWEEN 1 AND 8760 THEN
        RAISE EXCEPTION 'ttl_hours must be from 1 to 8760' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two keepers take turns: the second finds the chunk gone instead of failing on it.
    PERFORM pg_advisory_xact_lock(1346458196, -1);
    horizon := now() - make_interval(hours => ttl_hours);
    SELECT k.chunk_schema, k.chunk_name, k.range_start, k.range_end INTO chunk
    FROM timescaledb_information.chunks k
    WHERE k.hypertable_schema = 'public' AND k.hypertable_name = 'party_positions' AND k.range_end <= horizon
    ORDER BY k.range_start LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Nobody may add to the chunk between the count and the drop; reading goes on meanwhile.
    EXECUTE format('LOCK TABLE %I.%I IN SHARE ROW EXCLUSIVE MODE', chunk.chunk_schema, chunk.chunk_name);
    SELECT * INTO before FROM positions_state();
    EXECUTE format('SELECT count(*) FROM %I.%I', chunk.chunk_schema, chunk.chunk_name) INTO counted;
    SELECT array_agg(name) INTO dropped
    FROM drop_chunks('public.party_positions', older_than => chunk.range_end) AS name;
    IF cardinality(dropped) IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'the drop would have taken % chunks instead of one', coalesce(cardinality(dropped), 0);
    END IF;
    SELECT * INTO after FROM positions_state();
    RETURN QUERY
    INSERT INTO retention_runs (started_at, duration_ms, cutoff, chunks_before, chunks_after, rows_before,
        rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows)
    VALUES (began, extract(epoch FROM clock_timestamp() - began) * 1000, horizon, before.chunks, after.chunks,
        after.rows + counted, after.rows, before.bytes, after.bytes, before.oldest, after.oldest, dropped,
        counted)
    RETURNING *;
END
$$;
COMMENT ON FUNCTION drop_oldest_expired_chunk IS 'For the keeper: drops the oldest chunk whose rows are all past ttl_hours, and returns its record; nothing when there is none';

DROP FUNCTION make_partitions_ahead;
DROP FUNCTION maintain_partitions;
DROP FUNCTION drop_positions_chunk;
DROP FUNCTION make_positions_chunks;
DROP FUNCTION positions_begin;
DROP FUNCTION positions_chunks;
DROP FUNCTION positions_kind;
ALTER TABLE retention_runs DROP COLUMN table_name;
RESET ROLE;
SET LOCAL check_function_bodies = on;

REVOKE ALL ON partman.part_config, partman.part_config_sub FROM partyline_owner;
REVOKE ALL ON SCHEMA partman FROM partyline_owner;
