-- Reviews and doodles, in months that pg_partman makes ahead. A doodle is left where its author stands.
SET LOCAL ROLE partyline_owner;

-- A sequence and no identity: PostgreSQL 15 has none in partitions.
CREATE SEQUENCE posts_id_seq;
CREATE TABLE posts (
    id             bigint NOT NULL DEFAULT nextval('posts_id_seq'),
    user_id        bigint CONSTRAINT posts_user_fkey REFERENCES users (id),
    place_id       bigint CONSTRAINT posts_place_fkey REFERENCES places (id) ON DELETE SET NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,
    type           text NOT NULL CONSTRAINT posts_type CHECK (type IN ('review', 'doodle')),
    visibility     text NOT NULL DEFAULT 'public' CONSTRAINT posts_visibility CHECK (visibility IN ('public', 'private')),
    status         text NOT NULL DEFAULT 'pending'
        CONSTRAINT posts_status CHECK (status IN ('pending', 'published', 'hidden', 'removed')),
    body           text NOT NULL CONSTRAINT posts_body_length CHECK (length(body) BETWEEN 1 AND 5000),
    media_urls     jsonb NOT NULL DEFAULT '[]' CONSTRAINT posts_media_urls_list CHECK (
        jsonb_typeof(media_urls) = 'array' AND NOT jsonb_path_exists(media_urls, '$[*] ? (@.type() != "string")')),
    geofence       geometry(Point, 4326)
        CONSTRAINT posts_geofence_on_earth CHECK (NOT ST_IsEmpty(geofence) AND ST_X(geofence) BETWEEN -180 AND 180 AND ST_Y(geofence) BETWEEN -90 AND 90),
    text_embedding vector(384),
    CONSTRAINT posts_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT posts_doodle_has_fence CHECK (type <> 'doodle' OR geofence IS NOT NULL),
    CONSTRAINT posts_doodle_expires CHECK ((type = 'doodle') = (expires_at IS NOT NULL)),
    CONSTRAINT posts_expires_after_creation CHECK (expires_at > created_at)
) PARTITION BY RANGE (created_at);
ALTER SEQUENCE posts_id_seq OWNED BY posts.id;
CREATE INDEX posts_geofence ON posts USING gist (geofence) WHERE geofence IS NOT NULL;
CREATE INDEX posts_body_trgm ON posts USING gin (body gin_trgm_ops);
CREATE INDEX posts_place ON posts (place_id, created_at DESC) WHERE place_id IS NOT NULL;
CREATE INDEX posts_user ON posts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX posts_expires ON posts (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX posts_text_embedding ON posts USING hnsw (text_embedding vector_cosine_ops)
    WHERE text_embedding IS NOT NULL;
-- Statistics are copies of values; make_partitions_ahead() sets them in every month.
ALTER TABLE posts ALTER user_id SET STATISTICS 0, ALTER body SET STATISTICS 0, ALTER geofence SET STATISTICS 0,
    ALTER media_urls SET STATISTICS 0, ALTER text_embedding SET STATISTICS 0;

COMMENT ON TABLE posts IS 'Reviews and doodles, one partition a month';
COMMENT ON COLUMN posts.id IS 'Number of the post; with created_at its key, because a partition''s key holds its month';
COMMENT ON COLUMN posts.user_id IS 'Its author; null once the author is erased';
COMMENT ON COLUMN posts.place_id IS 'The place it is about, if any';
COMMENT ON COLUMN posts.created_at IS 'When it was written; decides its month';
COMMENT ON COLUMN posts.expires_at IS 'Doodles only: from then on nobody sees it, and the keeper deletes it';
COMMENT ON COLUMN posts.type IS 'review or doodle';
COMMENT ON COLUMN posts.visibility IS 'public, or private to its author';
COMMENT ON COLUMN posts.status IS 'Moderation: pending, published, hidden or removed';
COMMENT ON COLUMN posts.body IS 'Text';
COMMENT ON COLUMN posts.media_urls IS 'Addresses of images';
COMMENT ON COLUMN posts.geofence IS 'Where a doodle lies, WGS 84; its author was within 150 m';
COMMENT ON COLUMN posts.text_embedding IS 'Text as a vector, compared by cosine';
COMMENT ON SEQUENCE posts_id_seq IS 'Numbers of posts, over all months';

CREATE TABLE post_tags (
    post_id         bigint NOT NULL,
    tag_id          bigint NOT NULL CONSTRAINT post_tags_tag_fkey REFERENCES tags (id) ON DELETE CASCADE,
    post_created_at timestamptz NOT NULL,
    confidence      real CONSTRAINT post_tags_confidence_range CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT post_tags_pkey PRIMARY KEY (post_id, tag_id),
    CONSTRAINT post_tags_post_fkey FOREIGN KEY (post_id, post_created_at)
        REFERENCES posts (id, created_at) ON DELETE CASCADE
);
CREATE INDEX post_tags_tag ON post_tags (tag_id, post_created_at DESC);
CREATE INDEX post_tags_post_created ON post_tags (post_created_at);
COMMENT ON TABLE post_tags IS 'Tags of posts';
COMMENT ON COLUMN post_tags.post_id IS 'The post';
COMMENT ON COLUMN post_tags.tag_id IS 'The tag';
COMMENT ON COLUMN post_tags.post_created_at IS 'The post''s created_at: a foreign key to a partitioned table needs it';
COMMENT ON COLUMN post_tags.confidence IS 'How sure automatic tagging was, 0 to 1; null if a person set it';

-- The doodle rule: ST_DistanceSphere(author, geofence) <= 150 m. The author's place comes with the transaction
-- (SET LOCAL partyline.author_place = 'longitude latitude'), is looked at here, and is never stored.
CREATE FUNCTION doodle_within_fence() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
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
$$;
COMMENT ON FUNCTION doodle_within_fence IS 'Trigger of posts: a doodle lies within 150 m of its author';
-- A trigger's condition cannot see a missing fence as anything but null: that is posts_doodle_has_fence's to say.
CREATE TRIGGER posts_doodle_within_fence BEFORE INSERT ON posts
    FOR EACH ROW WHEN (NEW.type = 'doodle' AND NEW.geofence IS NOT NULL) EXECUTE FUNCTION doodle_within_fence();
CREATE TRIGGER posts_doodle_moved BEFORE UPDATE OF geofence, type ON posts
    FOR EACH ROW WHEN (NEW.type = 'doodle' AND NEW.geofence IS NOT NULL
        AND (OLD.type <> 'doodle' OR OLD.geofence IS NULL OR NOT OLD.geofence ~= NEW.geofence))
    EXECUTE FUNCTION doodle_within_fence();
COMMENT ON TRIGGER posts_doodle_within_fence ON posts IS 'The doodle rule, when it is left';
COMMENT ON TRIGGER posts_doodle_moved ON posts IS 'The doodle rule, when it is moved';

-- In UTC, because pg_partman cuts months in the session's time zone. Infinite: also after months without a row.
SET LOCAL timezone = 'UTC';
SELECT partman.create_parent('public.posts', 'created_at', '1 month', p_premake => 4,
    p_start_partition => (date_trunc('month', now()) - INTERVAL '12 months')::text, p_default_table => false,
    p_template_table => 'false', p_jobmon => false);
UPDATE partman.part_config SET infinite_time_partitions = true WHERE parent_table = 'public.posts';
SELECT make_partitions_ahead();

ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
CREATE POLICY posts_public ON posts FOR SELECT TO partyline_reader, partyline_backend, partyline_analyst
    USING (status = 'published' AND visibility = 'public' AND (expires_at IS NULL OR expires_at > now()));
CREATE POLICY posts_own ON posts FOR ALL TO partyline_backend
    USING (user_id = (SELECT acting_user())) WITH CHECK (user_id = (SELECT acting_user()));
CREATE POLICY posts_own_read ON posts FOR SELECT TO partyline_reader USING (user_id = (SELECT acting_user()));
COMMENT ON POLICY posts_public ON posts IS 'What is published, public and not expired';
COMMENT ON POLICY posts_own ON posts IS 'One writes and changes one''s own';
COMMENT ON POLICY posts_own_read ON posts IS 'One sees one''s own';
GRANT SELECT ON posts TO partyline_reader;
GRANT SELECT, DELETE ON posts TO partyline_backend;
-- Not the moderation state: see moderate_post().
GRANT INSERT (user_id, place_id, expires_at, type, visibility, body, media_urls, geofence, text_embedding)
    ON posts TO partyline_backend;
GRANT UPDATE (place_id, expires_at, visibility, body, media_urls, geofence, text_embedding)
    ON posts TO partyline_backend;
GRANT USAGE ON SEQUENCE posts_id_seq TO partyline_backend;
GRANT SELECT (id, place_id, created_at, expires_at, type, visibility, status, body) ON posts TO partyline_analyst;

ALTER TABLE post_tags ENABLE ROW LEVEL SECURITY;
CREATE POLICY post_tags_of_visible_posts ON post_tags FOR SELECT
    TO partyline_reader, partyline_backend, partyline_analyst
    USING (EXISTS (SELECT FROM posts p WHERE p.id = post_id AND p.created_at = post_created_at));
CREATE POLICY post_tags_by_author ON post_tags FOR ALL TO partyline_backend
    USING (EXISTS (SELECT FROM posts p WHERE p.id = post_id AND p.created_at = post_created_at
        AND p.user_id = (SELECT acting_user())))
    WITH CHECK (EXISTS (SELECT FROM posts p WHERE p.id = post_id AND p.created_at = post_created_at
        AND p.user_id = (SELECT acting_user())));
COMMENT ON POLICY post_tags_of_visible_posts ON post_tags IS 'Tags of the posts that one sees';
COMMENT ON POLICY post_tags_by_author ON post_tags IS 'Tags of one''s own posts';
GRANT SELECT ON post_tags TO partyline_reader, partyline_backend, partyline_analyst;
GRANT INSERT, DELETE ON post_tags TO partyline_backend;

CREATE FUNCTION moderate_post(wanted bigint, wanted_created_at timestamptz, new_status text) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    UPDATE posts SET status = new_status WHERE id = wanted AND created_at = wanted_created_at RETURNING true;
END;
COMMENT ON FUNCTION moderate_post IS 'For the backend: sets a post''s moderation state; null when there is no such post';
GRANT EXECUTE ON FUNCTION moderate_post TO partyline_backend;

CREATE FUNCTION delete_expired_doodles(batch integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION delete_expired_doodles IS 'For the keeper: deletes at most batch doodles that nobody sees any more; returns how many';
GRANT EXECUTE ON FUNCTION delete_expired_doodles TO partyline_keeper;

RESET ROLE;
