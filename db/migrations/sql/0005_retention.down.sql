SET LOCAL ROLE partyline_owner;
DROP FUNCTION flag_expired;
DROP FUNCTION record_failed_drop;
DROP FUNCTION drop_oldest_expired_chunk;
DROP FUNCTION positions_state;
DROP TABLE retention_runs;
RESET ROLE;
