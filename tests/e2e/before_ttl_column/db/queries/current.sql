-- name: sessions
-- Sessions as they are now, by their ids.
SELECT id, host_user_id, status, started_at, ended_at, precision, options, revision, token_uses
FROM party_sessions WHERE id = ANY($1::bigint[])

-- name: members
-- Who is in them now. The erased are not among the users that the gateway sees: private.
SELECT m.session_id, m.user_id, m.member_no, m.role, m.display_name, m.precision,
    CASE WHEN u.location_opt_in THEN u.privacy_level ELSE 'private' END AS privacy_level,
    m.joined_at, m.left_at, m.kicked_at
FROM party_members m LEFT JOIN users u ON u.id = m.user_id
WHERE m.session_id = ANY($1::bigint[]) AND m.left_at IS NULL ORDER BY m.session_id, m.member_no

-- name: revisions
-- How often each of them has changed.
SELECT id, revision FROM party_sessions WHERE id = ANY($1::bigint[])
