-- All rows of a session, by member number: what the audit looks acked fixes up in. A row whose user is no
-- member gets the number 0, which nobody has.
-- $1 session id (bigint)
SELECT coalesce(m.member_no, 0) AS m,
    (extract(epoch FROM p.recorded_at) * 1000)::bigint AS window_ms,
    p.fix_offset_ms::integer AS offset_ms,
    ST_Y(p.loc) AS lat,
    ST_X(p.loc) AS lon,
    p.accuracy_m::double precision AS accuracy_m,
    p.precision::text AS "precision"
FROM party_positions p
LEFT JOIN party_members m ON m.session_id = p.session_id AND m.user_id = p.user_id
WHERE p.session_id = $1
