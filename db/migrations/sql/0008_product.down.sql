-- The roles and extensions stay, as in 0001.
SET LOCAL ROLE partyline_owner;
DROP FUNCTION acting_user;
ALTER TABLE users DROP CONSTRAINT users_erased_has_no_embedding;
ALTER TABLE users DROP COLUMN preference_embedding;
REVOKE ALL ON alembic_version FROM partyline_migrator, partyline_gateway, partyline_writer, partyline_keeper,
    partyline_reader, partyline_backend, partyline_analyst;
RESET ROLE;
REVOKE GRANT OPTION FOR CREATE ON SCHEMA public FROM partyline_owner;
REVOKE ALL ON SCHEMA public FROM partyline_migrator, partyline_backend, partyline_analyst;
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM partyline_migrator, partyline_backend, partyline_analyst',
        current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM partyline_keeper', current_database());
    EXECUTE format('REVOKE CREATE ON DATABASE %I FROM partyline_owner', current_database());
END
$$;
