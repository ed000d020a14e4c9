-- The people. Guests are users without an e-mail. Nobody but the owner reads e-mail or password hash: no
-- role has a grant on those columns, and row level security hides erased rows from every role.
SET LOCAL ROLE partyline_owner;

-- The order is the law: greatest() of several choices is the coarsest (G4).
CREATE TYPE precision_level AS ENUM ('exact', 'rough', 'private');
COMMENT ON TYPE precision_level IS 'How finely a place may be shown, finest first, so that greatest() is the coarsest';

CREATE TABLE users (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email           text CHECK (length(email) BETWEEN 3 AND 254 AND position('@' IN email) > 1),
    password_hash   text,
    onboarded_at    timestamptz,
    locale          text CHECK (locale ~ '^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$'),
    time_budget_min integer CHECK (time_budget_min > 0),
    budget_band     text CHECK (length(budget_band) BETWEEN 1 AND 32),
    mobility_mode   text CHECK (mobility_mode IN ('walk', 'transit', 'bike')),
    privacy_level   precision_level NOT NULL DEFAULT 'exact',
    preferences     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(preferences) = 'object'),
    push_opt_in     boolean NOT NULL DEFAULT false,
    location_opt_in boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now(),
    erased_at       timestamptz,
    CONSTRAINT users_erased_is_anonymous CHECK (erased_at IS NULL OR (
        email IS NULL AND password_hash IS NULL AND onboarded_at IS NULL AND locale IS NULL
        AND time_budget_min IS NULL AND budget_band IS NULL AND mobility_mode IS NULL
        AND preferences = '{}' AND privacy_level = 'private' AND NOT push_opt_in AND NOT location_opt_in)),
    CONSTRAINT users_hash_needs_email CHECK (password_hash IS NULL OR email IS NOT NULL)
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));

-- Planner statistics are copies of values and outlive the row: none of what names a person (G7).
ALTER TABLE users ALTER email SET STATISTICS 0, ALTER password_hash SET STATISTICS 0,
    ALTER preferences SET STATISTICS 0;
ALTER INDEX users_email_key ALTER COLUMN 1 SET STATISTICS 0;

COMMENT ON TABLE users IS 'People with an account, and guests (no e-mail). An erased row stays, anonymous, so that numbers in a session keep their meaning';
COMMENT ON COLUMN users.id IS 'Never on the wire';
COMMENT ON COLUMN users.email IS 'Unique without regard to case; null for guests and the erased. No role may read it';
COMMENT ON COLUMN users.password_hash IS 'No role may read it';
COMMENT ON COLUMN users.onboarded_at IS 'When the first questions were answered';
COMMENT ON COLUMN users.locale IS 'BCP 47 language tag';
COMMENT ON COLUMN users.time_budget_min IS 'Usual length of a trip, minutes';
COMMENT ON COLUMN users.budget_band IS 'Band of the usual budget';
COMMENT ON COLUMN users.mobility_mode IS 'walk, transit or bike';
COMMENT ON COLUMN users.privacy_level IS 'Coarsest floor over all sessions: nothing finer is ever shared of this user';
COMMENT ON COLUMN users.preferences IS 'Preferred atmosphere, order of tags';
COMMENT ON COLUMN users.push_opt_in IS 'Agreed to push messages';
COMMENT ON COLUMN users.location_opt_in IS 'Agreed to share places at all; false counts as private';
COMMENT ON COLUMN users.created_at IS 'When the row was made';
COMMENT ON COLUMN users.erased_at IS 'When the person asked to be erased; everything personal is gone since';

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY users_not_erased ON users FOR SELECT
    TO partyline_gateway, partyline_writer, partyline_views USING (erased_at IS NULL);
CREATE POLICY users_guests ON users FOR INSERT TO partyline_gateway WITH CHECK (email IS NULL);
COMMENT ON POLICY users_not_erased ON users IS 'The erased are nobody';
COMMENT ON POLICY users_guests ON users IS 'The gateway makes guests only';

GRANT SELECT (id, privacy_level, location_opt_in, erased_at)
    ON users TO partyline_gateway, partyline_writer, partyline_views;
GRANT INSERT (location_opt_in) ON users TO partyline_gateway;

CREATE FUNCTION coarsest_of(session precision_level, own precision_level, floor precision_level, opted_in boolean)
    RETURNS precision_level LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN opted_in AND session IS NOT NULL AND own IS NOT NULL AND floor IS NOT NULL
        THEN greatest(session, own, floor) ELSE 'private'::precision_level END;
COMMENT ON FUNCTION coarsest_of IS 'What may be shown of a member now (G4). A missing choice is private: it fails closed';
-- A view calls functions with the rights of who reads it; this one knows no row.
GRANT EXECUTE ON FUNCTION coarsest_of TO partyline_writer, partyline_views, partyline_reader;

CREATE FUNCTION hold_user(wanted bigint) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT true FROM users WHERE id = wanted AND erased_at IS NULL FOR SHARE;
END;
COMMENT ON FUNCTION hold_user IS 'True for a user who is there, and keeps them from being erased until the transaction ends; null otherwise';
GRANT EXECUTE ON FUNCTION hold_user TO partyline_gateway;

RESET ROLE;
