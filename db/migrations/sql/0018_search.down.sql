SET LOCAL ROLE partyline_owner;
REVOKE SELECT (preference_embedding) ON users FROM partyline_reader, partyline_backend;
DROP FUNCTION record_failed_month;
DROP FUNCTION delete_expired_trip_cache;
DROP FUNCTION doodles_around;
DROP FUNCTION degrees_around;
DROP FUNCTION search_posts;
RESET ROLE;
