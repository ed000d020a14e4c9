-- The keeper's part: it has no grant on the positions, only these functions; dropping is not the
-- migrating login's work. Every drop is recorded with the state before and after it.
-- Two of the functions speak of a hypertable, which need not be there: 0007 puts others in their place.
SET LOCAL check_function_bodies = off;
SET LOCAL ROLE partyline_owner;

CREATE TABLE retention_runs (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at     timestamptz NOT NULL,
    duration_ms    integer NOT NULL,
    cutoff         timestamptz NOT NULL,
    chunks_before  integer NOT NULL,
    chunks_after   integer NOT NULL,
    rows_before    bigint NOT NULL,
    rows_after     bigint NOT NULL,
    bytes_before   bigint NOT NULL,
    bytes_after    bigint NOT NULL,
    oldest_before  timestamptz,
    oldest_after   timestamptz,
    dropped_chunks text[] NOT NULL,
    dropped_rows   bigint NOT NULL,
    error          text
);
COMMENT ON TABLE retention_runs IS 'One row for each drop of a chunk, and for each drop that failed';
COMMENT ON COLUMN retention_runs.id IS 'In the order of the drops';
COMMENT ON COLUMN retention_runs.started_at IS 'When the drop began';
COMMENT ON COLUMN retention_runs.duration_ms IS 'How long it took, milliseconds';
COMMENT ON COLUMN retention_runs.cutoff IS 'Rows recorded before it are past the time-to-live';
COMMENT ON COLUMN retention_runs.chunks_before IS 'Chunks before';
COMMENT ON COLUMN retention_runs.chunks_after IS 'Chunks after';
COMMENT ON COLUMN retention_runs.rows_before IS 'Rows before: the planner''s estimate, and exact for the dropped chunk';
COMMENT ON COLUMN retention_runs.rows_after IS 'Rows after: the planner''s estimate';
COMMENT ON COLUMN retention_runs.bytes_before IS 'Bytes on disk before, with indexes';
COMMENT ON COLUMN retention_runs.bytes_after IS 'Bytes on disk after, with indexes';
COMMENT ON COLUMN retention_runs.oldest_before IS 'Where the oldest chunk began before';
COMMENT ON COLUMN retention_runs.oldest_after IS 'Where the oldest chunk begins after; null when none is left';
COMMENT ON COLUMN retention_runs.dropped_chunks IS 'Names of the dropped chunks';
COMMENT ON COLUMN retention_runs.dropped_rows IS 'Rows in them, counted';
COMMENT ON COLUMN retention_runs.error IS 'Why nothing was dropped; null when it went well';
GRANT SELECT ON retention_runs TO partyline_keeper, partyline_reader;

-- A chunk that was never analysed has -1 rows in pg_class, hence greatest().
CREATE FUNCTION positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(k.range_start)
    FROM timescaledb_information.chunks k
    JOIN pg_class c ON c.oid = format('%I.%I', k.chunk_schema, k.chunk_name)::regclass
    WHERE k.hypertable_schema = 'public' AND k.hypertable_name = 'party_positions'
    $$;
COMMENT ON FUNCTION positions_state IS 'The hypertable now: chunks, estimated rows, bytes, where the oldest chunk begins';
GRANT EXECUTE ON FUNCTION positions_state TO partyline_keeper;

CREATE FUNCTION drop_oldest_expired_chunk(ttl_hours integer) RETURNS SETOF retention_runs
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
GRANT EXECUTE ON FUNCTION drop_oldest_expired_chunk TO partyline_keeper;

CREATE FUNCTION record_failed_drop(ttl_hours integer, reason text) RETURNS SETOF retention_runs
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    INSERT INTO retention_runs (started_at, duration_ms, cutoff, chunks_before, chunks_after, rows_before,
        rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows, error)
    SELECT now(), 0, now() - make_interval(hours => ttl_hours), s.chunks, s.chunks, s.rows, s.rows, s.bytes,
        s.bytes, s.oldest, s.oldest, '{}', 0, left(reason, 200)
    FROM positions_state() s
    RETURNING *
    $$;
COMMENT ON FUNCTION record_failed_drop IS 'For the keeper: records that a drop did not happen, and why';
GRANT EXECUTE ON FUNCTION record_failed_drop TO partyline_keeper;

CREATE FUNCTION flag_expired(batch integer, keep_hours integer) RETURNS integer
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
COMMENT ON FUNCTION flag_expired IS 'For the keeper: sets ttl_expired on at most batch rows whose session''s own time-to-live has passed; returns how many';
GRANT EXECUTE ON FUNCTION flag_expired TO partyline_keeper;

RESET ROLE;
SET LOCAL check_function_bodies = on;
