-- Who sees an e-mail: its owner, in the view my_account, and nobody else. The backend makes accounts and
-- checks logins through functions; analysts get people without a name.
SET LOCAL ROLE partyline_owner;

CREATE POLICY users_self ON users FOR SELECT TO partyline_reader, partyline_backend
    USING (id = (SELECT acting_user()) AND erased_at IS NULL);
CREATE POLICY users_self_update ON users FOR UPDATE TO partyline_backend
    USING (id = (SELECT acting_user()) AND erased_at IS NULL)
    WITH CHECK (id = (SELECT acting_user()) AND erased_at IS NULL);
COMMENT ON POLICY users_self ON users IS 'One sees oneself';
COMMENT ON POLICY users_self_update ON users IS 'One changes oneself';
GRANT SELECT (id, locale, onboarded_at, time_budget_min, budget_band, mobility_mode, privacy_level, preferences,
    push_opt_in, location_opt_in, created_at, erased_at) ON users TO partyline_reader, partyline_backend;
GRANT UPDATE (locale, onboarded_at, time_budget_min, budget_band, mobility_mode, privacy_level, preferences,
    push_opt_in, location_opt_in, preference_embedding) ON users TO partyline_backend;
GRANT SELECT (email, locale, onboarded_at, time_budget_min, budget_band, mobility_mode, preferences, push_opt_in,
    created_at) ON users TO partyline_views;

COMMENT ON COLUMN users.email IS 'Unique without regard to case; null for guests and the erased. Its owner reads it in my_account, and nobody else';
COMMENT ON COLUMN users.password_hash IS 'Only find_login() gives it out, to the backend';

CREATE FUNCTION create_account(new_email text, new_password_hash text, new_locale text DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    INSERT INTO users (email, password_hash, locale) VALUES (new_email, new_password_hash, new_locale) RETURNING id;
END;
COMMENT ON FUNCTION create_account IS 'For the backend: a new user with an e-mail and the hash of a password; its id';
CREATE FUNCTION find_login(wanted_email text, OUT user_id bigint, OUT password_hash text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT u.id, u.password_hash FROM users u WHERE lower(u.email) = lower(wanted_email) AND u.erased_at IS NULL;
END;
COMMENT ON FUNCTION find_login IS 'For the backend: whom an e-mail belongs to, and the hash to check the password against; nulls for nobody';
GRANT EXECUTE ON FUNCTION create_account, find_login TO partyline_backend;

GRANT CREATE ON SCHEMA public TO partyline_views;
SET LOCAL ROLE partyline_views;
-- acting_user() reads a setting, which a view's owner sees as its reader set it.
CREATE VIEW my_account WITH (security_barrier) AS
SELECT u.id, u.email, u.locale, u.onboarded_at, u.time_budget_min, u.budget_band, u.mobility_mode,
    u.privacy_level, u.preferences, u.push_opt_in, u.location_opt_in, u.created_at
FROM users u WHERE u.id = acting_user() AND u.erased_at IS NULL;
COMMENT ON VIEW my_account IS 'The person that the transaction acts for; the one place where an e-mail is read';
COMMENT ON COLUMN my_account.id IS 'users.id';
COMMENT ON COLUMN my_account.email IS 'Null for guests';
COMMENT ON COLUMN my_account.locale IS 'BCP 47 language tag';
COMMENT ON COLUMN my_account.onboarded_at IS 'When the first questions were answered';
COMMENT ON COLUMN my_account.time_budget_min IS 'Usual length of a trip, minutes';
COMMENT ON COLUMN my_account.budget_band IS 'Band of the usual budget';
COMMENT ON COLUMN my_account.mobility_mode IS 'walk, transit or bike';
COMMENT ON COLUMN my_account.privacy_level IS 'Nothing finer is ever shared of this person';
COMMENT ON COLUMN my_account.preferences IS 'Preferred atmosphere, order of tags';
COMMENT ON COLUMN my_account.push_opt_in IS 'Agreed to push messages';
COMMENT ON COLUMN my_account.location_opt_in IS 'Agreed to share places at all';
COMMENT ON COLUMN my_account.created_at IS 'When the account was made';
GRANT SELECT ON my_account TO partyline_reader, partyline_backend;

CREATE VIEW users_masked WITH (security_barrier) AS
SELECT date_trunc('month', u.created_at AT TIME ZONE 'UTC')::date AS joined_month, u.email IS NOT NULL AS has_account,
    u.onboarded_at IS NOT NULL AS onboarded, split_part(replace(u.locale, '_', '-'), '-', 1) AS language,
    u.time_budget_min, u.budget_band, u.mobility_mode, u.privacy_level, u.push_opt_in, u.location_opt_in
FROM users u WHERE u.erased_at IS NULL;
COMMENT ON VIEW users_masked IS 'For analysts: one row for each person, without number, e-mail or free text';
COMMENT ON COLUMN users_masked.joined_month IS 'First day of the month in which they joined';
COMMENT ON COLUMN users_masked.has_account IS 'False for guests';
COMMENT ON COLUMN users_masked.onboarded IS 'Answered the first questions';
COMMENT ON COLUMN users_masked.language IS 'Of the locale, without the country';
COMMENT ON COLUMN users_masked.time_budget_min IS 'Usual length of a trip, minutes';
COMMENT ON COLUMN users_masked.budget_band IS 'Band of the usual budget';
COMMENT ON COLUMN users_masked.mobility_mode IS 'walk, transit or bike';
COMMENT ON COLUMN users_masked.privacy_level IS 'Coarsest floor over all sessions';
COMMENT ON COLUMN users_masked.push_opt_in IS 'Agreed to push messages';
COMMENT ON COLUMN users_masked.location_opt_in IS 'Agreed to share places at all';
GRANT SELECT ON users_masked TO partyline_analyst;
SET LOCAL ROLE partyline_owner;
REVOKE CREATE ON SCHEMA public FROM partyline_views;

-- Months of posts and feedback: kept for as long as this table says, then dropped whole, each with its record.
CREATE TABLE month_keeping (
    table_name  text PRIMARY KEY CONSTRAINT month_keeping_table CHECK (table_name IN ('posts', 'feedback')),
    keep_months integer CONSTRAINT month_keeping_range CHECK (keep_months BETWEEN 1 AND 1200)
);
INSERT INTO month_keeping (table_name, keep_months) VALUES ('posts', NULL), ('feedback', 24);
COMMENT ON TABLE month_keeping IS 'How long the monthly partitions are kept';
COMMENT ON COLUMN month_keeping.table_name IS 'posts or feedback';
COMMENT ON COLUMN month_keeping.keep_months IS 'Whole months past which a partition is dropped; null keeps for ever';
GRANT SELECT ON month_keeping TO partyline_keeper;

CREATE FUNCTION months_of(wanted text) RETURNS TABLE (part regclass, range_start timestamptz, range_end timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT format('%I.%I', s.partition_schemaname, s.partition_tablename)::regclass, i.child_start_time, i.child_end_time
    FROM partman.show_partitions('public.' || wanted) s
    CROSS JOIN LATERAL partman.show_partition_info(s.partition_schemaname || '.' || s.partition_tablename,
        p_parent_table => 'public.' || wanted) i
    $$;
COMMENT ON FUNCTION months_of IS 'The monthly partitions of posts or feedback, with their range';

CREATE FUNCTION months_state(wanted text, OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(m.range_start)
    FROM months_of(wanted) m JOIN pg_class c ON c.oid = m.part
    $$;
COMMENT ON FUNCTION months_state IS 'posts or feedback now: partitions, estimated rows, bytes, where the oldest begins';

CREATE FUNCTION drop_oldest_expired_month(wanted text) RETURNS SETOF retention_runs
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    began   timestamptz := clock_timestamp();
    horizon timestamptz;
    month   record;
    before  record;
    after   record;
    counted bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1346458196, -1); -- two keepers take turns, as for chunks
    SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - make_interval(months => k.keep_months)
    INTO horizon FROM month_keeping k WHERE k.table_name = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only posts and feedback have months' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO month FROM months_of(wanted) m WHERE m.range_end <= horizon ORDER BY m.range_start LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', month.part);
    SELECT * INTO before FROM months_state(wanted);
    EXECUTE format('SELECT count(*) FROM %s', month.part) INTO counted;
    IF wanted = 'posts' THEN
        -- What points there goes first: a partition that is pointed to is not let go.
        DELETE FROM post_tags WHERE post_created_at >= month.range_start AND post_created_at < month.range_end;
        DELETE FROM tag_reviews WHERE post_created_at >= month.range_start AND post_created_at < month.range_end;
    END IF;
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %s', wanted, month.part);
    EXECUTE format('DROP TABLE %s', month.part);
    SELECT * INTO after FROM months_state(wanted);
    RETURN QUERY
    INSERT INTO retention_runs (table_name, started_at, duration_ms, cutoff, chunks_before, chunks_after,
        rows_before, rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows)
    VALUES (wanted, began, extract(epoch FROM clock_timestamp() - began) * 1000, horizon, before.chunks, after.chunks,
        after.rows + counted, after.rows, before.bytes, after.bytes, before.oldest, after.oldest,
        ARRAY[month.part::text], counted)
    RETURNING *;
END
$$;
COMMENT ON FUNCTION drop_oldest_expired_month IS 'For the keeper: drops the oldest month of posts or feedback past month_keeping, and returns its record; nothing when there is none';
GRANT EXECUTE ON FUNCTION drop_oldest_expired_month TO partyline_keeper;

RESET ROLE;
