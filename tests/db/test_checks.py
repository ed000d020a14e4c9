"""Rules over live data: a healthy database keeps them all, and each planted fault is found by its own rule."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psycopg
import pytest

from db import migrate, positions, sessions
from db.checks.rules import RULES, named
from db.checks.run import check
from db.erasure import carry_on_erasure, finish_erasure
from tests.conftest import _fresh
from tests.db.conftest import HOUR_MS, PASSWORD, TTL_HOURS, make_party, window

RULE_NAMES = [rule.name for rule in RULES]

HEALTHY = """
INSERT INTO content_sources (name, kind) VALUES ('city', 'api');
INSERT INTO places (source_id, external_ref, name, category, geo, last_synced_at, mood_scores, congestion_score)
SELECT 1, 'p' || n, 'Place ' || n, 'park', ST_SetSRID(ST_MakePoint(126.9 + n / 100.0, 37.5), 4326), now(),
    '{"quiet": 0.5, "vintage": 1}', 0.25
FROM generate_series(1, 4) AS n;
INSERT INTO place_congestion_daily (place_id, date, visitors_count) VALUES (1, current_date, 10);
INSERT INTO tags (name, type) VALUES ('quiet', 'mood'), ('late', 'time');
INSERT INTO place_tags (place_id, tag_id, weight, confidence) VALUES (1, 1, 1, 0.9);
INSERT INTO users (email, location_opt_in) VALUES ('planted.person@example.test', true);
INSERT INTO trips (user_id, duration_min, mode, budget_min, budget_max)
SELECT max(id), 180, 'walk', 10, 20 FROM users;
INSERT INTO trip_nodes (trip_id, place_id, sequence) SELECT 1, n, n FROM generate_series(1, 3) AS n;
INSERT INTO trip_cache (context_hash, payload, valid_until) VALUES (repeat('a', 64), '{}', now() + INTERVAL '1 hour');
INSERT INTO feedback (trip_id, trip_node_id, user_id, rating) SELECT 1, 1, max(id), 3 FROM users;
INSERT INTO posts (user_id, place_id, type, body) SELECT max(id), 1, 'review', 'good' FROM users;
SELECT set_config('partyline.author_place', '126.9001 37.5', false);
INSERT INTO posts (user_id, type, body, geofence, expires_at)
SELECT max(id), 'doodle', 'here', ST_SetSRID(ST_MakePoint(126.9, 37.5), 4326), now() + INTERVAL '1 day' FROM users;
INSERT INTO post_tags (post_id, tag_id, post_created_at, confidence) SELECT id, 1, created_at, 0.9 FROM posts LIMIT 1;
INSERT INTO tag_reviews (place_id, tag_id, confidence) VALUES (2, 2, 0.7);
INSERT INTO missions (title) VALUES ('Find the well');
INSERT INTO mission_assignments (user_id, mission_id, due_at)
SELECT max(id), 1, now() + INTERVAL '1 day' FROM users;
INSERT INTO ingestion_jobs (source_id, status, started_at, finished_at, error)
VALUES (1, 'succeeded', now() - INTERVAL '3 days', now() - INTERVAL '3 days', NULL),
    (1, 'running', now(), NULL, NULL), (1, 'queued', NULL, NULL, NULL), (1, 'failed', now(), now(), 'gone');
UPDATE party_sessions SET trip_id = 1 WHERE status = 'live';
"""

POSITION = """
INSERT INTO party_positions (session_id, user_id, recorded_at, accuracy_m, precision, fix_offset_ms, loc)
SELECT p.session_id, p.user_id, date_bin('5 seconds', now(), timestamptz '1970-01-01 00:00:00+00') + {shift},
    p.accuracy_m, p.precision, 0, {loc}
FROM (
    SELECT session_id, {user} AS user_id, accuracy_m, precision, loc FROM party_positions p
    WHERE fix_offset_ms = 1234 ORDER BY session_id, user_id, recorded_at LIMIT 1
) AS p
"""


def position(shift="INTERVAL '-1 hour'", loc="p.loc", user="p.user_id"):
    return POSITION.format(shift=shift, loc=loc, user=user)


ERASED = "(SELECT max(id) FROM users WHERE erased_at IS NOT NULL)"
NO_FOREIGN_KEYS = "SET session_replication_role = replica; "
DETACH_LAST = """
DO $$
DECLARE
    part regclass;
BEGIN
    SELECT i.inhrelid INTO part FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = '{0}'::regclass AND pg_get_expr(c.relpartbound, c.oid)
        LIKE '%FROM (''' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + INTERVAL '2 months', 'YYYY-MM-DD') || '%';
    EXECUTE format('ALTER TABLE {0} DETACH PARTITION %s', part);
END
$$
"""

FAULTS = [
    ("schema_is_at_head", "UPDATE alembic_version SET version_num = '0001'"),
    ("schema_is_at_head", "DELETE FROM alembic_version"),
    ("constraints_are_valid", "ALTER TABLE trips ADD CONSTRAINT planted CHECK (duration_min > 0) NOT VALID"),
    ("indexes_are_valid", "CREATE INDEX planted ON ONLY posts (status)"),
    ("months_are_made_ahead", DETACH_LAST.format("posts")),
    ("months_are_made_ahead", DETACH_LAST.format("feedback")),
    ("triggers_are_enabled", "ALTER TABLE posts DISABLE TRIGGER posts_doodle_within_fence"),
    ("triggers_are_enabled", "ALTER TABLE trip_nodes DISABLE TRIGGER ALL"),
    ("last_drop_succeeded", "SELECT record_failed_drop(168, 'planted')"),
    (
        "erased_users_are_anonymous",
        "ALTER TABLE users DROP CONSTRAINT users_erased_is_anonymous; "
        f"UPDATE users SET locale = 'ko' WHERE id = {ERASED}",
    ),
    ("erased_users_are_anonymous", f"UPDATE party_members SET display_name = 'x' WHERE user_id = {ERASED}"),
    (
        "erased_users_left_nothing",
        f"INSERT INTO mission_assignments (user_id, mission_id) VALUES ({ERASED}, 1)",
    ),
    (
        "erased_users_left_nothing",
        f"INSERT INTO feature_store.user_trip_features VALUES ({ERASED}, now(), 'v1', '{{}}')",
    ),
    (
        "erased_users_left_nothing",
        "INSERT INTO party_positions (session_id, user_id, recorded_at, precision, fix_offset_ms, loc) "
        "SELECT m.session_id, m.user_id, p.recorded_at, p.precision, 0, p.loc "
        f"FROM party_members m, party_positions p WHERE m.user_id = {ERASED} LIMIT 1",
    ),
    ("erased_users_left_nothing", f"UPDATE posts SET user_id = {ERASED}"),
    ("erased_users_left_nothing", f"UPDATE feedback SET user_id = {ERASED}"),
    (
        "erased_users_left_nothing",
        f"UPDATE trips SET user_id = {ERASED}; UPDATE trip_nodes SET notes = 'by the gate'",
    ),
    (
        "erasures_are_finished",
        "UPDATE erasure_receipts SET erased_at = now() - INTERVAL '2 hours', finished_at = NULL",
    ),
    (
        "places_are_on_earth",
        "ALTER TABLE places DROP CONSTRAINT places_geo_on_earth; "
        "UPDATE places SET geo = ST_GeomFromText('POINT EMPTY', 4326) WHERE id = 4",
    ),
    ("places_are_not_at_zero", "UPDATE places SET geo = ST_SetSRID(ST_MakePoint(0, 0), 4326) WHERE id = 3"),
    ("places_are_fresh", "UPDATE places SET last_synced_at = now() - INTERVAL '40 days' WHERE id = 4"),
    (
        "place_scores_are_in_range",
        "ALTER TABLE places DROP CONSTRAINT places_mood_scores_range; "
        "UPDATE places SET mood_scores = '{\"quiet\": 3}' WHERE id = 4",
    ),
    (
        "tag_scores_are_in_range",
        "ALTER TABLE place_tags DROP CONSTRAINT place_tags_weight_range; UPDATE place_tags SET weight = 2",
    ),
    (
        "tag_scores_are_in_range",
        "ALTER TABLE post_tags DROP CONSTRAINT post_tags_confidence_range; UPDATE post_tags SET confidence = -1",
    ),
    (
        "congestion_is_not_in_the_future",
        "INSERT INTO place_congestion_daily (place_id, date) VALUES (1, current_date + 3)",
    ),
    ("tag_reviews_do_not_wait", "UPDATE tag_reviews SET created_at = now() - INTERVAL '20 days'"),
    (
        "trip_stops_are_not_repeated",
        "ALTER TABLE trip_nodes DROP CONSTRAINT trip_nodes_sequence_key; "
        "INSERT INTO trip_nodes (trip_id, place_id, sequence) VALUES (1, 4, 3)",
    ),
    ("trip_stops_have_no_holes", "DELETE FROM trip_nodes WHERE sequence = 2"),
    ("trip_stops_have_no_holes", "UPDATE trip_nodes SET sequence = sequence + 1"),
    (
        "trip_budgets_are_ordered",
        "ALTER TABLE trips DROP CONSTRAINT trips_budget_order; UPDATE trips SET budget_max = 5",
    ),
    (
        "cached_trips_are_valid_for_a_time",
        "ALTER TABLE trip_cache DROP CONSTRAINT trip_cache_validity; UPDATE trip_cache SET valid_until = created_at",
    ),
    (
        "ratings_are_in_range",
        "ALTER TABLE feedback DROP CONSTRAINT feedback_rating_range; UPDATE feedback SET rating = 4",
    ),
    (
        "doodles_have_a_fence_and_an_end",
        "ALTER TABLE posts DROP CONSTRAINT posts_doodle_has_fence; "
        "UPDATE posts SET geofence = NULL WHERE type = 'doodle'",
    ),
    (
        "expired_doodles_are_gone",
        "SELECT set_config('partyline.author_place', '126.9 37.5', false); "
        "INSERT INTO posts (type, body, geofence, created_at, expires_at) VALUES ('doodle', 'old', "
        "ST_SetSRID(ST_MakePoint(126.9, 37.5), 4326), now() - INTERVAL '4 days', now() - INTERVAL '3 days')",
    ),
    (
        "missions_are_due_after_they_begin",
        "ALTER TABLE mission_assignments DROP CONSTRAINT mission_assignments_due_after; "
        "UPDATE mission_assignments SET due_at = assigned_at - INTERVAL '1 hour'",
    ),
    (
        "missions_are_pending_once",
        "DROP INDEX mission_assignments_one_pending; "
        "INSERT INTO mission_assignments (user_id, mission_id) SELECT user_id, mission_id FROM mission_assignments",
    ),
    (
        "jobs_have_their_times",
        "ALTER TABLE ingestion_jobs DROP CONSTRAINT ingestion_jobs_finished; "
        "UPDATE ingestion_jobs SET finished_at = NULL WHERE status = 'succeeded'",
    ),
    # No constraint asks a run for its beginning.
    ("jobs_have_their_times", "UPDATE ingestion_jobs SET started_at = NULL WHERE status = 'succeeded'"),
    (
        "jobs_come_to_an_end",
        "UPDATE ingestion_jobs SET started_at = now() - INTERVAL '2 days' WHERE status = 'running'",
    ),
    (
        "sessions_end_when_they_say",
        "ALTER TABLE party_sessions DROP CONSTRAINT party_sessions_ended_when; "
        "UPDATE party_sessions SET ended_at = now() WHERE status = 'live'",
    ),
    (
        "sessions_name_a_trip_that_is_there",
        NO_FOREIGN_KEYS + "UPDATE party_sessions SET trip_id = 424242 WHERE status = 'live'",
    ),
    (
        "tokens_are_digests",
        "ALTER TABLE party_sessions DROP CONSTRAINT party_sessions_sharable_token_check; "
        "UPDATE party_sessions SET sharable_token = '\\x00' WHERE status = 'live'",
    ),
    (
        "tokens_are_digests",
        "ALTER TABLE party_members DROP CONSTRAINT party_members_token_digest_check; "
        "UPDATE party_members SET token_digest = '\\x00' WHERE ctid = "
        "(SELECT ctid FROM party_members WHERE token_digest IS NOT NULL LIMIT 1)",
    ),
    ("hosts_are_member_one", "UPDATE party_members SET role = 'member' WHERE member_no = 1"),
    ("hosts_are_member_one", "UPDATE party_members SET role = 'host' WHERE member_no = 2"),
    (
        "member_numbers_are_not_repeated",
        "ALTER TABLE party_members DROP CONSTRAINT party_members_session_id_member_no_key; "
        "INSERT INTO party_members (session_id, user_id, member_no, role, display_name, precision, joined_at) "
        "SELECT session_id, (SELECT id FROM users WHERE email IS NOT NULL), 2, 'member', 'x', precision, now() "
        "FROM party_members WHERE member_no = 2 LIMIT 1",
    ),
    ("positions_are_on_earth", position(loc="ST_SetSRID(ST_MakePoint(127, 95), 4326)")),
    ("positions_are_on_earth", position(loc="ST_GeomFromText('POINT EMPTY', 4326)")),
    (
        "positions_are_in_windows",
        "ALTER TABLE party_positions DROP CONSTRAINT party_positions_aligned; "
        + position(shift="INTERVAL '-3598 seconds'"),
    ),
    (
        "positions_are_once_a_window",
        "ALTER TABLE party_positions DROP CONSTRAINT party_positions_pkey; "
        + ";".join([position(shift="INTERVAL '-2 hours'")] * 2),
    ),
    ("positions_are_of_members", position(user="424242::bigint")),
    ("positions_are_not_in_the_future", position(shift="INTERVAL '3 hours'")),
    (
        "positions_past_the_servers_time_are_dropped",
        "SELECT make_positions_chunks(now() - INTERVAL '10 days', now() - INTERVAL '10 days'); "
        + position(shift="INTERVAL '-10 days'"),
    ),
    (
        "positions_past_their_sessions_time_are_flagged",
        "UPDATE party_sessions SET ttl_hours = 24",
    ),
]

# Takes the positions away, so it comes alone. A hypertable has no days to be missing.
NO_DAYS = (
    "days_are_made_ahead",
    "ALTER TABLE party_positions RENAME TO party_positions_before; "
    "CREATE TABLE party_positions (LIKE party_positions_before) PARTITION BY RANGE (recorded_at); "
    "ALTER TABLE party_positions OWNER TO partyline_owner",
)


def waves():
    """Faults that one database takes one after another: no rule twice, so that each is seen to be broken."""
    taken: list[list[tuple[str, str]]] = []
    for rule, fault in FAULTS:
        wave = next((wave for wave in taken if rule not in dict(wave)), None)
        if wave is None:
            taken.append(wave := [])
        wave.append((rule, fault))
    return [*taken, [NO_DAYS]]


async def stream(gateway_url, writer_url):
    """Two parties: one live, with rows of now and of three days ago; one whose host was erased."""
    gateway, writer = await asyncpg.connect(gateway_url), await asyncpg.connect(writer_url)
    live, left = await make_party(gateway), await make_party(gateway, name="q")
    for party in (live, left):
        rows = [
            positions.pack_row(party.id, who, window(ago), 1234, 37.5, 127.0, 8.0, "exact")
            for who in (party.host, party.guest)
            for ago in (0, 72 * HOUR_MS)
        ]
        stored = await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)
        assert stored.inserted == 4
    erasure = await sessions.erase_user(gateway, left.host)
    await carry_on_erasure(gateway, erasure.receipt)
    await finish_erasure(gateway, erasure.receipt, redis_rows=0)
    await gateway.close()
    await writer.close()


def as_role(url, role):
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"partyline_{role}:{PASSWORD}@{host}"))


@pytest.fixture(scope="module")
def healthy_url(stack, migrated_template):
    """A migrated database with a bit of everything. Nobody stays connected to it: it is copied."""
    with _fresh(stack, migrated_template) as url:
        migrate.set_role_passwords(url, dict.fromkeys(migrate.LOGIN_ROLES, PASSWORD))
        asyncio.run(stream(as_role(url, "gateway"), as_role(url, "writer")))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(HEALTHY)
        yield url


@pytest.fixture
def healthy(stack, healthy_url):
    """A copy of it, to harm."""
    with _fresh(stack, urlsplit(healthy_url).path.lstrip("/")) as url:
        yield url


def plant(url, sql):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)


def findings(url, *names, timeout_s=60):
    return list(check(url, named(names), ttl_hours=TTL_HOURS, timeout_s=timeout_s))


def test_a_healthy_database_keeps_every_rule(healthy):
    found = findings(healthy)
    assert [finding.rule.name for finding in found] == RULE_NAMES
    assert [
        (finding.rule.name, finding.keys, finding.unchecked) for finding in found if not finding.good
    ] == []


def test_each_rule_has_a_fault():
    assert {rule for wave in waves() for rule, _ in wave} == set(RULE_NAMES)


@pytest.mark.parametrize("wave", waves(), ids=lambda wave: f"{len(wave)} faults")
def test_each_planted_fault_is_found_by_its_rule_alone(healthy, wave):
    broken = {}
    for rule, fault in wave:
        assert findings(healthy, rule)[0].good, "an earlier fault broke it"
        plant(healthy, fault)
        [finding] = findings(healthy, rule)
        broken[rule] = finding.broken_rows
        assert finding.unchecked is None
        assert finding.broken_rows > 0, fault
        assert finding.keys
        assert all(value for row in finding.keys for value in row.values())
    found = findings(healthy)
    assert {finding.rule.name: finding.broken_rows for finding in found if not finding.good} == broken
