-- name: find_tags
-- Tags by name, the most alike first: misspelt, or the beginning of a word. $1: what is looked for, $2: how many.
SELECT id, name, type, word_similarity($1, name) AS likeness
FROM tags
WHERE $1 <% name
ORDER BY likeness DESC, length(name), id
LIMIT $2

-- name: tags_with
-- Tags whose metadata has all of this. $1: an object, such as {"aka": ["quiet"]}, $2: how many.
SELECT id, name, type, metadata
FROM tags
WHERE metadata @> $1
ORDER BY name, id
LIMIT $2
