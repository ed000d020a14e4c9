-- Roles, extensions, and who may enter. Roles belong to the whole server, so they may be there already,
-- and another database may be migrating at this moment: created only if missing, and losing that race is
-- no error. TimescaleDB comes with 0004, which chooses it or native partitions.
CREATE EXTENSION IF NOT EXISTS postgis;

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('partyline_owner',   'NOLOGIN', 'Partyline: owns every table and function; nobody logs in as it'),
            ('partyline_views',   'NOLOGIN', 'Partyline: owns the security-barrier views; nobody logs in as it'),
            ('partyline_gateway', 'LOGIN',   'Partyline: the gateway: sessions, members, guests, tracks'),
            ('partyline_writer',  'LOGIN',   'Partyline: the writer: inserts positions, reads who allows what'),
            ('partyline_keeper',  'LOGIN',   'Partyline: the keeper: drops what is past its time-to-live'),
            ('partyline_reader',  'LOGIN',   'Partyline: analytics: masked views and no token, name or e-mail')
        ) AS role (name, login, comment)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
                EXECUTE format('COMMENT ON ROLE %I IS %L', wanted.name, wanted.comment);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's migration made it a moment ago
            END;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name AND (rolsuper OR rolbypassrls)) THEN
            RAISE EXCEPTION 'role % is a superuser or bypasses row level security; take that away first',
                wanted.name;
        END IF;
    END LOOP;

    -- A migrator that is not a superuser must be able to act as the owners. Having made them is not enough.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT partyline_owner, partyline_views TO %I', current_user);
    END IF;
    -- So that the owner's functions may end a stopped writer's connection, which holds up a tightening.
    IF NOT pg_has_role('partyline_owner', 'partyline_writer', 'MEMBER') THEN
        GRANT partyline_writer TO partyline_owner;
    END IF;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO partyline_gateway, partyline_writer, partyline_keeper,'
        ' partyline_reader', current_database());
    -- COPY needs a staging table, and only the writer copies.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO partyline_writer', current_database());
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO partyline_owner, partyline_views, partyline_gateway, partyline_writer,
    partyline_keeper, partyline_reader;
GRANT CREATE ON SCHEMA public TO partyline_owner;

-- A function is closed until a grant opens it.
SET LOCAL ROLE partyline_owner;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
RESET ROLE;

ALTER TABLE alembic_version OWNER TO partyline_owner;
COMMENT ON TABLE alembic_version IS 'Which migration this database is at';
COMMENT ON COLUMN alembic_version.version_num IS 'Number of the migration';
