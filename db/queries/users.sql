-- name: create_guest
-- A user without an e-mail, who by joining agrees to share places.
INSERT INTO users (location_opt_in) VALUES (true) RETURNING id

-- name: find_user
-- A user who is there: the erased are nobody.
SELECT id FROM users WHERE id = $1 AND erased_at IS NULL

-- name: hold_user
-- True for a user who is there, and who cannot be erased until this transaction ends.
SELECT hold_user($1)
