-- How long a session keeps its rows becomes a column: it was a key of the options, taken apart by every statement
-- that judges a row. First of three: beside each other, and kept in step for as long as processes of before and
-- of after run side by side. Then `partyline backfill ttl_hours`; 0020 reads the column; 0021 takes the old away.
-- ACCESS EXCLUSIVE on party_sessions for a moment: a nullable column and unproved checks write and read no row.
SET LOCAL ROLE partyline_owner;

CREATE TABLE backfills (
    name        text CONSTRAINT backfills_pkey PRIMARY KEY,
    cursor      bigint NOT NULL DEFAULT 0,
    done_rows   bigint NOT NULL DEFAULT 0,
    total_rows  bigint NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT backfills_counts CHECK (cursor >= 0 AND done_rows >= 0 AND total_rows >= 0)
);
COMMENT ON TABLE backfills IS 'How far each backfill of a migration is; db/backfills has what they do';
COMMENT ON COLUMN backfills.name IS 'The file in db/backfills';
COMMENT ON COLUMN backfills.cursor IS 'Rows with a key up to it are done: a killed run goes on behind it';
COMMENT ON COLUMN backfills.done_rows IS 'Rows it has written';
COMMENT ON COLUMN backfills.total_rows IS 'Rows there were to write when it began';
COMMENT ON COLUMN backfills.started_at IS 'When its first run began';
COMMENT ON COLUMN backfills.finished_at IS 'When no row was left; null while there are some';

CREATE FUNCTION party_sessions_ttl_in_step() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    -- What the key says; null where it says nothing that may be. Rounded down: nothing is kept longer.
    said integer := CASE WHEN jsonb_typeof(NEW.options -> 'ttl_hours') = 'number'
        THEN CASE WHEN (NEW.options ->> 'ttl_hours')::numeric BETWEEN 1 AND 8760
            THEN floor((NEW.options ->> 'ttl_hours')::numeric) END END;
BEGIN
    -- Who writes the column (processes of after) leaves the key out; who writes the key knows no column.
    IF said IS NOT NULL AND NEW.ttl_hours IS NOT DISTINCT FROM OLD.ttl_hours THEN
        NEW.ttl_hours := said;
    END IF;
    IF NEW.ttl_hours IS NOT NULL AND (NEW.options ->> 'ttl_hours') IS DISTINCT FROM NEW.ttl_hours::text THEN
        NEW.options := jsonb_set(NEW.options, '{ttl_hours}', to_jsonb(NEW.ttl_hours));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION party_sessions_ttl_in_step IS 'For party_sessions, until 0021: ttl_hours and the key of the options say the same, whichever is written';

ALTER TABLE party_sessions ADD COLUMN ttl_hours integer,
    ADD CONSTRAINT party_sessions_ttl_hours CHECK (ttl_hours BETWEEN 1 AND 8760) NOT VALID,
    ADD CONSTRAINT party_sessions_ttl_present CHECK (ttl_hours IS NOT NULL) NOT VALID;
COMMENT ON COLUMN party_sessions.ttl_hours IS 'Hours that its rows stay readable';
CREATE TRIGGER party_sessions_ttl_in_step BEFORE INSERT OR UPDATE ON party_sessions
    FOR EACH ROW EXECUTE FUNCTION party_sessions_ttl_in_step();
COMMENT ON TRIGGER party_sessions_ttl_in_step ON party_sessions IS 'Until 0021: the column and the key say the same';

GRANT INSERT (ttl_hours), UPDATE (ttl_hours) ON party_sessions TO partyline_gateway;
GRANT SELECT (ttl_hours) ON party_sessions TO partyline_writer, partyline_views, partyline_reader;

RESET ROLE;
