-- name: trips_of_context
-- Trips that are recommended for a context, the freshest first. $1: the context's hash, $2: how many at most.
SELECT id, duration_min, budget_min, budget_max, mode, freshness_score
FROM trips
WHERE context_hash = $1 AND user_id IS NULL
ORDER BY freshness_score DESC NULLS LAST, id
LIMIT $2

-- name: stops_of_trip
-- The stops of a trip in order. $1: the trip.
SELECT n.id, n.sequence, n.place_id, p.name, n.planned_stay_min, n.transition_mode, n.eta, n.notes
FROM trip_nodes n
JOIN places p ON p.id = n.place_id
WHERE n.trip_id = $1
ORDER BY n.sequence

-- name: feedback_of_trip
-- What the person that the transaction acts for said of a trip, newest first; an analyst reads everybody's, without
-- the words. $1: the trip.
SELECT id, trip_node_id, submitted_at, rating, stay_actual_min
FROM feedback
WHERE trip_id = $1
ORDER BY submitted_at DESC
