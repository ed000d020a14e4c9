-- Each process asks at its start whether the database is as new as it needs (db/revision.py).
SET LOCAL ROLE partyline_owner;
GRANT SELECT ON alembic_version TO partyline_gateway, partyline_writer, partyline_keeper, partyline_reader;
RESET ROLE;
