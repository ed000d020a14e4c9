CREATE SCHEMA IF NOT EXISTS partman;
CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman;
GRANT USAGE, CREATE ON SCHEMA partman TO partyline_owner;
GRANT ALL ON ALL TABLES IN SCHEMA partman TO partyline_owner;
SET LOCAL ROLE partyline_owner;
ALTER TABLE retention_runs ADD COLUMN table_name text NOT NULL DEFAULT 'party_positions';
CREATE FUNCTION make_partitions_ahead() RETURNS void LANGUAGE sql AS $$ SELECT $$;
RESET ROLE;
