"""The toolkit's body of the summaries stands in for the plain one, as far as can be seen without the toolkit.

What a server without the extension can show: its file is good SQL up to the first call of the toolkit, that
call has the types that the toolkit documents, and what is made has the same names, arguments, columns, rights
and settings. That its answers are the same has not been seen: docs/decisions/0014-two-bodies.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from db.embedded import Stack
from db.migrate import upgrade
from db.migrations.run_sql import SQL_FOLDER
from tests.db.ttl_column import BEFORE

BODIES = SQL_FOLDER / "summary"
FUNCTIONS = ("session_live_ranges", "session_accuracy", "session_delays", "delay_of_day", "liveness_of_day")
CALLS = (
    *("heartbeat_agg", "live_ranges", "uptime", "num_live_ranges", "time_weight", "average", "uddsketch"),
    *("approx_percentile", "dead_ranges", "percentile_agg", "rollup"),
)
FIRST_CALL = {
    "session_live_ranges": "heartbeat_agg(timestamp with time zone, timestamp with time zone, interval, interval)",
    "session_accuracy": "time_weight(unknown, timestamp with time zone, double precision)",
    "session_delays": "uddsketch(integer, double precision, double precision)",
    "delay_of_day": "uddsketch(integer, double precision, double precision)",
    "liveness_of_day": "heartbeat_agg(timestamp with time zone, timestamp with time zone, interval, interval)",
}
SHAPE = """
SELECT proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), prosecdef, provolatile, proparallel,
    proconfig, proowner::regrole::text, proacl::text, obj_description(p.oid, 'pg_proc')
FROM pg_proc p WHERE proname = ANY ($1) ORDER BY proname
"""
VIEWS = "SELECT relname, pg_get_viewdef(oid), relacl::text FROM pg_class WHERE relname LIKE '%\\_daily' AND relkind = 'v' ORDER BY 1"


@pytest.fixture
async def plain(superuser):
    """A connection to a database of the plain body."""
    if await superuser.fetchval(
        "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb_toolkit'"
    ):
        pytest.skip("this server has the toolkit: the other tests run its body")
    return superuser


async def drop_bodies(connection):
    for name in FUNCTIONS:
        await connection.execute(f"DROP FUNCTION {name} CASCADE")


@pytest.fixture
async def as_made(plain, database):
    """The same at the revision that makes the bodies: the views read another column since."""
    upgrade(database, BEFORE)
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_both_bodies_make_the_same_functions_and_views(as_made):
    plain = as_made
    shape, views = await plain.fetch(SHAPE, FUNCTIONS), await plain.fetch(VIEWS)
    assert [row["proname"] for row in shape] == sorted(FUNCTIONS)
    async with plain.transaction():
        await drop_bodies(plain)
        await plain.execute("SET LOCAL check_function_bodies = off")
        await plain.execute((BODIES / "toolkit.sql").read_text())
        await plain.execute((BODIES / "both.sql").read_text())
        assert await plain.fetch(SHAPE, FUNCTIONS) == shape
        assert await plain.fetch(VIEWS) == views


async def test_the_toolkits_body_is_good_up_to_its_first_call_of_the_toolkit(plain):
    text = (BODIES / "toolkit.sql").read_text()
    made = re.findall(r"^CREATE FUNCTION (\w+).*?^    \$\$;$", text, re.MULTILINE | re.DOTALL)
    statements = re.findall(r"^CREATE FUNCTION \w+.*?^    \$\$;$", text, re.MULTILINE | re.DOTALL)
    assert set(made) == set(FIRST_CALL)
    await drop_bodies(plain)
    await plain.execute("SET ROLE partyline_owner")
    for name, statement in zip(made, statements, strict=True):
        with pytest.raises(asyncpg.UndefinedFunctionError) as refused:
            await plain.execute(statement)
        assert f"function {FIRST_CALL[name]} does not exist" in str(refused.value)


def test_one_file_calls_the_toolkit():
    call = re.compile(rf"\b({'|'.join(CALLS)})\s*\(")
    callers = set()
    for path in Path(SQL_FOLDER).parents[1].rglob("*.sql"):
        code = re.sub(r"--[^\n]*|'[^'\n]*'", "", path.read_text())
        if call.search(code):
            callers.add(path.name)
    assert callers == {"toolkit.sql"}


async def test_without_kept_commit_times_there_are_no_delays(own_stack: Stack):
    url = own_stack.database_url
    upgrade(url)
    put = (
        "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
        "VALUES ($1, $2, date_bin('5 seconds', now() - $3 * INTERVAL '1 minute', 'epoch'), 0, 'SRID=4326;POINT(127 37)', 'exact')"
    )

    async def again(kept):
        connection = await asyncpg.connect(url)
        await connection.execute(f"ALTER SYSTEM SET track_commit_timestamp = {kept}")
        await connection.close()
        own_stack.stop()
        own_stack.start()
        return await asyncpg.connect(own_stack.database_url)

    connection = await again("off")
    user = await connection.fetchval("INSERT INTO users (location_opt_in) VALUES (true) RETURNING id")
    session = await connection.fetchval(
        "INSERT INTO party_sessions (host_user_id, started_at, sharable_token, precision, options, ttl_hours) "
        "VALUES ($1, now() - INTERVAL '1 hour', sha256('x'), 'exact', '{\"rough_cell_m\": 500}', 24) RETURNING id",
        user,
    )
    await connection.execute(
        "INSERT INTO party_members (session_id, user_id, member_no, role, display_name, precision, joined_at) "
        "VALUES ($1, $2, 1, 'host', 'H', 'exact', now())",
        session, user,
    )  # fmt: skip
    await connection.execute(put, session, user, 2)
    delays, spans = "SELECT * FROM session_delays($1, NULL)", "SELECT fixes FROM session_spans($1, NULL)"
    assert tuple(await connection.fetchrow(delays, session)) == (0, None, None, None)
    assert await connection.fetchval(spans, session) == 1
    assert await connection.fetch("SELECT * FROM metrics.commit_delay_daily") == []
    await connection.close()
    connection = await again("on")
    await connection.execute(put, session, user, 1)
    # Of the row from before, the server does not know when it was committed.
    assert (await connection.fetchrow(delays, session))["counted"] == 1
    assert await connection.fetchval(spans, session) == 2
    await connection.close()
