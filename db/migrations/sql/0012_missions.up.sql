-- What people are asked to do on the way, and what they say afterwards.
SET LOCAL ROLE partyline_owner;

CREATE TABLE missions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    is_active   boolean NOT NULL DEFAULT true,
    title       text NOT NULL CONSTRAINT missions_title_length CHECK (length(title) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CONSTRAINT missions_description_length CHECK (length(description) <= 5000),
    steps       jsonb NOT NULL DEFAULT '[]' CONSTRAINT missions_steps_list CHECK (jsonb_typeof(steps) = 'array'),
    badge_type  text CONSTRAINT missions_badge_length CHECK (length(badge_type) BETWEEN 1 AND 64)
);
COMMENT ON TABLE missions IS 'Templates of missions';
COMMENT ON COLUMN missions.id IS 'Number of the mission';
COMMENT ON COLUMN missions.is_active IS 'False: not assigned any more';
COMMENT ON COLUMN missions.title IS 'In one line';
COMMENT ON COLUMN missions.description IS 'What to do and why';
COMMENT ON COLUMN missions.steps IS 'Steps in order';
COMMENT ON COLUMN missions.badge_type IS 'What is earned';

CREATE TABLE mission_assignments (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id         bigint NOT NULL CONSTRAINT mission_assignments_user_fkey REFERENCES users (id) ON DELETE CASCADE,
    mission_id      bigint NOT NULL CONSTRAINT mission_assignments_mission_fkey REFERENCES missions (id),
    assigned_at     timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz,
    status          text NOT NULL DEFAULT 'pending'
        CONSTRAINT mission_assignments_status CHECK (status IN ('pending', 'completed', 'expired')),
    result_metadata jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT mission_assignments_result_object CHECK (jsonb_typeof(result_metadata) = 'object'),
    CONSTRAINT mission_assignments_due_after CHECK (due_at > assigned_at)
);
CREATE INDEX mission_assignments_user ON mission_assignments (user_id, status);
CREATE INDEX mission_assignments_mission ON mission_assignments (mission_id);
CREATE UNIQUE INDEX mission_assignments_one_pending ON mission_assignments (user_id, mission_id)
    WHERE status = 'pending';
ALTER TABLE mission_assignments ALTER user_id SET STATISTICS 0, ALTER result_metadata SET STATISTICS 0;
COMMENT ON TABLE mission_assignments IS 'Each person''s queue of missions';
COMMENT ON COLUMN mission_assignments.id IS 'Number of the assignment';
COMMENT ON COLUMN mission_assignments.user_id IS 'Whose it is; the row is deleted when they are erased';
COMMENT ON COLUMN mission_assignments.mission_id IS 'The template';
COMMENT ON COLUMN mission_assignments.assigned_at IS 'Since when';
COMMENT ON COLUMN mission_assignments.due_at IS 'Until when; null without a limit';
COMMENT ON COLUMN mission_assignments.status IS 'pending, completed or expired';
COMMENT ON COLUMN mission_assignments.result_metadata IS 'What came of it';

CREATE SEQUENCE feedback_id_seq;
CREATE TABLE feedback (
    id              bigint NOT NULL DEFAULT nextval('feedback_id_seq'),
    trip_id         bigint NOT NULL CONSTRAINT feedback_trip_fkey REFERENCES trips (id) ON DELETE CASCADE,
    trip_node_id    bigint,
    user_id         bigint CONSTRAINT feedback_user_fkey REFERENCES users (id),
    submitted_at    timestamptz NOT NULL DEFAULT now(),
    stay_actual_min integer CONSTRAINT feedback_stay_range CHECK (stay_actual_min BETWEEN 0 AND 20160),
    rating          smallint NOT NULL CONSTRAINT feedback_rating_range CHECK (rating BETWEEN 1 AND 3),
    comments        text CONSTRAINT feedback_comments_length CHECK (length(comments) <= 5000),
    CONSTRAINT feedback_pkey PRIMARY KEY (id, submitted_at),
    -- Both columns: the stop belongs to that trip. SET NULL names the stop alone.
    CONSTRAINT feedback_trip_node_fkey FOREIGN KEY (trip_node_id, trip_id)
        REFERENCES trip_nodes (id, trip_id) ON DELETE SET NULL (trip_node_id)
) PARTITION BY RANGE (submitted_at);
ALTER SEQUENCE feedback_id_seq OWNED BY feedback.id;
CREATE INDEX feedback_trip ON feedback (trip_id, submitted_at);
CREATE INDEX feedback_trip_node ON feedback (trip_node_id) WHERE trip_node_id IS NOT NULL;
CREATE INDEX feedback_user ON feedback (user_id) WHERE user_id IS NOT NULL;
ALTER TABLE feedback ALTER user_id SET STATISTICS 0, ALTER comments SET STATISTICS 0;
COMMENT ON TABLE feedback IS 'What people say after a trip or a stop, one partition a month';
COMMENT ON COLUMN feedback.id IS 'Number of the answer; with submitted_at its key';
COMMENT ON COLUMN feedback.trip_id IS 'The trip';
COMMENT ON COLUMN feedback.trip_node_id IS 'The stop; null for the trip as a whole';
COMMENT ON COLUMN feedback.user_id IS 'Who says it; null once they are erased';
COMMENT ON COLUMN feedback.submitted_at IS 'When; decides its month';
COMMENT ON COLUMN feedback.stay_actual_min IS 'How long they stayed, minutes';
COMMENT ON COLUMN feedback.rating IS '1 poor, 2 good, 3 very good';
COMMENT ON COLUMN feedback.comments IS 'Free text; removed when its author is erased';
COMMENT ON SEQUENCE feedback_id_seq IS 'Numbers of feedback, over all months';

-- In UTC, because pg_partman cuts months in the session's time zone. Infinite: also after months without a row.
SET LOCAL timezone = 'UTC';
SELECT partman.create_parent('public.feedback', 'submitted_at', '1 month', p_premake => 4,
    p_start_partition => (date_trunc('month', now()) - INTERVAL '12 months')::text, p_default_table => false,
    p_template_table => 'false', p_jobmon => false);
UPDATE partman.part_config SET infinite_time_partitions = true WHERE parent_table = 'public.feedback';
SELECT make_partitions_ahead();

GRANT SELECT ON missions TO partyline_reader, partyline_analyst;
GRANT SELECT, INSERT, UPDATE ON missions TO partyline_backend;

ALTER TABLE mission_assignments ENABLE ROW LEVEL SECURITY;
CREATE POLICY mission_assignments_own ON mission_assignments FOR ALL TO partyline_backend
    USING (user_id = (SELECT acting_user())) WITH CHECK (user_id = (SELECT acting_user()));
CREATE POLICY mission_assignments_own_read ON mission_assignments FOR SELECT TO partyline_reader
    USING (user_id = (SELECT acting_user()));
CREATE POLICY mission_assignments_without_person ON mission_assignments FOR SELECT TO partyline_analyst USING (true);
COMMENT ON POLICY mission_assignments_own ON mission_assignments IS 'One''s own queue';
COMMENT ON POLICY mission_assignments_own_read ON mission_assignments IS 'One''s own queue';
COMMENT ON POLICY mission_assignments_without_person ON mission_assignments IS 'All; the column grant leaves out whose they are';
GRANT SELECT ON mission_assignments TO partyline_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON mission_assignments TO partyline_backend;
GRANT SELECT (id, mission_id, assigned_at, due_at, status) ON mission_assignments TO partyline_analyst;

ALTER TABLE feedback ENABLE ROW LEVEL SECURITY;
CREATE POLICY feedback_own ON feedback FOR ALL TO partyline_backend
    USING (user_id = (SELECT acting_user())) WITH CHECK (user_id = (SELECT acting_user()));
CREATE POLICY feedback_own_read ON feedback FOR SELECT TO partyline_reader
    USING (user_id = (SELECT acting_user()));
CREATE POLICY feedback_without_person ON feedback FOR SELECT TO partyline_analyst, partyline_views USING (true);
COMMENT ON POLICY feedback_own ON feedback IS 'One''s own words';
COMMENT ON POLICY feedback_own_read ON feedback IS 'One''s own words';
COMMENT ON POLICY feedback_without_person ON feedback IS 'All; the column grant leaves out who said it, and the words';
GRANT SELECT ON feedback TO partyline_reader;
GRANT SELECT, INSERT, DELETE ON feedback TO partyline_backend;
GRANT UPDATE (trip_node_id, stay_actual_min, rating, comments) ON feedback TO partyline_backend;
GRANT USAGE ON SEQUENCE feedback_id_seq TO partyline_backend;
GRANT SELECT (id, trip_id, trip_node_id, submitted_at, stay_actual_min, rating)
    ON feedback TO partyline_analyst, partyline_views;

RESET ROLE;
