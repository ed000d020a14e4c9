-- What stands on the two bodies, the same for both.
SET LOCAL ROLE partyline_owner;

COMMENT ON FUNCTION session_live_ranges IS 'For the gateway: from when to when each member''s stream was live; between two of a member lies a gap';
COMMENT ON FUNCTION session_accuracy IS 'For the gateway: mean accuracy of what may be told, each held until the next fix, not across gaps; null for who has no two fixes in a row';
COMMENT ON FUNCTION session_delays IS 'For the gateway: percentiles of the time from fix to commit, milliseconds, within delay_error(); and of how many rows';
COMMENT ON FUNCTION delay_of_day IS 'For metrics.commit_delay_daily: the same of all sessions, for fixes of a UTC day';
COMMENT ON FUNCTION liveness_of_day IS 'For metrics.session_liveness_daily: streams of a UTC day, cut at midnight';
GRANT EXECUTE ON FUNCTION session_live_ranges, session_accuracy, session_delays TO partyline_gateway;
-- A view calls functions with the rights of who reads it.
GRANT EXECUTE ON FUNCTION delay_of_day, liveness_of_day TO partyline_analyst, partyline_views;
GRANT CREATE ON SCHEMA metrics TO partyline_views;

SET LOCAL ROLE partyline_views;
-- A day that is asked for is the only one that is computed: the condition on it reaches the list of days.
CREATE VIEW metrics.session_liveness_daily WITH (security_barrier) AS
SELECT d.day, l.sessions, l.members, l.live_s, l.gaps
FROM (
    SELECT (now() AT TIME ZONE 'UTC')::date - n.ago AS day
    FROM generate_series(0, (SELECT max((s.options ->> 'ttl_hours')::integer) / 24 + 1 FROM public.party_sessions s)) AS n (ago)
) d
CROSS JOIN LATERAL public.liveness_of_day(d.day) l
WHERE l.members > 0;
COMMENT ON VIEW metrics.session_liveness_daily IS 'One row for each UTC day with stored positions: how long streams were live. Ask for a day: each one reads a whole day of positions';
COMMENT ON COLUMN metrics.session_liveness_daily.day IS 'UTC day of the fixes';
COMMENT ON COLUMN metrics.session_liveness_daily.sessions IS 'Sessions with a fix';
COMMENT ON COLUMN metrics.session_liveness_daily.members IS 'Members with a fix, each counted in each of their sessions';
COMMENT ON COLUMN metrics.session_liveness_daily.live_s IS 'Seconds that their streams were live, all together';
COMMENT ON COLUMN metrics.session_liveness_daily.gaps IS 'How often a stream was silent for longer than it counts as live, and came back the same day';

CREATE VIEW metrics.commit_delay_daily WITH (security_barrier) AS
SELECT d.day, c.counted AS fixes, c.p50_ms, c.p95_ms, c.p99_ms
FROM (
    SELECT (now() AT TIME ZONE 'UTC')::date - n.ago AS day
    FROM generate_series(0, (SELECT max((s.options ->> 'ttl_hours')::integer) / 24 + 1 FROM public.party_sessions s)) AS n (ago)
) d
CROSS JOIN LATERAL public.delay_of_day(d.day) c
WHERE c.counted > 0;
COMMENT ON VIEW metrics.commit_delay_daily IS 'One row for each UTC day: from fix to commit, of exact rows. Empty where track_commit_timestamp is off. Ask for a day: each one reads a whole day of positions';
COMMENT ON COLUMN metrics.commit_delay_daily.day IS 'UTC day of the fixes';
COMMENT ON COLUMN metrics.commit_delay_daily.fixes IS 'Rows whose commit the server still knows';
COMMENT ON COLUMN metrics.commit_delay_daily.p50_ms IS 'Half of them took no longer, milliseconds';
COMMENT ON COLUMN metrics.commit_delay_daily.p95_ms IS '95 % of them took no longer, milliseconds';
COMMENT ON COLUMN metrics.commit_delay_daily.p99_ms IS '99 % of them took no longer, milliseconds';
GRANT SELECT ON metrics.session_liveness_daily, metrics.commit_delay_daily TO partyline_analyst;

SET LOCAL ROLE partyline_owner;
REVOKE CREATE ON SCHEMA metrics FROM partyline_views;
RESET ROLE;
