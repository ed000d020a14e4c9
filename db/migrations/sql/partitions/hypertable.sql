-- The seam on a hypertable. TimescaleDB makes chunks by itself, as rows come.
SET LOCAL ROLE partyline_owner;

CREATE FUNCTION positions_chunks(OUT chunk regclass, OUT range_start timestamptz, OUT range_end timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT format('%I.%I', k.chunk_schema, k.chunk_name)::regclass, k.range_start, k.range_end
    FROM timescaledb_information.chunks k
    WHERE k.hypertable_schema = 'public' AND k.hypertable_name = 'party_positions'
    $$;

CREATE FUNCTION positions_begin() RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    RETURN '-infinity'::timestamptz;

CREATE FUNCTION make_positions_chunks(from_at timestamptz, to_at timestamptz) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT $$;

CREATE FUNCTION drop_positions_chunk(wanted regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    dropped integer;
BEGIN
    SELECT count(*) INTO dropped
    FROM positions_chunks() k,
        drop_chunks('public.party_positions', older_than => k.range_end, newer_than => k.range_start)
    WHERE k.chunk = wanted;
    IF dropped <> 1 THEN
        RAISE EXCEPTION 'the drop would have taken % chunks instead of one', dropped;
    END IF;
END
$$;

RESET ROLE;
