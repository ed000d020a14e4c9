-- name: search_posts
-- Public posts with these words, newest first. $1: 2 characters or more, $2: from, $3: to (at most 13 months; only
-- these months are looked at), $4: how many at most. In a function, because of row level security.
SELECT id, created_at, place_id, body FROM search_posts($1, $2, $3, $4)

-- name: doodles_around
-- Public doodles within a radius, the nearest first. $1: longitude, $2: latitude, $3: metres, $4: how many at most.
SELECT id, created_at, expires_at, body, ST_X(geofence) AS lon, ST_Y(geofence) AS lat, distance_m
FROM doodles_around($1, $2, $3, $4)

-- name: posts_of_place
-- What is said of a place, newest first. $1: the place, $2: before which time (the last one that was shown), $3: how
-- many at most.
SELECT id, created_at, type, body, media_urls
FROM posts
WHERE place_id = $1 AND created_at < $2
ORDER BY created_at DESC
LIMIT $3

-- name: similar_posts
-- Posts whose text is like another one's, by cosine. $1, $2: the post's id and created_at, $3: how many.
SELECT p.id, p.created_at, p.body, p.text_embedding <=> o.text_embedding AS distance
FROM (
        SELECT text_embedding FROM posts
        WHERE id = $1 AND created_at = $2 AND text_embedding IS NOT NULL OFFSET 0
    ) o,
    LATERAL (
        SELECT c.id, c.created_at, c.body, c.text_embedding FROM posts c
        WHERE c.text_embedding IS NOT NULL AND c.id <> $1
        ORDER BY c.text_embedding <=> o.text_embedding
        LIMIT $3
    ) p
ORDER BY distance
