-- name: become_owner
-- What the sample is written as: the owner is not held by row level security, which COPY refuses.
SET ROLE partyline_owner

-- name: set_session
-- A setting for as long as the load takes.
SELECT set_config($1, $2, false)

-- name: look
-- What sample there is: the plan it was made from, as the source's name says it.
SELECT name FROM content_sources WHERE id = 1000000000000

-- name: note_plan
-- Notes the plan that the sample is made from.
INSERT INTO content_sources (id, name, kind, licence) OVERRIDING SYSTEM VALUE
VALUES (1000000000000, $1, 'file', 'made up')

-- name: set_author_place
-- Where the author of the doodles stands, for the doodle rule.
SELECT set_config('partyline.author_place', $1, true)

-- name: there_tags
-- Batches of tags that are there: all or none.
SELECT 0 FROM tags WHERE id = 1000000000000

-- name: there_missions
-- Batches of missions that are there: all or none.
SELECT 0 FROM missions WHERE id = 1000000000000

-- name: there_users
-- Batches of people that are there: those whose first row is.
SELECT n FROM generate_series(0, $1::integer - 1) n
WHERE EXISTS (SELECT FROM users WHERE id = 1000000000000 + n::bigint * 10000)

-- name: there_places
-- Batches of places that are there.
SELECT n FROM generate_series(0, $1::integer - 1) n
WHERE EXISTS (SELECT FROM places WHERE id = 1000000000000 + n::bigint * 10000)

-- name: there_trips
-- Batches of trips that are there.
SELECT n FROM generate_series(0, $1::integer - 1) n
WHERE EXISTS (SELECT FROM trips WHERE id = 1000000000000 + n::bigint * 10000)

-- name: there_posts
-- Batches of reviews that are there.
SELECT n FROM generate_series(0, $1::integer - 1) n
WHERE EXISTS (SELECT FROM posts WHERE id = 1000000000000 + n::bigint * 10000)

-- name: there_doodles
-- Batches of doodles that are there; they are numbered after the reviews, 20 to an author.
SELECT n FROM generate_series(0, $1::integer - 1) n
WHERE EXISTS (SELECT FROM posts WHERE id = $2::bigint + n::bigint * 20)

-- name: copy_tags
-- Tags.
COPY tags (id, name, type, metadata) FROM STDIN

-- name: copy_users
-- People.
COPY users (id, email, onboarded_at, locale, time_budget_min, budget_band, mobility_mode, preferences,
    preference_embedding) FROM STDIN

-- name: copy_missions
-- Missions.
COPY missions (id, is_active, title, description, steps, badge_type) FROM STDIN

-- name: copy_mission_assignments
-- Whose missions.
COPY mission_assignments (id, user_id, mission_id, assigned_at, due_at, status) FROM STDIN

-- name: copy_places
-- Places.
COPY places (id, source_id, geo, last_synced_at, created_at, stay_min, congestion_score, is_active, name,
    external_ref, category, address, district, cost_band, hours, mood_scores, text_embedding) FROM STDIN

-- name: copy_place_tags
-- Tags of places.
COPY place_tags (place_id, tag_id, weight, confidence) FROM STDIN

-- name: copy_place_congestion_daily
-- Crowded days.
COPY place_congestion_daily (place_id, date, visitors_count, wait_time_estimate) FROM STDIN

-- name: copy_trips
-- Trips.
COPY trips (id, user_id, created_at, duration_min, budget_min, budget_max, freshness_score, mode, context_hash)
FROM STDIN

-- name: copy_trip_nodes
-- Their stops.
COPY trip_nodes (id, trip_id, place_id, sequence, planned_stay_min, transition_mode) FROM STDIN

-- name: copy_feedback
-- What people said of them.
COPY feedback (id, trip_id, trip_node_id, user_id, submitted_at, stay_actual_min, rating, comments) FROM STDIN

-- name: copy_posts
-- Reviews and doodles.
COPY posts (id, user_id, place_id, created_at, expires_at, type, visibility, status, body, media_urls, geofence,
    text_embedding) FROM STDIN

-- name: copy_post_tags
-- Tags of posts.
COPY post_tags (post_id, tag_id, post_created_at, confidence) FROM STDIN

-- name: settle
-- Sorts what GIN indexes have pending in, and gives the planner fresh statistics.
VACUUM (ANALYZE) users, places, place_congestion_daily, tags, place_tags, posts, post_tags, trips, trip_nodes,
    missions, mission_assignments, feedback

-- name: take_turn
-- One load or removal at a time; false while another one runs.
SELECT pg_try_advisory_lock(1346458196, -19)

-- name: remove_feedback
-- What was said of sample trips, or by sample people.
DELETE FROM feedback WHERE trip_id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_trips
-- Sample trips, with their stops.
DELETE FROM trips WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_post_tags
-- Tags of sample posts: before the posts, which would look for them one by one.
DELETE FROM post_tags WHERE post_id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_posts
-- Sample posts.
DELETE FROM posts WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_mission_assignments
-- Missions of sample people.
DELETE FROM mission_assignments WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_missions
-- Sample missions.
DELETE FROM missions WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_places
-- Sample places, with their tags and days.
DELETE FROM places WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_tags
-- Sample tags.
DELETE FROM tags WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_users
-- Sample people.
DELETE FROM users WHERE id BETWEEN 1000000000000 AND 1999999999999

-- name: remove_plan
-- The note of the plan, last: until then a removal can be taken up again.
DELETE FROM content_sources WHERE id = 1000000000000
