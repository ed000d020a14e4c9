-- How many rows a session has: what a replay compares with the windows of its acked fixes.
-- $1 session id (bigint)
SELECT count(*) FROM party_positions WHERE session_id = $1
