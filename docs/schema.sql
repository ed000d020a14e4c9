-- The whole schema, as pg_dump says it: for review and for comparing. A database is made by the migrations.
-- Generated from a migrated database: do not edit; make docs writes it, and a test fails when it is stale.

-- EXTENSION timescaledb

CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public;

-- EXTENSION postgis

CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;

-- TYPE public.precision_level

CREATE TYPE public.precision_level AS ENUM (
    'exact',
    'rough',
    'private'
);


ALTER TYPE public.precision_level OWNER TO partyline_owner;

COMMENT ON TYPE public.precision_level IS 'How finely a place may be shown, finest first, so that greatest() is the coarsest';

-- FUNCTION public.coarsest_of(public.precision_level, public.precision_level, public.precision_level, boolean)

CREATE FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) RETURNS public.precision_level
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (opted_in AND (session IS NOT NULL) AND (own IS NOT NULL) AND (floor IS NOT NULL)) THEN GREATEST(session, own, floor) ELSE 'private'::public.precision_level END;


ALTER FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) IS 'What may be shown of a member now (G4). A missing choice is private: it fails closed';

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
    error text
);


ALTER TABLE public.retention_runs OWNER TO partyline_owner;

COMMENT ON TABLE public.retention_runs IS 'One row for each drop of a chunk, and for each drop that failed';

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

-- FUNCTION public.drop_oldest_expired_chunk(integer)

CREATE FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) RETURNS SETOF public.retention_runs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
    began   timestamptz := clock_timestamp();
    horizon timestamptz;
    chunk   record;
    before  record;
    after   record;
    counted bigint;
    dropped text[];
BEGIN
    IF ttl_hours IS NULL OR ttl_hours NOT BETWEEN 1 AND 8760 THEN
        RAISE EXCEPTION 'ttl_hours must be from 1 to 8760' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two keepers take turns: the second finds the chunk gone instead of failing on it.
    PERFORM pg_advisory_xact_lock(1346458196, -1);
    horizon := now() - make_interval(hours => ttl_hours);
    SELECT k.chunk_schema, k.chunk_name, k.range_start, k.range_end INTO chunk
    FROM timescaledb_information.chunks k
    WHERE k.hypertable_schema = 'public' AND k.hypertable_name = 'party_positions' AND k.range_end <= horizon
    ORDER BY k.range_start LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Nobody may add to the chunk between the count and the drop; reading goes on meanwhile.
    EXECUTE format('LOCK TABLE %I.%I IN SHARE ROW EXCLUSIVE MODE', chunk.chunk_schema, chunk.chunk_name);
    SELECT * INTO before FROM positions_state();
    EXECUTE format('SELECT count(*) FROM %I.%I', chunk.chunk_schema, chunk.chunk_name) INTO counted;
    SELECT array_agg(name) INTO dropped
    FROM drop_chunks('public.party_positions', older_than => chunk.range_end) AS name;
    IF cardinality(dropped) IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'the drop would have taken % chunks instead of one', coalesce(cardinality(dropped), 0);
    END IF;
    SELECT * INTO after FROM positions_state();
    RETURN QUERY
    INSERT INTO retention_runs (started_at, duration_ms, cutoff, chunks_before, chunks_after, rows_before,
        rows_after, bytes_before, bytes_after, oldest_before, oldest_after, dropped_chunks, dropped_rows)
    VALUES (began, extract(epoch FROM clock_timestamp() - began) * 1000, horizon, before.chunks, after.chunks,
        after.rows + counted, after.rows, before.bytes, after.bytes, before.oldest, after.oldest, dropped,
        counted)
    RETURNING *;
END
$$;


ALTER FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) IS 'For the keeper: drops the oldest chunk whose rows are all past ttl_hours, and returns its record; nothing when there is none';

-- FUNCTION public.erase_user(bigint)

CREATE FUNCTION public.erase_user(wanted bigint, OUT session_ids bigint[], OUT ended_session_ids bigint[]) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
    -- All fences: a writer's open transaction commits first and its rows are deleted below; one that comes
    -- after sees erased_at and refuses the rows that were still on their way.
    FOR shard IN 0..7 LOOP
        PERFORM take_fence(shard);
    END LOOP;
    UPDATE users SET email = NULL, password_hash = NULL, onboarded_at = NULL, locale = NULL,
        time_budget_min = NULL, budget_band = NULL, mobility_mode = NULL, privacy_level = 'private',
        preferences = '{}', push_opt_in = false, location_opt_in = false, erased_at = coalesce(erased_at, now())
    WHERE id = wanted;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    session_ids := ARRAY(
        SELECT s.id FROM party_sessions s
        WHERE s.host_user_id = wanted OR s.id IN (SELECT m.session_id FROM party_members m WHERE m.user_id = wanted)
        ORDER BY s.id FOR UPDATE);
    ended_session_ids := ARRAY(
        SELECT s.id FROM party_sessions s
        WHERE s.id = ANY (session_ids) AND s.host_user_id = wanted AND s.status = 'live' ORDER BY s.id);
    UPDATE party_sessions SET revision = revision + 1,
        status = CASE WHEN id = ANY (ended_session_ids) THEN 'ended' ELSE status END,
        ended_at = CASE WHEN id = ANY (ended_session_ids) THEN now() ELSE ended_at END
    WHERE id = ANY (session_ids);
    UPDATE party_members SET display_name = '', token_digest = NULL, precision = 'private',
        left_at = coalesce(left_at, now())
    WHERE user_id = wanted;
    -- By session first: that is how the key is ordered, in every chunk.
    DELETE FROM party_positions WHERE session_id = ANY (session_ids) AND user_id = wanted;
END
$$;


ALTER FUNCTION public.erase_user(wanted bigint, OUT session_ids bigint[], OUT ended_session_ids bigint[]) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.erase_user(wanted bigint, OUT session_ids bigint[], OUT ended_session_ids bigint[]) IS 'For the gateway: deletes every position of the user, makes the user anonymous, ends the sessions they host. Nulls: no such user';

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
        SELECT s.id, s.flagged_to, now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer) AS cutoff
        FROM party_sessions s
        WHERE s.flagged_to < now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
            AND s.flagged_to < coalesce(s.ended_at + INTERVAL '1 hour', 'infinity')
            AND s.started_at < now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
            AND (keep_hours IS NULL OR (s.options ->> 'ttl_hours')::integer < keep_hours)
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
    CONSTRAINT users_budget_band_check CHECK (((length(budget_band) >= 1) AND (length(budget_band) <= 32))),
    CONSTRAINT users_email_check CHECK ((((length(email) >= 3) AND (length(email) <= 254)) AND (POSITION(('@'::text) IN (email)) > 1))),
    CONSTRAINT users_erased_is_anonymous CHECK (((erased_at IS NULL) OR ((email IS NULL) AND (password_hash IS NULL) AND (onboarded_at IS NULL) AND (locale IS NULL) AND (time_budget_min IS NULL) AND (budget_band IS NULL) AND (mobility_mode IS NULL) AND (preferences = '{}'::jsonb) AND (privacy_level = 'private'::public.precision_level) AND (NOT push_opt_in) AND (NOT location_opt_in)))),
    CONSTRAINT users_hash_needs_email CHECK (((password_hash IS NULL) OR (email IS NOT NULL))),
    CONSTRAINT users_locale_check CHECK ((locale ~ '^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$'::text)),
    CONSTRAINT users_mobility_mode_check CHECK ((mobility_mode = ANY (ARRAY['walk'::text, 'transit'::text, 'bike'::text]))),
    CONSTRAINT users_preferences_check CHECK ((jsonb_typeof(preferences) = 'object'::text)),
    CONSTRAINT users_time_budget_min_check CHECK ((time_budget_min > 0))
);
ALTER TABLE ONLY public.users ALTER COLUMN email SET STATISTICS 0;
ALTER TABLE ONLY public.users ALTER COLUMN password_hash SET STATISTICS 0;
ALTER TABLE ONLY public.users ALTER COLUMN preferences SET STATISTICS 0;


ALTER TABLE public.users OWNER TO partyline_owner;

COMMENT ON TABLE public.users IS 'People with an account, and guests (no e-mail). An erased row stays, anonymous, so that numbers in a session keep their meaning';

COMMENT ON COLUMN public.users.id IS 'Never on the wire';

COMMENT ON COLUMN public.users.email IS 'Unique without regard to case; null for guests and the erased. No role may read it';

COMMENT ON COLUMN public.users.password_hash IS 'No role may read it';

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

COMMENT ON COLUMN public.users.erased_at IS 'When the person asked to be erased; everything personal is gone since';

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
);
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
    CONSTRAINT party_sessions_ended_when CHECK (((status = 'ended'::text) = (ended_at IS NOT NULL))),
    CONSTRAINT party_sessions_sharable_token_check CHECK ((octet_length(sharable_token) = 32)),
    CONSTRAINT party_sessions_status_check CHECK ((status = ANY (ARRAY['live'::text, 'ended'::text]))),
    CONSTRAINT party_sessions_token_uses_check CHECK ((token_uses >= 0)),
    CONSTRAINT party_sessions_ttl CHECK (
CASE
    WHEN (jsonb_typeof((options -> 'ttl_hours'::text)) = 'number'::text) THEN ((((options ->> 'ttl_hours'::text))::numeric >= (1)::numeric) AND (((options ->> 'ttl_hours'::text))::numeric <= (8760)::numeric))
    ELSE false
END)
);
ALTER TABLE ONLY public.party_sessions ALTER COLUMN sharable_token SET STATISTICS 0;


ALTER TABLE public.party_sessions OWNER TO partyline_owner;

COMMENT ON TABLE public.party_sessions IS 'One party''s sharing';

COMMENT ON COLUMN public.party_sessions.id IS 'Its last three bits are the shard';

COMMENT ON COLUMN public.party_sessions.trip_id IS 'The trip it belongs to; a foreign key once trips are here';

COMMENT ON COLUMN public.party_sessions.host_user_id IS 'Who made it';

COMMENT ON COLUMN public.party_sessions.status IS 'live or ended';

COMMENT ON COLUMN public.party_sessions.started_at IS 'Fixes from before are refused; up to 7 days back, for recordings';

COMMENT ON COLUMN public.party_sessions.ended_at IS 'Set exactly when ended';

COMMENT ON COLUMN public.party_sessions.sharable_token IS 'SHA-256 of the invitation, never the token';

COMMENT ON COLUMN public.party_sessions.token_uses IS 'How many people came in by the present token';

COMMENT ON COLUMN public.party_sessions."precision" IS 'What the host allows';

COMMENT ON COLUMN public.party_sessions.options IS 'tick_ms, rough_cell_m, max_members, ttl_hours, token_expires_at, token_max_uses, live_only, started_at';

COMMENT ON COLUMN public.party_sessions.revision IS 'Counts changes of precision and membership';

COMMENT ON COLUMN public.party_sessions.flagged_to IS 'The keeper''s bookmark: rows recorded before it carry ttl_expired';

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
   WHERE ((s.id = party_track.wanted_session) AND ((party_track.wanted_users IS NULL) OR (m.user_id = ANY (party_track.wanted_users))) AND (u.erased_at IS NULL) AND (public.coarsest_of(s."precision", m."precision", u.privacy_level, u.location_opt_in) <> 'private'::public.precision_level) AND (NOT p.ttl_expired) AND (p.recorded_at > (now() - make_interval(hours => ((s.options ->> 'ttl_hours'::text))::integer))) AND ((p.recorded_at >= (party_track.from_at - '00:00:05'::interval)) AND (p.recorded_at <= party_track.to_at)) AND (((p.recorded_at + ((p.fix_offset_ms)::double precision * '00:00:00.001'::interval)) >= party_track.from_at) AND ((p.recorded_at + ((p.fix_offset_ms)::double precision * '00:00:00.001'::interval)) <= party_track.to_at)))
   ORDER BY p.recorded_at, p.fix_offset_ms, p.user_id
  LIMIT party_track.at_most;
END;


ALTER FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) IS 'For the gateway: unexpired rows as stored, oldest first; it coarsens them with its secret grid. Nothing of who is private now';

-- FUNCTION public.positions_state()

CREATE FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
    SELECT count(*)::integer, coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
        coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, min(k.range_start)
    FROM timescaledb_information.chunks k
    JOIN pg_class c ON c.oid = format('%I.%I', k.chunk_schema, k.chunk_name)::regclass
    WHERE k.hypertable_schema = 'public' AND k.hypertable_name = 'party_positions'
    $$;


ALTER FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) OWNER TO partyline_owner;

COMMENT ON FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) IS 'The hypertable now: chunks, estimated rows, bytes, where the oldest chunk begins';

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

-- TABLE public.alembic_version

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


ALTER TABLE public.alembic_version OWNER TO partyline_owner;

COMMENT ON TABLE public.alembic_version IS 'Which migration this database is at';

COMMENT ON COLUMN public.alembic_version.version_num IS 'Number of the migration';

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
  WHERE ((NOT p.ttl_expired) AND (u.erased_at IS NULL) AND (p.recorded_at > (now() - make_interval(hours => ((s.options ->> 'ttl_hours'::text))::integer))) AND (p."precision" >= public.coarsest_of(s."precision", m."precision", u.privacy_level, u.location_opt_in)));


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

-- SEQUENCE public.retention_runs_id_seq

ALTER TABLE public.retention_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.retention_runs_id_seq
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

-- CONSTRAINT public.alembic_version alembic_version_pkc

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

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

-- CONSTRAINT public.retention_runs retention_runs_pkey

ALTER TABLE ONLY public.retention_runs
    ADD CONSTRAINT retention_runs_pkey PRIMARY KEY (id);

-- CONSTRAINT public.users users_pkey

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

-- INDEX public.party_members_user

CREATE INDEX party_members_user ON public.party_members USING btree (user_id, session_id);

-- INDEX public.party_sessions_host

CREATE INDEX party_sessions_host ON public.party_sessions USING btree (host_user_id);

-- INDEX public.users_email_key

CREATE UNIQUE INDEX users_email_key ON public.users USING btree (lower(email));
ALTER INDEX public.users_email_key ALTER COLUMN 1 SET STATISTICS 0;

-- FK CONSTRAINT public.party_members party_members_session_id_fkey

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.party_sessions(id);

-- FK CONSTRAINT public.party_members party_members_user_id_fkey

ALTER TABLE ONLY public.party_members
    ADD CONSTRAINT party_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

-- FK CONSTRAINT public.party_sessions party_sessions_host_user_id_fkey

ALTER TABLE ONLY public.party_sessions
    ADD CONSTRAINT party_sessions_host_user_id_fkey FOREIGN KEY (host_user_id) REFERENCES public.users(id);

-- ROW SECURITY public.users

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;

-- POLICY public.users users_guests

CREATE POLICY users_guests ON public.users FOR INSERT TO partyline_gateway WITH CHECK ((email IS NULL));

COMMENT ON POLICY users_guests ON public.users IS 'The gateway makes guests only';

-- POLICY public.users users_not_erased

CREATE POLICY users_not_erased ON public.users FOR SELECT TO partyline_gateway, partyline_views, partyline_writer USING ((erased_at IS NULL));

COMMENT ON POLICY users_not_erased ON public.users IS 'The erased are nobody';

GRANT ALL ON SCHEMA public TO partyline_owner;
GRANT USAGE ON SCHEMA public TO partyline_views;
GRANT USAGE ON SCHEMA public TO partyline_gateway;
GRANT USAGE ON SCHEMA public TO partyline_writer;
GRANT USAGE ON SCHEMA public TO partyline_keeper;
GRANT USAGE ON SCHEMA public TO partyline_reader;

REVOKE ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) TO partyline_writer;
GRANT ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) TO partyline_views;
GRANT ALL ON FUNCTION public.coarsest_of(session public.precision_level, own public.precision_level, floor public.precision_level, opted_in boolean) TO partyline_reader;

GRANT SELECT ON TABLE public.retention_runs TO partyline_keeper;
GRANT SELECT ON TABLE public.retention_runs TO partyline_reader;

REVOKE ALL ON FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.drop_oldest_expired_chunk(ttl_hours integer) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.erase_user(wanted bigint, OUT session_ids bigint[], OUT ended_session_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.erase_user(wanted bigint, OUT session_ids bigint[], OUT ended_session_ids bigint[]) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.flag_expired(batch integer, keep_hours integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.flag_expired(batch integer, keep_hours integer) TO partyline_keeper;

GRANT SELECT(id) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(id) ON TABLE public.users TO partyline_writer;
GRANT SELECT(id) ON TABLE public.users TO partyline_views;

GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_writer;
GRANT SELECT(privacy_level) ON TABLE public.users TO partyline_views;

GRANT SELECT(location_opt_in),INSERT(location_opt_in) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(location_opt_in) ON TABLE public.users TO partyline_writer;
GRANT SELECT(location_opt_in) ON TABLE public.users TO partyline_views;

GRANT SELECT(erased_at) ON TABLE public.users TO partyline_gateway;
GRANT SELECT(erased_at) ON TABLE public.users TO partyline_writer;
GRANT SELECT(erased_at) ON TABLE public.users TO partyline_views;

REVOKE ALL ON FUNCTION public.hold_user(wanted bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.hold_user(wanted bigint) TO partyline_gateway;

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

REVOKE ALL ON FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.party_track(wanted_session bigint, wanted_users bigint[], from_at timestamp with time zone, to_at timestamp with time zone, at_most integer) TO partyline_gateway;

REVOKE ALL ON FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.positions_state(OUT chunks integer, OUT rows bigint, OUT bytes bigint, OUT oldest timestamp with time zone) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.record_failed_drop(ttl_hours integer, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_failed_drop(ttl_hours integer, reason text) TO partyline_keeper;

REVOKE ALL ON FUNCTION public.take_fence(shard integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.take_fence(shard integer) TO partyline_gateway;

GRANT SELECT ON TABLE public.party_positions_visible TO partyline_reader;

-- DEFAULT ACL DEFAULT PRIVILEGES FOR FUNCTIONS

ALTER DEFAULT PRIVILEGES FOR ROLE partyline_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;

-- Partitions

-- public.party_positions: chunks by recorded_at, 1 day
