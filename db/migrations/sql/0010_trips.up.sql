-- Recommended and personal courses, their stops, and the cache of recommendations.
SET LOCAL ROLE partyline_owner;

CREATE TABLE trips (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id         bigint CONSTRAINT trips_user_fkey REFERENCES users (id),
    created_at      timestamptz NOT NULL DEFAULT now(),
    duration_min    integer NOT NULL CONSTRAINT trips_duration_range CHECK (duration_min BETWEEN 1 AND 20160),
    budget_min      integer CONSTRAINT trips_budget_min_range CHECK (budget_min >= 0),
    budget_max      integer CONSTRAINT trips_budget_max_range CHECK (budget_max >= 0),
    freshness_score real CONSTRAINT trips_freshness_range CHECK (freshness_score BETWEEN 0 AND 1),
    mode            text NOT NULL CONSTRAINT trips_mode CHECK (mode IN ('walk', 'transit', 'bike')),
    context_hash    text CONSTRAINT trips_context_hash_form CHECK (context_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT trips_budget_order CHECK (budget_min <= budget_max)
);
CREATE INDEX trips_context_hash ON trips (context_hash);
CREATE INDEX trips_user ON trips (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX trips_created ON trips (created_at);
ALTER TABLE trips ALTER user_id SET STATISTICS 0;
COMMENT ON TABLE trips IS 'Courses: recommended to all, or made for one person';
COMMENT ON COLUMN trips.id IS 'Number of the trip';
COMMENT ON COLUMN trips.user_id IS 'Whose it is; null if recommended to all, or its owner was erased';
COMMENT ON COLUMN trips.created_at IS 'When it was proposed';
COMMENT ON COLUMN trips.duration_min IS 'Minutes from the first stop to the last';
COMMENT ON COLUMN trips.budget_min IS 'Least cost for one person, in the currency''s main unit';
COMMENT ON COLUMN trips.budget_max IS 'Most cost for one person';
COMMENT ON COLUMN trips.freshness_score IS 'How new its places and posts are, 0 to 1';
COMMENT ON COLUMN trips.mode IS 'walk, transit or bike';
COMMENT ON COLUMN trips.context_hash IS 'Fingerprint of time, budget and weather it was proposed for: SHA-256, hexadecimal';

CREATE TABLE trip_nodes (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trip_id          bigint NOT NULL CONSTRAINT trip_nodes_trip_fkey REFERENCES trips (id) ON DELETE CASCADE,
    place_id         bigint NOT NULL CONSTRAINT trip_nodes_place_fkey REFERENCES places (id),
    eta              timestamptz,
    sequence         integer NOT NULL CONSTRAINT trip_nodes_sequence_range CHECK (sequence BETWEEN 1 AND 1000),
    planned_stay_min integer CONSTRAINT trip_nodes_stay_range CHECK (planned_stay_min BETWEEN 0 AND 1440),
    transition_mode  text CONSTRAINT trip_nodes_transition_mode CHECK (transition_mode IN ('walk', 'transit', 'bike')),
    notes            text CONSTRAINT trip_nodes_notes_length CHECK (length(notes) <= 2000),
    -- Deferrable, so that one statement can change the order of stops.
    CONSTRAINT trip_nodes_sequence_key UNIQUE (trip_id, sequence) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT trip_nodes_trip_key UNIQUE (id, trip_id)
);
CREATE INDEX trip_nodes_place ON trip_nodes (place_id);
COMMENT ON TABLE trip_nodes IS 'The stops of a trip, in order';
COMMENT ON COLUMN trip_nodes.id IS 'Number of the stop';
COMMENT ON COLUMN trip_nodes.trip_id IS 'The trip';
COMMENT ON COLUMN trip_nodes.place_id IS 'Where it stops';
COMMENT ON COLUMN trip_nodes.eta IS 'Planned time of arrival';
COMMENT ON COLUMN trip_nodes.sequence IS 'Order in the trip, from 1; unique in it';
COMMENT ON COLUMN trip_nodes.planned_stay_min IS 'Recommended stay, minutes';
COMMENT ON COLUMN trip_nodes.transition_mode IS 'How to get there from the stop before: walk, transit or bike';
COMMENT ON COLUMN trip_nodes.notes IS 'Free text; removed when the trip''s owner is erased';

-- party_sessions.trip_id was only a number until now: what names no trip is forgotten.
UPDATE party_sessions SET trip_id = NULL WHERE trip_id IS NOT NULL;
ALTER TABLE party_sessions ADD CONSTRAINT party_sessions_trip_fkey
    FOREIGN KEY (trip_id) REFERENCES trips (id) ON DELETE SET NULL NOT VALID;
-- Every trip_id is null now, so nothing is looked up; sessions are thousands.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE party_sessions VALIDATE CONSTRAINT party_sessions_trip_fkey;
-- Of no row yet.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX party_sessions_trip ON party_sessions (trip_id) WHERE trip_id IS NOT NULL;
COMMENT ON COLUMN party_sessions.trip_id IS 'The trip that the party is on';

CREATE TABLE trip_cache (
    context_hash text PRIMARY KEY CONSTRAINT trip_cache_context_hash_form CHECK (context_hash ~ '^[0-9a-f]{64}$'),
    payload      jsonb NOT NULL CONSTRAINT trip_cache_payload_object CHECK (jsonb_typeof(payload) = 'object')
        CONSTRAINT trip_cache_payload_size CHECK (pg_column_size(payload) <= 262144),
    created_at   timestamptz NOT NULL DEFAULT now(),
    valid_until  timestamptz NOT NULL,
    CONSTRAINT trip_cache_validity CHECK (valid_until > created_at)
);
CREATE INDEX trip_cache_valid_until ON trip_cache (valid_until);
COMMENT ON TABLE trip_cache IS 'Recommendations that were asked for often, behind the copies in Redis. Nothing of a person is in it';
COMMENT ON COLUMN trip_cache.context_hash IS 'As trips.context_hash';
COMMENT ON COLUMN trip_cache.payload IS 'The answer, as the backend sends it';
COMMENT ON COLUMN trip_cache.created_at IS 'When it was computed';
COMMENT ON COLUMN trip_cache.valid_until IS 'From then on nobody reads it';

ALTER TABLE trips ENABLE ROW LEVEL SECURITY;
CREATE POLICY trips_own_or_everybodys ON trips FOR SELECT TO partyline_reader, partyline_backend
    USING (user_id IS NULL OR user_id = (SELECT acting_user()));
CREATE POLICY trips_by_owner ON trips FOR ALL TO partyline_backend
    USING (user_id IS NOT DISTINCT FROM (SELECT acting_user())) WITH CHECK (user_id IS NOT DISTINCT FROM (SELECT acting_user()));
CREATE POLICY trips_without_person ON trips FOR SELECT TO partyline_analyst USING (true);
CREATE POLICY trips_for_views ON trips FOR SELECT TO partyline_views USING (true);
COMMENT ON POLICY trips_own_or_everybodys ON trips IS 'Recommended trips, and one''s own';
COMMENT ON POLICY trips_by_owner ON trips IS 'One changes one''s own; acting for nobody, the recommended ones';
COMMENT ON POLICY trips_without_person ON trips IS 'All trips; the column grant leaves out whose they are';
COMMENT ON POLICY trips_for_views ON trips IS 'Views that name nobody read all';
GRANT SELECT ON trips TO partyline_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON trips TO partyline_backend;
GRANT SELECT (id, created_at, duration_min, budget_min, budget_max, freshness_score, mode, context_hash)
    ON trips TO partyline_analyst, partyline_views;

ALTER TABLE trip_nodes ENABLE ROW LEVEL SECURITY;
CREATE POLICY trip_nodes_of_visible_trips ON trip_nodes FOR SELECT TO partyline_reader, partyline_backend
    USING (EXISTS (SELECT FROM trips t WHERE t.id = trip_id));
CREATE POLICY trip_nodes_by_owner ON trip_nodes FOR ALL TO partyline_backend
    USING (EXISTS (SELECT FROM trips t WHERE t.id = trip_id AND t.user_id IS NOT DISTINCT FROM (SELECT acting_user())))
    WITH CHECK (EXISTS (SELECT FROM trips t WHERE t.id = trip_id AND t.user_id IS NOT DISTINCT FROM (SELECT acting_user())));
CREATE POLICY trip_nodes_without_notes ON trip_nodes FOR SELECT TO partyline_analyst, partyline_views USING (true);
COMMENT ON POLICY trip_nodes_of_visible_trips ON trip_nodes IS 'Stops of the trips that one sees';
COMMENT ON POLICY trip_nodes_by_owner ON trip_nodes IS 'As their trip';
COMMENT ON POLICY trip_nodes_without_notes ON trip_nodes IS 'All stops; the column grant leaves out the notes';
GRANT SELECT ON trip_nodes TO partyline_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON trip_nodes TO partyline_backend;
GRANT SELECT (id, trip_id, place_id, sequence, planned_stay_min, transition_mode, eta)
    ON trip_nodes TO partyline_analyst, partyline_views;

GRANT SELECT, INSERT, UPDATE, DELETE ON trip_cache TO partyline_backend;
GRANT SELECT (id, category, district) ON places TO partyline_views;
GRANT SELECT (trip_id) ON party_sessions TO partyline_views;

RESET ROLE;
