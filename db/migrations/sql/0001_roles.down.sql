-- The roles and extensions stay: other databases of this server may use the roles, and other tables of
-- this database the extensions.
SET LOCAL ROLE partyline_owner;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
RESET ROLE;

REVOKE ALL ON SCHEMA public FROM partyline_views, partyline_gateway, partyline_writer, partyline_keeper,
    partyline_reader;

DO $$
BEGIN
    EXECUTE format('ALTER TABLE alembic_version OWNER TO %I', current_user);
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM partyline_gateway, partyline_writer, partyline_keeper,'
        ' partyline_reader', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM partyline_owner;
