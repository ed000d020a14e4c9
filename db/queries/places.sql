-- name: places_around
-- Places within a radius, the nearest first. $1: longitude, $2: latitude, $3: metres, $4: how many at most. On the
-- sphere, as ST_DistanceSphere measures; right at the poles and across the date line.
SELECT p.id, p.name, p.category, ST_X(p.geo) AS lon, ST_Y(p.geo) AS lat,
    ST_DistanceSphere(p.geo, ST_SetSRID(ST_MakePoint($1, $2), 4326)) AS distance_m
FROM places p
WHERE p.is_active
    AND ST_DWithin(p.geo::geography, ST_SetSRID(ST_MakePoint($1, $2), 4326)::geography, $3, false)
ORDER BY distance_m, p.id
LIMIT $4

-- name: places_in_window
-- Places on a map, those nearest to its middle first. $1: west, $2: south, $3: east, $4: north, $5: how many at
-- most. A window whose west is more than its east lies across the date line.
SELECT p.id, p.name, p.category, ST_X(p.geo) AS lon, ST_Y(p.geo) AS lat
FROM places p
WHERE p.is_active
    AND (p.geo && ST_MakeEnvelope($1, $2, CASE WHEN $1::float8 <= $3::float8 THEN $3 ELSE 180 END, $4, 4326)
        OR p.geo && ST_MakeEnvelope(CASE WHEN $1 <= $3 THEN $1 ELSE -180 END, $2, $3, $4, 4326))
ORDER BY ST_DistanceSphere(p.geo, ST_SetSRID(ST_MakePoint(
    CASE WHEN $1 <= $3 THEN ($1 + $3) / 2 ELSE ($1 + $3) / 2 + CASE WHEN $1 + $3 > 0 THEN -180 ELSE 180 END END,
    ($2 + $4) / 2), 4326)), p.id
LIMIT $5

-- name: nearest_places
-- The nearest places, however far. $1: longitude, $2: latitude, $3: how many.
SELECT p.id, p.name, p.category, ST_X(p.geo) AS lon, ST_Y(p.geo) AS lat,
    ST_DistanceSphere(p.geo, ST_SetSRID(ST_MakePoint($1, $2), 4326)) AS distance_m
FROM places p
WHERE p.is_active
ORDER BY p.geo::geography <-> ST_SetSRID(ST_MakePoint($1, $2), 4326)::geography
LIMIT $3

-- name: find_places
-- Places by name, the most alike first: misspelt, or the beginning of a word. $1: what is looked for, 2 characters
-- or more, $2: how many at most.
SELECT p.id, p.name, p.category, p.district, word_similarity($1, p.name) AS likeness
FROM places p
WHERE p.is_active AND $1 <% p.name
ORDER BY likeness DESC, length(p.name), p.id
LIMIT $2

-- name: find_places_containing
-- Places with a text anywhere in their name. $1: the text, 3 characters or more (fewer have no trigram, and every
-- name would be read), with \ before %, _ and \; $2: how many at most.
SELECT p.id, p.name, p.category, p.district
FROM places p
WHERE p.is_active AND p.name ILIKE '%' || $1 || '%'
ORDER BY length(p.name), p.id
LIMIT $2

-- name: places_of_tag
-- Places of a tag, those that it applies to most first. $1: the tag, $2: how many at most.
SELECT p.id, p.name, p.category, t.weight
FROM place_tags t
JOIN places p ON p.id = t.place_id
WHERE t.tag_id = $1 AND p.is_active
ORDER BY t.weight DESC
LIMIT $2

-- name: similar_places
-- Places whose description is like another one's, by cosine. $1: the place, $2: how many.
SELECT p.id, p.name, p.category, p.text_embedding <=> o.text_embedding AS distance
FROM (SELECT text_embedding FROM places WHERE id = $1 AND text_embedding IS NOT NULL OFFSET 0) o,
    LATERAL (
        SELECT c.* FROM places c
        WHERE c.text_embedding IS NOT NULL AND c.is_active AND c.id <> $1
        ORDER BY c.text_embedding <=> o.text_embedding
        LIMIT $2
    ) p
ORDER BY distance

-- name: places_for_me
-- Places like the preferences of the person that the transaction acts for. $1: how many.
SELECT p.id, p.name, p.category, p.text_embedding <=> me.preference_embedding AS distance
FROM (
        SELECT preference_embedding FROM users
        WHERE id = (SELECT acting_user()) AND preference_embedding IS NOT NULL OFFSET 0
    ) me,
    LATERAL (
        SELECT c.* FROM places c
        WHERE c.text_embedding IS NOT NULL AND c.is_active
        ORDER BY c.text_embedding <=> me.preference_embedding
        LIMIT $1
    ) p
ORDER BY distance
