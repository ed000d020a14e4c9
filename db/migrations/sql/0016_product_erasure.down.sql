-- An erasure that is under way must be finished first: what is needed for it would go. Receipts go with their table.
SET LOCAL ROLE partyline_owner;
DO $$
BEGIN
    IF EXISTS (SELECT FROM erasures_pending) THEN
        RAISE EXCEPTION 'erasures are under way: start a gateway, which finishes them, and come again';
    END IF;
END
$$;
DROP FUNCTION finish_erasure;
DROP FUNCTION unfinished_erasures;
DROP FUNCTION carry_on_erasure;
DROP FUNCTION cut_authorship;
DROP FUNCTION erase_user;
DROP TABLE erasures_pending;
DROP TABLE erasure_receipts;
CREATE FUNCTION erase_user(wanted bigint, OUT session_ids bigint[], OUT ended_session_ids bigint[])
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION erase_user IS 'For the gateway: deletes every position of the user, makes the user anonymous, ends the sessions they host. Nulls: no such user';
GRANT EXECUTE ON FUNCTION erase_user TO partyline_gateway;
COMMENT ON TABLE users IS 'People with an account, and guests (no e-mail). An erased row stays, anonymous, so that numbers in a session keep their meaning';
COMMENT ON COLUMN users.erased_at IS 'When the person asked to be erased; everything personal is gone since';
COMMENT ON COLUMN trips.user_id IS 'Whose it is; null if recommended to all, or its owner was erased';
COMMENT ON COLUMN trip_nodes.eta IS 'Planned time of arrival';
COMMENT ON COLUMN posts.media_urls IS 'Addresses of images';
ALTER TABLE party_members ALTER user_id SET STATISTICS -1;
ALTER TABLE party_sessions ALTER host_user_id SET STATISTICS -1;
ALTER TABLE users ALTER id SET STATISTICS -1;
RESET ROLE;
