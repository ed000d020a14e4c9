-- name: spans
-- How many fixes each member has, the first and the last; only of who has any and is not private now.
SELECT user_id, fixes, first_at, last_at FROM session_spans($1, $2)

-- name: liveness
-- How long each stream was live, how many gaps it has, and the $3 longest of them, in order.
WITH ranges AS (
    SELECT user_id, from_at, to_at, lead(from_at) OVER (PARTITION BY user_id ORDER BY from_at) AS next_from
    FROM session_live_ranges($1, $2)
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY next_from - to_at DESC NULLS LAST, from_at) AS place
    FROM ranges
)
SELECT user_id, sum(extract(epoch FROM to_at - from_at))::double precision AS live_s, count(next_from) AS gap_count,
    coalesce(array_agg(to_at ORDER BY to_at) FILTER (WHERE next_from IS NOT NULL AND place <= $3), '{}') AS gaps_from,
    coalesce(array_agg(next_from ORDER BY to_at) FILTER (WHERE next_from IS NOT NULL AND place <= $3), '{}') AS gaps_to
FROM ranked
GROUP BY user_id

-- name: accuracy
-- The time-weighted mean accuracy of each member whose places may be told.
SELECT user_id, mean_accuracy_m FROM session_accuracy($1, $2)

-- name: distances
-- How far each member went whose places may be told.
SELECT user_id, distance_m FROM session_distances($1, $2)

-- name: spots
-- Each member whose places may be told, at each stop of the session's trip.
SELECT user_id, sequence, place, planned_stay_min, nearest_m, arrived_at, left_at, stay_s
FROM session_spots($1, $2)
ORDER BY user_id, sequence

-- name: delays
-- From fix to commit, of the rows whose commit is known.
SELECT counted, p50_ms, p95_ms, p99_ms FROM session_delays($1, $2)
