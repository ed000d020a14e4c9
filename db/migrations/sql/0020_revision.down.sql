SET LOCAL ROLE partyline_owner;
REVOKE SELECT ON alembic_version FROM partyline_gateway, partyline_writer, partyline_keeper, partyline_reader;
RESET ROLE;
