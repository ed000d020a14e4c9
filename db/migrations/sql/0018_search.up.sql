-- Search in posts. Under row level security a condition that might leak the rows it is tried on (ILIKE, <% and
-- && might) is tried only on rows that the policy has let through, so it cannot go to an index: the search would
-- read every post. These functions are the owner's, repeat what the policy posts_public says, and use the index.
SET LOCAL ROLE partyline_owner;

CREATE FUNCTION search_posts(wanted text, since timestamptz, until timestamptz, most integer)
    RETURNS TABLE (id bigint, created_at timestamptz, place_id bigint, body text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    -- The plan depends on the words and the months. Texts have no statistics (they are copies of what people
    -- wrote), so the planner guesses, and must not guess that reading everything is cheaper.
    SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
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
COMMENT ON FUNCTION search_posts IS 'Public posts of these months that have the words anywhere (3 characters or more) or a word that begins with them (2), newest first';
GRANT EXECUTE ON FUNCTION search_posts TO partyline_reader, partyline_backend;

-- Everything that ST_DistanceSphere puts within the radius lies in this box, and a little more. Where the circle
-- has a pole in it, or the date line, it is the whole belt.
CREATE FUNCTION degrees_around(centre geometry, radius_m double precision) RETURNS geometry
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN abs(y) + high >= 90 OR abs(x) + wide > 180
            THEN ST_MakeEnvelope(-180, greatest(y - high, -90), 180, least(y + high, 90), 4326)
            ELSE ST_MakeEnvelope(x - wide, y - high, x + wide, y + high, 4326) END
    FROM (SELECT ST_X(centre) AS x, ST_Y(centre) AS y, degrees(radius_m * 1.0001 / 6371008.77) + 1e-9 AS high) h,
        LATERAL (SELECT degrees(asin(least(1, sin(radians(least(h.high, 90))) / greatest(cos(radians(h.y)), 1e-12))))
            + 1e-9 AS wide) w;
END;
COMMENT ON FUNCTION degrees_around IS 'A box in degrees that holds the circle of so many metres: for an index on geometry, before ST_DistanceSphere';

CREATE FUNCTION doodles_around(lon double precision, lat double precision, radius_m double precision, most integer)
    RETURNS TABLE (id bigint, created_at timestamptz, expires_at timestamptz, body text, geofence geometry,
        distance_m double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
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
COMMENT ON FUNCTION doodles_around IS 'Public doodles within so many metres that have not expired, the nearest first';
GRANT EXECUTE ON FUNCTION doodles_around TO partyline_reader, partyline_backend;

-- One's own, as policy users_self says: to be compared with places.
GRANT SELECT (preference_embedding) ON users TO partyline_reader, partyline_backend;

CREATE FUNCTION delete_expired_trip_cache(batch integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION delete_expired_trip_cache IS 'For the keeper: deletes at most batch recommendations that nobody reads any more; returns how many';
GRANT EXECUTE ON FUNCTION delete_expired_trip_cache TO partyline_keeper;

CREATE FUNCTION record_failed_month(wanted text, reason text) RETURNS SETOF retention_runs
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION record_failed_month IS 'For the keeper: records that a month of posts or feedback was not dropped, and why';
GRANT EXECUTE ON FUNCTION record_failed_month TO partyline_keeper;

RESET ROLE;
