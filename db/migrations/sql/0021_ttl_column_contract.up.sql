-- The key of the options is no more: nobody reads it, nobody writes it, nothing demands it. Only once no process
-- of before 0020 runs: it would write a session without a time-to-live, which is refused. Keys that rows still
-- bear mean nothing; `partyline backfill ttl_hours_key` takes them out.
-- ACCESS EXCLUSIVE on party_sessions for a moment; nothing is written or read.
SET LOCAL ROLE partyline_owner;
-- Security review, with 0019: it copied between two columns of one row, and no access hangs on it.
-- squawk-ignore ban-drop-trigger
DROP TRIGGER party_sessions_ttl_in_step ON party_sessions;
-- Called by that trigger alone.
-- squawk-ignore ban-drop-function
DROP FUNCTION party_sessions_ttl_in_step;
-- party_sessions_ttl_hours and NOT NULL say the same of the column.
-- squawk-ignore ban-drop-constraint
ALTER TABLE party_sessions DROP CONSTRAINT party_sessions_ttl;
COMMENT ON COLUMN party_sessions.options IS 'tick_ms, rough_cell_m, max_members, token_expires_at, token_max_uses, live_only, started_at';
RESET ROLE;
