"""The access matrix: what each role may do works, everything else is refused, chunks and statistics included.

`docs/access-matrix.md` shows the same matrix for people. A change here needs a security review.
"""

from __future__ import annotations

import asyncpg
import pytest

from db import migrate, positions, sessions
from db.pool import DatabaseUnavailable, connect
from protocol.messages import Reject
from protocol.precision import Precision
from tests.conftest import NATIVE
from tests.db.conftest import HOUR_MS, TTL_HOURS, make_party, window

NAMES = ("migrator", "gateway", "writer", "keeper", "reader", "backend", "analyst")


def selecting(tables):
    return {table: {"SELECT"} for table in tables}


CATALOGUE = selecting(("places", "place_congestion_daily", "tags", "place_tags"))
EVERYTHING = {"SELECT", "INSERT", "UPDATE", "DELETE"}
PRIVILEGES: dict[str, dict[str, set[str]]] = {
    "migrator": {"alembic_version": EVERYTHING},
    "gateway": selecting(("party_sessions", "party_members", "erasure_receipts")),
    "writer": {"party_positions": {"INSERT"}},
    "keeper": {"retention_runs": {"SELECT"}, "month_keeping": {"SELECT"}},
    "reader": CATALOGUE
    | selecting(
        (
            *("retention_runs", "party_positions_visible", "my_account", "trips", "trip_nodes", "posts"),
            *("post_tags", "missions", "mission_assignments", "feedback"),
        ),
    ),
    "backend": CATALOGUE
    | {
        "my_account": {"SELECT"},
        "trips": EVERYTHING,
        "trip_nodes": EVERYTHING,
        "trip_cache": EVERYTHING,
        "posts": {"SELECT", "DELETE"},
        "post_tags": {"SELECT", "INSERT", "DELETE"},
        "missions": {"SELECT", "INSERT", "UPDATE"},
        "mission_assignments": EVERYTHING,
        "feedback": {"SELECT", "INSERT", "DELETE"},
        "external_conditions": {"SELECT"},
        "tag_reviews": {"SELECT"},
    },
    "analyst": CATALOGUE
    | selecting(
        (
            *("users_masked", "content_sources", "post_tags", "missions", "ingestion_jobs"),
            *("external_conditions", "tag_thresholds", "tag_reviews", "erasure_receipts"),
            *("raw_ingestion.places", "metrics.daily_product_metrics"),
            *("metrics.session_liveness_daily", "metrics.commit_delay_daily"),
        ),
    ),
}
FUNCTIONS = {
    "migrator": set(),
    "gateway": {
        *("hold_user", "hold_trip", "party_track", "take_fence"),
        *("erase_user", "carry_on_erasure", "finish_erasure", "unfinished_erasures"),
        *("session_spans", "session_live_ranges", "session_accuracy", "session_distances", "session_spots"),
        *("session_delays",),
    },
    "writer": {"coarsest_of", "positions_begin"},
    "keeper": {
        *("drop_oldest_expired_chunk", "flag_expired", "positions_state", "record_failed_drop"),
        *("delete_expired_doodles", "delete_expired_trip_cache"),
        *("drop_oldest_expired_month", "record_failed_month"),
        *("maintain_partitions", "make_partitions_ahead"),
    },
    "reader": {"coarsest_of", "acting_user", "search_posts", "doodles_around"},
    "backend": {
        *("search_posts", "doodles_around"),
        *("acting_user", "create_account", "find_login", "moderate_post", "propose_tag", "decide_tag_review"),
    },
    "analyst": {"acting_user", "delay_of_day", "liveness_of_day"},
}
OWN_COLUMNS = {
    *("id", "locale", "onboarded_at", "time_budget_min", "budget_band", "mobility_mode", "privacy_level"),
    *("preferences", "push_opt_in", "location_opt_in", "created_at", "erased_at"),
    "preference_embedding",
}
"""Of one's own row, by row level security; the e-mail is in `my_account` alone."""
READABLE_COLUMNS: dict[str, set[str]] = {
    "gateway": {"id", "privacy_level", "location_opt_in", "erased_at"},
    "writer": {"id", "privacy_level", "location_opt_in", "erased_at"},
    "keeper": set(),
    "migrator": set(),
    "reader": OWN_COLUMNS,
    "backend": OWN_COLUMNS,
    "analyst": set(),
}
REFUSED = {
    "gateway": (
        "SELECT * FROM party_positions",
        "INSERT INTO party_positions DEFAULT VALUES",
        "DELETE FROM party_positions",
        "SELECT * FROM party_positions_visible",
        "SELECT email FROM users",
        "SELECT password_hash FROM users",
        "UPDATE users SET privacy_level = 'exact'",
        "DELETE FROM users",
        "INSERT INTO users (email) VALUES ('a@b.example')",
        "DELETE FROM party_sessions",
        "DELETE FROM party_members",
        "SELECT * FROM drop_oldest_expired_chunk(1)",
        "SELECT drop_positions_chunk('party_positions')",
        "SELECT * FROM positions_chunks()",
        "SELECT partman.run_maintenance()",
        "SELECT * FROM partman.part_config",
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "SET ROLE partyline_owner",
    ),
    "writer": (
        "SELECT * FROM party_positions",
        "UPDATE party_positions SET loc = NULL",
        "DELETE FROM party_positions",
        "TRUNCATE party_positions",
        "SELECT sharable_token FROM party_sessions",
        "SELECT token_digest FROM party_members",
        "SELECT display_name FROM party_members",
        "SELECT email FROM users",
        "UPDATE party_sessions SET precision = 'exact'",
        "SELECT erase_user(1)",
        "SELECT * FROM party_track(1, NULL, now(), now(), 1)",
        "SELECT take_fence(1)",
        "SELECT drop_positions_chunk('party_positions')",
        "SELECT * FROM positions_chunks()",
        "SELECT partman.run_maintenance()",
        "SELECT * FROM partman.part_config",
        "CREATE TABLE mine (a int)",
    ),
    "keeper": (
        "SELECT * FROM party_positions",
        "DELETE FROM party_positions",
        "SELECT drop_positions_chunk('party_positions')",
        "SELECT * FROM positions_chunks()",
        "SELECT partman.run_maintenance()",
        "SELECT * FROM partman.part_config",
        "DROP TABLE party_positions",
        "SELECT * FROM party_sessions",
        "SELECT * FROM users",
        "SELECT erase_user(1)",
        "DELETE FROM retention_runs",
        "UPDATE retention_runs SET error = NULL",
        "UPDATE month_keeping SET keep_months = 1",
        "SELECT * FROM posts",
        "DELETE FROM feedback",
        "SELECT * FROM partman.part_config",
        "CREATE TABLE mine (a int)",
        "SET ROLE partyline_owner",
    ),
    "reader": (
        "SELECT * FROM party_positions",
        "SELECT * FROM users",
        "SELECT email FROM users",
        "SELECT password_hash FROM users",
        "SELECT sharable_token FROM party_sessions",
        "SELECT token_digest FROM party_members",
        "SELECT display_name FROM party_members",
        "UPDATE party_sessions SET precision = 'exact'",
        "INSERT INTO trips (duration_min, mode) VALUES (1, 'walk')",
        "DELETE FROM posts",
        "SELECT * FROM users_masked",
        "SELECT * FROM feature_store.user_trip_features",
        "SELECT * FROM find_login('a@b.example')",
        "SELECT * FROM party_track(1, NULL, now(), now(), 1)",
        "SELECT erase_user(1)",
        "SELECT * FROM positions_state()",
        "SELECT make_partitions_ahead()",
        "SELECT positions_begin()",
        "SELECT * FROM partman.part_config",
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "SET ROLE partyline_views",
    ),
    "backend": (
        "SELECT * FROM party_positions",
        "SELECT * FROM party_positions_visible",
        "SELECT * FROM party_sessions",
        "SELECT * FROM party_members",
        "SELECT email FROM users",
        "SELECT password_hash FROM users",
        "INSERT INTO users (email) VALUES ('a@b.example')",
        "UPDATE users SET email = 'a@b.example'",
        "UPDATE users SET erased_at = now()",
        "DELETE FROM users",
        "UPDATE posts SET status = 'published'",
        "UPDATE posts SET user_id = 1",
        "INSERT INTO posts (type, body, status) VALUES ('review', 'x', 'published')",
        "UPDATE feedback SET user_id = 1",
        "UPDATE tag_reviews SET status = 'approved'",
        "INSERT INTO places (name, category, geo) VALUES ('x', 'x', 'SRID=4326;POINT(0 0)')",
        "SELECT * FROM feature_store.user_trip_features",
        "SELECT * FROM raw_ingestion.places",
        "SELECT erase_user(1)",
        "SELECT delete_expired_doodles(1)",
        "SELECT * FROM drop_oldest_expired_month('posts')",
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "SET ROLE partyline_owner",
    ),
    "analyst": (
        "SELECT * FROM party_positions",
        "SELECT * FROM party_positions_visible",
        "SELECT * FROM party_sessions",
        "SELECT * FROM party_members",
        "SELECT id FROM users",
        "SELECT email FROM users",
        "SELECT * FROM my_account",
        "SELECT user_id FROM trips",
        "SELECT notes FROM trip_nodes",
        "SELECT user_id FROM posts",
        "SELECT geofence FROM posts",
        "SELECT user_id FROM feedback",
        "SELECT comments FROM feedback",
        "SELECT user_id FROM mission_assignments",
        "SELECT result_metadata FROM mission_assignments",
        "SELECT * FROM feature_store.user_trip_features",
        "DELETE FROM feedback",
        "SELECT decide_tag_review(1, true)",
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "SET ROLE partyline_views",
    ),
    "migrator": (
        "SELECT * FROM party_positions",
        "SELECT email FROM users",
        "SELECT * FROM posts",
        "SELECT * FROM drop_oldest_expired_chunk(1)",
        "SELECT * FROM drop_oldest_expired_month('posts')",
        "SELECT drop_positions_chunk('party_positions')",
        "DROP TABLE party_positions",
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "SET ROLE partyline_keeper",
    ),
}


@pytest.fixture
def migrated_database(database):
    """Migrated in place: what PUBLIC may do in a database is not copied from a template."""
    migrate.upgrade(database)
    return database


async def store(writer, party, *, ago_ms=0, who=None, precision="exact", lat=37.5, count=1):
    first = window(ago_ms)
    rows = [
        positions.pack_row(party.id, who or party.guest, first - 5000 * n, 1234, lat, 127.0, 8.0, precision)
        for n in range(count)
    ]
    result = await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)
    assert result.inserted == count, result


@pytest.mark.parametrize("name", NAMES)
async def test_a_role_has_its_privileges_and_no_other(superuser, name):
    found: dict[str, set[str]] = {}
    for table, privilege in await superuser.fetch(
        "SELECT CASE table_schema WHEN 'public' THEN '' ELSE table_schema || '.' END || table_name, privilege_type "
        "FROM information_schema.table_privileges WHERE grantee = $1",
        f"partyline_{name}",
    ):
        found.setdefault(table, set()).add(privilege)
    assert found == {"alembic_version": {"SELECT"}} | PRIVILEGES[name]
    functions = await superuser.fetch(
        "SELECT proname FROM pg_proc WHERE proowner = 'partyline_owner'::regrole "
        "AND has_function_privilege($1, oid, 'EXECUTE')",
        f"partyline_{name}",
    )
    assert {record["proname"] for record in functions} == FUNCTIONS[name]
    columns = await superuser.fetch(
        "SELECT column_name FROM information_schema.column_privileges "
        "WHERE grantee = $1 AND table_name = 'users' AND privilege_type = 'SELECT'",
        f"partyline_{name}",
    )
    assert {record["column_name"] for record in columns} == READABLE_COLUMNS[name]


async def test_public_has_nothing(superuser):
    assert not await superuser.fetch(
        "SELECT * FROM information_schema.table_privileges t JOIN pg_class c ON c.relname = t.table_name "
        "WHERE grantee = 'PUBLIC' AND c.relowner::regrole::text LIKE 'partyline%'"
    )
    assert not await superuser.fetch(
        "SELECT proname FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
        "WHERE p.proowner = 'partyline_owner'::regrole AND a.grantee = 0"
    )
    assert not await superuser.fetchval(
        "SELECT count(*) FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a "
        "WHERE d.datname = current_database() AND a.grantee = 0"
    )


async def test_every_definer_function_has_a_fixed_search_path(superuser):
    loose = await superuser.fetch(
        "SELECT proname FROM pg_proc WHERE proowner = 'partyline_owner'::regrole AND prosecdef "
        "AND NOT coalesce('search_path=pg_catalog, public, pg_temp' = ANY (proconfig), false)"
    )
    assert loose == []


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_role_may_not_do_is_refused(name, login):
    connection = await login(name)
    allowed = []
    for statement in REFUSED[name]:
        try:
            await connection.fetch(statement)
            allowed.append(statement)
        except asyncpg.InsufficientPrivilegeError:
            pass
    assert allowed == []


@pytest.mark.skipif(NATIVE, reason="there is no TimescaleDB in the database")
@pytest.mark.parametrize("name", NAMES)
async def test_no_role_drops_with_timescaledb_s_own_function(name, login, writer, party):
    await store(writer, party)
    connection = await login(name)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch(
            "SELECT drop_chunks('party_positions', older_than => now() + INTERVAL '9 days')"
        )


async def test_no_role_reads_a_chunk(login, superuser, writer, party):
    await store(writer, party)
    chunks = await superuser.fetch("SELECT chunk::text FROM positions_chunks()")
    assert chunks
    for name in NAMES:
        connection = await login(name)
        for (chunk,) in chunks:
            for statement in (
                f"SELECT * FROM {chunk}",
                f"DELETE FROM {chunk}",
                f"DROP TABLE {chunk}",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(statement)


@pytest.mark.skipif(
    not NATIVE, reason="a hypertable's chunks have its grants, and the writer's INSERT is one"
)
async def test_no_role_has_a_grant_on_a_partition(superuser, writer, party):
    await store(writer, party)
    granted = "SELECT count(*) FROM pg_class WHERE relispartition AND relacl IS NOT NULL"
    assert await superuser.fetchval(granted) == 0
    [(chunk,), *_] = await superuser.fetch("SELECT chunk::text FROM positions_chunks()")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await writer.execute(f"INSERT INTO {chunk} DEFAULT VALUES")


async def test_statistics_show_nobody_a_place_or_a_person(login, superuser, writer, party):
    await store(writer, party, count=500)
    await superuser.execute("ANALYZE")
    for name in NAMES:
        connection = await login(name)
        shown = await connection.fetch(
            "SELECT tablename, attname FROM pg_stats WHERE tablename LIKE 'party\\_positions%'"
            " OR tablename LIKE '\\_hyper%' OR attname IN ('email', 'display_name', 'token_digest')"
        )
        assert shown == [], name


async def test_there_are_no_statistics_of_places_at_all(superuser, writer, party):
    await store(writer, party, count=500)
    await superuser.execute("ANALYZE")
    kept = await superuser.fetch(
        "SELECT tablename, attname FROM pg_stats WHERE schemaname IN ('public', '_timescaledb_internal') AND ("
        " attname IN ('loc', 'email', 'password_hash', 'display_name', 'token_digest', 'sharable_token')"
        " OR (attname = 'user_id' AND (tablename LIKE 'party\\_positions%' OR tablename LIKE '\\_hyper%')))"
    )
    assert kept == []


async def test_the_reader_sees_what_is_allowed_now(reader, writer, gateway, superuser, party):
    await store(writer, party)
    seen = "SELECT user_id, precision::text FROM party_positions_visible"
    assert [tuple(row) for row in await reader.fetch(seen)] == [(party.guest, "exact")]
    await sessions.set_session_precision(gateway, party.id, Precision.ROUGH)
    assert await reader.fetch(seen) == []
    await store(writer, party, ago_ms=10_000, precision="rough")
    assert [tuple(row) for row in await reader.fetch(seen)] == [(party.guest, "rough")]
    await sessions.set_member_precision(gateway, party.id, party.guest, Precision.PRIVATE)
    assert await reader.fetch(seen) == []
    await sessions.set_member_precision(gateway, party.id, party.guest, Precision.EXACT)
    assert len(await reader.fetch(seen)) == 1
    await superuser.execute("UPDATE users SET privacy_level = 'private' WHERE id = $1", party.guest)
    assert await reader.fetch(seen) == []
    await superuser.execute(
        "UPDATE users SET privacy_level = 'exact', location_opt_in = false WHERE id = $1", party.guest
    )
    assert await reader.fetch(seen) == []


async def test_the_reader_sees_nothing_past_the_time_to_live(reader, writer, superuser, party):
    await store(writer, party, ago_ms=2 * HOUR_MS)
    count = "SELECT count(*) FROM party_positions_visible"
    assert await reader.fetchval(count) == 1
    await superuser.execute("UPDATE party_sessions SET ttl_hours = 1")
    assert await reader.fetchval(count) == 0
    await superuser.execute("UPDATE party_sessions SET ttl_hours = 3")
    assert await reader.fetchval(count) == 1
    await superuser.execute("UPDATE party_positions SET ttl_expired = true")
    assert await reader.fetchval(count) == 0


async def test_a_function_of_the_readers_own_cannot_look_behind_the_view(reader, writer, gateway, superuser):
    party = await make_party(gateway, name="hidden", precision=Precision.ROUGH)
    await superuser.execute("UPDATE party_sessions SET precision = 'exact'")
    await store(writer, party)
    await superuser.execute("UPDATE party_sessions SET precision = 'rough'")
    # A leaky condition (it fails on the row it must not see) is only put to rows that the view lets through.
    assert await reader.fetch("SELECT 1 FROM party_positions_visible WHERE 1 / (ST_Y(loc) - 37.5) > 0") == []


async def test_the_erased_are_nobody_to_the_gateway(gateway, superuser, party):
    await sessions.erase_user(gateway, party.guest)
    assert await gateway.fetch("SELECT id FROM users WHERE id = $1", party.guest) == []
    assert await superuser.fetchval("SELECT count(*) FROM users WHERE id = $1", party.guest) == 1


async def test_owners_cannot_log_in(role_url):
    for owner in ("owner", "views"):
        with pytest.raises(DatabaseUnavailable) as caught:
            await connect(role_url(owner), min_size=1, max_size=1, application_name="test")
        assert "a-password" not in str(caught.value)


async def test_a_pool_bounds_its_statements(role_url):
    pool = await connect(role_url("gateway"), min_size=1, max_size=2, application_name="partyline test")
    try:
        assert await pool.fetchval("SHOW statement_timeout") == "30s"
        assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "10s"
        assert await pool.fetchval("SHOW application_name") == "partyline test"
        assert await sessions.find_session(pool, 1) is None
        assert await sessions.find_user(pool, await sessions.create_guest(pool))
    finally:
        await pool.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:s3cret@127.0.0.1:1/x",
        "postgresql://someone:s3cret%zz@127.0.0.1/x",
        "postgresql://someone:x@s3cret@127.0.0.1/x",
        "s3cret",
    ],
)
async def test_a_pool_never_says_the_password(url):
    with pytest.raises(DatabaseUnavailable) as caught:
        await connect(url, min_size=0 if url == "s3cret" else 1, max_size=1, application_name="test")
    assert "s3cret" not in str(caught.value)


async def test_a_pool_of_nothing_is_refused():
    with pytest.raises(ValueError, match="sizes"):
        await connect("postgresql://a@127.0.0.1/x", min_size=2, max_size=1, application_name="test")


async def test_a_role_that_is_too_mighty_stops_the_migration(database, superuser):
    # `superuser` is on the same server; the attribute is given back before anything else runs.
    migrate.downgrade(database, "base")
    await superuser.execute("ALTER ROLE partyline_reader BYPASSRLS")
    try:
        with pytest.raises(migrate.MigrationError, match="partyline_reader is a superuser or bypasses"):
            migrate.upgrade(database)
    finally:
        await superuser.execute("ALTER ROLE partyline_reader NOBYPASSRLS")


async def test_reasons_are_those_of_the_wire():
    assert {Reject.GONE, Reject.PRECISION, Reject.TOO_OLD, Reject.FUTURE} <= set(Reject)
