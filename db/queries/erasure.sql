-- name: allow_time
-- How long the step of this transaction may take.
SELECT set_config('statement_timeout', $1, true)

-- name: erase_user
-- Makes the user nobody and ends the sessions they host (G7); nulls when there is no such user.
SELECT receipt, began, session_ids, ended_session_ids FROM erase_user($1)

-- name: carry_on_erasure
-- Takes one step; true while another must follow.
SELECT carry_on_erasure($1)

-- name: unfinished_erasures
-- Erasures that began at least so many seconds ago.
SELECT receipt, began, user_id, session_ids, ended_session_ids FROM unfinished_erasures($1 * INTERVAL '1 second')

-- name: finish_erasure
-- Forgets who it was, and gives the receipt.
SELECT * FROM finish_erasure($1, $2)
