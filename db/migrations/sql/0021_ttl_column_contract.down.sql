-- Every session gets its key back, in one go: row locks on all of them until it ends.
SET LOCAL ROLE partyline_owner;
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
CREATE TRIGGER party_sessions_ttl_in_step BEFORE INSERT OR UPDATE ON party_sessions
    FOR EACH ROW EXECUTE FUNCTION party_sessions_ttl_in_step();
COMMENT ON TRIGGER party_sessions_ttl_in_step ON party_sessions IS 'Until 0021: the column and the key say the same';
UPDATE party_sessions SET ttl_hours = ttl_hours; -- the trigger does it
ALTER TABLE party_sessions ADD CONSTRAINT party_sessions_ttl CHECK (
    CASE WHEN jsonb_typeof(options -> 'ttl_hours') = 'number'
        THEN (options ->> 'ttl_hours')::numeric BETWEEN 1 AND 8760 ELSE false END) NOT VALID;
COMMENT ON COLUMN party_sessions.options IS 'tick_ms, rough_cell_m, max_members, ttl_hours, token_expires_at, token_max_uses, live_only, started_at';
RESET ROLE;
