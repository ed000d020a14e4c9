-- The seam between the two kinds of party_positions: a hypertable, or native partitions where TimescaleDB cannot
-- be had. What differs are the functions in partitions/hypertable.sql and partitions/native.sql, of which a
-- database has one or the other; all else is the same. pg_partman makes partitions, also of later tables; it
-- never drops one (a drop is counted and recorded), and its background worker is not used: the keeper calls.
CREATE SCHEMA IF NOT EXISTS partman;
CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman;

-- The owner's functions make partitions, and the migrations register tables. Nobody else may enter the schema.
-- Where somebody else made the extension beforehand, these grants must have been made too.
DO $$
BEGIN
    IF (SELECT extnamespace FROM pg_extension WHERE extname = 'pg_partman') <> 'partman'::regnamespace THEN
        RAISE EXCEPTION 'pg_partman is in another schema: Partyline needs it in the schema partman';
    END IF;
    IF NOT has_schema_privilege('partyline_owner', 'partman', 'USAGE') THEN
        GRANT USAGE ON SCHEMA partman TO partyline_owner;
    END IF;
    IF NOT has_table_privilege('partyline_owner', 'partman.part_config', 'SELECT')
        OR NOT has_table_privilege('partyline_owner', 'partman.part_config', 'INSERT')
        OR NOT has_table_privilege('partyline_owner', 'partman.part_config', 'UPDATE')
        OR NOT has_table_privilege('partyline_owner', 'partman.part_config', 'DELETE')
        OR NOT has_table_privilege('partyline_owner', 'partman.part_config_sub', 'SELECT') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON partman.part_config TO partyline_owner;
        GRANT SELECT ON partman.part_config_sub TO partyline_owner;
    END IF;
END
$$;

SET LOCAL ROLE partyline_owner;

ALTER TABLE retention_runs ADD COLUMN table_name text NOT NULL DEFAULT 'party_positions';
COMMENT ON TABLE retention_runs IS 'One row for each drop of a chunk or partition, and for each drop that failed';
COMMENT ON COLUMN retention_runs.table_name IS 'Whose chunk or partition it was';

CREATE FUNCTION positions_kind() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT CASE relkind WHEN 'p' THEN 'native' ELSE 'hypertable' END
    FROM pg_class WHERE oid = 'public.party_positions'::regclass
    $$;
COMMENT ON FUNCTION positions_kind IS 'hypertable or native: what party_positions was made as, for later migrations';

RESET ROLE;
