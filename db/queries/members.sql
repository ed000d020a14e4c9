-- name: of_session
-- Everybody who is or was in a session. The erased are not among the users that the gateway sees: private.
SELECT m.session_id, m.user_id, m.member_no, m.role, m.display_name, m.precision,
    CASE WHEN u.location_opt_in THEN u.privacy_level ELSE 'private' END AS privacy_level,
    m.joined_at, m.left_at, m.kicked_at
FROM party_members m LEFT JOIN users u ON u.id = m.user_id
WHERE m.session_id = $1 ORDER BY m.member_no

-- name: find
-- One member.
SELECT m.session_id, m.user_id, m.member_no, m.role, m.display_name, m.precision,
    CASE WHEN u.location_opt_in THEN u.privacy_level ELSE 'private' END AS privacy_level,
    m.joined_at, m.left_at, m.kicked_at
FROM party_members m LEFT JOIN users u ON u.id = m.user_id
WHERE m.session_id = $1 AND m.user_id = $2

-- name: find_by_token
-- Who a living member token belongs to.
SELECT m.session_id, m.user_id, m.member_no, m.role, m.display_name, m.precision,
    CASE WHEN u.location_opt_in THEN u.privacy_level ELSE 'private' END AS privacy_level,
    m.joined_at, m.left_at, m.kicked_at
FROM party_members m LEFT JOIN users u ON u.id = m.user_id
WHERE m.token_digest = $1

-- name: count_present
-- How many have not left.
SELECT count(*) FROM party_members WHERE session_id = $1 AND left_at IS NULL

-- name: add
-- A new member with the next number; the session is locked, so nobody else takes it.
INSERT INTO party_members
    (session_id, user_id, member_no, role, display_name, token_digest, precision, joined_at)
SELECT $1, $2, coalesce(max(member_no), 0) + 1, $3, $4, $5, $6, $7
FROM party_members WHERE session_id = $1

-- name: come_back
-- A known member again: the same number and a new token; the host stays the host.
UPDATE party_members
SET role = CASE role WHEN 'host' THEN role ELSE $3 END, display_name = $4, token_digest = $5, precision = $6,
    joined_at = $7, left_at = NULL
WHERE session_id = $1 AND user_id = $2

-- name: pin
-- The host loosens from $2: everybody else stays where they were until they choose again (G4). What is
-- shared is the coarsest of three, so it is enough to make the own choice as coarse as the session was.
UPDATE party_members SET precision = greatest(precision, $2)
WHERE session_id = $1 AND role <> 'host'

-- name: set_precision
-- The member's own choice.
UPDATE party_members SET precision = $3 WHERE session_id = $1 AND user_id = $2

-- name: kick
-- Removes a member for good; the token dies. The host cannot be removed.
UPDATE party_members SET kicked_at = coalesce(kicked_at, now()), left_at = coalesce(left_at, now()),
    token_digest = NULL
WHERE session_id = $1 AND member_no = $2 AND role <> 'host'
RETURNING user_id

-- name: leave
-- A member goes; the token dies. They may come back by the invitation.
UPDATE party_members SET left_at = coalesce(left_at, now()), token_digest = NULL
WHERE session_id = $1 AND user_id = $2
RETURNING user_id
