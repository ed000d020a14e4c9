-- Parties and who is in them. Tokens are here as SHA-256 only; the reader has neither them nor the names.
SET LOCAL ROLE partyline_owner;

CREATE TABLE party_sessions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trip_id        bigint,
    host_user_id   bigint NOT NULL REFERENCES users (id),
    status         text NOT NULL DEFAULT 'live' CHECK (status IN ('live', 'ended')),
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    sharable_token bytea NOT NULL UNIQUE CHECK (octet_length(sharable_token) = 32),
    token_uses     integer NOT NULL DEFAULT 0 CHECK (token_uses >= 0),
    precision      precision_level NOT NULL,
    options        jsonb NOT NULL,
    revision       bigint NOT NULL DEFAULT 1,
    flagged_to     timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT party_sessions_ended_when CHECK ((status = 'ended') = (ended_at IS NOT NULL)),
    -- A session without its own time-to-live could never be read, so it cannot be made.
    CONSTRAINT party_sessions_ttl CHECK (
        CASE WHEN jsonb_typeof(options -> 'ttl_hours') = 'number'
            THEN (options ->> 'ttl_hours')::numeric BETWEEN 1 AND 8760 ELSE false END)
);
CREATE INDEX party_sessions_host ON party_sessions (host_user_id);
ALTER TABLE party_sessions ALTER sharable_token SET STATISTICS 0;

COMMENT ON TABLE party_sessions IS 'One party''s sharing';
COMMENT ON COLUMN party_sessions.id IS 'Its last three bits are the shard';
COMMENT ON COLUMN party_sessions.trip_id IS 'The trip it belongs to; a foreign key once trips are here';
COMMENT ON COLUMN party_sessions.host_user_id IS 'Who made it';
COMMENT ON COLUMN party_sessions.status IS 'live or ended';
COMMENT ON COLUMN party_sessions.started_at IS 'Fixes from before are refused; up to 7 days back, for recordings';
COMMENT ON COLUMN party_sessions.ended_at IS 'Set exactly when ended';
COMMENT ON COLUMN party_sessions.sharable_token IS 'SHA-256 of the invitation, never the token';
COMMENT ON COLUMN party_sessions.token_uses IS 'How many people came in by the present token';
COMMENT ON COLUMN party_sessions.precision IS 'What the host allows';
COMMENT ON COLUMN party_sessions.options IS 'tick_ms, rough_cell_m, max_members, ttl_hours, token_expires_at, token_max_uses, live_only, started_at';
COMMENT ON COLUMN party_sessions.revision IS 'Counts changes of precision and membership';
COMMENT ON COLUMN party_sessions.flagged_to IS 'The keeper''s bookmark: rows recorded before it carry ttl_expired';

CREATE TABLE party_members (
    session_id   bigint NOT NULL REFERENCES party_sessions (id),
    user_id      bigint NOT NULL REFERENCES users (id),
    member_no    integer NOT NULL CHECK (member_no > 0),
    role         text NOT NULL CHECK (role IN ('host', 'member', 'viewer')),
    display_name text NOT NULL CHECK (length(display_name) <= 40),
    token_digest bytea UNIQUE CHECK (octet_length(token_digest) = 32),
    precision    precision_level NOT NULL,
    joined_at    timestamptz NOT NULL,
    left_at      timestamptz,
    kicked_at    timestamptz,
    PRIMARY KEY (session_id, user_id),
    UNIQUE (session_id, member_no),
    CONSTRAINT party_members_gone_has_no_token CHECK (token_digest IS NULL OR (left_at IS NULL AND kicked_at IS NULL)),
    CONSTRAINT party_members_kicked_has_left CHECK (kicked_at IS NULL OR left_at IS NOT NULL)
);
-- With the session, so that a look-up by both never walks through all sessions of a busy user.
CREATE INDEX party_members_user ON party_members (user_id, session_id);
ALTER TABLE party_members ALTER display_name SET STATISTICS 0, ALTER token_digest SET STATISTICS 0;

COMMENT ON TABLE party_members IS 'Who is, or was, in a party. Rows are never deleted: numbers are never given twice';
COMMENT ON COLUMN party_members.session_id IS 'The party';
COMMENT ON COLUMN party_members.user_id IS 'The person';
COMMENT ON COLUMN party_members.member_no IS 'The person''s name on the wire, inside this session; 1 is the host';
COMMENT ON COLUMN party_members.role IS 'host, member or viewer';
COMMENT ON COLUMN party_members.display_name IS 'Empty once the user is erased';
COMMENT ON COLUMN party_members.token_digest IS 'SHA-256 of the member token; null once it is dead';
COMMENT ON COLUMN party_members.precision IS 'The member''s own choice; a loosening by the host never reaches past it';
COMMENT ON COLUMN party_members.joined_at IS 'Last time they came in by the sharable token';
COMMENT ON COLUMN party_members.left_at IS 'When they left, were kicked, or were erased';
COMMENT ON COLUMN party_members.kicked_at IS 'When the host removed them; they cannot come back';

GRANT SELECT ON party_sessions, party_members TO partyline_gateway;
GRANT INSERT (trip_id, host_user_id, started_at, sharable_token, precision, options)
    ON party_sessions TO partyline_gateway;
GRANT UPDATE (status, ended_at, sharable_token, token_uses, precision, options, revision)
    ON party_sessions TO partyline_gateway;
GRANT INSERT (session_id, user_id, member_no, role, display_name, token_digest, precision, joined_at)
    ON party_members TO partyline_gateway;
GRANT UPDATE (role, display_name, token_digest, precision, joined_at, left_at, kicked_at)
    ON party_members TO partyline_gateway;

GRANT SELECT (id, started_at, precision, options) ON party_sessions TO partyline_writer, partyline_views;
GRANT SELECT (session_id, user_id, precision) ON party_members TO partyline_writer, partyline_views;

GRANT SELECT (id, trip_id, host_user_id, status, started_at, ended_at, precision, options, revision)
    ON party_sessions TO partyline_reader;
GRANT SELECT (session_id, user_id, member_no, role, precision, joined_at, left_at, kicked_at)
    ON party_members TO partyline_reader;

-- The fence (db/fence.py): who tightens waits for the writers of the shard. A writer that was stopped with
-- its transaction open would hold up every host of the shard, so after two seconds its connection is ended:
-- its rows were not committed, are not acked, and will come again (G1). The owner may end the writer's
-- connections because it is a member of the writer's role.
CREATE FUNCTION take_fence(shard integer) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET lock_timeout = '2s'
    AS $$
BEGIN
    FOR attempt IN 1..5 LOOP
        BEGIN
            PERFORM pg_advisory_xact_lock(1346458196, shard);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_terminate_backend(l.pid)
            FROM pg_locks l
            JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
            JOIN pg_stat_activity a ON a.pid = l.pid AND a.usename = 'partyline_writer'
            WHERE l.locktype = 'advisory' AND l.classid = 1346458196 AND l.objid = shard AND l.objsubid = 2
                AND l.mode = 'ShareLock' AND l.granted;
        END;
    END LOOP;
    RAISE EXCEPTION 'shard % is held by somebody else than a writer', shard USING ERRCODE = 'lock_not_available';
END
$$;
COMMENT ON FUNCTION take_fence IS 'For the gateway: the exclusive side of a shard''s fence, until the transaction ends';
GRANT EXECUTE ON FUNCTION take_fence TO partyline_gateway;

RESET ROLE;
