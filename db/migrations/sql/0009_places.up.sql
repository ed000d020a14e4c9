-- Places to go, what they are like, and where the knowledge comes from.
SET LOCAL ROLE partyline_owner;

CREATE TABLE content_sources (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CONSTRAINT content_sources_name_key UNIQUE
        CONSTRAINT content_sources_name_length CHECK (length(name) BETWEEN 1 AND 100),
    kind       text NOT NULL CONSTRAINT content_sources_kind CHECK (kind IN ('api', 'crawl', 'file', 'manual')),
    licence    text,
    is_active  boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE content_sources IS 'Where collected data comes from';
COMMENT ON COLUMN content_sources.id IS 'Number of the source';
COMMENT ON COLUMN content_sources.name IS 'What operators call it';
COMMENT ON COLUMN content_sources.kind IS 'api, crawl, file or manual';
COMMENT ON COLUMN content_sources.licence IS 'Under which terms its data may be shown';
COMMENT ON COLUMN content_sources.is_active IS 'False: nothing more is collected from it';
COMMENT ON COLUMN content_sources.created_at IS 'When it was entered';

CREATE TABLE places (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id        bigint CONSTRAINT places_source_fkey REFERENCES content_sources (id),
    geo              geometry(Point, 4326) NOT NULL
        CONSTRAINT places_geo_on_earth CHECK (NOT ST_IsEmpty(geo) AND ST_X(geo) BETWEEN -180 AND 180 AND ST_Y(geo) BETWEEN -90 AND 90),
    last_synced_at   timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    stay_min         integer CONSTRAINT places_stay_range CHECK (stay_min BETWEEN 1 AND 1440),
    congestion_score real CONSTRAINT places_congestion_range CHECK (congestion_score BETWEEN 0 AND 1),
    is_active        boolean NOT NULL DEFAULT true,
    name             text NOT NULL CONSTRAINT places_name_length CHECK (length(name) BETWEEN 1 AND 200),
    external_ref     text CONSTRAINT places_external_ref_length CHECK (length(external_ref) BETWEEN 1 AND 200),
    category         text NOT NULL CONSTRAINT places_category_length CHECK (length(category) BETWEEN 1 AND 64),
    address          text,
    district         text,
    cost_band        text CONSTRAINT places_cost_band CHECK (cost_band IN ('free', 'low', 'medium', 'high')),
    hours            jsonb NOT NULL DEFAULT '{}' CONSTRAINT places_hours_object CHECK (jsonb_typeof(hours) = 'object'),
    mood_scores      jsonb NOT NULL DEFAULT '{}' CONSTRAINT places_mood_scores_range CHECK (
        jsonb_typeof(mood_scores) = 'object'
        AND NOT jsonb_path_exists(mood_scores, '$.* ? (@.type() != "number" || @ < 0 || @ > 1)')),
    text_embedding   vector(384),
    CONSTRAINT places_external_ref_key UNIQUE (source_id, external_ref),
    CONSTRAINT places_external_ref_has_source CHECK (external_ref IS NULL OR source_id IS NOT NULL)
);
-- For map windows in degrees; the guide's index.
CREATE INDEX places_geo ON places USING gist (geo);
-- For a radius in metres: right at the poles and across the date line, where a box of degrees is not.
CREATE INDEX places_geo_metres ON places USING gist ((geo::geography));
CREATE INDEX places_name_trgm ON places USING gin (name gin_trgm_ops);
CREATE INDEX places_district_category ON places (district, category) WHERE is_active;
CREATE INDEX places_text_embedding ON places USING hnsw (text_embedding vector_cosine_ops)
    WHERE text_embedding IS NOT NULL;

COMMENT ON TABLE places IS 'Places that a trip can stop at';
COMMENT ON COLUMN places.id IS 'Number of the place';
COMMENT ON COLUMN places.source_id IS 'Where it was collected; null if entered by hand';
COMMENT ON COLUMN places.geo IS 'WGS 84';
COMMENT ON COLUMN places.last_synced_at IS 'When the source was last compared';
COMMENT ON COLUMN places.created_at IS 'When the row was made';
COMMENT ON COLUMN places.stay_min IS 'Usual stay, minutes';
COMMENT ON COLUMN places.congestion_score IS 'How crowded it usually is, 0 to 1; days are in place_congestion_daily';
COMMENT ON COLUMN places.is_active IS 'False: closed for good, or not to be recommended';
COMMENT ON COLUMN places.name IS 'As signs say it';
COMMENT ON COLUMN places.external_ref IS 'The source''s own key';
COMMENT ON COLUMN places.category IS 'Café, park, museum …';
COMMENT ON COLUMN places.address IS 'Postal address';
COMMENT ON COLUMN places.district IS 'Part of the town';
COMMENT ON COLUMN places.cost_band IS 'free, low, medium or high';
COMMENT ON COLUMN places.hours IS 'Opening hours: day of the week to list of [from, to]';
COMMENT ON COLUMN places.mood_scores IS 'Atmosphere (quiet, lively, vintage …) to a score from 0 to 1';
COMMENT ON COLUMN places.text_embedding IS 'Description as a vector, compared by cosine';

CREATE TABLE place_congestion_daily (
    place_id           bigint NOT NULL CONSTRAINT place_congestion_place_fkey REFERENCES places (id) ON DELETE CASCADE,
    date               date NOT NULL,
    visitors_count     integer CONSTRAINT place_congestion_visitors CHECK (visitors_count >= 0),
    wait_time_estimate integer CONSTRAINT place_congestion_wait CHECK (wait_time_estimate BETWEEN 0 AND 1440),
    CONSTRAINT place_congestion_daily_pkey PRIMARY KEY (place_id, date)
);
CREATE INDEX place_congestion_date ON place_congestion_daily (date);
COMMENT ON TABLE place_congestion_daily IS 'How crowded a place was on a day; kept apart from places, which change rarely';
COMMENT ON COLUMN place_congestion_daily.place_id IS 'The place';
COMMENT ON COLUMN place_congestion_daily.date IS 'Local day of the place';
COMMENT ON COLUMN place_congestion_daily.visitors_count IS 'People counted or estimated';
COMMENT ON COLUMN place_congestion_daily.wait_time_estimate IS 'Minutes in the queue';

CREATE TABLE tags (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text NOT NULL CONSTRAINT tags_name_length CHECK (length(name) BETWEEN 1 AND 64),
    type     text NOT NULL CONSTRAINT tags_type CHECK (type IN ('category', 'mood', 'time', 'congestion', 'budget')),
    metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT tags_metadata_object CHECK (jsonb_typeof(metadata) = 'object')
);
CREATE UNIQUE INDEX tags_type_name_key ON tags (type, lower(name));
CREATE INDEX tags_name_trgm ON tags USING gin (name gin_trgm_ops);
CREATE INDEX tags_metadata ON tags USING gin (metadata jsonb_path_ops);
COMMENT ON TABLE tags IS 'What places and posts are marked with';
COMMENT ON COLUMN tags.id IS 'Number of the tag';
COMMENT ON COLUMN tags.name IS 'Unique within its type, without regard to case';
COMMENT ON COLUMN tags.type IS 'category, mood, time, congestion or budget';
COMMENT ON COLUMN tags.metadata IS 'Other names, icon, order';

CREATE TABLE place_tags (
    place_id   bigint NOT NULL CONSTRAINT place_tags_place_fkey REFERENCES places (id) ON DELETE CASCADE,
    tag_id     bigint NOT NULL CONSTRAINT place_tags_tag_fkey REFERENCES tags (id) ON DELETE CASCADE,
    weight     real NOT NULL DEFAULT 1 CONSTRAINT place_tags_weight_range CHECK (weight BETWEEN 0 AND 1),
    confidence real CONSTRAINT place_tags_confidence_range CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT place_tags_pkey PRIMARY KEY (place_id, tag_id)
);
CREATE INDEX place_tags_tag ON place_tags (tag_id, weight DESC);
COMMENT ON TABLE place_tags IS 'Tags of places';
COMMENT ON COLUMN place_tags.place_id IS 'The place';
COMMENT ON COLUMN place_tags.tag_id IS 'The tag';
COMMENT ON COLUMN place_tags.weight IS 'How much it applies, 0 to 1';
COMMENT ON COLUMN place_tags.confidence IS 'How sure automatic tagging was, 0 to 1; null if a person set it';

GRANT SELECT ON places, place_congestion_daily, tags, place_tags
    TO partyline_reader, partyline_backend, partyline_analyst;
GRANT SELECT ON content_sources TO partyline_analyst;

RESET ROLE;
