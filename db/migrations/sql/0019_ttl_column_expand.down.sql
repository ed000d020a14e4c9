-- The options have said the same all the time, so nothing is lost.
SET LOCAL ROLE partyline_owner;
DROP TRIGGER party_sessions_ttl_in_step ON party_sessions;
ALTER TABLE party_sessions DROP COLUMN ttl_hours;
DROP FUNCTION party_sessions_ttl_in_step;
DROP TABLE backfills;
RESET ROLE;
