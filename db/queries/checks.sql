-- The rules that `partyline check-data` holds the live data to. Each statement gives the rows that break its
-- rule, and of them nothing but keys: no name, place, token or e-mail. The description is the rule, as people
-- read it. They run as partyline_owner, read only, in UTC, with two settings: partyline.ttl_hours, how long
-- the server keeps positions, and partyline.head, the newest revision. No percent sign and no word after a
-- colon: SQLAlchemy reads them as its own.

-- name: schema_is_at_head
-- The schema is at the newest revision
SELECT current_setting('partyline.head') AS missing_revision
WHERE NOT EXISTS (SELECT FROM alembic_version WHERE version_num = current_setting('partyline.head'))

-- name: constraints_are_valid
-- Every foreign key and every other constraint was checked for all rows
SELECT c.conname AS constraint_name, c.conrelid::regclass::text AS table_name
FROM pg_constraint c WHERE NOT c.convalidated

-- name: indexes_are_valid
-- Every index is valid and in use
SELECT i.indexrelid::regclass::text AS index_name FROM pg_index i WHERE NOT (i.indisvalid AND i.indisready)

-- name: triggers_are_enabled
-- No trigger is switched off, foreign keys' own ones included
SELECT t.tgname AS trigger_name, t.tgrelid::regclass::text AS table_name
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgenabled IN ('D', 'R') AND c.relowner = 'partyline_owner'::regrole

-- name: months_are_made_ahead
-- posts and feedback have partitions for this month and the next two
SELECT t.name AS table_name, m.start::date AS month
FROM unnest(ARRAY['posts', 'feedback']) AS t (name)
CROSS JOIN generate_series(date_trunc('month', now()), date_trunc('month', now()) + INTERVAL '2 months',
    INTERVAL '1 month') AS m (start)
WHERE NOT EXISTS (
    SELECT FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('(.+)'\) TO \('(.+)'\)$$) AS bound
    WHERE i.inhparent = ('public.' || t.name)::regclass AND NOT i.inhdetachpending
        AND bound[1]::timestamptz <= m.start AND bound[2]::timestamptz > m.start)

-- name: days_are_made_ahead
-- Where TimescaleDB does not make them: party_positions has partitions for today and the next two days
SELECT d.start::date AS day
FROM generate_series(date_trunc('day', now()), date_trunc('day', now()) + INTERVAL '2 days', INTERVAL '1 day') AS d (start)
WHERE positions_kind() = 'native' AND NOT EXISTS (
    SELECT FROM positions_chunks() k WHERE k.range_start <= d.start AND k.range_end > d.start)

-- name: last_drop_succeeded
-- The last drop of a chunk or partition of each table succeeded
SELECT last.id AS retention_run_id, last.table_name
FROM (SELECT DISTINCT ON (table_name) id, table_name, error FROM retention_runs ORDER BY table_name, id DESC) AS last
WHERE last.error IS NOT NULL

-- name: erased_users_are_anonymous
-- An erased user's row and memberships say nothing of a person
SELECT u.id AS user_id FROM users u
WHERE u.erased_at IS NOT NULL AND (
    num_nonnulls(u.email, u.password_hash, u.onboarded_at, u.locale, u.time_budget_min, u.budget_band,
        u.mobility_mode, u.preference_embedding) > 0
    OR u.preferences <> '{}' OR u.privacy_level <> 'private' OR u.push_opt_in OR u.location_opt_in
    OR EXISTS (
        SELECT FROM party_members m
        WHERE m.user_id = u.id AND (m.display_name <> '' OR m.token_digest IS NOT NULL OR m.left_at IS NULL)))

-- name: erased_users_left_nothing
-- Nobody erased has positions, features, missions, posts or feedback, or a note in a trip
SELECT u.id AS user_id FROM users u
WHERE u.erased_at IS NOT NULL AND (
    EXISTS (
        SELECT FROM party_members m
        JOIN party_positions p ON p.session_id = m.session_id AND p.user_id = m.user_id
        WHERE m.user_id = u.id)
    OR EXISTS (SELECT FROM feature_store.user_trip_features f WHERE f.user_id = u.id)
    OR EXISTS (SELECT FROM mission_assignments a WHERE a.user_id = u.id)
    OR EXISTS (SELECT FROM posts p WHERE p.user_id = u.id)
    OR EXISTS (SELECT FROM feedback f WHERE f.user_id = u.id)
    OR EXISTS (
        SELECT FROM trips t JOIN trip_nodes n ON n.trip_id = t.id
        WHERE t.user_id = u.id AND num_nonnulls(n.notes, n.eta) > 0))

-- name: erasures_are_finished
-- No erasure is under way for longer than an hour: a gateway finishes it, once Redis and PostgreSQL are there
SELECT id AS receipt FROM erasure_receipts
WHERE finished_at IS NULL AND erased_at < now() - INTERVAL '1 hour'

-- name: places_are_on_earth
-- A place has a point within ±180° and ±90°, in WGS 84
SELECT p.id AS place_id FROM places p
WHERE p.geo IS NULL OR ST_IsEmpty(p.geo) OR ST_SRID(p.geo) <> 4326
    OR NOT (ST_X(p.geo) BETWEEN -180 AND 180 AND ST_Y(p.geo) BETWEEN -90 AND 90)

-- name: places_are_not_at_zero
-- No place lies at 0° 0°, which is what a missing coordinate looks like
SELECT p.id AS place_id FROM places p WHERE ST_X(p.geo) = 0 AND ST_Y(p.geo) = 0

-- name: places_are_fresh
-- A recommended place of a source that is still collected was compared with it in the last 30 days
SELECT p.id AS place_id FROM places p JOIN content_sources s ON s.id = p.source_id
WHERE p.is_active AND s.is_active AND s.kind IN ('api', 'crawl')
    AND coalesce(p.last_synced_at, p.created_at) < now() - INTERVAL '30 days'

-- name: place_scores_are_in_range
-- Mood and congestion scores of a place are numbers from 0 to 1
SELECT p.id AS place_id FROM places p
WHERE jsonb_typeof(p.mood_scores) <> 'object' OR p.congestion_score NOT BETWEEN 0 AND 1
    OR jsonb_path_exists(p.mood_scores, '$.* ? (@.type() != "number" || @ < 0 || @ > 1)')

-- name: tag_scores_are_in_range
-- Weight and confidence of a tag are from 0 to 1
SELECT t.place_id, NULL::bigint AS post_id, t.tag_id FROM place_tags t
WHERE t.weight IS NULL OR t.weight NOT BETWEEN 0 AND 1 OR t.confidence NOT BETWEEN 0 AND 1
UNION ALL
SELECT NULL, t.post_id, t.tag_id FROM post_tags t WHERE t.confidence NOT BETWEEN 0 AND 1

-- name: congestion_is_not_in_the_future
-- A day's congestion is of a day that has begun somewhere on earth
SELECT c.place_id, c.date FROM place_congestion_daily c WHERE c.date > (now() + INTERVAL '14 hours')::date

-- name: tag_reviews_do_not_wait
-- No question of the tag review queue waits for longer than 14 days
SELECT r.id AS tag_review_id FROM tag_reviews r
WHERE r.status = 'pending' AND r.created_at < now() - INTERVAL '14 days'

-- name: trip_stops_are_not_repeated
-- No trip_nodes.sequence is repeated within a trip
SELECT n.trip_id, n.sequence FROM trip_nodes n GROUP BY n.trip_id, n.sequence HAVING count(*) > 1

-- name: trip_stops_have_no_holes
-- The stops of a trip are numbered 1, 2, 3 … without holes
SELECT n.trip_id FROM trip_nodes n
GROUP BY n.trip_id HAVING min(n.sequence) <> 1 OR max(n.sequence) <> count(DISTINCT n.sequence)

-- name: trip_budgets_are_ordered
-- A trip's least cost is not above its most
SELECT t.id AS trip_id FROM trips t WHERE t.budget_min > t.budget_max OR t.budget_min < 0 OR t.budget_max < 0

-- name: cached_trips_are_valid_for_a_time
-- A cached recommendation ends after it began, and did not begin in the future
SELECT c.context_hash FROM trip_cache c
WHERE c.valid_until <= c.created_at OR c.created_at > now() + INTERVAL '1 hour'

-- name: ratings_are_in_range
-- A feedback's rating is 1, 2 or 3
SELECT f.id AS feedback_id FROM feedback f WHERE f.rating IS NULL OR f.rating NOT BETWEEN 1 AND 3

-- name: doodles_have_a_fence_and_an_end
-- A doodle has a geofence and expires
SELECT p.id AS post_id FROM posts p
WHERE p.type = 'doodle' AND (p.geofence IS NULL OR ST_IsEmpty(p.geofence) OR p.expires_at IS NULL)

-- name: expired_doodles_are_gone
-- A doodle is deleted within a day of its end: the keeper works
SELECT p.id AS post_id FROM posts p WHERE p.expires_at < now() - INTERVAL '1 day'

-- name: missions_are_due_after_they_begin
-- A mission is due after it was assigned
SELECT a.id AS mission_assignment_id FROM mission_assignments a WHERE a.due_at <= a.assigned_at

-- name: missions_are_pending_once
-- A person has a mission in the queue only once
SELECT a.user_id, a.mission_id FROM mission_assignments a
WHERE a.status = 'pending' GROUP BY a.user_id, a.mission_id HAVING count(*) > 1

-- name: jobs_have_their_times
-- An ingestion job that is over has its times and, if it failed, a reason; one that is not has no end
SELECT j.id AS ingestion_job_id FROM ingestion_jobs j
WHERE (j.status IN ('succeeded', 'failed')) <> (j.finished_at IS NOT NULL)
    OR (j.status IN ('running', 'succeeded') AND j.started_at IS NULL)
    OR j.finished_at < j.started_at
    OR (j.status = 'failed') <> (j.error IS NOT NULL)

-- name: jobs_come_to_an_end
-- No ingestion job runs for longer than a day
SELECT j.id AS ingestion_job_id FROM ingestion_jobs j
WHERE j.status = 'running' AND j.started_at < now() - INTERVAL '1 day'

-- name: sessions_end_when_they_say
-- A session has ended_at exactly when its status is ended
SELECT s.id AS session_id FROM party_sessions s WHERE (s.status = 'ended') <> (s.ended_at IS NOT NULL)

-- name: sessions_name_a_trip_that_is_there
-- The trip of a session is there
SELECT s.id AS session_id, s.trip_id FROM party_sessions s
WHERE s.trip_id IS NOT NULL AND NOT EXISTS (SELECT FROM trips t WHERE t.id = s.trip_id)

-- name: tokens_are_digests
-- What is stored of a sharable or member token is 32 bytes, a SHA-256
SELECT s.id AS session_id, NULL::integer AS member_no FROM party_sessions s
WHERE s.sharable_token IS NULL OR octet_length(s.sharable_token) <> 32
UNION ALL
SELECT m.session_id, m.member_no FROM party_members m WHERE octet_length(m.token_digest) <> 32

-- name: hosts_are_member_one
-- The host of a session is its member 1, and nobody else is host
SELECT s.id AS session_id FROM party_sessions s
WHERE NOT EXISTS (
        SELECT FROM party_members m
        WHERE m.session_id = s.id AND m.member_no = 1 AND m.role = 'host' AND m.user_id = s.host_user_id)
    OR EXISTS (SELECT FROM party_members m WHERE m.session_id = s.id AND m.member_no <> 1 AND m.role = 'host')

-- name: member_numbers_are_not_repeated
-- No member number is repeated within a session
SELECT m.session_id, m.member_no FROM party_members m GROUP BY m.session_id, m.member_no HAVING count(*) > 1

-- name: positions_are_on_earth
-- A position is a point within ±180° and ±90°, in WGS 84, and never private
SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p
WHERE p.precision = 'private' OR ST_IsEmpty(p.loc) OR ST_SRID(p.loc) <> 4326
    OR NOT (ST_X(p.loc) BETWEEN -180 AND 180 AND ST_Y(p.loc) BETWEEN -90 AND 90)

-- name: positions_are_in_windows
-- A position's window is 5 seconds, aligned to the epoch, and its own time lies in it
SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p
WHERE date_bin('5 seconds', p.recorded_at, timestamptz '1970-01-01 00:00:00+00') <> p.recorded_at
    OR p.fix_offset_ms NOT BETWEEN 0 AND 4999

-- name: positions_are_once_a_window
-- A member has one position in a window, over all chunks and partitions
SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p
GROUP BY p.session_id, p.user_id, p.recorded_at HAVING count(*) > 1

-- name: positions_are_of_members
-- A position belongs to somebody who is or was in that session
SELECT DISTINCT p.session_id, p.user_id FROM party_positions p
WHERE NOT EXISTS (SELECT FROM party_members m WHERE m.session_id = p.session_id AND m.user_id = p.user_id)

-- name: positions_are_not_in_the_future
-- No position is more than an hour ahead of the clock
SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p WHERE p.recorded_at > now() + INTERVAL '1 hour'

-- name: positions_past_the_servers_time_are_dropped
-- No position outlives PARTYLINE_TTL_HOURS by more than two days: its chunk, and one for the keeper
SELECT p.session_id, p.user_id, p.recorded_at FROM party_positions p
WHERE p.recorded_at < now() - make_interval(hours => current_setting('partyline.ttl_hours')::integer)
    - INTERVAL '2 days'

-- name: positions_past_their_sessions_time_are_flagged
-- A position that has outlived its own session's time-to-live by a day carries ttl_expired: the keeper works
SELECT p.session_id, p.user_id, p.recorded_at
FROM party_sessions s JOIN party_positions p ON p.session_id = s.id
WHERE s.ttl_hours < current_setting('partyline.ttl_hours')::numeric
    AND p.recorded_at < now() - make_interval(hours => s.ttl_hours) - INTERVAL '1 day'
    AND p.recorded_at >= now() - make_interval(hours => current_setting('partyline.ttl_hours')::integer)
    AND NOT p.ttl_expired
