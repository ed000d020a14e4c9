-- Erasure (G7) with the whole product, under a number that is never used again. First, for a moment behind the
-- fences, the person becomes a fresh anonymous user, so that nothing can come any more; then, without the fences and
-- step by step, what they left goes; then Redis. A step that fails is taken again, by the next beat of any gateway.
-- One order of locks: user, fences, sessions, members; who asks for the fences without a user begins there.
SET LOCAL ROLE partyline_owner;

-- Histograms are copies of numbers; all three columns are found by unique keys or an index.
ALTER TABLE users ALTER id SET STATISTICS 0;
ALTER TABLE party_sessions ALTER host_user_id SET STATISTICS 0;
ALTER TABLE party_members ALTER user_id SET STATISTICS 0;

COMMENT ON TABLE users IS 'People with an account, and guests (no e-mail). An erased person''s row goes; an anonymous one takes its place, so that numbers in a session keep their meaning';
COMMENT ON COLUMN users.erased_at IS 'Set in the anonymous row that took an erased person''s place; nobody is behind it';
COMMENT ON COLUMN trips.user_id IS 'Whose it is; null if recommended to all. Of an erased owner an anonymous user, so that it is not shown to all';
COMMENT ON COLUMN trip_nodes.eta IS 'Planned time of arrival; removed when the trip''s owner is erased';
COMMENT ON COLUMN posts.media_urls IS 'Addresses of images; emptied when the author is erased';

CREATE TABLE erasure_receipts (
    id                 uuid CONSTRAINT erasure_receipts_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
    erased_at          timestamptz NOT NULL,
    finished_at        timestamptz,
    positions_deleted  bigint NOT NULL DEFAULT 0,
    redis_rows_deleted bigint NOT NULL DEFAULT 0,
    sessions           integer NOT NULL,
    sessions_ended     integer NOT NULL,
    posts_deleted      integer NOT NULL DEFAULT 0,
    posts_kept         integer NOT NULL DEFAULT 0,
    feedback_kept      integer NOT NULL DEFAULT 0,
    trips_kept         integer NOT NULL DEFAULT 0,
    missions_deleted   integer NOT NULL DEFAULT 0,
    features_deleted   integer NOT NULL DEFAULT 0,
    CONSTRAINT erasure_receipts_times CHECK (finished_at >= erased_at)
);
COMMENT ON TABLE erasure_receipts IS 'Proof that somebody was erased. Nothing in it leads to the person: no number, no e-mail, and no hash of them, which could be tried out';
COMMENT ON COLUMN erasure_receipts.id IS 'Random; the person is given it';
COMMENT ON COLUMN erasure_receipts.erased_at IS 'From then on nothing of theirs could come any more';
COMMENT ON COLUMN erasure_receipts.finished_at IS 'When the last of it was gone, from Redis too; null until then';
COMMENT ON COLUMN erasure_receipts.positions_deleted IS 'Positions deleted, of all chunks';
COMMENT ON COLUMN erasure_receipts.redis_rows_deleted IS 'Positions that were on their way in Redis';
COMMENT ON COLUMN erasure_receipts.sessions IS 'Sessions they were in; their name is gone there';
COMMENT ON COLUMN erasure_receipts.sessions_ended IS 'Of these, live ones they hosted, which ended';
COMMENT ON COLUMN erasure_receipts.posts_deleted IS 'Doodles, and reviews that not everybody could read';
COMMENT ON COLUMN erasure_receipts.posts_kept IS 'Public reviews, which have no author now';
COMMENT ON COLUMN erasure_receipts.feedback_kept IS 'Feedback without author and words; the rating stays';
COMMENT ON COLUMN erasure_receipts.trips_kept IS 'Trips without owner, notes and times';
COMMENT ON COLUMN erasure_receipts.missions_deleted IS 'Missions of their queue';
COMMENT ON COLUMN erasure_receipts.features_deleted IS 'Sets of features computed of them';
GRANT SELECT ON erasure_receipts TO partyline_gateway, partyline_analyst;

CREATE TABLE erasures_pending (
    receipt_id        uuid CONSTRAINT erasures_pending_pkey PRIMARY KEY
        CONSTRAINT erasures_pending_receipt_fkey REFERENCES erasure_receipts (id),
    user_id           bigint NOT NULL,
    anonymous_id      bigint NOT NULL,
    email             text,
    session_ids       bigint[] NOT NULL,
    ended_session_ids bigint[] NOT NULL,
    sessions_left     bigint[] NOT NULL
);
ALTER TABLE erasures_pending ALTER user_id SET STATISTICS 0, ALTER email SET STATISTICS 0,
    ALTER session_ids SET STATISTICS 0, ALTER ended_session_ids SET STATISTICS 0, ALTER sessions_left SET STATISTICS 0;
COMMENT ON TABLE erasures_pending IS 'What must be known to finish an erasure; the row goes when it is finished. No role may read it';
COMMENT ON COLUMN erasures_pending.receipt_id IS 'Its receipt';
COMMENT ON COLUMN erasures_pending.user_id IS 'The number they had';
COMMENT ON COLUMN erasures_pending.anonymous_id IS 'The user that took their place';
COMMENT ON COLUMN erasures_pending.email IS 'A review that holds it is not kept';
COMMENT ON COLUMN erasures_pending.session_ids IS 'Sessions they were in';
COMMENT ON COLUMN erasures_pending.ended_session_ids IS 'Of these, the ones that ended';
COMMENT ON COLUMN erasures_pending.sessions_left IS 'Of these, the ones whose positions are still to be deleted';

-- A gateway of before finds the two columns that it reads; what it does not do, one of after finishes.
-- squawk-ignore ban-drop-function
DROP FUNCTION erase_user;
CREATE FUNCTION erase_user(wanted bigint, OUT receipt uuid, OUT began timestamptz, OUT session_ids bigint[],
    OUT ended_session_ids bigint[])
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION erase_user IS 'For the gateway: from its commit on nothing of the user can come any more, and the sessions they host are over. Then carry_on_erasure() must follow. Nulls: no such user';
GRANT EXECUTE ON FUNCTION erase_user TO partyline_gateway;

-- posts.user_id and the other references are foreign keys: once the row is gone, nobody can write for them.
CREATE FUNCTION cut_authorship(due erasures_pending) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION cut_authorship IS 'The last step of carry_on_erasure(): what they wrote and were given, and then the row of users';

CREATE FUNCTION carry_on_erasure(wanted uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off
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
COMMENT ON FUNCTION carry_on_erasure IS 'For the gateway: takes one step, without a fence; true while another must follow, each in a transaction of its own';

CREATE FUNCTION unfinished_erasures(older_than interval)
    RETURNS TABLE (receipt uuid, began timestamptz, user_id bigint, session_ids bigint[], ended_session_ids bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$
    SELECT p.receipt_id, r.erased_at, p.user_id, p.session_ids, p.ended_session_ids
    FROM erasures_pending p JOIN erasure_receipts r ON r.id = p.receipt_id
    WHERE r.erased_at <= now() - older_than
    ORDER BY r.erased_at
    $$;
COMMENT ON FUNCTION unfinished_erasures IS 'For the gateway: erasures that began so long ago and were not finished, as erase_user() gave them';

CREATE FUNCTION finish_erasure(wanted uuid, redis_rows bigint) RETURNS SETOF erasure_receipts
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION finish_erasure IS 'For the gateway, once Redis holds nothing of the user: forgets who it was, and gives the receipt';
GRANT EXECUTE ON FUNCTION carry_on_erasure, unfinished_erasures, finish_erasure TO partyline_gateway;

RESET ROLE;

-- A column without statistics keeps those it had. Only a superuser may take them away: others see the operations page.
DO $$
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        DELETE FROM pg_statistic s USING pg_attribute a
        WHERE a.attrelid = s.starelid AND a.attnum = s.staattnum AND (s.starelid, a.attname) IN (
            ('public.users'::regclass, 'id'), ('public.party_sessions'::regclass, 'host_user_id'),
            ('public.party_members'::regclass, 'user_id'));
    END IF;
END
$$;
