SET LOCAL ROLE partyline_owner;
DROP FUNCTION drop_oldest_expired_month;
DROP FUNCTION months_state;
DROP FUNCTION months_of;
DROP TABLE month_keeping;
SET LOCAL ROLE partyline_views;
DROP VIEW users_masked;
DROP VIEW my_account;
SET LOCAL ROLE partyline_owner;
COMMENT ON COLUMN users.email IS 'Unique without regard to case; null for guests and the erased. No role may read it';
COMMENT ON COLUMN users.password_hash IS 'No role may read it';
DROP FUNCTION find_login;
DROP FUNCTION create_account;
REVOKE SELECT (email, locale, onboarded_at, time_budget_min, budget_band, mobility_mode, preferences, push_opt_in,
    created_at) ON users FROM partyline_views;
REVOKE ALL ON users FROM partyline_reader, partyline_backend;
REVOKE SELECT (id, locale, onboarded_at, time_budget_min, budget_band, mobility_mode, privacy_level, preferences,
    push_opt_in, location_opt_in, created_at, erased_at) ON users FROM partyline_reader, partyline_backend;
REVOKE UPDATE (locale, onboarded_at, time_budget_min, budget_band, mobility_mode, privacy_level, preferences,
    push_opt_in, location_opt_in, preference_embedding) ON users FROM partyline_backend;
DROP POLICY users_self_update ON users;
DROP POLICY users_self ON users;
RESET ROLE;
