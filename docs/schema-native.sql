-- The whole schema, as pg_dump says it: for review and for comparing. A database is made by the migrations.
-- Generated from a migrated database: do not edit; make docs writes it, and a test fails when it is stale.

-- SCHEMA feature_store

CREATE SCHEMA feature_store;


ALTER SCHEMA feature_store OWNER TO partyline_owner;

COMMENT ON SCHEMA feature_store IS 'Features for models, computed by pipelines';

-- SCHEMA metrics

CREATE SCHEMA metrics;


ALTER SCHEMA metrics OWNER TO partyline_owner;

COMMENT ON SCHEMA metrics IS 'Key figures for BI tools';

-- SCHEMA partman

CREATE SCHEMA partman;


ALTER SCHEMA partman OWNER TO postgres;

-- SCHEMA raw_ingestion

CREATE SCHEMA raw_ingestion;


ALTER SCHEMA raw_ingestion OWNER TO partyline_owner;

COMMENT ON SCHEMA raw_ingestion IS 'Collected data exactly as it came, before cleaning';

-- EXTENSION pg_partman

CREATE EXTENSION IF NOT EXISTS pg_partman WITH SCHEMA partman;

-- EXTENSION pg_trgm

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

-- EXTENSION postgis

CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;

-- EXTENSION vector

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

-- TYPE public.precision_level

CREATE TYPE public.precision_level AS ENUM (
    'exact',
    'rough',
    'private'
);


ALTER TYPE public.precision_level OWNER TO partyline_owner;

COMMENT ON TYPE public.precision_level IS 'How finely a place may be shown, finest first, so that greatest() is the coarsest';

-- FUNCTION public.acting_user()

CREATE FUNCTION public.acting_user() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('partyline.user_id'::text, true), ''::text))::bigint;


ALTER FUNCTION public.acting_user() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.acting_user() IS 'users.id that this transaction acts for, from the setting partyline.user_id; null for nobody';

-- FUNCTION public.bridged_for(boolean)

CREATE FUNCTION public.bridged_for(beat boolean) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN beat THEN '00:01:30'::interval ELSE '00:00:30'::interval END;


ALTER FUNCTION public.bridged_for(beat boolean) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.bridged_for(beat boolean) IS 'Two fixes further apart than this have a gap between them. A rough position stands for its beat of 60 s, and is live for 30 s after it';

-- FUNCTION public.delay_error()

CREATE FUNCTION public.delay_error() RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 0.005;


ALTER FUNCTION public.delay_error() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delay_error() IS 'How far a percentile of delays may be off, as a part of it';

-- FUNCTION public.bucket_percentiles(integer[], bigint[])

CREATE FUNCTION public.bucket_percentiles(buckets integer[], counts bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) RETURNS record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (COALESCE(max(r.total), (0)::numeric))::bigint AS "coalesce",
     min(r.delay_ms) FILTER (WHERE (r.up_to >= LEAST((floor((r.total * 0.5)) + (1)::numeric), r.total))) AS min,
     min(r.delay_ms) FILTER (WHERE (r.up_to >= LEAST((floor((r.total * 0.95)) + (1)::numeric), r.total))) AS min,
     min(r.delay_ms) FILTER (WHERE (r.up_to >= LEAST((floor((r.total * 0.99)) + (1)::numeric), r.total))) AS min
    FROM ( SELECT ((sign((b.bucket)::double precision) * power((((1)::double precision + public.delay_error()) / ((1)::double precision - public.delay_error())), ((abs(b.bucket) - 2))::double precision)) * ((1)::double precision + public.delay_error())) AS delay_ms,
             sum(b.held) OVER (ORDER BY b.bucket) AS up_to,
             sum(b.held) OVER () AS total
            FROM UNNEST(bucket_percentiles.buckets, bucket_percentiles.counts) b(bucket, held)) r;
END;


ALTER FUNCTION public.bucket_percentiles(buckets integer[], counts bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.bucket_percentiles(buckets integer[], counts bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) IS 'Percentiles of delays that were counted in buckets';

-- FUNCTION public.carry_on_erasure(uuid)

CREATE FUNCTION public.carry_on_erasure(wanted uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    due     erasures_pending;
    step    bigint;
    deleted bigint := 0;
BEGIN
    SELECT p.* INTO due FROM erasures_pending p WHERE p.receipt_id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cardinality(due.sessions_left) = 0 THEN
        IF EXISTS (SELECT FROM users WHERE id = due.user_id) THEN
            PERFORM cut_authorship(due);
        END IF;
        RETURN false;
    END IF;
    -- By session: that is how the key is ordered, in every chunk.
    WHILE cardinality(due.sessions_left) > 0 AND deleted < 100000 LOOP
        DELETE FROM party_positions WHERE session_id = due.sessions_left[1] AND user_id = due.user_id;
        GET DIAGNOSTICS step = ROW_COUNT;
        deleted := deleted + step;
        due.sessions_left := due.sessions_left[2:];
    END LOOP;
    UPDATE erasures_pending SET sessions_left = due.sessions_left WHERE receipt_id = wanted;
    UPDATE erasure_receipts SET positions_deleted = positions_deleted + deleted WHERE id = wanted;
    RETURN true;
END
$$;


ALTER FUNCTION public.carry_on_erasure(wanted uuid) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.carry_on_erasure(wanted uuid) IS 'For the gateway: takes one step, without a fence; true while another must follow, each in a transaction of its own';

-- FUNCTION public.coarsest_of(public.precision_level, public.precision_level, public.precision_level, boolean)

CREATE FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) RETURNS public.precision_level
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (opted_in AND (session IS NOT NULL) AND (own IS NOT NULL) AND (floor IS NOT NULL)) THEN GREATEST(session, own, floor) ELSE 'private'::public.precision_level END;


ALTER FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) IS 'What may be shown of a member now (G4). A missing choice is private: it fails closed';

-- TABLE public.users

CREATE TABLE public.users (
    id bigint NOT NULL,
    email text,
    password_hash text,
    onboarded_at timestamp with time zone,
    locale text,
    time_budget_min integer,
    budget_band text,
    mobility_mode text,
    privacy_level public.precision_level DEFAULT 'exact'::public.precision_level NOT NULL,
    preferences jsonb DEFAULT '{}'::jsonb NOT NULL,
    push_opt_in boolean DEFAULT false NOT NULL,
    location_opt_in boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    erased_at timestamp with time zone,
    preference_embedding public.vector(384),
    CONSTRAINT users_budget_band_check CHECK (((length(budget_band) >= 1) AND (length(budget_band) <= 32))),
    CONSTRAINT users_email_check CHECK ((((length(email) >= 3) AND (length(email) <= 254)) AND (POSITION(('@'::text) IN (email)) > 1))),
    CONSTRAINT users_erased_has_no_embedding CHECK (((erased_at IS NULL) OR (preference_embedding IS NULL))),
    CONSTRAINT users_erased_is_anonymous CHECK (((erased_at IS NULL) OR ((email IS NULL) AND (password_hash IS NULL) AND (onboarded_at IS NULL) AND (locale IS NULL) AND (time_budget_min IS NULL) AND (budget_band IS NULL) AND (mobility_mode IS NULL) AND (preferences = '{}'::jsonb) AND (privacy_level = 'private'::public.precision_level) AND (NOT push_opt_in) AND (NOT location_opt_in)))),
    CONSTRAINT users_hash_needs_email CHECK (((password_hash IS NULL) OR (email IS NOT NULL))),
    CONSTRAINT users_locale_check CHECK ((locale ~ '^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$'::text)),
    CONSTRAINT users_mobility_mode_check CHECK ((mobility_mode = ANY (ARRAY['walk'::text, 'transit'::text, 'bike'::text]))),
    CONSTRAINT users_preferences_check CHECK ((jsonb_typeof(preferences) = 'object'::text)),
    CONSTRAINT users_time_budget_min_check CHECK ((time_budget_min > 0))
);
ALTER TABLE ONLY public.users ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.users ALTER COLUMN email SET STATISTICS 0;
ALTER TABLE ONLY public.users ALTER COLUMN password_hash SET STATISTICS 0;
ALTER TABLE ONLY public.users ALTER COLUMN preferences SET STATISTICS 0;
ALTER TABLE ONLY public.users ALTER COLUMN preference_embedding SET STATISTICS 0;


ALTER TABLE public.users OWNER TO partyline_owner;

COMMENT ON TABLE public.users IS 'People with an account, and guests (no e-mail). An erased person''s row goes; an anonymous one takes its place, so that numbers in a session keep their meaning';

COMMENT ON COLUMN public.users.id IS 'Never on the wire';

COMMENT ON COLUMN public.users.email IS 'Unique without regard to case; null for guests and the erased. Its owner reads it in my_account, and nobody else';

COMMENT ON COLUMN public.users.password_hash IS 'Only find_login() gives it out, to the backend';

COMMENT ON COLUMN public.users.onboarded_at IS 'When the first questions were answered';

COMMENT ON COLUMN public.users.locale IS 'BCP 47 language tag';

COMMENT ON COLUMN public.users.time_budget_min IS 'Usual length of a trip, minutes';

COMMENT ON COLUMN public.users.budget_band IS 'Band of the usual budget';

COMMENT ON COLUMN public.users.mobility_mode IS 'walk, transit or bike';

COMMENT ON COLUMN public.users.privacy_level IS 'Coarsest floor over all sessions: nothing finer is ever shared of this user';

COMMENT ON COLUMN public.users.preferences IS 'Preferred atmosphere, order of tags';

COMMENT ON COLUMN public.users.push_opt_in IS 'Agreed to push messages';

COMMENT ON COLUMN public.users.location_opt_in IS 'Agreed to share places at all; false counts as private';

COMMENT ON COLUMN public.users.created_at IS 'When the row was made';

COMMENT ON COLUMN public.users.erased_at IS 'Set in the anonymous row that took an erased person''s place; nobody is behind it';

COMMENT ON COLUMN public.users.preference_embedding IS 'Preferences as a vector, compared with texts by cosine; null once the user is erased';

-- FUNCTION public.create_account(text, text, text)

CREATE FUNCTION public.create_account(new_email text, new_password_hash text, new_locale text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 INSERT INTO public.users (email, password_hash, locale)
   VALUES (create_account.new_email, create_account.new_password_hash, create_account.new_locale)
   RETURNING users.id;
END;


ALTER FUNCTION public.create_account(new_email text, new_password_hash text, new_locale text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.create_account(new_email text, new_password_hash text, new_locale text) IS 'For the backend: a new user with an e-mail and the hash of a password; its id';

-- TABLE public.erasures_pending

CREATE TABLE public.erasures_pending (
    receipt_id uuid NOT NULL,
    user_id bigint NOT NULL,
    anonymous_id bigint NOT NULL,
    email text,
    session_ids bigint[] NOT NULL,
    ended_session_ids bigint[] NOT NULL,
    sessions_left bigint[] NOT NULL
);
ALTER TABLE ONLY public.erasures_pending ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY public.erasures_pending ALTER COLUMN email SET STATISTICS 0;
ALTER TABLE ONLY public.erasures_pending ALTER COLUMN session_ids SET STATISTICS 0;
ALTER TABLE ONLY public.erasures_pending ALTER COLUMN ended_session_ids SET STATISTICS 0;
ALTER TABLE ONLY public.erasures_pending ALTER COLUMN sessions_left SET STATISTICS 0;


ALTER TABLE public.erasures_pending OWNER TO partyline_owner;

COMMENT ON TABLE public.erasures_pending IS 'What must be known to finish an erasure; the row goes when it is finished. No role may read it';

COMMENT ON COLUMN public.erasures_pending.receipt_id IS 'Its receipt';

COMMENT ON COLUMN public.erasures_pending.user_id IS 'The number they had';

COMMENT ON COLUMN public.erasures_pending.anonymous_id IS 'The user that took their place';

COMMENT ON COLUMN public.erasures_pending.email IS 'A review that holds it is not kept';

COMMENT ON COLUMN public.erasures_pending.session_ids IS 'Sessions they were in';

COMMENT ON COLUMN public.erasures_pending.ended_session_ids IS 'Of these, the ones that ended';

COMMENT ON COLUMN public.erasures_pending.sessions_left IS 'Of these, the ones whose positions are still to be deleted';

-- FUNCTION public.cut_authorship(public.erasures_pending)

CREATE FUNCTION public.cut_authorship(due public.erasures_pending) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    done erasure_receipts;
BEGIN
    PERFORM FROM users WHERE id = due.user_id FOR UPDATE;
    -- A doodle tells where they stood. Of reviews stays what everybody could read and others rely on.
    DELETE FROM posts WHERE user_id = due.user_id AND (type = 'doodle' OR visibility <> 'public'
        OR status <> 'published' OR position(lower(due.email) IN lower(body)) > 0);
    GET DIAGNOSTICS done.posts_deleted = ROW_COUNT;
    UPDATE posts SET user_id = NULL, media_urls = '[]', geofence = NULL WHERE user_id = due.user_id;
    GET DIAGNOSTICS done.posts_kept = ROW_COUNT;
    UPDATE feedback SET user_id = NULL, comments = NULL WHERE user_id = due.user_id;
    GET DIAGNOSTICS done.feedback_kept = ROW_COUNT;
    UPDATE trip_nodes n SET notes = NULL, eta = NULL FROM trips t WHERE t.id = n.trip_id AND t.user_id = due.user_id;
    -- Not null: that is a recommendation, which everybody sees.
    UPDATE trips SET user_id = due.anonymous_id WHERE user_id = due.user_id;
    GET DIAGNOSTICS done.trips_kept = ROW_COUNT;
    DELETE FROM mission_assignments WHERE user_id = due.user_id;
    GET DIAGNOSTICS done.missions_deleted = ROW_COUNT;
    DELETE FROM feature_store.user_trip_features WHERE user_id = due.user_id;
    GET DIAGNOSTICS done.features_deleted = ROW_COUNT;
    DELETE FROM users WHERE id = due.user_id;
    UPDATE erasure_receipts SET posts_deleted = done.posts_deleted, posts_kept = done.posts_kept,
        feedback_kept = done.feedback_kept, trips_kept = done.trips_kept, missions_deleted = done.missions_deleted,
        features_deleted = done.features_deleted
    WHERE id = due.receipt_id;
END
$$;


ALTER FUNCTION public.cut_authorship(due public.erasures_pending) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.cut_authorship(due public.erasures_pending) IS 'The last step of carry_on_erasure(): what they wrote and were given, and then the row of users';

-- FUNCTION public.is_beat(public.precision_level, public.precision_level)

CREATE FUNCTION public.is_beat(allowed public.precision_level, stored public.precision_level) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (NOT ((allowed = 'exact'::public.precision_level) AND (stored = 'exact'::public.precision_level)));


ALTER FUNCTION public.is_beat(allowed public.precision_level, stored public.precision_level) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.is_beat(allowed public.precision_level, stored public.precision_level) IS 'Whether a row stands for a beat of 60 s';

-- FUNCTION public.told_at(public.precision_level, timestamp with time zone, smallint)

CREATE FUNCTION public.told_at(allowed public.precision_level, recorded_at timestamp with time zone, fix_offset_ms smallint) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN (allowed = 'exact'::public.precision_level) THEN (recorded_at + ((fix_offset_ms)::double precision * '00:00:00.001'::interval)) ELSE date_bin('00:01:00'::interval, recorded_at, '1970-01-01 00:00:00+00'::timestamp with time zone) END;


ALTER FUNCTION public.told_at(allowed public.precision_level, recorded_at timestamp with time zone, fix_offset_ms smallint) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.told_at(allowed public.precision_level, recorded_at timestamp with time zone, fix_offset_ms smallint) IS 'The fix''s time; for who is rough now, its beat of 60 s';

-- TABLE public.party_members

CREATE TABLE public.party_members (
    session_id bigint NOT NULL,
    user_id bigint NOT NULL,
    member_no integer NOT NULL,
    role text NOT NULL,
    display_name text NOT NULL,
    token_digest bytea,
    "precision" public.precision_level NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    left_at timestamp with time zone,
    kicked_at timestamp with time zone,
    CONSTRAINT party_members_display_name_check CHECK ((length(display_name) <= 40)),
    CONSTRAINT party_members_gone_has_no_token CHECK (((token_digest IS NULL) OR ((left_at IS NULL) AND (kicked_at IS NULL)))),
    CONSTRAINT party_members_kicked_has_left CHECK (((kicked_at IS NULL) OR (left_at IS NOT NULL))),
    CONSTRAINT party_members_member_no_check CHECK ((member_no > 0)),
    CONSTRAINT party_members_role_check CHECK ((role = ANY (ARRAY['host'::text, 'member'::text, 'viewer'::text]))),
    CONSTRAINT party_members_token_digest_check CHECK ((octet_length(token_digest) = 32))
);
ALTER TABLE ONLY public.party_members ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY public.party_members ALTER COLUMN display_name SET STATISTICS 0;
ALTER TABLE ONLY public.party_members ALTER COLUMN token_digest SET STATISTICS 0;


ALTER TABLE public.party_members OWNER TO partyline_owner;

COMMENT ON TABLE public.party_members IS 'Who is, or was, in a party. Rows are never deleted: numbers are never given twice';

COMMENT ON COLUMN public.party_members.session_id IS 'The party';

COMMENT ON COLUMN public.party_members.user_id IS 'The person';

COMMENT ON COLUMN public.party_members.member_no IS 'The person''s name on the wire, inside this session; 1 is the host';

COMMENT ON COLUMN public.party_members.role IS 'host, member or viewer';

COMMENT ON COLUMN public.party_members.display_name IS 'Empty once the user is erased';

COMMENT ON COLUMN public.party_members.token_digest IS 'SHA-256 of the member token; null once it is dead';

COMMENT ON COLUMN public.party_members."precision" IS 'The member''s own choice; a loosening by the host never reaches past it';

COMMENT ON COLUMN public.party_members.joined_at IS 'Last time they came in by the sharable token';

COMMENT ON COLUMN public.party_members.left_at IS 'When they left, were kicked, or were erased';

COMMENT ON COLUMN public.party_members.kicked_at IS 'When the host removed them; they cannot come back';

-- TABLE public.party_positions

CREATE TABLE public.party_positions (
    session_id bigint NOT NULL,
    user_id bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    accuracy_m real,
    "precision" public.precision_level NOT NULL,
    fix_offset_ms smallint NOT NULL,
    ttl_expired boolean DEFAULT false NOT NULL,
    loc public.geometry(Point,4326) NOT NULL,
    CONSTRAINT party_positions_aligned CHECK ((date_bin('00:00:05'::interval, recorded_at, '1970-01-01 00:00:00+00'::timestamp with time zone) = recorded_at)),
    CONSTRAINT party_positions_fix_offset_ms_check CHECK (((fix_offset_ms >= 0) AND (fix_offset_ms <= 4999))),
    CONSTRAINT party_positions_never_private CHECK (("precision" <> 'private'::public.precision_level))
)
PARTITION BY RANGE (recorded_at);
ALTER TABLE ONLY public.party_positions ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY public.party_positions ALTER COLUMN loc SET STATISTICS 0;


ALTER TABLE public.party_positions OWNER TO partyline_owner;

COMMENT ON TABLE public.party_positions IS 'Masked positions, one for each member and window. No foreign keys: a dropped chunk would lock users';

COMMENT ON COLUMN public.party_positions.session_id IS 'party_sessions.id';

COMMENT ON COLUMN public.party_positions.user_id IS 'users.id';

COMMENT ON COLUMN public.party_positions.recorded_at IS 'Start of the 5-second window, aligned to the epoch';

COMMENT ON COLUMN public.party_positions.accuracy_m IS 'Radius in metres; null if the phone gave none';

COMMENT ON COLUMN public.party_positions."precision" IS 'How fine loc is: exact or rough. Private is never stored';

COMMENT ON COLUMN public.party_positions.fix_offset_ms IS 'The position''s time after recorded_at, 0 to 4999 milliseconds';

COMMENT ON COLUMN public.party_positions.ttl_expired IS 'The session''s time-to-live has passed; nobody reads the row any more';

COMMENT ON COLUMN public.party_positions.loc IS 'WGS 84, already masked (G5)';

-- TABLE public.party_sessions

CREATE TABLE public.party_sessions (
    id bigint NOT NULL,
    trip_id bigint,
    host_user_id bigint NOT NULL,
    status text DEFAULT 'live'::text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    sharable_token bytea NOT NULL,
    token_uses integer DEFAULT 0 NOT NULL,
    "precision" public.precision_level NOT NULL,
    options jsonb NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    flagged_to timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    ttl_hours integer NOT NULL,
    CONSTRAINT party_sessions_ended_when CHECK (((status = 'ended'::text) = (ended_at IS NOT NULL))),
    CONSTRAINT party_sessions_sharable_token_check CHECK ((octet_length(sharable_token) = 32)),
    CONSTRAINT party_sessions_status_check CHECK ((status = ANY (ARRAY['live'::text, 'ended'::text]))),
    CONSTRAINT party_sessions_token_uses_check CHECK ((token_uses >= 0)),
    CONSTRAINT party_sessions_ttl_hours CHECK (((ttl_hours >= 1) AND (ttl_hours <= 8760)))
);
ALTER TABLE ONLY public.party_sessions ALTER COLUMN host_user_id SET STATISTICS 0;
ALTER TABLE ONLY public.party_sessions ALTER COLUMN sharable_token SET STATISTICS 0;


ALTER TABLE public.party_sessions OWNER TO partyline_owner;

COMMENT ON TABLE public.party_sessions IS 'One party''s sharing';

COMMENT ON COLUMN public.party_sessions.id IS 'Its last three bits are the shard';

COMMENT ON COLUMN public.party_sessions.trip_id IS 'The trip that the party is on';

COMMENT ON COLUMN public.party_sessions.host_user_id IS 'Who made it';

COMMENT ON COLUMN public.party_sessions.status IS 'live or ended';

COMMENT ON COLUMN public.party_sessions.started_at IS 'Fixes from before are refused; up to 7 days back, for recordings';

COMMENT ON COLUMN public.party_sessions.ended_at IS 'Set exactly when ended';

COMMENT ON COLUMN public.party_sessions.sharable_token IS 'SHA-256 of the invitation, never the token';

COMMENT ON COLUMN public.party_sessions.token_uses IS 'How many people came in by the present token';

COMMENT ON COLUMN public.party_sessions."precision" IS 'What the host allows';

COMMENT ON COLUMN public.party_sessions.options IS 'tick_ms, rough_cell_m, max_members, token_expires_at, token_max_uses, live_only, started_at';

COMMENT ON COLUMN public.party_sessions.revision IS 'Counts changes of precision and membership';

COMMENT ON COLUMN public.party_sessions.flagged_to IS 'The keeper''s bookmark: rows recorded before it carry ttl_expired';

COMMENT ON COLUMN public.party_sessions.ttl_hours IS 'Hours that its rows stay readable';

-- VIEW public.summary_members

CREATE VIEW public.summary_members AS
 SELECT m.session_id,
    m.user_id,
    a.allowed,
    (now() - make_interval(hours => s.ttl_hours)) AS kept_after,
    ceil(((sqrt(0.5))::double precision * ((s.options ->> 'rough_cell_m'::text))::double precision)) AS cell_accuracy_m
   FROM (((public.party_sessions s
     JOIN public.party_members m ON ((m.session_id = s.id)))
     JOIN public.users u ON ((u.id = m.user_id)))
     CROSS JOIN LATERAL ( SELECT public.coarsest_of(s."precision", m."precision", u.privacy_level, u.location_opt_in) AS allowed
         OFFSET 0) a)
  WHERE ((u.erased_at IS NULL) AND (a.allowed <> 'private'::public.precision_level));


ALTER VIEW public.summary_members OWNER TO partyline_owner;

COMMENT ON VIEW public.summary_members IS 'For summaries alone, nobody has a grant: members who are not private now';

COMMENT ON COLUMN public.summary_members.session_id IS 'party_sessions.id';

COMMENT ON COLUMN public.summary_members.user_id IS 'users.id';

COMMENT ON COLUMN public.summary_members.allowed IS 'What may be shown of the member now: exact or rough';

COMMENT ON COLUMN public.summary_members.kept_after IS 'Rows recorded until then have expired';

COMMENT ON COLUMN public.summary_members.cell_accuracy_m IS 'The accuracy of a rough row of the session''s cells: their half diagonal, metres';

-- FUNCTION public.day_fixes(date)

CREATE FUNCTION public.day_fixes(wanted_day date) RETURNS TABLE(session_id bigint, user_id bigint, at timestamp with time zone, beat boolean, written_by xid)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT m.session_id,
     m.user_id,
     public.told_at(m.allowed, r.recorded_at, r.fix_offset_ms) AS told_at,
     public.is_beat(m.allowed, r."precision") AS is_beat,
     r.xmin
    FROM (public.summary_members m
      JOIN public.party_positions r ON (((r.session_id = m.session_id) AND (r.user_id = m.user_id))))
   WHERE ((r.recorded_at >= ((day_fixes.wanted_day)::timestamp without time zone AT TIME ZONE 'UTC'::text)) AND (r.recorded_at < (((day_fixes.wanted_day + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text)) AND (r.recorded_at > m.kept_after) AND (NOT r.ttl_expired));
END;


ALTER FUNCTION public.day_fixes(wanted_day date) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.day_fixes(wanted_day date) IS 'The same of all sessions, for a UTC day, without places';

-- FUNCTION public.day_beats(date)

CREATE FUNCTION public.day_beats(wanted_day date) RETURNS TABLE(session_id bigint, user_id bigint, at timestamp with time zone)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT f.session_id,
     f.user_id,
     (f.at + e.after)
    FROM (public.day_fixes(day_beats.wanted_day) f(session_id, user_id, at, beat, written_by)
      CROSS JOIN LATERAL unnest(
         CASE
             WHEN f.beat THEN ARRAY['00:00:00'::interval, '00:00:30'::interval, '00:01:00'::interval]
             ELSE ARRAY['00:00:00'::interval]
         END) e(after))
   WHERE ((f.at + e.after) < (((day_beats.wanted_day + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text));
END;


ALTER FUNCTION public.day_beats(wanted_day date) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.day_beats(wanted_day date) IS 'Heartbeats of all streams in a UTC day';

-- FUNCTION public.decide_tag_review(bigint, boolean)

CREATE FUNCTION public.decide_tag_review(wanted bigint, approve boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    decided tag_reviews;
BEGIN
    UPDATE tag_reviews SET status = CASE WHEN approve THEN 'approved' ELSE 'rejected' END, decided_at = now()
    WHERE id = wanted AND status = 'pending' AND approve IS NOT NULL RETURNING * INTO decided;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF approve THEN
        PERFORM set_tag(decided.tag_id, decided.confidence, decided.place_id, decided.post_id,
            decided.post_created_at);
    END IF;
    RETURN true;
END
$$;


ALTER FUNCTION public.decide_tag_review(wanted bigint, approve boolean) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.decide_tag_review(wanted bigint, approve boolean) IS 'For operators: answers one question of the queue; false when it is answered already';

-- FUNCTION public.degrees_around(public.geometry, double precision)

CREATE FUNCTION public.degrees_around(centre public.geometry, radius_m double precision) RETURNS public.geometry
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (((abs(h.y) + h.high) >= (90)::double precision) OR ((abs(h.x) + w.wide) > (180)::double precision)) THEN public.st_makeenvelope(('-180'::integer)::double precision, GREATEST((h.y - h.high), ('-90'::integer)::double precision), (180)::double precision, LEAST((h.y + h.high), (90)::double precision), 4326)
             ELSE public.st_makeenvelope((h.x - w.wide), (h.y - h.high), (h.x + w.wide), (h.y + h.high), 4326)
         END AS st_makeenvelope
    FROM ( SELECT public.st_x(degrees_around.centre) AS x,
             public.st_y(degrees_around.centre) AS y,
             (degrees(((degrees_around.radius_m * (1.0001)::double precision) / (6371008.77)::double precision)) + (0.000000001)::double precision) AS high) h,
     LATERAL ( SELECT (degrees(asin(LEAST((1)::double precision, (sin(radians(LEAST(h.high, (90)::double precision))) / GREATEST(cos(radians(h.y)), (0.000000000001)::double precision))))) + (0.000000001)::double precision) AS wide) w;
END;


ALTER FUNCTION public.degrees_around(centre public.geometry, radius_m double precision) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.degrees_around(centre public.geometry, radius_m double precision) IS 'A box in degrees that holds the circle of so many metres: for an index on geometry, before ST_DistanceSphere';

-- FUNCTION public.delay_bucket(double precision)

CREATE FUNCTION public.delay_bucket(delay_ms double precision) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (delay_ms = (0)::double precision) THEN (0)::double precision ELSE (sign(delay_ms) * ((1)::double precision + ceil((ln(abs(delay_ms)) / ln((((1)::double precision + public.delay_error()) / ((1)::double precision - public.delay_error()))))))) END;


ALTER FUNCTION public.delay_bucket(delay_ms double precision) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delay_bucket(delay_ms double precision) IS 'Which bucket a delay is counted in';

-- FUNCTION public.delay_of_day(date)

CREATE FUNCTION public.delay_of_day(wanted_day date, OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET work_mem TO '64MB'
    AS $$
    SELECT p.counted, p.p50_ms, p.p95_ms, p.p99_ms
    FROM (
        SELECT array_agg(c.bucket) AS buckets, array_agg(c.held) AS counts
        FROM (
            SELECT delay_bucket(d.delay_ms) AS bucket, count(*) AS held FROM delays_of_day(wanted_day) d GROUP BY 1
        ) c
    ) a
    CROSS JOIN LATERAL bucket_percentiles(a.buckets, a.counts) p
    $$;


ALTER FUNCTION public.delay_of_day(wanted_day date, OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delay_of_day(wanted_day date, OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) IS 'For metrics.commit_delay_daily: the same of all sessions, for fixes of a UTC day';

-- FUNCTION public.tells_place(public.precision_level, public.precision_level, real, double precision)

CREATE FUNCTION public.tells_place(allowed public.precision_level, stored public.precision_level, accuracy_m real, cell_accuracy_m double precision) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((allowed = 'exact'::public.precision_level) OR COALESCE(((allowed = 'rough'::public.precision_level) AND (stored = 'rough'::public.precision_level) AND (accuracy_m >= cell_accuracy_m)), false));


ALTER FUNCTION public.tells_place(allowed public.precision_level, stored public.precision_level, accuracy_m real, cell_accuracy_m double precision) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.tells_place(allowed public.precision_level, stored public.precision_level, accuracy_m real, cell_accuracy_m double precision) IS 'Whether a row''s place and accuracy may be told; else only that it was there. What is missing counts as no';

-- FUNCTION public.session_fixes(bigint, bigint[])

CREATE FUNCTION public.session_fixes(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, at timestamp with time zone, beat boolean, tells_place boolean, stored public.precision_level, accuracy_m real, loc public.geometry, written_by xid)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT m.user_id,
     public.told_at(m.allowed, p.recorded_at, p.fix_offset_ms) AS told_at,
     public.is_beat(m.allowed, p."precision") AS is_beat,
     public.tells_place(m.allowed, p."precision", p.accuracy_m, m.cell_accuracy_m) AS tells_place,
     p."precision",
     p.accuracy_m,
     p.loc,
     p.xmin
    FROM (public.summary_members m
      CROSS JOIN LATERAL ( SELECT r.recorded_at,
             r.fix_offset_ms,
             r."precision",
             r.accuracy_m,
             r.loc,
             r.xmin
            FROM public.party_positions r
           WHERE ((r.session_id = session_fixes.wanted_session) AND (r.user_id = m.user_id) AND (r.recorded_at > m.kept_after) AND (NOT r.ttl_expired))
          OFFSET 0) p)
   WHERE ((m.session_id = session_fixes.wanted_session) AND ((session_fixes.wanted_users IS NULL) OR (m.user_id = ANY (session_fixes.wanted_users))));
END;


ALTER FUNCTION public.session_fixes(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_fixes(wanted_session bigint, wanted_users bigint[]) IS 'Unexpired rows of a session, and what of each may be told. written_by: the transaction, whose commit the server times at no byte a row';

-- FUNCTION public.delays_of(bigint, bigint[])

CREATE FUNCTION public.delays_of(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(delay_ms double precision)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (round((EXTRACT(epoch FROM (c.committed_at - f.at)) * (1000)::numeric)))::double precision AS round
    FROM (public.session_fixes(delays_of.wanted_session, delays_of.wanted_users) f(user_id, at, beat, tells_place, stored, accuracy_m, loc, written_by)
      CROSS JOIN LATERAL ( SELECT
                 CASE
                     WHEN ( SELECT (current_setting('track_commit_timestamp'::text) = 'on'::text)) THEN pg_xact_commit_timestamp(f.written_by)
                     ELSE NULL::timestamp with time zone
                 END AS committed_at
          OFFSET 0) c)
   WHERE ((NOT f.beat) AND (c.committed_at IS NOT NULL));
END;


ALTER FUNCTION public.delays_of(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delays_of(wanted_session bigint, wanted_users bigint[]) IS 'Milliseconds from fix to commit, of exact rows whose commit the server still knows. None with track_commit_timestamp off';

-- FUNCTION public.delays_of_day(date)

CREATE FUNCTION public.delays_of_day(wanted_day date) RETURNS TABLE(delay_ms double precision)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (round((EXTRACT(epoch FROM (c.committed_at - f.at)) * (1000)::numeric)))::double precision AS round
    FROM (public.day_fixes(delays_of_day.wanted_day) f(session_id, user_id, at, beat, written_by)
      CROSS JOIN LATERAL ( SELECT
                 CASE
                     WHEN ( SELECT (current_setting('track_commit_timestamp'::text) = 'on'::text)) THEN pg_xact_commit_timestamp(f.written_by)
                     ELSE NULL::timestamp with time zone
                 END AS committed_at
          OFFSET 0) c)
   WHERE ((NOT f.beat) AND (c.committed_at IS NOT NULL));
END;


ALTER FUNCTION public.delays_of_day(wanted_day date) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delays_of_day(wanted_day date) IS 'The same of all sessions, for fixes of a UTC day';

-- FUNCTION public.delete_expired_doodles(integer)

CREATE FUNCTION public.delete_expired_doodles(batch integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    deleted integer;
BEGIN
    IF batch IS NULL OR batch NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'batch must be from 1 to 1000000' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH due AS MATERIALIZED (
        SELECT id, created_at FROM posts WHERE expires_at <= now() ORDER BY expires_at LIMIT batch
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM posts p USING due d WHERE p.id = d.id AND p.created_at = d.created_at;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;


ALTER FUNCTION public.delete_expired_doodles(batch integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delete_expired_doodles(batch integer) IS 'For the keeper: deletes at most batch doodles that nobody sees any more; returns how many';

-- FUNCTION public.delete_expired_trip_cache(integer)

CREATE FUNCTION public.delete_expired_trip_cache(batch integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    deleted integer;
BEGIN
    IF batch IS NULL OR batch NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'batch must be from 1 to 1000000' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH due AS MATERIALIZED (
        SELECT context_hash FROM trip_cache WHERE valid_until <= now() ORDER BY valid_until LIMIT batch
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM trip_cache c USING due d WHERE c.context_hash = d.context_hash;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;


ALTER FUNCTION public.delete_expired_trip_cache(batch integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.delete_expired_trip_cache(batch integer) IS 'For the keeper: deletes at most batch recommendations that nobody reads any more; returns how many';

-- FUNCTION public.doodle_within_fence()

CREATE FUNCTION public.doodle_within_fence() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
DECLARE
    said   text := current_setting('partyline.author_place', true);
    author geometry;
BEGIN
    IF said !~ '^-?[0-9]{1,3}(\.[0-9]{1,15})? -?[0-9]{1,2}(\.[0-9]{1,15})?$' OR coalesce(said, '') = '' THEN
        RAISE EXCEPTION 'a doodle needs its author''s place: set partyline.author_place to "longitude latitude"'
            USING ERRCODE = 'check_violation', TABLE = 'posts', CONSTRAINT = 'posts_doodle_needs_place';
    END IF;
    author := ST_SetSRID(ST_MakePoint(split_part(said, ' ', 1)::double precision,
        split_part(said, ' ', 2)::double precision), 4326);
    IF ST_DistanceSphere(author, NEW.geofence) > 150 THEN
        RAISE EXCEPTION 'a doodle can be left only within 150 m of where its author is'
            USING ERRCODE = 'check_violation', TABLE = 'posts', CONSTRAINT = 'posts_doodle_within_fence';
    END IF;
    RETURN NEW;
END
$_$;


ALTER FUNCTION public.doodle_within_fence() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.doodle_within_fence() IS 'Trigger of posts: a doodle lies within 150 m of its author';

-- FUNCTION public.doodles_around(double precision, double precision, double precision, integer)

CREATE FUNCTION public.doodles_around(lon double precision, lat double precision, radius_m double precision, most integer) RETURNS TABLE(id bigint, created_at timestamp with time zone, expires_at timestamp with time zone, body text, geofence public.geometry, distance_m double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    centre geometry := ST_SetSRID(ST_MakePoint(lon, lat), 4326);
    box    geometry;
BEGIN
    IF lon IS NULL OR lat IS NULL OR lon NOT BETWEEN -180 AND 180 OR lat NOT BETWEEN -90 AND 90 THEN
        RAISE EXCEPTION 'a longitude is from -180 to 180, a latitude from -90 to 90'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF radius_m IS NULL OR most IS NULL OR radius_m NOT BETWEEN 1 AND 10000 OR most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'doodles are looked for within 1 to 10000 m, 1 to 1000 of them'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    box := degrees_around(centre, radius_m);
    RETURN QUERY
    SELECT p.id, p.created_at, p.expires_at, p.body, p.geofence, ST_DistanceSphere(p.geofence, centre)
    FROM posts p
    WHERE p.geofence && box AND ST_DistanceSphere(p.geofence, centre) <= radius_m AND p.type = 'doodle'
        AND p.status = 'published' AND p.visibility = 'public' AND p.expires_at > now()
    ORDER BY ST_DistanceSphere(p.geofence, centre), p.id LIMIT most;
END
$$;


ALTER FUNCTION public.doodles_around(lon double precision, lat double precision, radius_m double precision, most integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.doodles_around(lon double precision, lat double precision, radius_m double precision, most integer) IS 'Public doodles within so many metres that have not expired, the nearest first';

-- TABLE public.retention_runs

CREATE TABLE public.retention_runs (
    id bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    duration_ms integer NOT NULL,
    cutoff timestamp with time zone NOT NULL,
    chunks_before integer NOT NULL,
    chunks_after integer NOT NULL,
    rows_before bigint NOT NULL,
    rows_after bigint NOT NULL,
    bytes_before bigint NOT NULL,
    bytes_after bigint NOT NULL,
    oldest_before timestamp with time zone,
    oldest_after timestamp with time zone,
    dropped_chunks text[] NOT NULL,
    dropped_rows bigint NOT NULL,
    error text,
    table_name text DEFAULT 'party_positions'::text NOT NULL
);


ALTER TABLE public.retention_runs OWNER TO partyline_owner;

COMMENT ON TABLE public.retention_runs IS 'One row for each drop of a chunk or partition, and for each drop that failed';

COMMENT ON COLUMN public.retention_runs.id IS 'In the order of the drops';

COMMENT ON COLUMN public.retention_runs.started_at IS 'When the drop began';

COMMENT ON COLUMN public.retention_runs.duration_ms IS 'How long it took, milliseconds';

COMMENT ON COLUMN public.retention_runs.cutoff IS 'Rows recorded before it are past the time-to-live';

COMMENT ON COLUMN public.retention_runs.chunks_before IS 'Chunks before';

COMMENT ON COLUMN public.retention_runs.chunks_after IS 'Chunks after';

COMMENT ON COLUMN public.retention_runs.rows_before IS 'Rows before: the planner''s estimate, and exact for the dropped chunk';

COMMENT ON COLUMN public.retention_runs.rows_after IS 'Rows after: the planner''s estimate';

COMMENT ON COLUMN public.retention_runs.bytes_before IS 'Bytes on disk before, with indexes';

COMMENT ON COLUMN public.retention_runs.bytes_after IS 'Bytes on disk after, with indexes';

COMMENT ON COLUMN public.retention_runs.oldest_before IS 'Where the oldest chunk began before';

COMMENT ON COLUMN public.retention_runs.oldest_after IS 'Where the oldest chunk begins after; null when none is left';

COMMENT ON COLUMN public.retention_runs.dropped_chunks IS 'Names of the dropped chunks';

COMMENT ON COLUMN public.retention_runs.dropped_rows IS 'Rows in them, counted';

COMMENT ON COLUMN public.retention_runs.error IS 'Why nothing was dropped; null when it went well';

COMMENT ON COLUMN public.retention_runs.table_name IS 'Whose chunk or partition it was';

-- FUNCTION public.drop_oldest_expired_chunk(integer)

CREATE FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) RETURNS SETOF public.retention_runs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    began   timestamptz := clock_timestamp();
    horizon timestamptz;
    oldest  regclass;
    name    text;
    before  record;
    after   record;
    counted bigint;
BEGIN
    IF ttl_hours IS NULL OR ttl_hours NOT BETWEEN 1 AND 8760 THEN
        RAISE EXCEPTION 'ttl_hours must be from 1 to 8760' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two keepers take turns: the second finds the chunk gone instead of failing on it.
    PERFORM pg_advisory_xact_lock(1346458196, -1);
    horizon := now() - make_interval(hours => ttl_hours);
    SELECT k.chunk, k.chunk::text INTO oldest, name
    FROM positions_chunks() k WHERE k.range_end <= horizon ORDER BY k.range_start LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Nobody may add to the chunk between the count and the drop; reading goes on meanwhile.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', oldest);
    SELECT * INTO before FROM positions_state();
    EXECUTE format('SELECT count(*) FROM %s', oldest) INTO counted;
    PERFORM drop_positions_chunk(oldest);
    SELECT * INTO after FROM positions_state();
    RETURN QUERY
    INSERT INTO retention_runs (started_at, duration_ms, cutoff, chunks_before, chunks_after, rows_before,
        rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows)
    VALUES (began, extract(epoch FROM clock_timestamp() - began) * 1000, horizon, before.chunks, after.chunks,
        after.rows + counted, after.rows, before.bytes, after.bytes, before.oldest, after.oldest, ARRAY[name],
        counted)
    RETURNING *;
END
$$;


ALTER FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) IS 'For the keeper: drops the oldest chunk whose rows are all past ttl_hours, and returns its record; nothing when there is none';

-- FUNCTION public.drop_oldest_expired_month(text)

CREATE FUNCTION public.drop_oldest_expired_month(wanted text) RETURNS SETOF public.retention_runs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
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


ALTER FUNCTION public.drop_oldest_expired_month(wanted text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.drop_oldest_expired_month(wanted text) IS 'For the keeper: drops the oldest month of posts or feedback past month_keeping, and returns its record; nothing when there is none';

-- FUNCTION public.drop_positions_chunk(regclass)

CREATE FUNCTION public.drop_positions_chunk(wanted regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET lock_timeout TO '50ms'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM positions_chunks() k WHERE k.chunk = wanted) THEN
        RAISE EXCEPTION '% is no partition of party_positions', wanted;
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', wanted);
    EXECUTE format('DROP TABLE %s', wanted);
END
$$;


ALTER FUNCTION public.drop_positions_chunk(wanted regclass) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.drop_positions_chunk(wanted regclass) IS 'The seam: drops one chunk';

-- FUNCTION public.erase_user(bigint)

CREATE FUNCTION public.erase_user(wanted bigint, OUT receipt uuid, OUT began timestamp with time zone, OUT session_ids bigint[], OUT ended_session_ids bigint[]) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    mail      text;
    anonymous bigint;
BEGIN
    -- Before the fences: who waits for a user's row must not hold up every writer.
    SELECT u.email INTO mail FROM users u WHERE u.id = wanted AND u.erased_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- A writer's open transaction commits first, and its rows are deleted later; one that comes after finds no
    -- such member and refuses the rows that were still on their way.
    FOR shard IN 0..7 LOOP
        PERFORM take_fence(shard);
    END LOOP;
    UPDATE users SET email = NULL, password_hash = NULL, onboarded_at = NULL, locale = NULL,
        time_budget_min = NULL, budget_band = NULL, mobility_mode = NULL, privacy_level = 'private',
        preferences = '{}', preference_embedding = NULL, push_opt_in = false, location_opt_in = false,
        erased_at = now()
    WHERE id = wanted;
    INSERT INTO users (privacy_level, erased_at) VALUES ('private', now()) RETURNING id INTO anonymous;
    session_ids := ARRAY(
        SELECT s.id FROM party_sessions s
        WHERE s.host_user_id = wanted OR s.id IN (SELECT m.session_id FROM party_members m WHERE m.user_id = wanted)
        ORDER BY s.id FOR UPDATE);
    ended_session_ids := ARRAY(
        SELECT s.id FROM party_sessions s
        WHERE s.id = ANY (session_ids) AND s.host_user_id = wanted AND s.status = 'live' ORDER BY s.id);
    UPDATE party_sessions SET revision = revision + 1,
        host_user_id = CASE host_user_id WHEN wanted THEN anonymous ELSE host_user_id END,
        status = CASE WHEN id = ANY (ended_session_ids) THEN 'ended' ELSE status END,
        ended_at = CASE WHEN id = ANY (ended_session_ids) THEN now() ELSE ended_at END
    WHERE id = ANY (session_ids);
    UPDATE party_members SET user_id = anonymous, display_name = '', token_digest = NULL, precision = 'private',
        left_at = coalesce(left_at, now())
    WHERE user_id = wanted;
    began := now();
    INSERT INTO erasure_receipts (erased_at, sessions, sessions_ended)
    VALUES (began, cardinality(session_ids), cardinality(ended_session_ids)) RETURNING id INTO receipt;
    INSERT INTO erasures_pending
        (receipt_id, user_id, anonymous_id, email, session_ids, ended_session_ids, sessions_left)
    VALUES (receipt, wanted, anonymous, mail, session_ids, ended_session_ids, session_ids);
END
$$;


ALTER FUNCTION public.erase_user(wanted bigint, OUT receipt uuid, OUT began timestamp with time zone, OUT session_ids bigint[], OUT ended_session_ids bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.erase_user(wanted bigint, OUT receipt uuid, OUT began timestamp with time zone, OUT session_ids bigint[], OUT ended_session_ids bigint[]) IS 'For the gateway: from its commit on nothing of the user can come any more, and the sessions they host are over. Then carry_on_erasure() must follow. Nulls: no such user';

-- FUNCTION public.find_login(text)

CREATE FUNCTION public.find_login(wanted_email text, OUT user_id bigint, OUT password_hash text) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT u.id,
     u.password_hash
    FROM public.users u
   WHERE ((lower(u.email) = lower(find_login.wanted_email)) AND (u.erased_at IS NULL));
END;


ALTER FUNCTION public.find_login(wanted_email text, OUT user_id bigint, OUT password_hash text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.find_login(wanted_email text, OUT user_id bigint, OUT password_hash text) IS 'For the backend: whom an e-mail belongs to, and the hash to check the password against; nulls for nobody';

-- TABLE public.erasure_receipts

CREATE TABLE public.erasure_receipts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    erased_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    positions_deleted bigint DEFAULT 0 NOT NULL,
    redis_rows_deleted bigint DEFAULT 0 NOT NULL,
    sessions integer NOT NULL,
    sessions_ended integer NOT NULL,
    posts_deleted integer DEFAULT 0 NOT NULL,
    posts_kept integer DEFAULT 0 NOT NULL,
    feedback_kept integer DEFAULT 0 NOT NULL,
    trips_kept integer DEFAULT 0 NOT NULL,
    missions_deleted integer DEFAULT 0 NOT NULL,
    features_deleted integer DEFAULT 0 NOT NULL,
    CONSTRAINT erasure_receipts_times CHECK ((finished_at >= erased_at))
);


ALTER TABLE public.erasure_receipts OWNER TO partyline_owner;

COMMENT ON TABLE public.erasure_receipts IS 'Proof that somebody was erased. Nothing in it leads to the person: no number, no e-mail, and no hash of them, which could be tried out';

COMMENT ON COLUMN public.erasure_receipts.id IS 'Random; the person is given it';

COMMENT ON COLUMN public.erasure_receipts.erased_at IS 'From then on nothing of theirs could come any more';

COMMENT ON COLUMN public.erasure_receipts.finished_at IS 'When the last of it was gone, from Redis too; null until then';

COMMENT ON COLUMN public.erasure_receipts.positions_deleted IS 'Positions deleted, of all chunks';

COMMENT ON COLUMN public.erasure_receipts.redis_rows_deleted IS 'Positions that were on their way in Redis';

COMMENT ON COLUMN public.erasure_receipts.sessions IS 'Sessions they were in; their name is gone there';

COMMENT ON COLUMN public.erasure_receipts.sessions_ended IS 'Of these, live ones they hosted, which ended';

COMMENT ON COLUMN public.erasure_receipts.posts_deleted IS 'Doodles, and reviews that not everybody could read';

COMMENT ON COLUMN public.erasure_receipts.posts_kept IS 'Public reviews, which have no author now';

COMMENT ON COLUMN public.erasure_receipts.feedback_kept IS 'Feedback without author and words; the rating stays';

COMMENT ON COLUMN public.erasure_receipts.trips_kept IS 'Trips without owner, notes and times';

COMMENT ON COLUMN public.erasure_receipts.missions_deleted IS 'Missions of their queue';

COMMENT ON COLUMN public.erasure_receipts.features_deleted IS 'Sets of features computed of them';

-- FUNCTION public.finish_erasure(uuid, bigint)

CREATE FUNCTION public.finish_erasure(wanted uuid, redis_rows bigint) RETURNS SETOF public.erasure_receipts
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM erasures_pending p JOIN users u ON u.id = p.user_id WHERE p.receipt_id = wanted) THEN
        RAISE EXCEPTION 'the erasure has steps left: call carry_on_erasure() until it is false'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM erasures_pending WHERE receipt_id = wanted;
    UPDATE erasure_receipts SET finished_at = coalesce(finished_at, clock_timestamp()),
        redis_rows_deleted = redis_rows_deleted + redis_rows
    WHERE id = wanted;
    RETURN QUERY SELECT * FROM erasure_receipts WHERE id = wanted;
END
$$;


ALTER FUNCTION public.finish_erasure(wanted uuid, redis_rows bigint) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.finish_erasure(wanted uuid, redis_rows bigint) IS 'For the gateway, once Redis holds nothing of the user: forgets who it was, and gives the receipt';

-- FUNCTION public.flag_expired(integer, integer)

CREATE FUNCTION public.flag_expired(batch integer, keep_hours integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    due     record;
    reached timestamptz;
    flagged integer;
    room    integer := batch;
BEGIN
    IF batch IS NULL OR batch NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'batch must be from 1 to 1000000' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Chunks are looked up from the bookmark on, so flagged rows are never read again. A session that keeps
    -- as long as the server (keep_hours) is left to the drop of its chunk, which follows within a day.
    FOR due IN
        SELECT s.id, s.flagged_to, now() - make_interval(hours => s.ttl_hours) AS cutoff
        FROM party_sessions s
        WHERE s.flagged_to < now() - make_interval(hours => s.ttl_hours)
            AND s.flagged_to < coalesce(s.ended_at + INTERVAL '1 hour', 'infinity')
            AND s.started_at < now() - make_interval(hours => s.ttl_hours)
            AND (keep_hours IS NULL OR s.ttl_hours < keep_hours)
        ORDER BY s.flagged_to
        LIMIT batch
        FOR UPDATE SKIP LOCKED
    LOOP
        WITH old AS MATERIALIZED (
            SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p
            WHERE p.session_id = due.id AND p.recorded_at >= due.flagged_to AND p.recorded_at <= due.cutoff
                AND NOT p.ttl_expired
            ORDER BY p.recorded_at LIMIT room
        ), done AS (
            UPDATE party_positions p SET ttl_expired = true FROM old
            WHERE p.session_id = old.session_id AND p.user_id = old.user_id AND p.recorded_at = old.recorded_at
                AND p.recorded_at >= due.flagged_to AND p.recorded_at <= due.cutoff
            RETURNING p.recorded_at
        )
        SELECT count(*), max(recorded_at) INTO flagged, reached FROM done;
        UPDATE party_sessions SET flagged_to = CASE WHEN flagged < room THEN due.cutoff ELSE reached END
        WHERE id = due.id;
        room := room - flagged;
        EXIT WHEN room <= 0;
    END LOOP;
    RETURN batch - room;
END
$$;


ALTER FUNCTION public.flag_expired(batch integer, keep_hours integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.flag_expired(batch integer, keep_hours integer) IS 'For the keeper: sets ttl_expired on at most batch rows whose session''s own time-to-live has passed; returns how many';

-- TABLE public.trips

CREATE TABLE public.trips (
    id bigint NOT NULL,
    user_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    duration_min integer NOT NULL,
    budget_min integer,
    budget_max integer,
    freshness_score real,
    mode text NOT NULL,
    context_hash text,
    CONSTRAINT trips_budget_max_range CHECK ((budget_max >= 0)),
    CONSTRAINT trips_budget_min_range CHECK ((budget_min >= 0)),
    CONSTRAINT trips_budget_order CHECK ((budget_min <= budget_max)),
    CONSTRAINT trips_context_hash_form CHECK ((context_hash ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT trips_duration_range CHECK (((duration_min >= 1) AND (duration_min <= 20160))),
    CONSTRAINT trips_freshness_range CHECK (((freshness_score >= (0)::double precision) AND (freshness_score <= (1)::double precision))),
    CONSTRAINT trips_mode CHECK ((mode = ANY (ARRAY['walk'::text, 'transit'::text, 'bike'::text])))
);
ALTER TABLE ONLY public.trips ALTER COLUMN user_id SET STATISTICS 0;


ALTER TABLE public.trips OWNER TO partyline_owner;

COMMENT ON TABLE public.trips IS 'Courses: recommended to all, or made for one person';

COMMENT ON COLUMN public.trips.id IS 'Number of the trip';

COMMENT ON COLUMN public.trips.user_id IS 'Whose it is; null if recommended to all. Of an erased owner an anonymous user, so that it is not shown to all';

COMMENT ON COLUMN public.trips.created_at IS 'When it was proposed';

COMMENT ON COLUMN public.trips.duration_min IS 'Minutes from the first stop to the last';

COMMENT ON COLUMN public.trips.budget_min IS 'Least cost for one person, in the currency''s main unit';

COMMENT ON COLUMN public.trips.budget_max IS 'Most cost for one person';

COMMENT ON COLUMN public.trips.freshness_score IS 'How new its places and posts are, 0 to 1';

COMMENT ON COLUMN public.trips.mode IS 'walk, transit or bike';

COMMENT ON COLUMN public.trips.context_hash IS 'Fingerprint of time, budget and weather it was proposed for: SHA-256, hexadecimal';

-- FUNCTION public.hold_trip(bigint, bigint)

CREATE FUNCTION public.hold_trip(wanted_trip bigint, wanted_user bigint) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT true
    FROM public.trips t
   WHERE ((t.id = hold_trip.wanted_trip) AND ((t.user_id IS NULL) OR (t.user_id = hold_trip.wanted_user)))
  FOR KEY SHARE OF t;
END;


ALTER FUNCTION public.hold_trip(wanted_trip bigint, wanted_user bigint) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.hold_trip(wanted_trip bigint, wanted_user bigint) IS 'For the gateway: true for a trip that is recommended or the user''s own, and keeps it until the transaction ends; null for any other, there or not';

-- FUNCTION public.hold_user(bigint)

CREATE FUNCTION public.hold_user(wanted bigint) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT true
    FROM public.users
   WHERE ((users.id = hold_user.wanted) AND (users.erased_at IS NULL))
  FOR SHARE OF users;
END;


ALTER FUNCTION public.hold_user(wanted bigint) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.hold_user(wanted bigint) IS 'True for a user who is there, and keeps them from being erased until the transaction ends; null otherwise';

-- FUNCTION public.live_for()

CREATE FUNCTION public.live_for() RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '00:00:30'::interval;


ALTER FUNCTION public.live_for() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.live_for() IS 'How long a stream counts as live after a fix; the wire calls a member stale after the same time';

-- FUNCTION public.liveness_of_day(date)

CREATE FUNCTION public.liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision, OUT gaps bigint) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET work_mem TO '64MB'
    AS $$
    SELECT count(DISTINCT b.session_id), count(*) FILTER (WHERE b.next_at IS NULL),
        coalesce(sum(extract(epoch FROM least(b.next_at - b.at, live_for(),
            (wanted_day + 1)::timestamp AT TIME ZONE 'UTC' - b.at))), 0)::double precision,
        count(*) FILTER (WHERE b.next_at - b.at > live_for())
    FROM (
        SELECT n.session_id, n.user_id, n.at, lead(n.at) OVER (PARTITION BY n.session_id, n.user_id ORDER BY n.at) AS next_at
        FROM day_beats(wanted_day) n
    ) b
    $$;


ALTER FUNCTION public.liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision, OUT gaps bigint) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision, OUT gaps bigint) IS 'For metrics.session_liveness_daily: streams of a UTC day, cut at midnight';

-- FUNCTION public.maintain_partitions()

CREATE FUNCTION public.maintain_partitions() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    parent  text;
    private record;
BEGIN
    -- Keepers take turns, with each other's drops too.
    PERFORM pg_advisory_xact_lock(1346458196, -1);
    PERFORM make_positions_chunks(
        coalesce((SELECT min(range_start) FROM positions_chunks()), now() - INTERVAL '8 days'),
        now() + INTERVAL '7 days');
    FOR parent IN
        SELECT p.parent_table FROM partman.part_config p
        JOIN pg_class c ON c.oid = to_regclass(p.parent_table) AND c.relowner = 'partyline_owner'::regrole
        WHERE p.automatic_maintenance = 'on'
        ORDER BY p.parent_table
    LOOP
        PERFORM partman.run_maintenance(parent, p_jobmon => false);
    END LOOP;
    -- A column that has no statistics in the table must have none in a partition: a new one does not know.
    FOR private IN
        SELECT c.oid::regclass AS part, a.attname AS name
        FROM pg_class p
        JOIN pg_inherits i ON i.inhparent = p.oid
        JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'
        JOIN pg_attribute o ON o.attrelid = p.oid AND o.attstattarget = 0
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = o.attname AND a.attstattarget IS DISTINCT FROM 0
        WHERE p.relkind = 'p' AND p.relowner = 'partyline_owner'::regrole
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I SET STATISTICS 0', private.part, private.name);
    END LOOP;
END
$$;


ALTER FUNCTION public.maintain_partitions() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.maintain_partitions() IS 'What make_partitions_ahead() does, with the owner''s rights';

-- FUNCTION public.make_partitions_ahead()

CREATE FUNCTION public.make_partitions_ahead() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    callers text := pg_catalog.current_setting('search_path');
BEGIN
    PERFORM public.maintain_partitions();
    PERFORM pg_catalog.set_config('search_path', callers, false);
END
$$;


ALTER FUNCTION public.make_partitions_ahead() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.make_partitions_ahead() IS 'For the keeper: makes the partitions that the coming days and months need; at once when nothing is missing';

-- FUNCTION public.make_positions_chunks(timestamp with time zone, timestamp with time zone)

CREATE FUNCTION public.make_positions_chunks(from_at timestamp with time zone, to_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    missing timestamptz[] := ARRAY(
        SELECT day FROM generate_series(date_trunc('day', from_at), to_at, INTERVAL '1 day') AS day
        WHERE NOT EXISTS (SELECT FROM positions_chunks() k WHERE day >= k.range_start AND day < k.range_end)
        ORDER BY day);
BEGIN
    IF cardinality(missing) > 0 THEN
        PERFORM partman.create_partition_time('public.party_positions', missing);
    END IF;
END
$$;


ALTER FUNCTION public.make_positions_chunks(from_at timestamp with time zone, to_at timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.make_positions_chunks(from_at timestamp with time zone, to_at timestamp with time zone) IS 'The seam: makes the chunks that rows of this time need; a hypertable makes its own';

-- TABLE public.posts

CREATE TABLE public.posts (
    id bigint NOT NULL,
    user_id bigint,
    place_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    type text NOT NULL,
    visibility text DEFAULT 'public'::text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    body text NOT NULL,
    media_urls jsonb DEFAULT '[]'::jsonb NOT NULL,
    geofence public.geometry(Point,4326),
    text_embedding public.vector(384),
    CONSTRAINT posts_body_length CHECK (((length(body) >= 1) AND (length(body) <= 5000))),
    CONSTRAINT posts_doodle_expires CHECK (((type = 'doodle'::text) = (expires_at IS NOT NULL))),
    CONSTRAINT posts_doodle_has_fence CHECK (((type <> 'doodle'::text) OR (geofence IS NOT NULL))),
    CONSTRAINT posts_expires_after_creation CHECK ((expires_at > created_at)),
    CONSTRAINT posts_geofence_on_earth CHECK (((NOT public.st_isempty(geofence)) AND ((public.st_x(geofence) >= ('-180'::integer)::double precision) AND (public.st_x(geofence) <= (180)::double precision)) AND ((public.st_y(geofence) >= ('-90'::integer)::double precision) AND (public.st_y(geofence) <= (90)::double precision)))),
    CONSTRAINT posts_media_urls_list CHECK (((jsonb_typeof(media_urls) = 'array'::text) AND (NOT jsonb_path_exists(media_urls, '$[*]?(@.type() != "string")'::jsonpath)))),
    CONSTRAINT posts_status CHECK ((status = ANY (ARRAY['pending'::text, 'published'::text, 'hidden'::text, 'removed'::text]))),
    CONSTRAINT posts_type CHECK ((type = ANY (ARRAY['review'::text, 'doodle'::text]))),
    CONSTRAINT posts_visibility CHECK ((visibility = ANY (ARRAY['public'::text, 'private'::text])))
)
PARTITION BY RANGE (created_at);
ALTER TABLE ONLY public.posts ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY public.posts ALTER COLUMN body SET STATISTICS 0;
ALTER TABLE ONLY public.posts ALTER COLUMN media_urls SET STATISTICS 0;
ALTER TABLE ONLY public.posts ALTER COLUMN geofence SET STATISTICS 0;
ALTER TABLE ONLY public.posts ALTER COLUMN text_embedding SET STATISTICS 0;


ALTER TABLE public.posts OWNER TO partyline_owner;

COMMENT ON TABLE public.posts IS 'Reviews and doodles, one partition a month';

COMMENT ON COLUMN public.posts.id IS 'Number of the post; with created_at its key, because a partition''s key holds its month';

COMMENT ON COLUMN public.posts.user_id IS 'Its author; null once the author is erased';

COMMENT ON COLUMN public.posts.place_id IS 'The place it is about, if any';

COMMENT ON COLUMN public.posts.created_at IS 'When it was written; decides its month';

COMMENT ON COLUMN public.posts.expires_at IS 'Doodles only: from then on nobody sees it, and the keeper deletes it';

COMMENT ON COLUMN public.posts.type IS 'review or doodle';

COMMENT ON COLUMN public.posts.visibility IS 'public, or private to its author';

COMMENT ON COLUMN public.posts.status IS 'Moderation: pending, published, hidden or removed';

COMMENT ON COLUMN public.posts.body IS 'Text';

COMMENT ON COLUMN public.posts.media_urls IS 'Addresses of images; emptied when the author is erased';

COMMENT ON COLUMN public.posts.geofence IS 'Where a doodle lies, WGS 84; its author was within 150 m';

COMMENT ON COLUMN public.posts.text_embedding IS 'Text as a vector, compared by cosine';

-- FUNCTION public.moderate_post(bigint, timestamp with time zone, text)

CREATE FUNCTION public.moderate_post(wanted bigint, wanted_created_at timestamp with time zone, new_status text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 UPDATE public.posts SET status = moderate_post.new_status
   WHERE ((posts.id = moderate_post.wanted) AND (posts.created_at = moderate_post.wanted_created_at))
   RETURNING true;
END;


ALTER FUNCTION public.moderate_post(wanted bigint, wanted_created_at timestamp with time zone, new_status text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.moderate_post(wanted bigint, wanted_created_at timestamp with time zone, new_status text) IS 'For the backend: sets a post''s moderation state; null when there is no such post';

-- FUNCTION public.months_of(text)

CREATE FUNCTION public.months_of(wanted text) RETURNS TABLE(part regclass, range_start timestamp with time zone, range_end timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT format('%I.%I', s.partition_schemaname, s.partition_tablename)::regclass, i.child_start_time, i.child_end_time
    FROM partman.show_partitions('public.' || wanted) s
    CROSS JOIN LATERAL partman.show_partition_info(s.partition_schemaname || '.' || s.partition_tablename,
        p_parent_table => 'public.' || wanted) i
    $$;


ALTER FUNCTION public.months_of(wanted text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.months_of(wanted text) IS 'The monthly partitions of posts or feedback, with their range';

-- FUNCTION public.months_state(text)

CREATE FUNCTION public.months_state(wanted text, OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(m.range_start)
    FROM months_of(wanted) m JOIN pg_class c ON c.oid = m.part
    $$;


ALTER FUNCTION public.months_state(wanted text, OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.months_state(wanted text, OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) IS 'posts or feedback now: partitions, estimated rows, bytes, where the oldest begins';

-- FUNCTION public.party_track(bigint, bigint[], timestamp with time zone, timestamp with time zone, integer)

CREATE FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) RETURNS TABLE(user_id bigint, recorded_at timestamp with time zone, fix_offset_ms smallint, lat double precision, lon double precision, accuracy_m real, "precision" public.precision_level)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT p.user_id,
     p.recorded_at,
     p.fix_offset_ms,
     public.st_y(p.loc) AS st_y,
     public.st_x(p.loc) AS st_x,
     p.accuracy_m,
     p."precision"
    FROM (((public.party_sessions s
      JOIN public.party_members m ON ((m.session_id = s.id)))
      JOIN public.users u ON ((u.id = m.user_id)))
      JOIN public.party_positions p ON (((p.session_id = s.id) AND (p.user_id = m.user_id))))
   WHERE ((s.id = party_track.wanted_session) AND ((party_track.wanted_users IS NULL) OR (m.user_id = ANY (party_track.wanted_users))) AND (u.erased_at IS NULL) AND (public.coarsest_of(s."precision", m."precision", u.privacy_level, u.location_opt_in) <> 'private'::public.precision_level) AND (NOT p.ttl_expired) AND (p.recorded_at > (now() - make_interval(hours => s.ttl_hours))) AND ((p.recorded_at >= (party_track.from_at - '00:00:05'::interval)) AND (p.recorded_at <= party_track.to_at)) AND (((p.recorded_at + ((p.fix_offset_ms)::double precision * '00:00:00.001'::interval)) >= party_track.from_at) AND ((p.recorded_at + ((p.fix_offset_ms)::double precision * '00:00:00.001'::interval)) <= party_track.to_at)))
   ORDER BY p.recorded_at, p.fix_offset_ms, p.user_id
  LIMIT party_track.at_most;
END;


ALTER FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) IS 'For the gateway: unexpired rows as stored, oldest first; it coarsens them with its secret grid. Nothing of who is private now';

-- FUNCTION public.positions_begin()

CREATE FUNCTION public.positions_begin() RETURNS timestamp with time zone
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT coalesce(min(range_start), '-infinity') FROM positions_chunks()
    $$;


ALTER FUNCTION public.positions_begin() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.positions_begin() IS 'The seam: rows from before have no chunk and must not get one; -infinity where any row gets one';

-- FUNCTION public.positions_chunks()

CREATE FUNCTION public.positions_chunks(OUT chunk regclass, OUT range_start timestamp with time zone, OUT range_end timestamp with time zone) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT c.oid::regclass, (regexp_match(b.bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz,
        (regexp_match(b.bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
    WHERE i.inhparent = 'public.party_positions'::regclass
    $$;


ALTER FUNCTION public.positions_chunks(OUT chunk regclass, OUT range_start timestamp with time zone, OUT range_end timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.positions_chunks(OUT chunk regclass, OUT range_start timestamp with time zone, OUT range_end timestamp with time zone) IS 'The seam: the chunks of party_positions (a hypertable''s chunks, or partitions), and from when to when each reaches';

-- FUNCTION public.positions_kind()

CREATE FUNCTION public.positions_kind() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT CASE relkind WHEN 'p' THEN 'native' ELSE 'hypertable' END
    FROM pg_class WHERE oid = 'public.party_positions'::regclass
    $$;


ALTER FUNCTION public.positions_kind() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.positions_kind() IS 'hypertable or native: what party_positions was made as, for later migrations';

-- FUNCTION public.positions_state()

CREATE FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(k.range_start)
    FROM positions_chunks() k
    JOIN pg_class c ON c.oid = k.chunk
    $$;


ALTER FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) IS 'party_positions now: chunks, estimated rows, bytes, where the oldest chunk begins';

-- FUNCTION public.propose_tag(bigint, real, bigint, bigint, timestamp with time zone)

CREATE FUNCTION public.propose_tag(wanted_tag bigint, sureness real, wanted_place bigint DEFAULT NULL::bigint, wanted_post bigint DEFAULT NULL::bigint, wanted_post_created_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    bar tag_thresholds;
BEGIN
    IF sureness IS NULL OR sureness NOT BETWEEN 0 AND 1 OR num_nonnulls(wanted_place, wanted_post) <> 1 THEN
        RAISE EXCEPTION 'a tag is proposed for one place or one post, with a confidence from 0 to 1'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT b.* INTO bar FROM tags t JOIN tag_thresholds b ON b.type = t.type WHERE t.id = wanted_tag;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such tag' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF sureness < bar.threshold - bar.margin THEN
        RETURN 'dropped';
    END IF;
    IF sureness <= bar.threshold + bar.margin THEN
        -- What a person has decided already is not asked again.
        INSERT INTO tag_reviews (place_id, post_id, post_created_at, tag_id, confidence)
        VALUES (wanted_place, wanted_post, wanted_post_created_at, wanted_tag, sureness)
        ON CONFLICT DO NOTHING;
        RETURN 'queued';
    END IF;
    PERFORM set_tag(wanted_tag, sureness, wanted_place, wanted_post, wanted_post_created_at);
    RETURN 'set';
END
$$;


ALTER FUNCTION public.propose_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.propose_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) IS 'For automatic tagging: sets the tag, queues it for a person, or drops it, by tag_thresholds; says which';

-- FUNCTION public.record_failed_drop(integer, text)

CREATE FUNCTION public.record_failed_drop(ttl_hours integer, reason text) RETURNS SETOF public.retention_runs
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    INSERT INTO retention_runs (started_at, duration_ms, cutoff, chunks_before, chunks_after, rows_before,
        rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows, error)
    SELECT now(), 0, now() - make_interval(hours => ttl_hours), s.chunks, s.chunks, s.rows, s.rows, s.bytes,
        s.bytes, s.oldest, s.oldest, '{}', 0, left(reason, 200)
    FROM positions_state() s
    RETURNING *
    $$;


ALTER FUNCTION public.record_failed_drop(ttl_hours integer, reason text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.record_failed_drop(ttl_hours integer, reason text) IS 'For the keeper: records that a drop did not happen, and why';

-- FUNCTION public.record_failed_month(text, text)

CREATE FUNCTION public.record_failed_month(wanted text, reason text) RETURNS SETOF public.retention_runs
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    INSERT INTO retention_runs (table_name, started_at, duration_ms, cutoff, chunks_before, chunks_after,
        rows_before, rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks,
        dropped_rows, error)
    SELECT k.table_name, now(), 0, date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        - make_interval(months => k.keep_months), s.chunks, s.chunks, s.rows, s.rows, s.bytes, s.bytes, s.oldest,
        s.oldest, '{}', 0, left(reason, 200)
    FROM month_keeping k CROSS JOIN LATERAL months_state(k.table_name) s
    WHERE k.table_name = wanted AND k.keep_months IS NOT NULL
    RETURNING *
    $$;


ALTER FUNCTION public.record_failed_month(wanted text, reason text) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.record_failed_month(wanted text, reason text) IS 'For the keeper: records that a month of posts or feedback was not dropped, and why';

-- FUNCTION public.search_posts(text, timestamp with time zone, timestamp with time zone, integer)

CREATE FUNCTION public.search_posts(wanted text, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS TABLE(id bigint, created_at timestamp with time zone, place_id bigint, body text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    term text := btrim(wanted);
BEGIN
    IF coalesce(length(term), 0) NOT BETWEEN 2 AND 100 THEN
        RAISE EXCEPTION 'a search needs 2 to 100 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since IS NULL OR until IS NULL OR since >= until OR until > since + INTERVAL '13 months' THEN
        RAISE EXCEPTION 'a search needs a time from and a later one to, at most 13 months apart'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF most IS NULL OR most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a search gives 1 to 1000 posts' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF length(term) > 2 THEN
        RETURN QUERY
        SELECT p.id, p.created_at, p.place_id, p.body FROM posts p
        WHERE p.body ILIKE '%' || regexp_replace(term, '([\\%_])', '\\\1', 'g') || '%'
            AND p.created_at >= since AND p.created_at < until
            AND p.status = 'published' AND p.visibility = 'public' AND (p.expires_at IS NULL OR p.expires_at > now())
        ORDER BY p.created_at DESC, p.id DESC LIMIT most;
    ELSE
        -- Inside a word, two characters have no trigram; at the beginning of one they have two of their three.
        RETURN QUERY
        SELECT p.id, p.created_at, p.place_id, p.body FROM posts p
        WHERE term <% p.body
            AND p.created_at >= since AND p.created_at < until
            AND p.status = 'published' AND p.visibility = 'public' AND (p.expires_at IS NULL OR p.expires_at > now())
        ORDER BY p.created_at DESC, p.id DESC LIMIT most;
    END IF;
END
$$;


ALTER FUNCTION public.search_posts(wanted text, since timestamp with time zone, until timestamp with time zone, most integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.search_posts(wanted text, since timestamp with time zone, until timestamp with time zone, most integer) IS 'Public posts of these months that have the words anywhere (3 characters or more) or a word that begins with them (2), newest first';

-- FUNCTION public.session_accuracy(bigint, bigint[])

CREATE FUNCTION public.session_accuracy(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, mean_accuracy_m double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET work_mem TO '64MB'
    AS $$
    SELECT w.user_id, sum(w.accuracy_m * w.held_s) / nullif(sum(w.held_s), 0)
    FROM (
        SELECT s.user_id, s.accuracy_m,
            extract(epoch FROM lead(s.at) OVER (PARTITION BY s.user_id, s.stretch ORDER BY s.at) - s.at)::double precision AS held_s
        FROM session_stretches(wanted_session, wanted_users) s
    ) w
    GROUP BY w.user_id
    $$;


ALTER FUNCTION public.session_accuracy(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_accuracy(wanted_session bigint, wanted_users bigint[]) IS 'For the gateway: mean accuracy of what may be told, each held until the next fix, not across gaps; null for who has no two fixes in a row';

-- FUNCTION public.session_beats(bigint, bigint[])

CREATE FUNCTION public.session_beats(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, at timestamp with time zone)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT f.user_id,
     (f.at + e.after)
    FROM (public.session_fixes(session_beats.wanted_session, session_beats.wanted_users) f(user_id, at, beat, tells_place, stored, accuracy_m, loc, written_by)
      CROSS JOIN LATERAL unnest(
         CASE
             WHEN f.beat THEN ARRAY['00:00:00'::interval, '00:00:30'::interval, '00:01:00'::interval]
             ELSE ARRAY['00:00:00'::interval]
         END) e(after));
END;


ALTER FUNCTION public.session_beats(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_beats(wanted_session bigint, wanted_users bigint[]) IS 'Heartbeats of the members'' streams, each live for live_for(). A rough position gives three, for its beat of 60 s and the time after it';

-- FUNCTION public.session_delays(bigint, bigint[])

CREATE FUNCTION public.session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET work_mem TO '64MB'
    AS $$
    SELECT p.counted, p.p50_ms, p.p95_ms, p.p99_ms
    FROM (
        SELECT array_agg(c.bucket) AS buckets, array_agg(c.held) AS counts
        FROM (
            SELECT delay_bucket(d.delay_ms) AS bucket, count(*) AS held
            FROM delays_of(wanted_session, wanted_users) d
            GROUP BY 1
        ) c
    ) a
    CROSS JOIN LATERAL bucket_percentiles(a.buckets, a.counts) p
    $$;


ALTER FUNCTION public.session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) IS 'For the gateway: percentiles of the time from fix to commit, milliseconds, within delay_error(); and of how many rows';

-- FUNCTION public.session_distances(bigint, bigint[])

CREATE FUNCTION public.session_distances(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, distance_m double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET work_mem TO '64MB'
    BEGIN ATOMIC
 SELECT s.user_id,
     COALESCE(sum(public.st_distancesphere(s.loc, s.next_loc)) FILTER (WHERE ((s.next_at - s.at) <= public.bridged_for(s.beat))), (0)::double precision) AS "coalesce"
    FROM ( SELECT f.user_id,
             f.at,
             f.beat,
             f.loc,
             lead(f.at) OVER w AS next_at,
             lead(f.loc) OVER w AS next_loc
            FROM public.session_fixes(session_distances.wanted_session, session_distances.wanted_users) f(user_id, at, beat, tells_place, stored, accuracy_m, loc, written_by)
           WHERE f.tells_place
           WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)) s
   GROUP BY s.user_id;
END;


ALTER FUNCTION public.session_distances(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_distances(wanted_session bigint, wanted_users bigint[]) IS 'For the gateway: metres along the positions that may be told, not across gaps';

-- FUNCTION public.session_live_ranges(bigint, bigint[])

CREATE FUNCTION public.session_live_ranges(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, from_at timestamp with time zone, to_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET work_mem TO '64MB'
    AS $$
    -- Only the beats at the ends of ranges are left for the outer window: a range's first, then its last.
    SELECT r.user_id, r.from_at, r.to_at
    FROM (
        SELECT e.user_id, e.begins, e.at AS from_at,
            live_for() + CASE WHEN e.ends THEN e.at
                ELSE lead(e.at) OVER (PARTITION BY e.user_id ORDER BY e.at, e.ends) END AS to_at
        FROM (
            SELECT b.user_id, b.at, b.at - lag(b.at) OVER w > live_for() IS NOT FALSE AS begins,
                lead(b.at) OVER w - b.at > live_for() IS NOT FALSE AS ends
            FROM session_beats(wanted_session, wanted_users) b
            WINDOW w AS (PARTITION BY b.user_id ORDER BY b.at)
        ) e
        WHERE e.begins OR e.ends
    ) r
    WHERE r.begins
    $$;


ALTER FUNCTION public.session_live_ranges(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_live_ranges(wanted_session bigint, wanted_users bigint[]) IS 'For the gateway: from when to when each member''s stream was live; between two of a member lies a gap';

-- FUNCTION public.session_spans(bigint, bigint[])

CREATE FUNCTION public.session_spans(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, fixes bigint, first_at timestamp with time zone, last_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET work_mem TO '64MB'
    BEGIN ATOMIC
 SELECT f.user_id,
     (count(*) FILTER (WHERE (NOT f.beat)) + count(DISTINCT f.at) FILTER (WHERE f.beat)),
     min(f.at) AS min,
     max(f.at) AS max
    FROM public.session_fixes(session_spans.wanted_session, session_spans.wanted_users) f(user_id, at, beat, tells_place, stored, accuracy_m, loc, written_by)
   GROUP BY f.user_id;
END;


ALTER FUNCTION public.session_spans(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_spans(wanted_session bigint, wanted_users bigint[]) IS 'For the gateway: of each member who is not private now and has fixes, how many, the first and the last';

-- FUNCTION public.spot_radius_m()

CREATE FUNCTION public.spot_radius_m() RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 100.0;


ALTER FUNCTION public.spot_radius_m() OWNER TO partyline_owner;

COMMENT ON FUNCTION public.spot_radius_m() IS 'Who is no further from a place is at it, metres; for a rough position its own accuracy, if that is more';

-- TABLE public.places

CREATE TABLE public.places (
    id bigint NOT NULL,
    source_id bigint,
    geo public.geometry(Point,4326) NOT NULL,
    last_synced_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    stay_min integer,
    congestion_score real,
    is_active boolean DEFAULT true NOT NULL,
    name text NOT NULL,
    external_ref text,
    category text NOT NULL,
    address text,
    district text,
    cost_band text,
    hours jsonb DEFAULT '{}'::jsonb NOT NULL,
    mood_scores jsonb DEFAULT '{}'::jsonb NOT NULL,
    text_embedding public.vector(384),
    CONSTRAINT places_category_length CHECK (((length(category) >= 1) AND (length(category) <= 64))),
    CONSTRAINT places_congestion_range CHECK (((congestion_score >= (0)::double precision) AND (congestion_score <= (1)::double precision))),
    CONSTRAINT places_cost_band CHECK ((cost_band = ANY (ARRAY['free'::text, 'low'::text, 'medium'::text, 'high'::text]))),
    CONSTRAINT places_external_ref_has_source CHECK (((external_ref IS NULL) OR (source_id IS NOT NULL))),
    CONSTRAINT places_external_ref_length CHECK (((length(external_ref) >= 1) AND (length(external_ref) <= 200))),
    CONSTRAINT places_geo_on_earth CHECK (((NOT public.st_isempty(geo)) AND ((public.st_x(geo) >= ('-180'::integer)::double precision) AND (public.st_x(geo) <= (180)::double precision)) AND ((public.st_y(geo) >= ('-90'::integer)::double precision) AND (public.st_y(geo) <= (90)::double precision)))),
    CONSTRAINT places_hours_object CHECK ((jsonb_typeof(hours) = 'object'::text)),
    CONSTRAINT places_mood_scores_range CHECK (((jsonb_typeof(mood_scores) = 'object'::text) AND (NOT jsonb_path_exists(mood_scores, '$.*?((@.type() != "number" || @ < 0) || @ > 1)'::jsonpath)))),
    CONSTRAINT places_name_length CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT places_stay_range CHECK (((stay_min >= 1) AND (stay_min <= 1440)))
);


ALTER TABLE public.places OWNER TO partyline_owner;

COMMENT ON TABLE public.places IS 'Places that a trip can stop at';

COMMENT ON COLUMN public.places.id IS 'Number of the place';

COMMENT ON COLUMN public.places.source_id IS 'Where it was collected; null if entered by hand';

COMMENT ON COLUMN public.places.geo IS 'WGS 84';

COMMENT ON COLUMN public.places.last_synced_at IS 'When the source was last compared';

COMMENT ON COLUMN public.places.created_at IS 'When the row was made';

COMMENT ON COLUMN public.places.stay_min IS 'Usual stay, minutes';

COMMENT ON COLUMN public.places.congestion_score IS 'How crowded it usually is, 0 to 1; days are in place_congestion_daily';

COMMENT ON COLUMN public.places.is_active IS 'False: closed for good, or not to be recommended';

COMMENT ON COLUMN public.places.name IS 'As signs say it';

COMMENT ON COLUMN public.places.external_ref IS 'The source''s own key';

COMMENT ON COLUMN public.places.category IS 'Café, park, museum …';

COMMENT ON COLUMN public.places.address IS 'Postal address';

COMMENT ON COLUMN public.places.district IS 'Part of the town';

COMMENT ON COLUMN public.places.cost_band IS 'free, low, medium or high';

COMMENT ON COLUMN public.places.hours IS 'Opening hours: day of the week to list of [from, to]';

COMMENT ON COLUMN public.places.mood_scores IS 'Atmosphere (quiet, lively, vintage …) to a score from 0 to 1';

COMMENT ON COLUMN public.places.text_embedding IS 'Description as a vector, compared by cosine';

-- TABLE public.trip_nodes

CREATE TABLE public.trip_nodes (
    id bigint NOT NULL,
    trip_id bigint NOT NULL,
    place_id bigint NOT NULL,
    eta timestamp with time zone,
    sequence integer NOT NULL,
    planned_stay_min integer,
    transition_mode text,
    notes text,
    CONSTRAINT trip_nodes_notes_length CHECK ((length(notes) <= 2000)),
    CONSTRAINT trip_nodes_sequence_range CHECK (((sequence >= 1) AND (sequence <= 1000))),
    CONSTRAINT trip_nodes_stay_range CHECK (((planned_stay_min >= 0) AND (planned_stay_min <= 1440))),
    CONSTRAINT trip_nodes_transition_mode CHECK ((transition_mode = ANY (ARRAY['walk'::text, 'transit'::text, 'bike'::text])))
);


ALTER TABLE public.trip_nodes OWNER TO partyline_owner;

COMMENT ON TABLE public.trip_nodes IS 'The stops of a trip, in order';

COMMENT ON COLUMN public.trip_nodes.id IS 'Number of the stop';

COMMENT ON COLUMN public.trip_nodes.trip_id IS 'The trip';

COMMENT ON COLUMN public.trip_nodes.place_id IS 'Where it stops';

COMMENT ON COLUMN public.trip_nodes.eta IS 'Planned time of arrival; removed when the trip''s owner is erased';

COMMENT ON COLUMN public.trip_nodes.sequence IS 'Order in the trip, from 1; unique in it';

COMMENT ON COLUMN public.trip_nodes.planned_stay_min IS 'Recommended stay, minutes';

COMMENT ON COLUMN public.trip_nodes.transition_mode IS 'How to get there from the stop before: walk, transit or bike';

COMMENT ON COLUMN public.trip_nodes.notes IS 'Free text; removed when the trip''s owner is erased';

-- FUNCTION public.session_spots(bigint, bigint[])

CREATE FUNCTION public.session_spots(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, sequence integer, place text, planned_stay_min integer, nearest_m double precision, arrived_at timestamp with time zone, left_at timestamp with time zone, stay_s double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET work_mem TO '64MB'
    BEGIN ATOMIC
 WITH spot AS MATERIALIZED (
          SELECT n.sequence,
             c.name,
             n.planned_stay_min,
             c.geo
            FROM ((public.party_sessions s
              JOIN public.trip_nodes n ON ((n.trip_id = s.trip_id)))
              JOIN public.places c ON ((c.id = n.place_id)))
           WHERE (s.id = session_spots.wanted_session)
         ), step AS (
          SELECT f.user_id,
             f.at,
             f.loc,
             f.beat,
             GREATEST(public.spot_radius_m(), (
                 CASE
                     WHEN (f.stored = 'rough'::public.precision_level) THEN f.accuracy_m
                     ELSE NULL::real
                 END)::double precision) AS radius_m,
             lead(f.at) OVER w AS next_at,
             lead(f.loc) OVER w AS next_loc,
             lead(GREATEST(public.spot_radius_m(), (
                 CASE
                     WHEN (f.stored = 'rough'::public.precision_level) THEN f.accuracy_m
                     ELSE NULL::real
                 END)::double precision)) OVER w AS next_radius_m
            FROM public.session_fixes(session_spots.wanted_session, session_spots.wanted_users) f(user_id, at, beat, tells_place, stored, accuracy_m, loc, written_by)
           WHERE (f.tells_place AND (( SELECT count(*) AS count
                    FROM spot) > 0))
           WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)
         ), near AS (
          SELECT t.user_id,
             t.at,
             t.loc,
             t.beat,
             t.radius_m,
             t.next_at,
             t.next_loc,
             t.next_radius_m,
             p_1.sequence,
             p_1.geo,
             d.away_m
            FROM ((step t
              CROSS JOIN spot p_1)
              CROSS JOIN LATERAL ( SELECT public.st_distancesphere(t.loc, p_1.geo) AS away_m
                  OFFSET 0) d)
         ), stay AS (
          SELECT n.user_id,
             n.sequence,
             min(n.away_m) AS nearest_m,
             min(n.at) FILTER (WHERE (n.away_m <= n.radius_m)) AS arrived_at,
             max(n.at) FILTER (WHERE (n.away_m <= n.radius_m)) AS left_at,
             (COALESCE(sum(EXTRACT(epoch FROM (n.next_at - n.at))) FILTER (WHERE ((n.away_m <= n.radius_m) AND ((n.next_at - n.at) <= public.bridged_for(n.beat)) AND (public.st_distancesphere(n.next_loc, n.geo) <= n.next_radius_m))), (0)::numeric))::double precision AS stay_s
            FROM near n
           GROUP BY n.user_id, n.sequence
         )
  SELECT y.user_id,
     p.sequence,
     p.name,
     p.planned_stay_min,
     y.nearest_m,
     y.arrived_at,
     y.left_at,
     y.stay_s
    FROM (stay y
      JOIN spot p ON ((p.sequence = y.sequence)));
END;


ALTER FUNCTION public.session_spots(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_spots(wanted_session bigint, wanted_users bigint[]) IS 'For the gateway: of each member and stop of the session''s trip, how near they came, the first and last fix there, and for how long two fixes in a row were there without a gap';

-- FUNCTION public.session_stretches(bigint, bigint[])

CREATE FUNCTION public.session_stretches(wanted_session bigint, wanted_users bigint[]) RETURNS TABLE(user_id bigint, stretch bigint, at timestamp with time zone, accuracy_m double precision)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT n.user_id,
     count(*) FILTER (WHERE n.begins) OVER (PARTITION BY n.user_id ORDER BY n.at) AS count,
     n.at,
     n.accuracy_m
    FROM ( SELECT f.user_id,
             f.at,
             (f.accuracy_m)::double precision AS accuracy_m,
             (((f.at - lag(f.at) OVER w) > public.bridged_for(lag(f.beat) OVER w)) IS NOT FALSE) AS begins
            FROM public.session_fixes(session_stretches.wanted_session, session_stretches.wanted_users) f(user_id, at, beat, tells_place, stored, accuracy_m, loc, written_by)
           WHERE (f.tells_place AND (f.accuracy_m IS NOT NULL))
           WINDOW w AS (PARTITION BY f.user_id ORDER BY f.at)) n;
END;


ALTER FUNCTION public.session_stretches(wanted_session bigint, wanted_users bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.session_stretches(wanted_session bigint, wanted_users bigint[]) IS 'Accuracies that may be told, in numbered stretches without a gap, so that none is carried over one';

-- TABLE public.place_tags

CREATE TABLE public.place_tags (
    place_id bigint NOT NULL,
    tag_id bigint NOT NULL,
    weight real DEFAULT 1 NOT NULL,
    confidence real,
    CONSTRAINT place_tags_confidence_range CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT place_tags_weight_range CHECK (((weight >= (0)::double precision) AND (weight <= (1)::double precision)))
);


ALTER TABLE public.place_tags OWNER TO partyline_owner;

COMMENT ON TABLE public.place_tags IS 'Tags of places';

COMMENT ON COLUMN public.place_tags.place_id IS 'The place';

COMMENT ON COLUMN public.place_tags.tag_id IS 'The tag';

COMMENT ON COLUMN public.place_tags.weight IS 'How much it applies, 0 to 1';

COMMENT ON COLUMN public.place_tags.confidence IS 'How sure automatic tagging was, 0 to 1; null if a person set it';

-- TABLE public.post_tags

CREATE TABLE public.post_tags (
    post_id bigint NOT NULL,
    tag_id bigint NOT NULL,
    post_created_at timestamp with time zone NOT NULL,
    confidence real,
    CONSTRAINT post_tags_confidence_range CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision)))
);


ALTER TABLE public.post_tags OWNER TO partyline_owner;

COMMENT ON TABLE public.post_tags IS 'Tags of posts';

COMMENT ON COLUMN public.post_tags.post_id IS 'The post';

COMMENT ON COLUMN public.post_tags.tag_id IS 'The tag';

COMMENT ON COLUMN public.post_tags.post_created_at IS 'The post''s created_at: a foreign key to a partitioned table needs it';

COMMENT ON COLUMN public.post_tags.confidence IS 'How sure automatic tagging was, 0 to 1; null if a person set it';

-- FUNCTION public.set_tag(bigint, real, bigint, bigint, timestamp with time zone)

CREATE FUNCTION public.set_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    BEGIN ATOMIC
 INSERT INTO public.place_tags (place_id, tag_id, weight, confidence)  SELECT set_tag.wanted_place AS wanted_place,
             set_tag.wanted_tag AS wanted_tag,
             set_tag.sureness AS sureness,
             set_tag.sureness AS sureness
           WHERE (set_tag.wanted_place IS NOT NULL) ON CONFLICT DO NOTHING;
 INSERT INTO public.post_tags (post_id, tag_id, post_created_at, confidence)  SELECT set_tag.wanted_post AS wanted_post,
             set_tag.wanted_tag AS wanted_tag,
             set_tag.wanted_post_created_at AS wanted_post_created_at,
             set_tag.sureness AS sureness
           WHERE (set_tag.wanted_post IS NOT NULL) ON CONFLICT DO NOTHING;
END;


ALTER FUNCTION public.set_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.set_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) IS 'Sets an automatic tag; one that is there already stays as it is';

-- FUNCTION public.take_fence(integer)

CREATE FUNCTION public.take_fence(shard integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
    FOR attempt IN 1..5 LOOP
        BEGIN
            PERFORM pg_advisory_xact_lock(1346458196, shard);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_terminate_backend(l.pid)
            FROM pg_locks l
            JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
            JOIN pg_stat_activity a ON a.pid = l.pid AND a.usename = 'partyline_writer'
            WHERE l.locktype = 'advisory' AND l.classid = 1346458196 AND l.objid = shard AND l.objsubid = 2
                AND l.mode = 'ShareLock' AND l.granted;
        END;
    END LOOP;
    RAISE EXCEPTION 'shard % is held by somebody else than a writer', shard USING ERRCODE = 'lock_not_available';
END
$$;


ALTER FUNCTION public.take_fence(shard integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.take_fence(shard integer) IS 'For the gateway: the exclusive side of a shard''s fence, until the transaction ends';

-- FUNCTION public.unfinished_erasures(interval)

CREATE FUNCTION public.unfinished_erasures(older_than interval) RETURNS TABLE(receipt uuid, began timestamp with time zone, user_id bigint, session_ids bigint[], ended_session_ids bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT p.receipt_id, r.erased_at, p.user_id, p.session_ids, p.ended_session_ids
    FROM erasures_pending p JOIN erasure_receipts r ON r.id = p.receipt_id
    WHERE r.erased_at <= now() - older_than
    ORDER BY r.erased_at
    $$;


ALTER FUNCTION public.unfinished_erasures(older_than interval) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.unfinished_erasures(older_than interval) IS 'For the gateway: erasures that began so long ago and were not finished, as erase_user() gave them';

-- TABLE feature_store.user_trip_features

CREATE TABLE feature_store.user_trip_features (
    user_id bigint NOT NULL,
    computed_at timestamp with time zone DEFAULT now() NOT NULL,
    feature_set text NOT NULL,
    features jsonb NOT NULL,
    CONSTRAINT user_trip_features_object CHECK ((jsonb_typeof(features) = 'object'::text)),
    CONSTRAINT user_trip_features_set_length CHECK (((length(feature_set) >= 1) AND (length(feature_set) <= 64)))
);
ALTER TABLE ONLY feature_store.user_trip_features ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY feature_store.user_trip_features ALTER COLUMN features SET STATISTICS 0;


ALTER TABLE feature_store.user_trip_features OWNER TO partyline_owner;

COMMENT ON TABLE feature_store.user_trip_features IS 'A person''s preferences and a summary of their last feedback; deleted when they are erased';

COMMENT ON COLUMN feature_store.user_trip_features.user_id IS 'The person';

COMMENT ON COLUMN feature_store.user_trip_features.computed_at IS 'When';

COMMENT ON COLUMN feature_store.user_trip_features.feature_set IS 'Name and version of the set';

COMMENT ON COLUMN feature_store.user_trip_features.features IS 'Name to value';

-- VIEW metrics.commit_delay_daily

CREATE VIEW metrics.commit_delay_daily WITH (security_barrier='true') AS
 SELECT d.day,
    c.counted AS fixes,
    c.p50_ms,
    c.p95_ms,
    c.p99_ms
   FROM (( SELECT (((now() AT TIME ZONE 'UTC'::text))::date - n.ago) AS day
           FROM generate_series(0, ( SELECT ((max(s.ttl_hours) / 24) + 1)
                   FROM public.party_sessions s)) n(ago)) d
     CROSS JOIN LATERAL public.delay_of_day(d.day) c(counted, p50_ms, p95_ms, p99_ms))
  WHERE (c.counted > 0);


ALTER VIEW metrics.commit_delay_daily OWNER TO partyline_views;

COMMENT ON VIEW metrics.commit_delay_daily IS 'One row for each UTC day: from fix to commit, of exact rows. Empty where track_commit_timestamp is off. Ask for a day: each one reads a whole day of positions';

COMMENT ON COLUMN metrics.commit_delay_daily.day IS 'UTC day of the fixes';

COMMENT ON COLUMN metrics.commit_delay_daily.fixes IS 'Rows whose commit the server still knows';

COMMENT ON COLUMN metrics.commit_delay_daily.p50_ms IS 'Half of them took no longer, milliseconds';

COMMENT ON COLUMN metrics.commit_delay_daily.p95_ms IS '95 % of them took no longer, milliseconds';

COMMENT ON COLUMN metrics.commit_delay_daily.p99_ms IS '99 % of them took no longer, milliseconds';

-- TABLE public.feedback

CREATE TABLE public.feedback (
    id bigint NOT NULL,
    trip_id bigint NOT NULL,
    trip_node_id bigint,
    user_id bigint,
    submitted_at timestamp with time zone DEFAULT now() NOT NULL,
    stay_actual_min integer,
    rating smallint NOT NULL,
    comments text,
    CONSTRAINT feedback_comments_length CHECK ((length(comments) <= 5000)),
    CONSTRAINT feedback_rating_range CHECK (((rating >= 1) AND (rating <= 3))),
    CONSTRAINT feedback_stay_range CHECK (((stay_actual_min >= 0) AND (stay_actual_min <= 20160)))
)
PARTITION BY RANGE (submitted_at);
ALTER TABLE ONLY public.feedback ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY public.feedback ALTER COLUMN comments SET STATISTICS 0;


ALTER TABLE public.feedback OWNER TO partyline_owner;

COMMENT ON TABLE public.feedback IS 'What people say after a trip or a stop, one partition a month';

COMMENT ON COLUMN public.feedback.id IS 'Number of the answer; with submitted_at its key';

COMMENT ON COLUMN public.feedback.trip_id IS 'The trip';

COMMENT ON COLUMN public.feedback.trip_node_id IS 'The stop; null for the trip as a whole';

COMMENT ON COLUMN public.feedback.user_id IS 'Who says it; null once they are erased';

COMMENT ON COLUMN public.feedback.submitted_at IS 'When; decides its month';

COMMENT ON COLUMN public.feedback.stay_actual_min IS 'How long they stayed, minutes';

COMMENT ON COLUMN public.feedback.rating IS '1 poor, 2 good, 3 very good';

COMMENT ON COLUMN public.feedback.comments IS 'Free text; removed when its author is erased';

-- VIEW metrics.daily_product_metrics

CREATE VIEW metrics.daily_product_metrics WITH (security_barrier='true') AS
 WITH proposed AS (
         SELECT t.id,
            ((t.created_at AT TIME ZONE 'UTC'::text))::date AS day,
            ((EXISTS ( SELECT
                   FROM public.party_sessions s_1
                  WHERE (s_1.trip_id = t.id))) OR (EXISTS ( SELECT
                   FROM public.feedback f
                  WHERE (f.trip_id = t.id)))) AS started,
            (EXISTS ( SELECT
                   FROM public.feedback f
                  WHERE ((f.trip_id = t.id) AND ((f.trip_node_id IS NULL) OR (f.trip_node_id = ( SELECT n.id
                           FROM public.trip_nodes n
                          WHERE (n.trip_id = t.id)
                          ORDER BY n.sequence DESC
                         LIMIT 1)))))) AS completed
           FROM public.trips t
        ), courses AS (
         SELECT proposed.day,
            count(*) AS trips_proposed,
            count(*) FILTER (WHERE proposed.started) AS trips_started,
            count(*) FILTER (WHERE proposed.completed) AS trips_completed
           FROM proposed
          GROUP BY proposed.day
        ), categories AS (
         SELECT p.day,
            c_1.category,
            count(*) AS stops
           FROM ((proposed p
             JOIN public.trip_nodes n ON ((n.trip_id = p.id)))
             JOIN public.places c_1 ON ((c_1.id = n.place_id)))
          GROUP BY p.day, c_1.category
        ), shares AS (
         SELECT categories.day,
            ((categories.stops)::numeric / sum(categories.stops) OVER (PARTITION BY categories.day)) AS share
           FROM categories
        ), spread AS (
         SELECT shares.day,
                CASE
                    WHEN (count(*) > 1) THEN ((- sum((shares.share * ln(shares.share)))) / ln((count(*))::numeric))
                    ELSE (0)::numeric
                END AS diversity
           FROM shares
          GROUP BY shares.day
        )
 SELECT c.day,
    c.trips_proposed,
    c.trips_started,
    c.trips_completed,
    round(((c.trips_started)::numeric / (c.trips_proposed)::numeric), 4) AS start_rate,
    round(((c.trips_completed)::numeric / (NULLIF(c.trips_started, 0))::numeric), 4) AS completion_rate,
    round(s.diversity, 4) AS diversity
   FROM (courses c
     LEFT JOIN spread s USING (day));


ALTER VIEW metrics.daily_product_metrics OWNER TO partyline_views;

COMMENT ON VIEW metrics.daily_product_metrics IS 'One row for each UTC day on which trips were proposed';

COMMENT ON COLUMN metrics.daily_product_metrics.day IS 'UTC day on which the trips were proposed';

COMMENT ON COLUMN metrics.daily_product_metrics.trips_proposed IS 'Trips';

COMMENT ON COLUMN metrics.daily_product_metrics.trips_started IS 'Of these, with a party or feedback';

COMMENT ON COLUMN metrics.daily_product_metrics.trips_completed IS 'Of these, with feedback on the last stop or the whole';

COMMENT ON COLUMN metrics.daily_product_metrics.start_rate IS 'Started of proposed, 0 to 1';

COMMENT ON COLUMN metrics.daily_product_metrics.completion_rate IS 'Completed of started, 0 to 1; null when none started';

COMMENT ON COLUMN metrics.daily_product_metrics.diversity IS 'How evenly the stops'' categories are spread, 0 to 1; null without stops';

-- VIEW metrics.session_liveness_daily

CREATE VIEW metrics.session_liveness_daily WITH (security_barrier='true') AS
 SELECT d.day,
    l.sessions,
    l.members,
    l.live_s,
    l.gaps
   FROM (( SELECT (((now() AT TIME ZONE 'UTC'::text))::date - n.ago) AS day
           FROM generate_series(0, ( SELECT ((max(s.ttl_hours) / 24) + 1)
                   FROM public.party_sessions s)) n(ago)) d
     CROSS JOIN LATERAL public.liveness_of_day(d.day) l(sessions, members, live_s, gaps))
  WHERE (l.members > 0);


ALTER VIEW metrics.session_liveness_daily OWNER TO partyline_views;

COMMENT ON VIEW metrics.session_liveness_daily IS 'One row for each UTC day with stored positions: how long streams were live. Ask for a day: each one reads a whole day of positions';

COMMENT ON COLUMN metrics.session_liveness_daily.day IS 'UTC day of the fixes';

COMMENT ON COLUMN metrics.session_liveness_daily.sessions IS 'Sessions with a fix';

COMMENT ON COLUMN metrics.session_liveness_daily.members IS 'Members with a fix, each counted in each of their sessions';

COMMENT ON COLUMN metrics.session_liveness_daily.live_s IS 'Seconds that their streams were live, all together';

COMMENT ON COLUMN metrics.session_liveness_daily.gaps IS 'How often a stream was silent for longer than it counts as live, and came back the same day';

-- TABLE public.alembic_version

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


ALTER TABLE public.alembic_version OWNER TO partyline_owner;

COMMENT ON TABLE public.alembic_version IS 'Which migration this database is at';

COMMENT ON COLUMN public.alembic_version.version_num IS 'Number of the migration';

-- TABLE public.backfills

CREATE TABLE public.backfills (
    name text NOT NULL,
    cursor bigint DEFAULT 0 NOT NULL,
    done_rows bigint DEFAULT 0 NOT NULL,
    total_rows bigint NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT backfills_counts CHECK (((cursor >= 0) AND (done_rows >= 0) AND (total_rows >= 0)))
);


ALTER TABLE public.backfills OWNER TO partyline_owner;

COMMENT ON TABLE public.backfills IS 'How far each backfill of a migration is; db/backfills has what they do';

COMMENT ON COLUMN public.backfills.name IS 'The file in db/backfills';

COMMENT ON COLUMN public.backfills.cursor IS 'Rows with a key up to it are done: a killed run goes on behind it';

COMMENT ON COLUMN public.backfills.done_rows IS 'Rows it has written';

COMMENT ON COLUMN public.backfills.total_rows IS 'Rows there were to write when it began';

COMMENT ON COLUMN public.backfills.started_at IS 'When its first run began';

COMMENT ON COLUMN public.backfills.finished_at IS 'When no row was left; null while there are some';

-- TABLE public.content_sources

CREATE TABLE public.content_sources (
    id bigint NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    licence text,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT content_sources_kind CHECK ((kind = ANY (ARRAY['api'::text, 'crawl'::text, 'file'::text, 'manual'::text]))),
    CONSTRAINT content_sources_name_length CHECK (((length(name) >= 1) AND (length(name) <= 100)))
);


ALTER TABLE public.content_sources OWNER TO partyline_owner;

COMMENT ON TABLE public.content_sources IS 'Where collected data comes from';

COMMENT ON COLUMN public.content_sources.id IS 'Number of the source';

COMMENT ON COLUMN public.content_sources.name IS 'What operators call it';

COMMENT ON COLUMN public.content_sources.kind IS 'api, crawl, file or manual';

COMMENT ON COLUMN public.content_sources.licence IS 'Under which terms its data may be shown';

COMMENT ON COLUMN public.content_sources.is_active IS 'False: nothing more is collected from it';

COMMENT ON COLUMN public.content_sources.created_at IS 'When it was entered';

-- SEQUENCE public.content_sources_id_seq

ALTER TABLE public.content_sources ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.content_sources_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.external_conditions

CREATE TABLE public.external_conditions (
    id bigint NOT NULL,
    source_id bigint,
    observed_at timestamp with time zone NOT NULL,
    valid_until timestamp with time zone,
    kind text NOT NULL,
    district text NOT NULL,
    payload jsonb NOT NULL,
    CONSTRAINT external_conditions_kind CHECK ((kind = ANY (ARRAY['weather'::text, 'traffic'::text]))),
    CONSTRAINT external_conditions_payload_object CHECK ((jsonb_typeof(payload) = 'object'::text)),
    CONSTRAINT external_conditions_validity CHECK ((valid_until > observed_at))
);


ALTER TABLE public.external_conditions OWNER TO partyline_owner;

COMMENT ON TABLE public.external_conditions IS 'Weather and traffic, a part of the context that trips are recommended for';

COMMENT ON COLUMN public.external_conditions.id IS 'In the order of arrival';

COMMENT ON COLUMN public.external_conditions.source_id IS 'From where';

COMMENT ON COLUMN public.external_conditions.observed_at IS 'When it was so';

COMMENT ON COLUMN public.external_conditions.valid_until IS 'How long it may be used';

COMMENT ON COLUMN public.external_conditions.kind IS 'weather or traffic';

COMMENT ON COLUMN public.external_conditions.district IS 'As places.district';

COMMENT ON COLUMN public.external_conditions.payload IS 'The values';

-- SEQUENCE public.external_conditions_id_seq

ALTER TABLE public.external_conditions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.external_conditions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- SEQUENCE public.feedback_id_seq

CREATE SEQUENCE public.feedback_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE public.feedback_id_seq OWNER TO partyline_owner;

-- SEQUENCE OWNED BY public.feedback_id_seq

ALTER SEQUENCE public.feedback_id_seq OWNED BY public.feedback.id;

COMMENT ON SEQUENCE public.feedback_id_seq IS 'Numbers of feedback, over all months';

-- TABLE public.ingestion_jobs

CREATE TABLE public.ingestion_jobs (
    id bigint NOT NULL,
    source_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    rows_read bigint DEFAULT 0 NOT NULL,
    rows_written bigint DEFAULT 0 NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    error text,
    CONSTRAINT ingestion_jobs_failed_why CHECK (((status = 'failed'::text) = (error IS NOT NULL))),
    CONSTRAINT ingestion_jobs_finished CHECK (((status = ANY (ARRAY['succeeded'::text, 'failed'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT ingestion_jobs_rows_read CHECK ((rows_read >= 0)),
    CONSTRAINT ingestion_jobs_rows_written CHECK ((rows_written >= 0)),
    CONSTRAINT ingestion_jobs_status CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text]))),
    CONSTRAINT ingestion_jobs_times CHECK ((finished_at >= started_at))
);


ALTER TABLE public.ingestion_jobs OWNER TO partyline_owner;

COMMENT ON TABLE public.ingestion_jobs IS 'Runs of the collection, one row each';

COMMENT ON COLUMN public.ingestion_jobs.id IS 'Number of the run';

COMMENT ON COLUMN public.ingestion_jobs.source_id IS 'From where';

COMMENT ON COLUMN public.ingestion_jobs.created_at IS 'When it was queued';

COMMENT ON COLUMN public.ingestion_jobs.started_at IS 'When it began';

COMMENT ON COLUMN public.ingestion_jobs.finished_at IS 'When it ended, well or not';

COMMENT ON COLUMN public.ingestion_jobs.rows_read IS 'Rows that the source gave';

COMMENT ON COLUMN public.ingestion_jobs.rows_written IS 'Rows that were new or changed';

COMMENT ON COLUMN public.ingestion_jobs.status IS 'queued, running, succeeded or failed';

COMMENT ON COLUMN public.ingestion_jobs.error IS 'Why it failed';

-- SEQUENCE public.ingestion_jobs_id_seq

ALTER TABLE public.ingestion_jobs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ingestion_jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.mission_assignments

CREATE TABLE public.mission_assignments (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    mission_id bigint NOT NULL,
    assigned_at timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone,
    status text DEFAULT 'pending'::text NOT NULL,
    result_metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT mission_assignments_due_after CHECK ((due_at > assigned_at)),
    CONSTRAINT mission_assignments_result_object CHECK ((jsonb_typeof(result_metadata) = 'object'::text)),
    CONSTRAINT mission_assignments_status CHECK ((status = ANY (ARRAY['pending'::text, 'completed'::text, 'expired'::text])))
);
ALTER TABLE ONLY public.mission_assignments ALTER COLUMN user_id SET STATISTICS 0;
ALTER TABLE ONLY public.mission_assignments ALTER COLUMN result_metadata SET STATISTICS 0;


ALTER TABLE public.mission_assignments OWNER TO partyline_owner;

COMMENT ON TABLE public.mission_assignments IS 'Each person''s queue of missions';

COMMENT ON COLUMN public.mission_assignments.id IS 'Number of the assignment';

COMMENT ON COLUMN public.mission_assignments.user_id IS 'Whose it is; the row is deleted when they are erased';

COMMENT ON COLUMN public.mission_assignments.mission_id IS 'The template';

COMMENT ON COLUMN public.mission_assignments.assigned_at IS 'Since when';

COMMENT ON COLUMN public.mission_assignments.due_at IS 'Until when; null without a limit';

COMMENT ON COLUMN public.mission_assignments.status IS 'pending, completed or expired';

COMMENT ON COLUMN public.mission_assignments.result_metadata IS 'What came of it';

-- SEQUENCE public.mission_assignments_id_seq

ALTER TABLE public.mission_assignments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.mission_assignments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.missions

CREATE TABLE public.missions (
    id bigint NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    steps jsonb DEFAULT '[]'::jsonb NOT NULL,
    badge_type text,
    CONSTRAINT missions_badge_length CHECK (((length(badge_type) >= 1) AND (length(badge_type) <= 64))),
    CONSTRAINT missions_description_length CHECK ((length(description) <= 5000)),
    CONSTRAINT missions_steps_list CHECK ((jsonb_typeof(steps) = 'array'::text)),
    CONSTRAINT missions_title_length CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);


ALTER TABLE public.missions OWNER TO partyline_owner;

COMMENT ON TABLE public.missions IS 'Templates of missions';

COMMENT ON COLUMN public.missions.id IS 'Number of the mission';

COMMENT ON COLUMN public.missions.is_active IS 'False: not assigned any more';

COMMENT ON COLUMN public.missions.title IS 'In one line';

COMMENT ON COLUMN public.missions.description IS 'What to do and why';

COMMENT ON COLUMN public.missions.steps IS 'Steps in order';

COMMENT ON COLUMN public.missions.badge_type IS 'What is earned';

-- SEQUENCE public.missions_id_seq

ALTER TABLE public.missions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.missions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.month_keeping

CREATE TABLE public.month_keeping (
    table_name text NOT NULL,
    keep_months integer,
    CONSTRAINT month_keeping_range CHECK (((keep_months >= 1) AND (keep_months <= 1200))),
    CONSTRAINT month_keeping_table CHECK ((table_name = ANY (ARRAY['posts'::text, 'feedback'::text])))
);


ALTER TABLE public.month_keeping OWNER TO partyline_owner;

COMMENT ON TABLE public.month_keeping IS 'How long the monthly partitions are kept';

COMMENT ON COLUMN public.month_keeping.table_name IS 'posts or feedback';

COMMENT ON COLUMN public.month_keeping.keep_months IS 'Whole months past which a partition is dropped; null keeps for ever';

-- VIEW public.my_account

CREATE VIEW public.my_account WITH (security_barrier='true') AS
 SELECT id,
    email,
    locale,
    onboarded_at,
    time_budget_min,
    budget_band,
    mobility_mode,
    privacy_level,
    preferences,
    push_opt_in,
    location_opt_in,
    created_at
   FROM public.users u
  WHERE ((id = public.acting_user()) AND (erased_at IS NULL));


ALTER VIEW public.my_account OWNER TO partyline_views;

COMMENT ON VIEW public.my_account IS 'The person that the transaction acts for; the one place where an e-mail is read';

COMMENT ON COLUMN public.my_account.id IS 'users.id';

COMMENT ON COLUMN public.my_account.email IS 'Null for guests';

COMMENT ON COLUMN public.my_account.locale IS 'BCP 47 language tag';

COMMENT ON COLUMN public.my_account.onboarded_at IS 'When the first questions were answered';

COMMENT ON COLUMN public.my_account.time_budget_min IS 'Usual length of a trip, minutes';

COMMENT ON COLUMN public.my_account.budget_band IS 'Band of the usual budget';

COMMENT ON COLUMN public.my_account.mobility_mode IS 'walk, transit or bike';

COMMENT ON COLUMN public.my_account.privacy_level IS 'Nothing finer is ever shared of this person';

COMMENT ON COLUMN public.my_account.preferences IS 'Preferred atmosphere, order of tags';

COMMENT ON COLUMN public.my_account.push_opt_in IS 'Agreed to push messages';

COMMENT ON COLUMN public.my_account.location_opt_in IS 'Agreed to share places at all';

COMMENT ON COLUMN public.my_account.created_at IS 'When the account was made';

-- VIEW public.party_positions_visible

CREATE VIEW public.party_positions_visible WITH (security_barrier='true') AS
 SELECT p.session_id,
    p.user_id,
    p.recorded_at,
    p.fix_offset_ms,
    p.loc,
    p.accuracy_m,
    p."precision"
   FROM (((public.party_positions p
     JOIN public.party_sessions s ON ((s.id = p.session_id)))
     JOIN public.party_members m ON (((m.session_id = p.session_id) AND (m.user_id = p.user_id))))
     JOIN public.users u ON ((u.id = p.user_id)))
  WHERE ((NOT p.ttl_expired) AND (u.erased_at IS NULL) AND (p.recorded_at > (now() - make_interval(hours => s.ttl_hours))) AND (p."precision" >= public.coarsest_of(s."precision", m."precision", u.privacy_level, u.location_opt_in)));


ALTER VIEW public.party_positions_visible OWNER TO partyline_views;

COMMENT ON VIEW public.party_positions_visible IS 'For partyline_reader: unexpired rows that are no finer than session, member and user allow now. Nothing of the private';

COMMENT ON COLUMN public.party_positions_visible.session_id IS 'party_sessions.id';

COMMENT ON COLUMN public.party_positions_visible.user_id IS 'users.id';

COMMENT ON COLUMN public.party_positions_visible.recorded_at IS 'Start of the window';

COMMENT ON COLUMN public.party_positions_visible.fix_offset_ms IS 'The position''s time after recorded_at, milliseconds';

COMMENT ON COLUMN public.party_positions_visible.loc IS 'WGS 84';

COMMENT ON COLUMN public.party_positions_visible.accuracy_m IS 'Radius in metres';

COMMENT ON COLUMN public.party_positions_visible."precision" IS 'How fine loc is';

-- SEQUENCE public.party_sessions_id_seq

ALTER TABLE public.party_sessions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.party_sessions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.place_congestion_daily

CREATE TABLE public.place_congestion_daily (
    place_id bigint NOT NULL,
    date date NOT NULL,
    visitors_count integer,
    wait_time_estimate integer,
    CONSTRAINT place_congestion_visitors CHECK ((visitors_count >= 0)),
    CONSTRAINT place_congestion_wait CHECK (((wait_time_estimate >= 0) AND (wait_time_estimate <= 1440)))
);


ALTER TABLE public.place_congestion_daily OWNER TO partyline_owner;

COMMENT ON TABLE public.place_congestion_daily IS 'How crowded a place was on a day; kept apart from places, which change rarely';

COMMENT ON COLUMN public.place_congestion_daily.place_id IS 'The place';

COMMENT ON COLUMN public.place_congestion_daily.date IS 'Local day of the place';

COMMENT ON COLUMN public.place_congestion_daily.visitors_count IS 'People counted or estimated';

COMMENT ON COLUMN public.place_congestion_daily.wait_time_estimate IS 'Minutes in the queue';

-- SEQUENCE public.places_id_seq

ALTER TABLE public.places ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.places_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- SEQUENCE public.posts_id_seq

CREATE SEQUENCE public.posts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE public.posts_id_seq OWNER TO partyline_owner;

-- SEQUENCE OWNED BY public.posts_id_seq

ALTER SEQUENCE public.posts_id_seq OWNED BY public.posts.id;

COMMENT ON SEQUENCE public.posts_id_seq IS 'Numbers of posts, over all months';

-- SEQUENCE public.retention_runs_id_seq

ALTER TABLE public.retention_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.retention_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.tag_reviews

CREATE TABLE public.tag_reviews (
    id bigint NOT NULL,
    place_id bigint,
    post_id bigint,
    post_created_at timestamp with time zone,
    tag_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    decided_at timestamp with time zone,
    confidence real NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    CONSTRAINT tag_reviews_confidence_range CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT tag_reviews_decided CHECK (((status = 'pending'::text) = (decided_at IS NULL))),
    CONSTRAINT tag_reviews_one_subject CHECK ((num_nonnulls(place_id, post_id) = 1)),
    CONSTRAINT tag_reviews_status CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text, 'rejected'::text]))),
    CONSTRAINT tag_reviews_whole_post CHECK (((post_id IS NULL) = (post_created_at IS NULL)))
);


ALTER TABLE public.tag_reviews OWNER TO partyline_owner;

COMMENT ON TABLE public.tag_reviews IS 'Operators'' queue: tags that automatic tagging was not sure of';

COMMENT ON COLUMN public.tag_reviews.id IS 'Number of the question';

COMMENT ON COLUMN public.tag_reviews.place_id IS 'The place, or';

COMMENT ON COLUMN public.tag_reviews.post_id IS 'the post';

COMMENT ON COLUMN public.tag_reviews.post_created_at IS 'The post''s created_at';

COMMENT ON COLUMN public.tag_reviews.tag_id IS 'The tag';

COMMENT ON COLUMN public.tag_reviews.created_at IS 'When it was asked';

COMMENT ON COLUMN public.tag_reviews.decided_at IS 'When it was answered';

COMMENT ON COLUMN public.tag_reviews.confidence IS 'How sure automatic tagging was, 0 to 1';

COMMENT ON COLUMN public.tag_reviews.status IS 'pending, approved or rejected';

-- SEQUENCE public.tag_reviews_id_seq

ALTER TABLE public.tag_reviews ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tag_reviews_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.tag_thresholds

CREATE TABLE public.tag_thresholds (
    type text NOT NULL,
    threshold real NOT NULL,
    margin real NOT NULL,
    CONSTRAINT tag_thresholds_margin_range CHECK (((margin >= (0)::double precision) AND (margin <= (0.5)::double precision))),
    CONSTRAINT tag_thresholds_range CHECK (((threshold >= (0)::double precision) AND (threshold <= (1)::double precision))),
    CONSTRAINT tag_thresholds_type CHECK ((type = ANY (ARRAY['category'::text, 'mood'::text, 'time'::text, 'congestion'::text, 'budget'::text])))
);


ALTER TABLE public.tag_thresholds OWNER TO partyline_owner;

COMMENT ON TABLE public.tag_thresholds IS 'How sure automatic tagging must be, by type of tag';

COMMENT ON COLUMN public.tag_thresholds.type IS 'As tags.type';

COMMENT ON COLUMN public.tag_thresholds.threshold IS 'Confidence from which a tag is set, 0 to 1';

COMMENT ON COLUMN public.tag_thresholds.margin IS 'Within threshold ± margin a person decides';

-- TABLE public.tags

CREATE TABLE public.tags (
    id bigint NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT tags_metadata_object CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT tags_name_length CHECK (((length(name) >= 1) AND (length(name) <= 64))),
    CONSTRAINT tags_type CHECK ((type = ANY (ARRAY['category'::text, 'mood'::text, 'time'::text, 'congestion'::text, 'budget'::text])))
);


ALTER TABLE public.tags OWNER TO partyline_owner;

COMMENT ON TABLE public.tags IS 'What places and posts are marked with';

COMMENT ON COLUMN public.tags.id IS 'Number of the tag';

COMMENT ON COLUMN public.tags.name IS 'Unique within its type, without regard to case';

COMMENT ON COLUMN public.tags.type IS 'category, mood, time, congestion or budget';

COMMENT ON COLUMN public.tags.metadata IS 'Other names, icon, order';

-- SEQUENCE public.tags_id_seq

ALTER TABLE public.tags ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- TABLE public.trip_cache

CREATE TABLE public.trip_cache (
    context_hash text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    valid_until timestamp with time zone NOT NULL,
    CONSTRAINT trip_cache_context_hash_form CHECK ((context_hash ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT trip_cache_payload_object CHECK ((jsonb_typeof(payload) = 'object'::text)),
    CONSTRAINT trip_cache_payload_size CHECK ((pg_column_size(payload) <= 262144)),
    CONSTRAINT trip_cache_validity CHECK ((valid_until > created_at))
);


ALTER TABLE public.trip_cache OWNER TO partyline_owner;

COMMENT ON TABLE public.trip_cache IS 'Recommendations that were asked for often, behind the copies in Redis. Nothing of a person is in it';

COMMENT ON COLUMN public.trip_cache.context_hash IS 'As trips.context_hash';

COMMENT ON COLUMN public.trip_cache.payload IS 'The answer, as the backend sends it';

COMMENT ON COLUMN public.trip_cache.created_at IS 'When it was computed';

COMMENT ON COLUMN public.trip_cache.valid_until IS 'From then on nobody reads it';

-- SEQUENCE public.trip_nodes_id_seq

ALTER TABLE public.trip_nodes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.trip_nodes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- SEQUENCE public.trips_id_seq

ALTER TABLE public.trips ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.trips_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- SEQUENCE public.users_id_seq

ALTER TABLE public.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- VIEW public.users_masked

CREATE VIEW public.users_masked WITH (security_barrier='true') AS
 SELECT (date_trunc('month'::text, (created_at AT TIME ZONE 'UTC'::text)))::date AS joined_month,
    (email IS NOT NULL) AS has_account,
    (onboarded_at IS NOT NULL) AS onboarded,
    split_part(replace(locale, '_'::text, '-'::text), '-'::text, 1) AS language,
    time_budget_min,
    budget_band,
    mobility_mode,
    privacy_level,
    push_opt_in,
    location_opt_in
   FROM public.users u
  WHERE (erased_at IS NULL);


ALTER VIEW public.users_masked OWNER TO partyline_views;

COMMENT ON VIEW public.users_masked IS 'For analysts: one row for each person, without number, e-mail or free text';

COMMENT ON COLUMN public.users_masked.joined_month IS 'First day of the month in which they joined';

COMMENT ON COLUMN public.users_masked.has_account IS 'False for guests';

COMMENT ON COLUMN public.users_masked.onboarded IS 'Answered the first questions';

COMMENT ON COLUMN public.users_masked.language IS 'Of the locale, without the country';

COMMENT ON COLUMN public.users_masked.time_budget_min IS 'Usual length of a trip, minutes';

COMMENT ON COLUMN public.users_masked.budget_band IS 'Band of the usual budget';

COMMENT ON COLUMN public.users_masked.mobility_mode IS 'walk, transit or bike';

COMMENT ON COLUMN public.users_masked.privacy_level IS 'Coarsest floor over all sessions';

COMMENT ON COLUMN public.users_masked.push_opt_in IS 'Agreed to push messages';

COMMENT ON COLUMN public.users_masked.location_opt_in IS 'Agreed to share places at all';

-- TABLE raw_ingestion.places

CREATE TABLE raw_ingestion.places (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    source_id bigint NOT NULL,
    place_id bigint,
    fetched_at timestamp with time zone DEFAULT now() NOT NULL,
    cleaned_at timestamp with time zone,
    external_ref text NOT NULL,
    payload jsonb NOT NULL,
    error text
);


ALTER TABLE raw_ingestion.places OWNER TO partyline_owner;

COMMENT ON TABLE raw_ingestion.places IS 'Places as a source gave them; cleaning moves them to public.places';

COMMENT ON COLUMN raw_ingestion.places.id IS 'In the order of arrival';

COMMENT ON COLUMN raw_ingestion.places.job_id IS 'The run that brought it';

COMMENT ON COLUMN raw_ingestion.places.source_id IS 'From where';

COMMENT ON COLUMN raw_ingestion.places.place_id IS 'What it became; null before cleaning, or if refused';

COMMENT ON COLUMN raw_ingestion.places.fetched_at IS 'When it came';

COMMENT ON COLUMN raw_ingestion.places.cleaned_at IS 'When cleaning looked at it';

COMMENT ON COLUMN raw_ingestion.places.external_ref IS 'The source''s own key';

COMMENT ON COLUMN raw_ingestion.places.payload IS 'The record, untouched';

COMMENT ON COLUMN raw_ingestion.places.error IS 'Why cleaning refused it';

-- SEQUENCE raw_ingestion.places_id_seq

ALTER TABLE raw_ingestion.places ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME raw_ingestion.places_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- DEFAULT public.feedback id

ALTER TABLE ONLY public.feedback ALTER COLUMN id SET DEFAULT nextval('public.feedback_id_seq'::regclass);

-- DEFAULT public.posts id

ALTER TABLE ONLY public.posts ALTER COLUMN id SET DEFAULT nextval('public.posts_id_seq'::regclass);

-- CONSTRAINT feature_store.user_trip_features user_trip_features_pkey

ALTER TABLE ONLY feature_store.user_trip_features
    ADD CONSTRAINT user_trip_features_pkey PRIMARY KEY (user_id, feature_set);

-- CONSTRAINT public.alembic_version alembic_version_pkc

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

-- CONSTRAINT public.backfills backfills_pkey

ALTER TABLE ONLY public.backfills
    ADD CONSTRAINT backfills_pkey PRIMARY KEY (name);

-- CONSTRAINT public.content_sources content_sources_name_key

ALTER TABLE ONLY public.content_sources
    ADD CONSTRAINT content_sources_name_key UNIQUE (name);

-- CONSTRAINT public.content_sources content_sources_pkey

ALTER TABLE ONLY public.content_sources
    ADD CONSTRAINT content_sources_pkey PRIMARY KEY (id);

-- CONSTRAINT public.erasure_receipts erasure_receipts_pkey

ALTER TABLE ONLY public.erasure_receipts
    ADD CONSTRAINT erasure_receipts_pkey PRIMARY KEY (id);

-- CONSTRAINT public.erasures_pending erasures_pending_pkey

ALTER TABLE ONLY public.erasures_pending
    ADD CONSTRAINT erasures_pending_pkey PRIMARY KEY (receipt_id);

-- CONSTRAINT public.external_conditions external_conditions_once

ALTER TABLE ONLY public.external_conditions
    ADD CONSTRAINT external_conditions_once UNIQUE (kind, district, observed_at);

-- CONSTRAINT public.external_conditions external_conditions_pkey

ALTER TABLE ONLY public.external_conditions
    ADD CONSTRAINT external_conditions_pkey PRIMARY KEY (id);

-- CONSTRAINT public.feedback feedback_pkey

ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (id, submitted_at);

-- CONSTRAINT public.ingestion_jobs ingestion_jobs_pkey

ALTER TABLE ONLY public.ingestion_jobs
    ADD CONSTRAINT ingestion_jobs_pkey PRIMARY KEY (id);

-- CONSTRAINT public.mission_assignments mission_assignments_pkey

ALTER TABLE ONLY public.mission_assignments
    ADD CONSTRAINT mission_assignments_pkey PRIMARY KEY (id);

-- CONSTRAINT public.missions missions_pkey

ALTER TABLE ONLY public.missions
    ADD CONSTRAINT missions_pkey PRIMARY KEY (id);

-- CONSTRAINT public.month_keeping month_keeping_pkey

ALTER TABLE ONLY public.month_keeping
    ADD CONSTRAINT month_keeping_pkey PRIMARY KEY (table_name);

-- CONSTRAINT public.party_members party_members_pkey

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_pkey PRIMARY KEY (session_id, user_id);

-- CONSTRAINT public.party_members party_members_session_id_member_no_key

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_session_id_member_no_key UNIQUE (session_id, member_no);

-- CONSTRAINT public.party_members party_members_token_digest_key

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_token_digest_key UNIQUE (token_digest);

-- CONSTRAINT public.party_positions party_positions_pkey

ALTER TABLE ONLY public.party_positions
    ADD CONSTRAINT party_positions_pkey PRIMARY KEY (session_id, user_id, recorded_at);

-- CONSTRAINT public.party_sessions party_sessions_pkey

ALTER TABLE ONLY public.party_sessions
    ADD CONSTRAINT party_sessions_pkey PRIMARY KEY (id);

-- CONSTRAINT public.party_sessions party_sessions_sharable_token_key

ALTER TABLE ONLY public.party_sessions
    ADD CONSTRAINT party_sessions_sharable_token_key UNIQUE (sharable_token);

-- CONSTRAINT public.place_congestion_daily place_congestion_daily_pkey

ALTER TABLE ONLY public.place_congestion_daily
    ADD CONSTRAINT place_congestion_daily_pkey PRIMARY KEY (place_id, date);

-- CONSTRAINT public.place_tags place_tags_pkey

ALTER TABLE ONLY public.place_tags
    ADD CONSTRAINT place_tags_pkey PRIMARY KEY (place_id, tag_id);

-- CONSTRAINT public.places places_external_ref_key

ALTER TABLE ONLY public.places
    ADD CONSTRAINT places_external_ref_key UNIQUE (source_id, external_ref);

-- CONSTRAINT public.places places_pkey

ALTER TABLE ONLY public.places
    ADD CONSTRAINT places_pkey PRIMARY KEY (id);

-- CONSTRAINT public.post_tags post_tags_pkey

ALTER TABLE ONLY public.post_tags
    ADD CONSTRAINT post_tags_pkey PRIMARY KEY (post_id, tag_id);

-- CONSTRAINT public.posts posts_pkey

ALTER TABLE ONLY public.posts
    ADD CONSTRAINT posts_pkey PRIMARY KEY (id, created_at);

-- CONSTRAINT public.retention_runs retention_runs_pkey

ALTER TABLE ONLY public.retention_runs
    ADD CONSTRAINT retention_runs_pkey PRIMARY KEY (id);

-- CONSTRAINT public.tag_reviews tag_reviews_pkey

ALTER TABLE ONLY public.tag_reviews
    ADD CONSTRAINT tag_reviews_pkey PRIMARY KEY (id);

-- CONSTRAINT public.tag_thresholds tag_thresholds_pkey

ALTER TABLE ONLY public.tag_thresholds
    ADD CONSTRAINT tag_thresholds_pkey PRIMARY KEY (type);

-- CONSTRAINT public.tags tags_pkey

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT tags_pkey PRIMARY KEY (id);

-- CONSTRAINT public.trip_cache trip_cache_pkey

ALTER TABLE ONLY public.trip_cache
    ADD CONSTRAINT trip_cache_pkey PRIMARY KEY (context_hash);

-- CONSTRAINT public.trip_nodes trip_nodes_pkey

ALTER TABLE ONLY public.trip_nodes
    ADD CONSTRAINT trip_nodes_pkey PRIMARY KEY (id);

-- CONSTRAINT public.trip_nodes trip_nodes_sequence_key

ALTER TABLE ONLY public.trip_nodes
    ADD CONSTRAINT trip_nodes_sequence_key UNIQUE (trip_id, sequence) DEFERRABLE;

-- CONSTRAINT public.trip_nodes trip_nodes_trip_key

ALTER TABLE ONLY public.trip_nodes
    ADD CONSTRAINT trip_nodes_trip_key UNIQUE (id, trip_id);

-- CONSTRAINT public.trips trips_pkey

ALTER TABLE ONLY public.trips
    ADD CONSTRAINT trips_pkey PRIMARY KEY (id);

-- CONSTRAINT public.users users_pkey

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

-- CONSTRAINT raw_ingestion.places places_pkey

ALTER TABLE ONLY raw_ingestion.places
    ADD CONSTRAINT places_pkey PRIMARY KEY (id);

-- CONSTRAINT raw_ingestion.places raw_places_once_a_run

ALTER TABLE ONLY raw_ingestion.places
    ADD CONSTRAINT raw_places_once_a_run UNIQUE (job_id, external_ref);

-- INDEX public.external_conditions_source

CREATE INDEX external_conditions_source ON public.external_conditions USING btree (source_id) WHERE (source_id IS NOT NULL);

-- INDEX public.feedback_trip

CREATE INDEX feedback_trip ON ONLY public.feedback USING btree (trip_id, submitted_at);

-- INDEX public.feedback_trip_node

CREATE INDEX feedback_trip_node ON ONLY public.feedback USING btree (trip_node_id) WHERE (trip_node_id IS NOT NULL);

-- INDEX public.feedback_user

CREATE INDEX feedback_user ON ONLY public.feedback USING btree (user_id) WHERE (user_id IS NOT NULL);

-- INDEX public.ingestion_jobs_source

CREATE INDEX ingestion_jobs_source ON public.ingestion_jobs USING btree (source_id, created_at DESC);

-- INDEX public.mission_assignments_mission

CREATE INDEX mission_assignments_mission ON public.mission_assignments USING btree (mission_id);

-- INDEX public.mission_assignments_one_pending

CREATE UNIQUE INDEX mission_assignments_one_pending ON public.mission_assignments USING btree (user_id, mission_id) WHERE (status = 'pending'::text);

-- INDEX public.mission_assignments_user

CREATE INDEX mission_assignments_user ON public.mission_assignments USING btree (user_id, status);

-- INDEX public.party_members_user

CREATE INDEX party_members_user ON public.party_members USING btree (user_id, session_id);

-- INDEX public.party_sessions_host

CREATE INDEX party_sessions_host ON public.party_sessions USING btree (host_user_id);

-- INDEX public.party_sessions_trip

CREATE INDEX party_sessions_trip ON public.party_sessions USING btree (trip_id) WHERE (trip_id IS NOT NULL);

-- INDEX public.place_congestion_date

CREATE INDEX place_congestion_date ON public.place_congestion_daily USING btree (date);

-- INDEX public.place_tags_tag

CREATE INDEX place_tags_tag ON public.place_tags USING btree (tag_id, weight DESC);

-- INDEX public.places_district_category

CREATE INDEX places_district_category ON public.places USING btree (district, category) WHERE is_active;

-- INDEX public.places_geo

CREATE INDEX places_geo ON public.places USING gist (geo);

-- INDEX public.places_geo_metres

CREATE INDEX places_geo_metres ON public.places USING gist (((geo)::public.geography));

-- INDEX public.places_name_trgm

CREATE INDEX places_name_trgm ON public.places USING gin (name public.gin_trgm_ops);

-- INDEX public.places_text_embedding

CREATE INDEX places_text_embedding ON public.places USING hnsw (text_embedding public.vector_cosine_ops) WHERE (text_embedding IS NOT NULL);

-- INDEX public.post_tags_post_created

CREATE INDEX post_tags_post_created ON public.post_tags USING btree (post_created_at);

-- INDEX public.post_tags_tag

CREATE INDEX post_tags_tag ON public.post_tags USING btree (tag_id, post_created_at DESC);

-- INDEX public.posts_body_trgm

CREATE INDEX posts_body_trgm ON ONLY public.posts USING gin (body public.gin_trgm_ops);

-- INDEX public.posts_expires

CREATE INDEX posts_expires ON ONLY public.posts USING btree (expires_at) WHERE (expires_at IS NOT NULL);

-- INDEX public.posts_geofence

CREATE INDEX posts_geofence ON ONLY public.posts USING gist (geofence) WHERE (geofence IS NOT NULL);

-- INDEX public.posts_place

CREATE INDEX posts_place ON ONLY public.posts USING btree (place_id, created_at DESC) WHERE (place_id IS NOT NULL);

-- INDEX public.posts_text_embedding

CREATE INDEX posts_text_embedding ON ONLY public.posts USING hnsw (text_embedding public.vector_cosine_ops) WHERE (text_embedding IS NOT NULL);

-- INDEX public.posts_user

CREATE INDEX posts_user ON ONLY public.posts USING btree (user_id) WHERE (user_id IS NOT NULL);

-- INDEX public.tag_reviews_pending

CREATE INDEX tag_reviews_pending ON public.tag_reviews USING btree (created_at) WHERE (status = 'pending'::text);

-- INDEX public.tag_reviews_place_key

CREATE UNIQUE INDEX tag_reviews_place_key ON public.tag_reviews USING btree (place_id, tag_id) WHERE (place_id IS NOT NULL);

-- INDEX public.tag_reviews_post_created

CREATE INDEX tag_reviews_post_created ON public.tag_reviews USING btree (post_created_at) WHERE (post_created_at IS NOT NULL);

-- INDEX public.tag_reviews_post_key

CREATE UNIQUE INDEX tag_reviews_post_key ON public.tag_reviews USING btree (post_id, tag_id) WHERE (post_id IS NOT NULL);

-- INDEX public.tag_reviews_tag

CREATE INDEX tag_reviews_tag ON public.tag_reviews USING btree (tag_id);

-- INDEX public.tags_metadata

CREATE INDEX tags_metadata ON public.tags USING gin (metadata jsonb_path_ops);

-- INDEX public.tags_name_trgm

CREATE INDEX tags_name_trgm ON public.tags USING gin (name public.gin_trgm_ops);

-- INDEX public.tags_type_name_key

CREATE UNIQUE INDEX tags_type_name_key ON public.tags USING btree (type, lower(name));

-- INDEX public.trip_cache_valid_until

CREATE INDEX trip_cache_valid_until ON public.trip_cache USING btree (valid_until);

-- INDEX public.trip_nodes_place

CREATE INDEX trip_nodes_place ON public.trip_nodes USING btree (place_id);

-- INDEX public.trips_context_hash

CREATE INDEX trips_context_hash ON public.trips USING btree (context_hash);

-- INDEX public.trips_created

CREATE INDEX trips_created ON public.trips USING btree (created_at);

-- INDEX public.trips_user

CREATE INDEX trips_user ON public.trips USING btree (user_id) WHERE (user_id IS NOT NULL);

-- INDEX public.users_email_key

CREATE UNIQUE INDEX users_email_key ON public.users USING btree (lower(email));
ALTER INDEX public.users_email_key ALTER COLUMN 1 SET STATISTICS 0;

-- INDEX raw_ingestion.raw_places_place

CREATE INDEX raw_places_place ON raw_ingestion.places USING btree (place_id) WHERE (place_id IS NOT NULL);

-- INDEX raw_ingestion.raw_places_source

CREATE INDEX raw_places_source ON raw_ingestion.places USING btree (source_id, external_ref);

-- INDEX raw_ingestion.raw_places_to_clean

CREATE INDEX raw_places_to_clean ON raw_ingestion.places USING btree (id) WHERE (cleaned_at IS NULL);

-- TRIGGER public.posts posts_doodle_moved

CREATE TRIGGER posts_doodle_moved BEFORE UPDATE OF geofence, type ON public.posts FOR EACH ROW WHEN (((new.type = 'doodle'::text) AND (new.geofence IS NOT NULL) AND ((old.type <> 'doodle'::text) OR (old.geofence IS NULL) OR (NOT (old.geofence OPERATOR(public.~=) new.geofence))))) EXECUTE FUNCTION public.doodle_within_fence();

COMMENT ON TRIGGER posts_doodle_moved ON public.posts IS 'The doodle rule, when it is moved';

-- TRIGGER public.posts posts_doodle_within_fence

CREATE TRIGGER posts_doodle_within_fence BEFORE INSERT ON public.posts FOR EACH ROW WHEN (((new.type = 'doodle'::text) AND (new.geofence IS NOT NULL))) EXECUTE FUNCTION public.doodle_within_fence();

COMMENT ON TRIGGER posts_doodle_within_fence ON public.posts IS 'The doodle rule, when it is left';

-- FK CONSTRAINT feature_store.user_trip_features user_trip_features_user_fkey

ALTER TABLE ONLY feature_store.user_trip_features
    ADD CONSTRAINT user_trip_features_user_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.erasures_pending erasures_pending_receipt_fkey

ALTER TABLE ONLY public.erasures_pending
    ADD CONSTRAINT erasures_pending_receipt_fkey FOREIGN KEY (receipt_id) REFERENCES public.erasure_receipts(id);

-- FK CONSTRAINT public.external_conditions external_conditions_source_fkey

ALTER TABLE ONLY public.external_conditions
    ADD CONSTRAINT external_conditions_source_fkey FOREIGN KEY (source_id) REFERENCES public.content_sources(id);

-- FK CONSTRAINT public.feedback feedback_trip_fkey

ALTER TABLE public.feedback
    ADD CONSTRAINT feedback_trip_fkey FOREIGN KEY (trip_id) REFERENCES public.trips(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.feedback feedback_trip_node_fkey

ALTER TABLE public.feedback
    ADD CONSTRAINT feedback_trip_node_fkey FOREIGN KEY (trip_node_id, trip_id) REFERENCES public.trip_nodes(id, trip_id) ON DELETE SET NULL (trip_node_id);

-- FK CONSTRAINT public.feedback feedback_user_fkey

ALTER TABLE public.feedback
    ADD CONSTRAINT feedback_user_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

-- FK CONSTRAINT public.ingestion_jobs ingestion_jobs_source_fkey

ALTER TABLE ONLY public.ingestion_jobs
    ADD CONSTRAINT ingestion_jobs_source_fkey FOREIGN KEY (source_id) REFERENCES public.content_sources(id);

-- FK CONSTRAINT public.mission_assignments mission_assignments_mission_fkey

ALTER TABLE ONLY public.mission_assignments
    ADD CONSTRAINT mission_assignments_mission_fkey FOREIGN KEY (mission_id) REFERENCES public.missions(id);

-- FK CONSTRAINT public.mission_assignments mission_assignments_user_fkey

ALTER TABLE ONLY public.mission_assignments
    ADD CONSTRAINT mission_assignments_user_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.party_members party_members_session_id_fkey

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.party_sessions(id);

-- FK CONSTRAINT public.party_members party_members_user_id_fkey

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

-- FK CONSTRAINT public.party_sessions party_sessions_host_user_id_fkey

ALTER TABLE ONLY public.party_sessions
    ADD CONSTRAINT party_sessions_host_user_id_fkey FOREIGN KEY (host_user_id) REFERENCES public.users(id);

-- FK CONSTRAINT public.party_sessions party_sessions_trip_fkey

ALTER TABLE ONLY public.party_sessions
    ADD CONSTRAINT party_sessions_trip_fkey FOREIGN KEY (trip_id) REFERENCES public.trips(id) ON DELETE SET NULL;

-- FK CONSTRAINT public.place_congestion_daily place_congestion_place_fkey

ALTER TABLE ONLY public.place_congestion_daily
    ADD CONSTRAINT place_congestion_place_fkey FOREIGN KEY (place_id) REFERENCES public.places(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.place_tags place_tags_place_fkey

ALTER TABLE ONLY public.place_tags
    ADD CONSTRAINT place_tags_place_fkey FOREIGN KEY (place_id) REFERENCES public.places(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.place_tags place_tags_tag_fkey

ALTER TABLE ONLY public.place_tags
    ADD CONSTRAINT place_tags_tag_fkey FOREIGN KEY (tag_id) REFERENCES public.tags(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.places places_source_fkey

ALTER TABLE ONLY public.places
    ADD CONSTRAINT places_source_fkey FOREIGN KEY (source_id) REFERENCES public.content_sources(id);

-- FK CONSTRAINT public.post_tags post_tags_post_fkey

ALTER TABLE ONLY public.post_tags
    ADD CONSTRAINT post_tags_post_fkey FOREIGN KEY (post_id, post_created_at) REFERENCES public.posts(id, created_at) ON DELETE CASCADE;

-- FK CONSTRAINT public.post_tags post_tags_tag_fkey

ALTER TABLE ONLY public.post_tags
    ADD CONSTRAINT post_tags_tag_fkey FOREIGN KEY (tag_id) REFERENCES public.tags(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.posts posts_place_fkey

ALTER TABLE public.posts
    ADD CONSTRAINT posts_place_fkey FOREIGN KEY (place_id) REFERENCES public.places(id) ON DELETE SET NULL;

-- FK CONSTRAINT public.posts posts_user_fkey

ALTER TABLE public.posts
    ADD CONSTRAINT posts_user_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

-- FK CONSTRAINT public.tag_reviews tag_reviews_place_fkey

ALTER TABLE ONLY public.tag_reviews
    ADD CONSTRAINT tag_reviews_place_fkey FOREIGN KEY (place_id) REFERENCES public.places(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.tag_reviews tag_reviews_post_fkey

ALTER TABLE ONLY public.tag_reviews
    ADD CONSTRAINT tag_reviews_post_fkey FOREIGN KEY (post_id, post_created_at) REFERENCES public.posts(id, created_at) ON DELETE CASCADE;

-- FK CONSTRAINT public.tag_reviews tag_reviews_tag_fkey

ALTER TABLE ONLY public.tag_reviews
    ADD CONSTRAINT tag_reviews_tag_fkey FOREIGN KEY (tag_id) REFERENCES public.tags(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.trip_nodes trip_nodes_place_fkey

ALTER TABLE ONLY public.trip_nodes
    ADD CONSTRAINT trip_nodes_place_fkey FOREIGN KEY (place_id) REFERENCES public.places(id);

-- FK CONSTRAINT public.trip_nodes trip_nodes_trip_fkey

ALTER TABLE ONLY public.trip_nodes
    ADD CONSTRAINT trip_nodes_trip_fkey FOREIGN KEY (trip_id) REFERENCES public.trips(id) ON DELETE CASCADE;

-- FK CONSTRAINT public.trips trips_user_fkey

ALTER TABLE ONLY public.trips
    ADD CONSTRAINT trips_user_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

-- FK CONSTRAINT raw_ingestion.places raw_places_job_fkey

ALTER TABLE ONLY raw_ingestion.places
    ADD CONSTRAINT raw_places_job_fkey FOREIGN KEY (job_id) REFERENCES public.ingestion_jobs(id);

-- FK CONSTRAINT raw_ingestion.places raw_places_place_fkey

ALTER TABLE ONLY raw_ingestion.places
    ADD CONSTRAINT raw_places_place_fkey FOREIGN KEY (place_id) REFERENCES public.places(id) ON DELETE SET NULL;

-- FK CONSTRAINT raw_ingestion.places raw_places_source_fkey

ALTER TABLE ONLY raw_ingestion.places
    ADD CONSTRAINT raw_places_source_fkey FOREIGN KEY (source_id) REFERENCES public.content_sources(id);

-- ROW SECURITY feature_store.user_trip_features

ALTER TABLE feature_store.user_trip_features ENABLE ROW LEVEL SECURITY;

-- ROW SECURITY public.feedback

ALTER TABLE public.feedback ENABLE ROW LEVEL SECURITY;

-- POLICY public.feedback feedback_own

CREATE POLICY feedback_own ON public.feedback TO partyline_backend USING ((user_id = ( SELECT public.acting_user() AS acting_user))) WITH CHECK ((user_id = ( SELECT public.acting_user() AS acting_user)));

COMMENT ON POLICY feedback_own ON public.feedback IS 'One''s own words';

-- POLICY public.feedback feedback_own_read

CREATE POLICY feedback_own_read ON public.feedback FOR SELECT TO partyline_reader USING ((user_id = ( SELECT public.acting_user() AS acting_user)));

COMMENT ON POLICY feedback_own_read ON public.feedback IS 'One''s own words';

-- POLICY public.feedback feedback_without_person

CREATE POLICY feedback_without_person ON public.feedback FOR SELECT TO partyline_analyst, partyline_views USING (true);

COMMENT ON POLICY feedback_without_person ON public.feedback IS 'All; the column grant leaves out who said it, and the words';

-- ROW SECURITY public.mission_assignments

ALTER TABLE public.mission_assignments ENABLE ROW LEVEL SECURITY;

-- POLICY public.mission_assignments mission_assignments_own

CREATE POLICY mission_assignments_own ON public.mission_assignments TO partyline_backend USING ((user_id = ( SELECT public.acting_user() AS acting_user))) WITH CHECK ((user_id = ( SELECT public.acting_user() AS acting_user)));

COMMENT ON POLICY mission_assignments_own ON public.mission_assignments IS 'One''s own queue';

-- POLICY public.mission_assignments mission_assignments_own_read

CREATE POLICY mission_assignments_own_read ON public.mission_assignments FOR SELECT TO partyline_reader USING ((user_id = ( SELECT public.acting_user() AS acting_user)));

COMMENT ON POLICY mission_assignments_own_read ON public.mission_assignments IS 'One''s own queue';

-- POLICY public.mission_assignments mission_assignments_without_person

CREATE POLICY mission_assignments_without_person ON public.mission_assignments FOR SELECT TO partyline_analyst USING (true);

COMMENT ON POLICY mission_assignments_without_person ON public.mission_assignments IS 'All; the column grant leaves out whose they are';

-- ROW SECURITY public.post_tags

ALTER TABLE public.post_tags ENABLE ROW LEVEL SECURITY;

-- POLICY public.post_tags post_tags_by_author

CREATE POLICY post_tags_by_author ON public.post_tags TO partyline_backend USING ((EXISTS ( SELECT
   FROM public.posts p
  WHERE ((p.id = post_tags.post_id) AND (p.created_at = post_tags.post_created_at) AND (p.user_id = ( SELECT public.acting_user() AS acting_user)))))) WITH CHECK ((EXISTS ( SELECT
   FROM public.posts p
  WHERE ((p.id = post_tags.post_id) AND (p.created_at = post_tags.post_created_at) AND (p.user_id = ( SELECT public.acting_user() AS acting_user))))));

COMMENT ON POLICY post_tags_by_author ON public.post_tags IS 'Tags of one''s own posts';

-- POLICY public.post_tags post_tags_of_visible_posts

CREATE POLICY post_tags_of_visible_posts ON public.post_tags FOR SELECT TO partyline_analyst, partyline_backend, partyline_reader USING ((EXISTS ( SELECT
   FROM public.posts p
  WHERE ((p.id = post_tags.post_id) AND (p.created_at = post_tags.post_created_at)))));

COMMENT ON POLICY post_tags_of_visible_posts ON public.post_tags IS 'Tags of the posts that one sees';

-- ROW SECURITY public.posts

ALTER TABLE public.posts ENABLE ROW LEVEL SECURITY;

-- POLICY public.posts posts_own

CREATE POLICY posts_own ON public.posts TO partyline_backend USING ((user_id = ( SELECT public.acting_user() AS acting_user))) WITH CHECK ((user_id = ( SELECT public.acting_user() AS acting_user)));

COMMENT ON POLICY posts_own ON public.posts IS 'One writes and changes one''s own';

-- POLICY public.posts posts_own_read

CREATE POLICY posts_own_read ON public.posts FOR SELECT TO partyline_reader USING ((user_id = ( SELECT public.acting_user() AS acting_user)));

COMMENT ON POLICY posts_own_read ON public.posts IS 'One sees one''s own';

-- POLICY public.posts posts_public

CREATE POLICY posts_public ON public.posts FOR SELECT TO partyline_analyst, partyline_backend, partyline_reader USING (((status = 'published'::text) AND (visibility = 'public'::text) AND ((expires_at IS NULL) OR (expires_at > now()))));

COMMENT ON POLICY posts_public ON public.posts IS 'What is published, public and not expired';

-- ROW SECURITY public.trip_nodes

ALTER TABLE public.trip_nodes ENABLE ROW LEVEL SECURITY;

-- POLICY public.trip_nodes trip_nodes_by_owner

CREATE POLICY trip_nodes_by_owner ON public.trip_nodes TO partyline_backend USING ((EXISTS ( SELECT
   FROM public.trips t
  WHERE ((t.id = trip_nodes.trip_id) AND (NOT (t.user_id IS DISTINCT FROM ( SELECT public.acting_user() AS acting_user))))))) WITH CHECK ((EXISTS ( SELECT
   FROM public.trips t
  WHERE ((t.id = trip_nodes.trip_id) AND (NOT (t.user_id IS DISTINCT FROM ( SELECT public.acting_user() AS acting_user)))))));

COMMENT ON POLICY trip_nodes_by_owner ON public.trip_nodes IS 'As their trip';

-- POLICY public.trip_nodes trip_nodes_of_visible_trips

CREATE POLICY trip_nodes_of_visible_trips ON public.trip_nodes FOR SELECT TO partyline_backend, partyline_reader USING ((EXISTS ( SELECT
   FROM public.trips t
  WHERE (t.id = trip_nodes.trip_id))));

COMMENT ON POLICY trip_nodes_of_visible_trips ON public.trip_nodes IS 'Stops of the trips that one sees';

-- POLICY public.trip_nodes trip_nodes_without_notes

CREATE POLICY trip_nodes_without_notes ON public.trip_nodes FOR SELECT TO partyline_analyst, partyline_views USING (true);

COMMENT ON POLICY trip_nodes_without_notes ON public.trip_nodes IS 'All stops; the column grant leaves out the notes';

-- ROW SECURITY public.trips

ALTER TABLE public.trips ENABLE ROW LEVEL SECURITY;

-- POLICY public.trips trips_by_owner

CREATE POLICY trips_by_owner ON public.trips TO partyline_backend USING ((NOT (user_id IS DISTINCT FROM ( SELECT public.acting_user() AS acting_user)))) WITH CHECK ((NOT (user_id IS DISTINCT FROM ( SELECT public.acting_user() AS acting_user))));

COMMENT ON POLICY trips_by_owner ON public.trips IS 'One changes one''s own; acting for nobody, the recommended ones';

-- POLICY public.trips trips_for_views

CREATE POLICY trips_for_views ON public.trips FOR SELECT TO partyline_views USING (true);

COMMENT ON POLICY trips_for_views ON public.trips IS 'Views that name nobody read all';

-- POLICY public.trips trips_own_or_everybodys

CREATE POLICY trips_own_or_everybodys ON public.trips FOR SELECT TO partyline_backend, partyline_reader USING (((user_id IS NULL) OR (user_id = ( SELECT public.acting_user() AS acting_user))));

COMMENT ON POLICY trips_own_or_everybodys ON public.trips IS 'Recommended trips, and one''s own';

-- POLICY public.trips trips_without_person

CREATE POLICY trips_without_person ON public.trips FOR SELECT TO partyline_analyst USING (true);

COMMENT ON POLICY trips_without_person ON public.trips IS 'All trips; the column grant leaves out whose they are';

-- ROW SECURITY public.users

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;

-- POLICY public.users users_guests

CREATE POLICY users_guests ON public.users FOR INSERT TO partyline_gateway WITH CHECK ((email IS NULL));

COMMENT ON POLICY users_guests ON public.users IS 'The gateway makes guests only';

-- POLICY public.users users_not_erased

CREATE POLICY users_not_erased ON public.users FOR SELECT TO partyline_gateway, partyline_views, partyline_writer USING ((erased_at IS NULL));

COMMENT ON POLICY users_not_erased ON public.users IS 'The erased are nobody';

-- POLICY public.users users_self

CREATE POLICY users_self ON public.users FOR SELECT TO partyline_backend, partyline_reader USING (((id = ( SELECT public.acting_user() AS acting_user)) AND (erased_at IS NULL)));

COMMENT ON POLICY users_self ON public.users IS 'One sees oneself';

-- POLICY public.users users_self_update

CREATE POLICY users_self_update ON public.users FOR UPDATE TO partyline_backend USING (((id = ( SELECT public.acting_user() AS acting_user)) AND (erased_at IS NULL))) WITH CHECK (((id = ( SELECT public.acting_user() AS acting_user)) AND (erased_at IS NULL)));

COMMENT ON POLICY users_self_update ON public.users IS 'One changes oneself';

GRANT USAGE ON SCHEMA metrics TO partyline_views;
GRANT USAGE ON SCHEMA metrics TO partyline_analyst;

GRANT USAGE ON SCHEMA partman TO partyline_owner;

GRANT USAGE ON SCHEMA public TO partyline_owner;
GRANT CREATE ON SCHEMA public TO partyline_owner WITH GRANT OPTION;
GRANT USAGE ON SCHEMA public TO partyline_views;
GRANT USAGE ON SCHEMA public TO partyline_gateway;
GRANT USAGE ON SCHEMA public TO partyline_writer;
GRANT USAGE ON SCHEMA public TO partyline_keeper;
GRANT USAGE ON SCHEMA public TO partyline_reader;
GRANT USAGE ON SCHEMA public TO partyline_migrator;
GRANT USAGE ON SCHEMA public TO partyline_backend;
GRANT USAGE ON SCHEMA public TO partyline_analyst;

GRANT USAGE ON SCHEMA raw_ingestion TO partyline_analyst;

REVOKE ALL ON FUNCTION public.acting_user() FROM PUBLIC;
GRANT ALL ON FUNCTION public.acting_user() TO partyline_reader;
GRANT ALL ON FUNCTION public.acting_user() TO partyline_backend;
GRANT ALL ON FUNCTION public.acting_user() TO partyline_analyst;
GRANT ALL ON FUNCTION public.acting_user() TO partyline_views;

REVOKE ALL ON FUNCTION public.bridged_for(beat boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delay_error() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.bucket_percentiles(buckets integer[], counts bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.carry_on_erasure(wanted uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.carry_on_erasure(wanted uuid) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) TO partyline_writer;
GRANT ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) TO partyline_views;
GRANT ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) TO partyline_reader;

GRANT SELECT(id) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(id) ON TABLE public.users TO partyline_writer;
GRANT SELECT(id) ON TABLE public.users TO partyline_views;
GRANT SELECT(id) ON TABLE public.users TO partyline_reader;
GRANT SELECT(id) ON TABLE public.users TO partyline_backend;

GRANT SELECT(email) ON TABLE public.users TO partyline_views;

GRANT SELECT(onboarded_at) ON TABLE public.users TO partyline_reader;
GRANT SELECT(onboarded_at),UPDATE(onboarded_at) ON TABLE public.users TO partyline_backend;
GRANT SELECT(onboarded_at) ON TABLE public.users TO partyline_views;

GRANT SELECT(locale) ON TABLE public.users TO partyline_reader;
GRANT SELECT(locale),UPDATE(locale) ON TABLE public.users TO partyline_backend;
GRANT SELECT(locale) ON TABLE public.users TO partyline_views;

GRANT SELECT(time_budget_min) ON TABLE public.users TO partyline_reader;
GRANT SELECT(time_budget_min),UPDATE(time_budget_min) ON TABLE public.users TO partyline_backend;
GRANT SELECT(time_budget_min) ON TABLE public.users TO partyline_views;

GRANT SELECT(budget_band) ON TABLE public.users TO partyline_reader;
GRANT SELECT(budget_band),UPDATE(budget_band) ON TABLE public.users TO partyline_backend;
GRANT SELECT(budget_band) ON TABLE public.users TO partyline_views;

GRANT SELECT(mobility_mode) ON TABLE public.users TO partyline_reader;
GRANT SELECT(mobility_mode),UPDATE(mobility_mode) ON TABLE public.users TO partyline_backend;
GRANT SELECT(mobility_mode) ON TABLE public.users TO partyline_views;

GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_writer;
GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_views;
GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_reader;
GRANT SELECT(privacy_level),UPDATE(privacy_level) ON TABLE public.users TO partyline_backend;

GRANT SELECT(preferences) ON TABLE public.users TO partyline_reader;
GRANT SELECT(preferences),UPDATE(preferences) ON TABLE public.users TO partyline_backend;
GRANT SELECT(preferences) ON TABLE public.users TO partyline_views;

GRANT SELECT(push_opt_in) ON TABLE public.users TO partyline_reader;
GRANT SELECT(push_opt_in),UPDATE(push_opt_in) ON TABLE public.users TO partyline_backend;
GRANT SELECT(push_opt_in) ON TABLE public.users TO partyline_views;

GRANT SELECT(location_opt_in),INSERT(location_opt_in) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(location_opt_in) ON TABLE public.users TO partyline_writer;
GRANT SELECT(location_opt_in) ON TABLE public.users TO partyline_views;
GRANT SELECT(location_opt_in) ON TABLE public.users TO partyline_reader;
GRANT SELECT(location_opt_in),UPDATE(location_opt_in) ON TABLE public.users TO partyline_backend;

GRANT SELECT(created_at) ON TABLE public.users TO partyline_reader;
GRANT SELECT(created_at) ON TABLE public.users TO partyline_backend;
GRANT SELECT(created_at) ON TABLE public.users TO partyline_views;

GRANT SELECT(erased_at) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(erased_at) ON TABLE public.users TO partyline_writer;
GRANT SELECT(erased_at) ON TABLE public.users TO partyline_views;
GRANT SELECT(erased_at) ON TABLE public.users TO partyline_reader;
GRANT SELECT(erased_at) ON TABLE public.users TO partyline_backend;

GRANT SELECT(preference_embedding),UPDATE(preference_embedding) ON TABLE public.users TO partyline_backend;
GRANT SELECT(preference_embedding) ON TABLE public.users TO partyline_reader;

REVOKE ALL ON FUNCTION public.create_account(new_email text, new_password_hash text, new_locale text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_account(new_email text, new_password_hash text, new_locale text) TO partyline_backend;

REVOKE ALL ON FUNCTION public.cut_authorship(due public.erasures_pending) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.is_beat(allowed public.precision_level, stored public.precision_level) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.told_at(allowed public.precision_level, recorded_at timestamp with time zone, fix_offset_ms smallint) FROM PUBLIC;

GRANT SELECT ON TABLE public.party_members TO partyline_gateway;

GRANT INSERT(session_id) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(session_id) ON TABLE public.party_members TO partyline_writer;
GRANT SELECT(session_id) ON TABLE public.party_members TO partyline_views;
GRANT SELECT(session_id) ON TABLE public.party_members TO partyline_reader;

GRANT INSERT(user_id) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(user_id) ON TABLE public.party_members TO partyline_writer;
GRANT SELECT(user_id) ON TABLE public.party_members TO partyline_views;
GRANT SELECT(user_id) ON TABLE public.party_members TO partyline_reader;

GRANT INSERT(member_no) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(member_no) ON TABLE public.party_members TO partyline_reader;

GRANT INSERT(role),UPDATE(role) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(role) ON TABLE public.party_members TO partyline_reader;

GRANT INSERT(display_name),UPDATE(display_name) ON TABLE public.party_members TO partyline_gateway;

GRANT INSERT(token_digest),UPDATE(token_digest) ON TABLE public.party_members TO partyline_gateway;

GRANT INSERT("precision"),UPDATE("precision") ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT("precision") ON TABLE public.party_members TO partyline_writer;
GRANT SELECT("precision") ON TABLE public.party_members TO partyline_views;
GRANT SELECT("precision") ON TABLE public.party_members TO partyline_reader;

GRANT INSERT(joined_at),UPDATE(joined_at) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(joined_at) ON TABLE public.party_members TO partyline_reader;

GRANT UPDATE(left_at) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(left_at) ON TABLE public.party_members TO partyline_reader;

GRANT UPDATE(kicked_at) ON TABLE public.party_members TO partyline_gateway;
GRANT SELECT(kicked_at) ON TABLE public.party_members TO partyline_reader;

GRANT INSERT ON TABLE public.party_positions TO partyline_writer;
GRANT SELECT ON TABLE public.party_positions TO partyline_views;

GRANT SELECT ON TABLE public.party_sessions TO partyline_gateway;

GRANT SELECT(id) ON TABLE public.party_sessions TO partyline_writer;
GRANT SELECT(id) ON TABLE public.party_sessions TO partyline_views;
GRANT SELECT(id) ON TABLE public.party_sessions TO partyline_reader;

GRANT INSERT(trip_id) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(trip_id) ON TABLE public.party_sessions TO partyline_reader;
GRANT SELECT(trip_id) ON TABLE public.party_sessions TO partyline_views;

GRANT INSERT(host_user_id) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(host_user_id) ON TABLE public.party_sessions TO partyline_reader;

GRANT UPDATE(status) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(status) ON TABLE public.party_sessions TO partyline_reader;

GRANT INSERT(started_at) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(started_at) ON TABLE public.party_sessions TO partyline_writer;
GRANT SELECT(started_at) ON TABLE public.party_sessions TO partyline_views;
GRANT SELECT(started_at) ON TABLE public.party_sessions TO partyline_reader;

GRANT UPDATE(ended_at) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(ended_at) ON TABLE public.party_sessions TO partyline_reader;

GRANT INSERT(sharable_token),UPDATE(sharable_token) ON TABLE public.party_sessions TO partyline_gateway;

GRANT UPDATE(token_uses) ON TABLE public.party_sessions TO partyline_gateway;

GRANT INSERT("precision"),UPDATE("precision") ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT("precision") ON TABLE public.party_sessions TO partyline_writer;
GRANT SELECT("precision") ON TABLE public.party_sessions TO partyline_views;
GRANT SELECT("precision") ON TABLE public.party_sessions TO partyline_reader;

GRANT INSERT(options),UPDATE(options) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(options) ON TABLE public.party_sessions TO partyline_writer;
GRANT SELECT(options) ON TABLE public.party_sessions TO partyline_views;
GRANT SELECT(options) ON TABLE public.party_sessions TO partyline_reader;

GRANT UPDATE(revision) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(revision) ON TABLE public.party_sessions TO partyline_reader;

GRANT INSERT(ttl_hours),UPDATE(ttl_hours) ON TABLE public.party_sessions TO partyline_gateway;
GRANT SELECT(ttl_hours) ON TABLE public.party_sessions TO partyline_writer;
GRANT SELECT(ttl_hours) ON TABLE public.party_sessions TO partyline_views;
GRANT SELECT(ttl_hours) ON TABLE public.party_sessions TO partyline_reader;

REVOKE ALL ON FUNCTION public.day_fixes(wanted_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.day_beats(wanted_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.decide_tag_review(wanted bigint, approve boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.decide_tag_review(wanted bigint, approve boolean) TO partyline_backend;

REVOKE ALL ON FUNCTION public.degrees_around(centre public.geometry, radius_m double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delay_bucket(delay_ms double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delay_of_day(wanted_day date, OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delay_of_day(wanted_day date, OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) TO partyline_analyst;
GRANT ALL ON FUNCTION public.delay_of_day(wanted_day date, OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) TO partyline_views;

REVOKE ALL ON FUNCTION public.tells_place(allowed public.precision_level, stored public.precision_level, accuracy_m real, cell_accuracy_m double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_fixes(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delays_of(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delays_of_day(wanted_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.delete_expired_doodles(batch integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_expired_doodles(batch integer) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.delete_expired_trip_cache(batch integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_expired_trip_cache(batch integer) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.doodle_within_fence() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.doodles_around(lon double precision, lat double precision, radius_m double precision, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.doodles_around(lon double precision, lat double precision, radius_m double precision, most integer) TO partyline_reader;
GRANT ALL ON FUNCTION public.doodles_around(lon double precision, lat double precision, radius_m double precision, most integer) TO partyline_backend;

GRANT SELECT ON TABLE public.retention_runs TO partyline_keeper;
GRANT SELECT ON TABLE public.retention_runs TO partyline_reader;

REVOKE ALL ON FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.drop_oldest_expired_month(wanted text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.drop_oldest_expired_month(wanted text) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.drop_positions_chunk(wanted regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.erase_user(wanted bigint, OUT receipt uuid, OUT began timestamp with time zone, OUT session_ids bigint[], OUT ended_session_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.erase_user(wanted bigint, OUT receipt uuid, OUT began timestamp with time zone, OUT session_ids bigint[], OUT ended_session_ids bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.find_login(wanted_email text, OUT user_id bigint, OUT password_hash text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_login(wanted_email text, OUT user_id bigint, OUT password_hash text) TO partyline_backend;

GRANT SELECT ON TABLE public.erasure_receipts TO partyline_gateway;
GRANT SELECT ON TABLE public.erasure_receipts TO partyline_analyst;

REVOKE ALL ON FUNCTION public.finish_erasure(wanted uuid, redis_rows bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.finish_erasure(wanted uuid, redis_rows bigint) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.flag_expired(batch integer, keep_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.flag_expired(batch integer, keep_hours integer) TO partyline_keeper;

GRANT SELECT ON TABLE public.trips TO partyline_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.trips TO partyline_backend;

GRANT SELECT(id) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(id) ON TABLE public.trips TO partyline_views;

GRANT SELECT(created_at) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(created_at) ON TABLE public.trips TO partyline_views;

GRANT SELECT(duration_min) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(duration_min) ON TABLE public.trips TO partyline_views;

GRANT SELECT(budget_min) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(budget_min) ON TABLE public.trips TO partyline_views;

GRANT SELECT(budget_max) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(budget_max) ON TABLE public.trips TO partyline_views;

GRANT SELECT(freshness_score) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(freshness_score) ON TABLE public.trips TO partyline_views;

GRANT SELECT(mode) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(mode) ON TABLE public.trips TO partyline_views;

GRANT SELECT(context_hash) ON TABLE public.trips TO partyline_analyst;
GRANT SELECT(context_hash) ON TABLE public.trips TO partyline_views;

REVOKE ALL ON FUNCTION public.hold_trip(wanted_trip bigint, wanted_user bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.hold_trip(wanted_trip bigint, wanted_user bigint) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.hold_user(wanted bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.hold_user(wanted bigint) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.live_for() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision, OUT gaps bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision, OUT gaps bigint) TO partyline_analyst;
GRANT ALL ON FUNCTION public.liveness_of_day(wanted_day date, OUT sessions bigint, OUT members bigint, OUT live_s double precision, OUT gaps bigint) TO partyline_views;

REVOKE ALL ON FUNCTION public.maintain_partitions() FROM PUBLIC;
GRANT ALL ON FUNCTION public.maintain_partitions() TO partyline_keeper;

REVOKE ALL ON FUNCTION public.make_partitions_ahead() FROM PUBLIC;
GRANT ALL ON FUNCTION public.make_partitions_ahead() TO partyline_keeper;

REVOKE ALL ON FUNCTION public.make_positions_chunks(from_at timestamp with time zone, to_at timestamp with time zone) FROM PUBLIC;

GRANT SELECT ON TABLE public.posts TO partyline_reader;
GRANT SELECT,DELETE ON TABLE public.posts TO partyline_backend;

GRANT SELECT(id) ON TABLE public.posts TO partyline_analyst;

GRANT INSERT(user_id) ON TABLE public.posts TO partyline_backend;

GRANT INSERT(place_id),UPDATE(place_id) ON TABLE public.posts TO partyline_backend;
GRANT SELECT(place_id) ON TABLE public.posts TO partyline_analyst;

GRANT SELECT(created_at) ON TABLE public.posts TO partyline_analyst;

GRANT INSERT(expires_at),UPDATE(expires_at) ON TABLE public.posts TO partyline_backend;
GRANT SELECT(expires_at) ON TABLE public.posts TO partyline_analyst;

GRANT INSERT(type) ON TABLE public.posts TO partyline_backend;
GRANT SELECT(type) ON TABLE public.posts TO partyline_analyst;

GRANT INSERT(visibility),UPDATE(visibility) ON TABLE public.posts TO partyline_backend;
GRANT SELECT(visibility) ON TABLE public.posts TO partyline_analyst;

GRANT SELECT(status) ON TABLE public.posts TO partyline_analyst;

GRANT INSERT(body),UPDATE(body) ON TABLE public.posts TO partyline_backend;
GRANT SELECT(body) ON TABLE public.posts TO partyline_analyst;

GRANT INSERT(media_urls),UPDATE(media_urls) ON TABLE public.posts TO partyline_backend;

GRANT INSERT(geofence),UPDATE(geofence) ON TABLE public.posts TO partyline_backend;

GRANT INSERT(text_embedding),UPDATE(text_embedding) ON TABLE public.posts TO partyline_backend;

REVOKE ALL ON FUNCTION public.moderate_post(wanted bigint, wanted_created_at timestamp with time zone, new_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.moderate_post(wanted bigint, wanted_created_at timestamp with time zone, new_status text) TO partyline_backend;

REVOKE ALL ON FUNCTION public.months_of(wanted text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.months_state(wanted text, OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.positions_begin() FROM PUBLIC;
GRANT ALL ON FUNCTION public.positions_begin() TO partyline_writer;

REVOKE ALL ON FUNCTION public.positions_chunks(OUT chunk regclass, OUT range_start timestamp with time zone, OUT range_end timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.positions_kind() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.propose_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.propose_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) TO partyline_backend;

REVOKE ALL ON FUNCTION public.record_failed_drop(ttl_hours integer, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_failed_drop(ttl_hours integer, reason text) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.record_failed_month(wanted text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_failed_month(wanted text, reason text) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.search_posts(wanted text, since timestamp with time zone, until timestamp with time zone, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.search_posts(wanted text, since timestamp with time zone, until timestamp with time zone, most integer) TO partyline_reader;
GRANT ALL ON FUNCTION public.search_posts(wanted text, since timestamp with time zone, until timestamp with time zone, most integer) TO partyline_backend;

REVOKE ALL ON FUNCTION public.session_accuracy(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.session_accuracy(wanted_session bigint, wanted_users bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.session_beats(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION public.session_delays(wanted_session bigint, wanted_users bigint[], OUT counted bigint, OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.session_distances(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.session_distances(wanted_session bigint, wanted_users bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.session_live_ranges(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.session_live_ranges(wanted_session bigint, wanted_users bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.session_spans(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.session_spans(wanted_session bigint, wanted_users bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.spot_radius_m() FROM PUBLIC;

GRANT SELECT ON TABLE public.places TO partyline_reader;
GRANT SELECT ON TABLE public.places TO partyline_backend;
GRANT SELECT ON TABLE public.places TO partyline_analyst;

GRANT SELECT(id) ON TABLE public.places TO partyline_views;

GRANT SELECT(category) ON TABLE public.places TO partyline_views;

GRANT SELECT(district) ON TABLE public.places TO partyline_views;

GRANT SELECT ON TABLE public.trip_nodes TO partyline_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.trip_nodes TO partyline_backend;

GRANT SELECT(id) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(id) ON TABLE public.trip_nodes TO partyline_views;

GRANT SELECT(trip_id) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(trip_id) ON TABLE public.trip_nodes TO partyline_views;

GRANT SELECT(place_id) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(place_id) ON TABLE public.trip_nodes TO partyline_views;

GRANT SELECT(eta) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(eta) ON TABLE public.trip_nodes TO partyline_views;

GRANT SELECT(sequence) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(sequence) ON TABLE public.trip_nodes TO partyline_views;

GRANT SELECT(planned_stay_min) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(planned_stay_min) ON TABLE public.trip_nodes TO partyline_views;

GRANT SELECT(transition_mode) ON TABLE public.trip_nodes TO partyline_analyst;
GRANT SELECT(transition_mode) ON TABLE public.trip_nodes TO partyline_views;

REVOKE ALL ON FUNCTION public.session_spots(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.session_spots(wanted_session bigint, wanted_users bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.session_stretches(wanted_session bigint, wanted_users bigint[]) FROM PUBLIC;

GRANT SELECT ON TABLE public.place_tags TO partyline_reader;
GRANT SELECT ON TABLE public.place_tags TO partyline_backend;
GRANT SELECT ON TABLE public.place_tags TO partyline_analyst;

GRANT SELECT ON TABLE public.post_tags TO partyline_reader;
GRANT SELECT,INSERT,DELETE ON TABLE public.post_tags TO partyline_backend;
GRANT SELECT ON TABLE public.post_tags TO partyline_analyst;

REVOKE ALL ON FUNCTION public.set_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint, wanted_post_created_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.take_fence(shard integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.take_fence(shard integer) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.unfinished_erasures(older_than interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.unfinished_erasures(older_than interval) TO partyline_gateway;

GRANT SELECT ON TABLE metrics.commit_delay_daily TO partyline_analyst;

GRANT SELECT ON TABLE public.feedback TO partyline_reader;
GRANT SELECT,INSERT,DELETE ON TABLE public.feedback TO partyline_backend;

GRANT SELECT(id) ON TABLE public.feedback TO partyline_analyst;
GRANT SELECT(id) ON TABLE public.feedback TO partyline_views;

GRANT SELECT(trip_id) ON TABLE public.feedback TO partyline_analyst;
GRANT SELECT(trip_id) ON TABLE public.feedback TO partyline_views;

GRANT UPDATE(trip_node_id) ON TABLE public.feedback TO partyline_backend;
GRANT SELECT(trip_node_id) ON TABLE public.feedback TO partyline_analyst;
GRANT SELECT(trip_node_id) ON TABLE public.feedback TO partyline_views;

GRANT SELECT(submitted_at) ON TABLE public.feedback TO partyline_analyst;
GRANT SELECT(submitted_at) ON TABLE public.feedback TO partyline_views;

GRANT UPDATE(stay_actual_min) ON TABLE public.feedback TO partyline_backend;
GRANT SELECT(stay_actual_min) ON TABLE public.feedback TO partyline_analyst;
GRANT SELECT(stay_actual_min) ON TABLE public.feedback TO partyline_views;

GRANT UPDATE(rating) ON TABLE public.feedback TO partyline_backend;
GRANT SELECT(rating) ON TABLE public.feedback TO partyline_analyst;
GRANT SELECT(rating) ON TABLE public.feedback TO partyline_views;

GRANT UPDATE(comments) ON TABLE public.feedback TO partyline_backend;

GRANT SELECT ON TABLE metrics.daily_product_metrics TO partyline_analyst;

GRANT SELECT ON TABLE metrics.session_liveness_daily TO partyline_analyst;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE partman.part_config TO partyline_owner;

GRANT SELECT ON TABLE partman.part_config_sub TO partyline_owner;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.alembic_version TO partyline_migrator;
GRANT SELECT ON TABLE public.alembic_version TO partyline_gateway;
GRANT SELECT ON TABLE public.alembic_version TO partyline_writer;
GRANT SELECT ON TABLE public.alembic_version TO partyline_keeper;
GRANT SELECT ON TABLE public.alembic_version TO partyline_reader;
GRANT SELECT ON TABLE public.alembic_version TO partyline_backend;
GRANT SELECT ON TABLE public.alembic_version TO partyline_analyst;

GRANT SELECT ON TABLE public.content_sources TO partyline_analyst;

GRANT SELECT ON TABLE public.external_conditions TO partyline_analyst;
GRANT SELECT ON TABLE public.external_conditions TO partyline_backend;

GRANT USAGE ON SEQUENCE public.feedback_id_seq TO partyline_backend;

GRANT SELECT ON TABLE public.ingestion_jobs TO partyline_analyst;

GRANT SELECT ON TABLE public.mission_assignments TO partyline_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.mission_assignments TO partyline_backend;

GRANT SELECT(id) ON TABLE public.mission_assignments TO partyline_analyst;

GRANT SELECT(mission_id) ON TABLE public.mission_assignments TO partyline_analyst;

GRANT SELECT(assigned_at) ON TABLE public.mission_assignments TO partyline_analyst;

GRANT SELECT(due_at) ON TABLE public.mission_assignments TO partyline_analyst;

GRANT SELECT(status) ON TABLE public.mission_assignments TO partyline_analyst;

GRANT SELECT ON TABLE public.missions TO partyline_reader;
GRANT SELECT ON TABLE public.missions TO partyline_analyst;
GRANT SELECT,INSERT,UPDATE ON TABLE public.missions TO partyline_backend;

GRANT SELECT ON TABLE public.month_keeping TO partyline_keeper;

GRANT SELECT ON TABLE public.my_account TO partyline_reader;
GRANT SELECT ON TABLE public.my_account TO partyline_backend;

GRANT SELECT ON TABLE public.party_positions_visible TO partyline_reader;

GRANT SELECT ON TABLE public.place_congestion_daily TO partyline_reader;
GRANT SELECT ON TABLE public.place_congestion_daily TO partyline_backend;
GRANT SELECT ON TABLE public.place_congestion_daily TO partyline_analyst;

GRANT USAGE ON SEQUENCE public.posts_id_seq TO partyline_backend;

GRANT SELECT ON TABLE public.tag_reviews TO partyline_analyst;
GRANT SELECT ON TABLE public.tag_reviews TO partyline_backend;

GRANT SELECT ON TABLE public.tag_thresholds TO partyline_analyst;

GRANT SELECT ON TABLE public.tags TO partyline_reader;
GRANT SELECT ON TABLE public.tags TO partyline_backend;
GRANT SELECT ON TABLE public.tags TO partyline_analyst;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.trip_cache TO partyline_backend;

GRANT SELECT ON TABLE public.users_masked TO partyline_analyst;

GRANT SELECT ON TABLE raw_ingestion.places TO partyline_analyst;

-- DEFAULT ACL DEFAULT PRIVILEGES FOR FUNCTIONS

ALTER DEFAULT PRIVILEGES FOR ROLE partyline_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;

-- Partitions

-- public.feedback: partitions by submitted_at, 1 mon, 4 ahead, never retired by pg_partman
-- public.party_positions: partitions by recorded_at, 1 day, 7 ahead, never retired by pg_partman
-- public.posts: partitions by created_at, 1 mon, 4 ahead, never retired by pg_partman
