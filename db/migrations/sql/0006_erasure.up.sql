-- Erasure (G7), in one transaction. The order of locks is the same everywhere: fences, user, sessions,
-- members; so nobody waits in a circle.
SET LOCAL ROLE partyline_owner;

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

RESET ROLE;
