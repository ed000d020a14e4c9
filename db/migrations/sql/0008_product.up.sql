-- The product that the parties belong to: its extensions, its roles, and who it acts for.
-- What an administrator does once is in 0001, 0007 and here; later migrations need only partyline_migrator.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('partyline_migrator', 'LOGIN NOINHERIT', 'Partyline: migrates; becomes an owner only where a migration says so'),
            ('partyline_backend',  'LOGIN', 'Partyline: the product''s backend: writes for the person it acts for, and no other'),
            ('partyline_analyst',  'LOGIN', 'Partyline: KPIs and rows without a person')
        ) AS role (name, options, comment)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.options);
                EXECUTE format('COMMENT ON ROLE %I IS %L', wanted.name, wanted.comment);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's migration made it a moment ago
            END;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name AND (rolsuper OR rolbypassrls)) THEN
            RAISE EXCEPTION 'role % is a superuser or bypasses row level security; take that away first',
                wanted.name;
        END IF;
    END LOOP;

    -- Roles belong to the whole server: granted once, for it may be another database's migration that did.
    IF NOT pg_has_role('partyline_migrator', 'partyline_owner', 'MEMBER') THEN
        GRANT partyline_owner TO partyline_migrator;
    END IF;
    IF NOT pg_has_role('partyline_migrator', 'partyline_views', 'MEMBER') THEN
        GRANT partyline_views TO partyline_migrator;
    END IF;

    EXECUTE format('GRANT CONNECT ON DATABASE %I TO partyline_migrator, partyline_backend, partyline_analyst',
        current_database());
    -- Temporary tables are the maintenance role's, and the migrating one has none.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO partyline_keeper', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO partyline_owner', current_database());
END
$$;

GRANT USAGE ON SCHEMA public TO partyline_migrator, partyline_backend, partyline_analyst;
-- So that a migration can let partyline_views make a view, without an administrator.
GRANT CREATE ON SCHEMA public TO partyline_owner WITH GRANT OPTION;

SET LOCAL ROLE partyline_owner;

GRANT SELECT, INSERT, UPDATE, DELETE ON alembic_version TO partyline_migrator;
GRANT SELECT ON alembic_version TO partyline_gateway, partyline_writer, partyline_keeper, partyline_reader,
    partyline_backend, partyline_analyst;

-- 384 is what the small sentence encoders give; text and preferences must be of one model to be compared.
ALTER TABLE users ADD COLUMN preference_embedding vector(384);
ALTER TABLE users ALTER preference_embedding SET STATISTICS 0;
COMMENT ON COLUMN users.preference_embedding IS 'Preferences as a vector, compared with texts by cosine; null once the user is erased';
ALTER TABLE users ADD CONSTRAINT users_erased_has_no_embedding
    CHECK (erased_at IS NULL OR preference_embedding IS NULL) NOT VALID;
-- The column is a moment old, so the scan finds nothing; users is read once, which takes a second a million.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE users VALIDATE CONSTRAINT users_erased_has_no_embedding;

-- Who a connection acts for: SET LOCAL partyline.user_id = '42'. Nobody, if it is not set. What is no
-- number is an error, so a slip of the backend shows nothing.
CREATE FUNCTION acting_user() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('partyline.user_id', true), '')::bigint;
COMMENT ON FUNCTION acting_user IS 'users.id that this transaction acts for, from the setting partyline.user_id; null for nobody';
GRANT EXECUTE ON FUNCTION acting_user TO partyline_reader, partyline_backend, partyline_analyst, partyline_views;

RESET ROLE;
