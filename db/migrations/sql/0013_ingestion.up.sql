-- Collected data as it came, the jobs that collect it, and what is computed from it. The pipelines that fill
-- these tables have no role yet: until they do, only an owner writes here.
SET LOCAL ROLE partyline_owner;

CREATE TABLE ingestion_jobs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id    bigint NOT NULL CONSTRAINT ingestion_jobs_source_fkey REFERENCES content_sources (id),
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    rows_read    bigint NOT NULL DEFAULT 0 CONSTRAINT ingestion_jobs_rows_read CHECK (rows_read >= 0),
    rows_written bigint NOT NULL DEFAULT 0 CONSTRAINT ingestion_jobs_rows_written CHECK (rows_written >= 0),
    status       text NOT NULL DEFAULT 'queued'
        CONSTRAINT ingestion_jobs_status CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    error        text,
    CONSTRAINT ingestion_jobs_times CHECK (finished_at >= started_at),
    CONSTRAINT ingestion_jobs_finished CHECK ((status IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT ingestion_jobs_failed_why CHECK ((status = 'failed') = (error IS NOT NULL))
);
CREATE INDEX ingestion_jobs_source ON ingestion_jobs (source_id, created_at DESC);
COMMENT ON TABLE ingestion_jobs IS 'Runs of the collection, one row each';
COMMENT ON COLUMN ingestion_jobs.id IS 'Number of the run';
COMMENT ON COLUMN ingestion_jobs.source_id IS 'From where';
COMMENT ON COLUMN ingestion_jobs.created_at IS 'When it was queued';
COMMENT ON COLUMN ingestion_jobs.started_at IS 'When it began';
COMMENT ON COLUMN ingestion_jobs.finished_at IS 'When it ended, well or not';
COMMENT ON COLUMN ingestion_jobs.rows_read IS 'Rows that the source gave';
COMMENT ON COLUMN ingestion_jobs.rows_written IS 'Rows that were new or changed';
COMMENT ON COLUMN ingestion_jobs.status IS 'queued, running, succeeded or failed';
COMMENT ON COLUMN ingestion_jobs.error IS 'Why it failed';

CREATE SCHEMA raw_ingestion;
COMMENT ON SCHEMA raw_ingestion IS 'Collected data exactly as it came, before cleaning';
CREATE TABLE raw_ingestion.places (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id       bigint NOT NULL CONSTRAINT raw_places_job_fkey REFERENCES public.ingestion_jobs (id),
    source_id    bigint NOT NULL CONSTRAINT raw_places_source_fkey REFERENCES public.content_sources (id),
    place_id     bigint CONSTRAINT raw_places_place_fkey REFERENCES public.places (id) ON DELETE SET NULL,
    fetched_at   timestamptz NOT NULL DEFAULT now(),
    cleaned_at   timestamptz,
    external_ref text NOT NULL,
    payload      jsonb NOT NULL,
    error        text,
    CONSTRAINT raw_places_once_a_run UNIQUE (job_id, external_ref)
);
CREATE INDEX raw_places_to_clean ON raw_ingestion.places (id) WHERE cleaned_at IS NULL;
CREATE INDEX raw_places_source ON raw_ingestion.places (source_id, external_ref);
CREATE INDEX raw_places_place ON raw_ingestion.places (place_id) WHERE place_id IS NOT NULL;
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

CREATE TABLE external_conditions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id   bigint CONSTRAINT external_conditions_source_fkey REFERENCES content_sources (id),
    observed_at timestamptz NOT NULL,
    valid_until timestamptz,
    kind        text NOT NULL CONSTRAINT external_conditions_kind CHECK (kind IN ('weather', 'traffic')),
    district    text NOT NULL,
    payload     jsonb NOT NULL CONSTRAINT external_conditions_payload_object CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT external_conditions_once UNIQUE (kind, district, observed_at),
    CONSTRAINT external_conditions_validity CHECK (valid_until > observed_at)
);
CREATE INDEX external_conditions_source ON external_conditions (source_id) WHERE source_id IS NOT NULL;
COMMENT ON TABLE external_conditions IS 'Weather and traffic, a part of the context that trips are recommended for';
COMMENT ON COLUMN external_conditions.id IS 'In the order of arrival';
COMMENT ON COLUMN external_conditions.source_id IS 'From where';
COMMENT ON COLUMN external_conditions.observed_at IS 'When it was so';
COMMENT ON COLUMN external_conditions.valid_until IS 'How long it may be used';
COMMENT ON COLUMN external_conditions.kind IS 'weather or traffic';
COMMENT ON COLUMN external_conditions.district IS 'As places.district';
COMMENT ON COLUMN external_conditions.payload IS 'The values';

CREATE SCHEMA feature_store;
COMMENT ON SCHEMA feature_store IS 'Features for models, computed by pipelines';
CREATE TABLE feature_store.user_trip_features (
    user_id     bigint NOT NULL CONSTRAINT user_trip_features_user_fkey REFERENCES public.users (id) ON DELETE CASCADE,
    computed_at timestamptz NOT NULL DEFAULT now(),
    feature_set text NOT NULL CONSTRAINT user_trip_features_set_length CHECK (length(feature_set) BETWEEN 1 AND 64),
    features    jsonb NOT NULL CONSTRAINT user_trip_features_object CHECK (jsonb_typeof(features) = 'object'),
    CONSTRAINT user_trip_features_pkey PRIMARY KEY (user_id, feature_set)
);
ALTER TABLE feature_store.user_trip_features ALTER user_id SET STATISTICS 0, ALTER features SET STATISTICS 0;
ALTER TABLE feature_store.user_trip_features ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE feature_store.user_trip_features IS 'A person''s preferences and a summary of their last feedback; deleted when they are erased';
COMMENT ON COLUMN feature_store.user_trip_features.user_id IS 'The person';
COMMENT ON COLUMN feature_store.user_trip_features.computed_at IS 'When';
COMMENT ON COLUMN feature_store.user_trip_features.feature_set IS 'Name and version of the set';
COMMENT ON COLUMN feature_store.user_trip_features.features IS 'Name to value';

-- Automatic tagging: sure enough is set, sure enough not is dropped, and what lies around the threshold is a
-- person's to decide.
CREATE TABLE tag_thresholds (
    type      text PRIMARY KEY CONSTRAINT tag_thresholds_type
        CHECK (type IN ('category', 'mood', 'time', 'congestion', 'budget')),
    threshold real NOT NULL CONSTRAINT tag_thresholds_range CHECK (threshold BETWEEN 0 AND 1),
    margin    real NOT NULL CONSTRAINT tag_thresholds_margin_range CHECK (margin BETWEEN 0 AND 0.5)
);
INSERT INTO tag_thresholds (type, threshold, margin)
SELECT type, 0.7, 0.1 FROM unnest(ARRAY['category', 'mood', 'time', 'congestion', 'budget']) AS type;
COMMENT ON TABLE tag_thresholds IS 'How sure automatic tagging must be, by type of tag';
COMMENT ON COLUMN tag_thresholds.type IS 'As tags.type';
COMMENT ON COLUMN tag_thresholds.threshold IS 'Confidence from which a tag is set, 0 to 1';
COMMENT ON COLUMN tag_thresholds.margin IS 'Within threshold ± margin a person decides';

CREATE TABLE tag_reviews (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place_id        bigint CONSTRAINT tag_reviews_place_fkey REFERENCES places (id) ON DELETE CASCADE,
    post_id         bigint,
    post_created_at timestamptz,
    tag_id          bigint NOT NULL CONSTRAINT tag_reviews_tag_fkey REFERENCES tags (id) ON DELETE CASCADE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    decided_at      timestamptz,
    confidence      real NOT NULL CONSTRAINT tag_reviews_confidence_range CHECK (confidence BETWEEN 0 AND 1),
    status          text NOT NULL DEFAULT 'pending'
        CONSTRAINT tag_reviews_status CHECK (status IN ('pending', 'approved', 'rejected')),
    CONSTRAINT tag_reviews_one_subject CHECK (num_nonnulls(place_id, post_id) = 1),
    CONSTRAINT tag_reviews_whole_post CHECK ((post_id IS NULL) = (post_created_at IS NULL)),
    CONSTRAINT tag_reviews_decided CHECK ((status = 'pending') = (decided_at IS NULL)),
    CONSTRAINT tag_reviews_post_fkey FOREIGN KEY (post_id, post_created_at)
        REFERENCES posts (id, created_at) ON DELETE CASCADE
);
CREATE INDEX tag_reviews_pending ON tag_reviews (created_at) WHERE status = 'pending';
CREATE UNIQUE INDEX tag_reviews_place_key ON tag_reviews (place_id, tag_id) WHERE place_id IS NOT NULL;
CREATE UNIQUE INDEX tag_reviews_post_key ON tag_reviews (post_id, tag_id) WHERE post_id IS NOT NULL;
CREATE INDEX tag_reviews_post_created ON tag_reviews (post_created_at) WHERE post_created_at IS NOT NULL;
CREATE INDEX tag_reviews_tag ON tag_reviews (tag_id);
COMMENT ON TABLE tag_reviews IS 'Operators'' queue: tags that automatic tagging was not sure of';
COMMENT ON COLUMN tag_reviews.id IS 'Number of the question';
COMMENT ON COLUMN tag_reviews.place_id IS 'The place, or';
COMMENT ON COLUMN tag_reviews.post_id IS 'the post';
COMMENT ON COLUMN tag_reviews.post_created_at IS 'The post''s created_at';
COMMENT ON COLUMN tag_reviews.tag_id IS 'The tag';
COMMENT ON COLUMN tag_reviews.created_at IS 'When it was asked';
COMMENT ON COLUMN tag_reviews.decided_at IS 'When it was answered';
COMMENT ON COLUMN tag_reviews.confidence IS 'How sure automatic tagging was, 0 to 1';
COMMENT ON COLUMN tag_reviews.status IS 'pending, approved or rejected';

CREATE FUNCTION propose_tag(wanted_tag bigint, sureness real, wanted_place bigint DEFAULT NULL,
    wanted_post bigint DEFAULT NULL, wanted_post_created_at timestamptz DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION propose_tag IS 'For automatic tagging: sets the tag, queues it for a person, or drops it, by tag_thresholds; says which';

CREATE FUNCTION set_tag(wanted_tag bigint, sureness real, wanted_place bigint, wanted_post bigint,
    wanted_post_created_at timestamptz) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    INSERT INTO place_tags (place_id, tag_id, weight, confidence)
    SELECT wanted_place, wanted_tag, sureness, sureness WHERE wanted_place IS NOT NULL
    ON CONFLICT DO NOTHING;
    INSERT INTO post_tags (post_id, tag_id, post_created_at, confidence)
    SELECT wanted_post, wanted_tag, wanted_post_created_at, sureness WHERE wanted_post IS NOT NULL
    ON CONFLICT DO NOTHING;
END;
COMMENT ON FUNCTION set_tag IS 'Sets an automatic tag; one that is there already stays as it is';

CREATE FUNCTION decide_tag_review(wanted bigint, approve boolean) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
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
COMMENT ON FUNCTION decide_tag_review IS 'For operators: answers one question of the queue; false when it is answered already';

GRANT SELECT ON ingestion_jobs, external_conditions, tag_thresholds, tag_reviews TO partyline_analyst;
GRANT SELECT ON external_conditions, tag_reviews TO partyline_backend;
GRANT EXECUTE ON FUNCTION propose_tag, decide_tag_review TO partyline_backend;
GRANT USAGE ON SCHEMA raw_ingestion TO partyline_analyst;
GRANT SELECT ON raw_ingestion.places TO partyline_analyst;

RESET ROLE;
