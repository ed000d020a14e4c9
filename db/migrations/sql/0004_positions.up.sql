-- Where people were: one row for each member and 5-second window (G2), in daily chunks: of a hypertable, or
-- where TimescaleDB cannot be had, native partitions.
-- A chunk is a table of its own, to which grants are copied and policies are not. So no role that reads
-- has any grant here: readers get a security-barrier view, the gateway and the keeper get functions.

-- The choice is made here, once; from now on it is a fact of the catalogue. Whoever may migrate sees settings
-- that the loaded library has defined, but only a superuser the list of libraries.
DO $$
DECLARE
    kind text := coalesce(nullif(current_setting('partyline.partitions', true), ''), 'auto');
BEGIN
    IF kind = 'auto' THEN
        kind := CASE WHEN EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
            AND EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.disable_load')
            THEN 'hypertable' ELSE 'native' END;
    END IF;
    IF kind NOT IN ('hypertable', 'native') THEN
        RAISE EXCEPTION 'partyline.partitions must be auto, hypertable or native, not %', kind;
    END IF;
    IF kind = 'hypertable' THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    END IF;
    PERFORM set_config('partyline.partitions', kind, true);
END
$$;

SET LOCAL ROLE partyline_owner;

-- Column order is row size. 24 (row header) + 3×8 + 2×4 + 2 + 1 + 29 (a point with SRID and its short
-- header) = 88 bytes, no padding, and 4 for the line pointer. A null accuracy_m takes no more room.
DO $$
BEGIN
    EXECUTE $table$
CREATE TABLE party_positions (
    session_id    bigint NOT NULL,
    user_id       bigint NOT NULL,
    recorded_at   timestamptz NOT NULL CONSTRAINT party_positions_aligned
        CHECK (date_bin('5 seconds', recorded_at, timestamptz '1970-01-01 00:00:00+00') = recorded_at),
    accuracy_m    real,
    precision     precision_level NOT NULL CONSTRAINT party_positions_never_private CHECK (precision <> 'private'),
    fix_offset_ms smallint NOT NULL CHECK (fix_offset_ms BETWEEN 0 AND 4999),
    ttl_expired   boolean NOT NULL DEFAULT false,
    loc           geometry(Point, 4326) NOT NULL,
    PRIMARY KEY (session_id, user_id, recorded_at)
)
    $table$ || CASE WHEN current_setting('partyline.partitions') = 'native'
        THEN 'PARTITION BY RANGE (recorded_at)' ELSE '' END;
    IF current_setting('partyline.partitions') = 'hypertable' THEN
        PERFORM create_hypertable('party_positions', by_range('recorded_at', INTERVAL '1 day'),
            create_default_indexes => false);
    END IF;
END
$$;

-- pg_stats would keep, and show, people's places; and statistics outlive an erasure. It reaches a hypertable's
-- chunks; native partitions get it as they are made.
ALTER TABLE party_positions ALTER loc SET STATISTICS 0, ALTER user_id SET STATISTICS 0;

COMMENT ON TABLE party_positions IS 'Masked positions, one for each member and window. No foreign keys: a dropped chunk would lock users';
COMMENT ON COLUMN party_positions.session_id IS 'party_sessions.id';
COMMENT ON COLUMN party_positions.user_id IS 'users.id';
COMMENT ON COLUMN party_positions.recorded_at IS 'Start of the 5-second window, aligned to the epoch';
COMMENT ON COLUMN party_positions.accuracy_m IS 'Radius in metres; null if the phone gave none';
COMMENT ON COLUMN party_positions.precision IS 'How fine loc is: exact or rough. Private is never stored';
COMMENT ON COLUMN party_positions.fix_offset_ms IS 'The position''s time after recorded_at, 0 to 4999 milliseconds';
COMMENT ON COLUMN party_positions.ttl_expired IS 'The session''s time-to-live has passed; nobody reads the row any more';
COMMENT ON COLUMN party_positions.loc IS 'WGS 84, already masked (G5)';

GRANT INSERT ON party_positions TO partyline_writer;
GRANT SELECT ON party_positions TO partyline_views;

RESET ROLE;

-- The view runs with the rights of its owner, so the owner is a role that may read and that nobody is.
GRANT CREATE ON SCHEMA public TO partyline_views;
SET LOCAL ROLE partyline_views;
CREATE VIEW party_positions_visible WITH (security_barrier) AS
SELECT p.session_id, p.user_id, p.recorded_at, p.fix_offset_ms, p.loc, p.accuracy_m, p.precision
FROM party_positions p
JOIN party_sessions s ON s.id = p.session_id
JOIN party_members m ON m.session_id = p.session_id AND m.user_id = p.user_id
JOIN users u ON u.id = p.user_id
WHERE NOT p.ttl_expired
    AND u.erased_at IS NULL
    AND p.recorded_at > now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
    AND p.precision >= coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in);
COMMENT ON VIEW party_positions_visible IS 'For partyline_reader: unexpired rows that are no finer than session, member and user allow now. Nothing of the private';
COMMENT ON COLUMN party_positions_visible.session_id IS 'party_sessions.id';
COMMENT ON COLUMN party_positions_visible.user_id IS 'users.id';
COMMENT ON COLUMN party_positions_visible.recorded_at IS 'Start of the window';
COMMENT ON COLUMN party_positions_visible.fix_offset_ms IS 'The position''s time after recorded_at, milliseconds';
COMMENT ON COLUMN party_positions_visible.loc IS 'WGS 84';
COMMENT ON COLUMN party_positions_visible.accuracy_m IS 'Radius in metres';
COMMENT ON COLUMN party_positions_visible.precision IS 'How fine loc is';
GRANT SELECT ON party_positions_visible TO partyline_reader;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM partyline_views;

SET LOCAL ROLE partyline_owner;
CREATE FUNCTION party_track(wanted_session bigint, wanted_users bigint[], from_at timestamptz, to_at timestamptz,
    at_most integer)
    RETURNS TABLE (user_id bigint, recorded_at timestamptz, fix_offset_ms smallint, lat double precision,
        lon double precision, accuracy_m real, "precision" precision_level)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
BEGIN ATOMIC
    SELECT p.user_id, p.recorded_at, p.fix_offset_ms, ST_Y(p.loc), ST_X(p.loc), p.accuracy_m, p.precision
    FROM party_sessions s
    JOIN party_members m ON m.session_id = s.id
    JOIN users u ON u.id = m.user_id
    JOIN party_positions p ON p.session_id = s.id AND p.user_id = m.user_id
    WHERE s.id = wanted_session
        AND (wanted_users IS NULL OR m.user_id = ANY (wanted_users))
        AND u.erased_at IS NULL
        AND coarsest_of(s.precision, m.precision, u.privacy_level, u.location_opt_in) <> 'private'
        AND NOT p.ttl_expired
        AND p.recorded_at > now() - make_interval(hours => (s.options ->> 'ttl_hours')::integer)
        AND p.recorded_at BETWEEN from_at - INTERVAL '5 seconds' AND to_at
        AND p.recorded_at + p.fix_offset_ms * INTERVAL '1 millisecond' BETWEEN from_at AND to_at
    ORDER BY p.recorded_at, p.fix_offset_ms, p.user_id
    LIMIT at_most;
END;
COMMENT ON FUNCTION party_track IS 'For the gateway: unexpired rows as stored, oldest first; it coarsens them with its secret grid. Nothing of who is private now';
GRANT EXECUTE ON FUNCTION party_track TO partyline_gateway;
RESET ROLE;
