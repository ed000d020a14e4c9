"""The change that is shown: column and key say the same while both are read, and one truth is left."""

from __future__ import annotations

import json

import asyncpg
import psycopg
import pytest

from db import backfill, migrate, sessions
from db.revision import NEEDED_REVISION
from protocol.options import Options
from protocol.precision import Precision
from tests.db.conftest import digest, now_ms
from tests.db.ttl_column import BEFORE, CONTRACT, EXPAND, OLD_SESSIONS, SWITCH

BOTH = "SELECT ttl_hours, options ->> 'ttl_hours' FROM party_sessions WHERE id = $1"
OLD_INSERT = """
WITH host AS (INSERT INTO users (location_opt_in) VALUES (true) RETURNING id)
INSERT INTO party_sessions (host_user_id, started_at, sharable_token, precision, options)
SELECT id, now(), sha256(random()::text::bytea), 'exact', $1::text::jsonb FROM host RETURNING id
"""


@pytest.fixture
async def before(database):
    """A superuser's connection to a database as it was before the change, with 30 sessions."""
    migrate.upgrade(database, BEFORE)
    connection = await asyncpg.connect(database)
    await connection.execute("SET ROLE partyline_owner")
    await connection.execute(OLD_SESSIONS.replace("$1::integer", "30"))
    await connection.execute("RESET ROLE")
    yield connection
    await connection.close()


@pytest.fixture
async def expanded(before, database):
    migrate.upgrade(database, EXPAND)
    await before.reload_schema_state()
    return before


async def both(connection, session):
    return tuple(await connection.fetchrow(BOTH, session))


async def test_an_old_process_writes_the_key_and_the_column_follows(expanded):
    made = await expanded.fetchval(OLD_INSERT, json.dumps({"ttl_hours": 12}))
    assert await both(expanded, made) == (12, "12")
    await expanded.execute(
        "UPDATE party_sessions SET options = $2::text::jsonb WHERE id = $1", made, '{"ttl_hours": 3}'
    )
    assert await both(expanded, made) == (3, "3")


async def test_a_new_process_writes_the_column_and_the_key_follows(expanded):
    host = await sessions.create_guest(expanded)
    made, _ = await sessions.create_session(
        expanded,
        host_user_id=host,
        display_name="Host",
        sharable_digest=digest("s"),
        member_digest=digest("m"),
        precision=Precision.EXACT,
        options=Options(ttl_hours=12),
        started_at_ms=now_ms(),
    )
    assert made.options.ttl_hours == 12
    assert await both(expanded, made.id) == (12, "12")
    changed = await sessions.set_options(expanded, made.id, Options(ttl_hours=3, tick_ms=250))
    assert (changed.options.ttl_hours, changed.options.tick_ms) == (3, 250)
    assert await both(expanded, made.id) == (3, "3")
    same = await sessions.set_options(expanded, made.id, Options(ttl_hours=3, tick_ms=500))
    assert same.options.ttl_hours == 3
    assert await both(expanded, made.id) == (3, "3")


async def test_both_kinds_take_turns_on_one_session(expanded):
    made = await expanded.fetchval(OLD_INSERT, json.dumps({"ttl_hours": 100}))
    await sessions.set_options(expanded, made, Options(ttl_hours=50))
    old = "UPDATE party_sessions SET options = $2::text::jsonb WHERE id = $1"
    await expanded.execute(old, made, '{"ttl_hours": 25, "live_only": true}')
    found = await sessions.find_session(expanded, made)
    assert (found.options.ttl_hours, found.options.live_only) == (25, True)
    await sessions.set_options(expanded, made, Options(ttl_hours=10))
    assert await both(expanded, made) == (10, "10")


async def test_any_write_of_an_old_row_fills_it(expanded):
    one = await expanded.fetchval("SELECT min(id) FROM party_sessions")
    assert (await both(expanded, one))[0] is None
    await expanded.execute("UPDATE party_sessions SET revision = revision + 1 WHERE id = $1", one)
    column, key = await both(expanded, one)
    assert str(column) == key


@pytest.mark.parametrize("options", ['{"ttl_hours": "12"}', '{"ttl_hours": 0}', '{"ttl_hours": 1e30}', "{}"])
async def test_what_was_no_time_to_live_is_none(expanded, options):
    with pytest.raises(asyncpg.CheckViolationError):
        await expanded.fetchval(OLD_INSERT, options)


async def test_a_part_of_an_hour_keeps_nothing_longer(expanded):
    made = await expanded.fetchval(OLD_INSERT, '{"ttl_hours": 2.9}')
    assert await both(expanded, made) == (2, "2")


def test_the_switch_refuses_until_the_backfill_is_done_and_keeps_the_expansion(database):
    migrate.upgrade(database, BEFORE)
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(OLD_SESSIONS, (30,))
    with pytest.raises(migrate.MigrationError) as caught:
        migrate.upgrade(database)
    assert str(caught.value) == (
        f"the database came to revision {EXPAND}, then the database was left as it was: party_sessions has rows "
        "without ttl_hours: run `partyline backfill ttl_hours` and migrate again"
    )
    assert migrate.current(database) == EXPAND
    state = backfill.run(database, "ttl_hours", batch=7, pause_ms=0)
    assert (state.done_rows, state.total_rows) == (30, 30)
    with psycopg.connect(database, application_name="partyline-gateway"):
        stopped = migrate.upgrade(database)
    assert stopped == (
        f"{CONTRACT} takes away what an older Partyline uses, and connected are partyline-gateway: "
        f"once none of them is older, `partyline migrate --to {CONTRACT}`"
    )
    assert migrate.current(database) == SWITCH == NEEDED_REVISION
    assert migrate.upgrade(database, CONTRACT) is None
    assert migrate.current(database) == CONTRACT


async def test_one_truth_is_left(before, database):
    migrate.upgrade(database, fill=lambda name: backfill.run(database, name))
    await before.reload_schema_state()
    wanted = await before.fetch("SELECT id, (options ->> 'ttl_hours')::integer AS hours FROM party_sessions")
    assert backfill.run(database, "ttl_hours_key").done_rows == 30
    assert await before.fetchval("SELECT count(*) FROM party_sessions WHERE options ? 'ttl_hours'") == 0
    for row in wanted:
        assert (await sessions.find_session(before, row["id"])).options.ttl_hours == row["hours"]
    with pytest.raises(asyncpg.NotNullViolationError):
        await before.fetchval(OLD_INSERT, '{"ttl_hours": 12}')
    with pytest.raises(asyncpg.CheckViolationError, match="party_sessions_ttl_hours"):
        await before.execute("UPDATE party_sessions SET ttl_hours = 0")


def test_the_key_stays_while_old_processes_read_it(database):
    migrate.upgrade(database, BEFORE)
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(OLD_SESSIONS, (30,))
        migrate.upgrade(database, EXPAND)
        backfill.run(database, "ttl_hours")
        assert backfill.run(database, "ttl_hours_key").done_rows == 0
        kept = "SELECT count(*) FROM party_sessions WHERE options ? 'ttl_hours'"
        assert connection.execute(kept).fetchone() == (30,)


def test_going_down_gives_every_session_its_key_back(database):
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        migrate.upgrade(database, BEFORE)
        connection.execute(OLD_SESSIONS, (30,))
        held = "SELECT id, options FROM party_sessions ORDER BY id"
        first = connection.execute(held).fetchall()
        migrate.upgrade(database, fill=lambda name: backfill.run(database, name))
        backfill.run(database, "ttl_hours_key")
        migrate.downgrade(database, BEFORE)
        assert connection.execute(held).fetchall() == first
        connection.execute("SELECT flag_expired(1, NULL)")
    migrate.upgrade(database, fill=lambda name: backfill.run(database, name))
    assert migrate.current(database) == CONTRACT


async def test_nothing_reads_the_key_any_more(superuser):
    readers = await superuser.fetch(
        """
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.proowner IN ('partyline_owner'::regrole, 'partyline_views'::regrole)
            AND pg_get_functiondef(p.oid) ~ 'options\\s*->>?\\s*''ttl_hours'''
        UNION ALL
        SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relkind IN ('v', 'm') AND c.relowner IN ('partyline_owner'::regrole, 'partyline_views'::regrole)
            AND pg_get_viewdef(c.oid) ~ 'options\\s*->>?\\s*''ttl_hours'''
        """
    )
    assert [row["name"] for row in readers] == []


async def test_the_switch_reads_no_row_under_its_lock(expanded, database):
    backfill.run(database, "ttl_hours")
    notices = []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        connection.execute("SET client_min_messages = debug1")
        connection.execute("ALTER TABLE party_sessions VALIDATE CONSTRAINT party_sessions_ttl_present")
        connection.execute("ALTER TABLE party_sessions ALTER ttl_hours SET NOT NULL")
    assert any("are sufficient to prove that it does not contain nulls" in text for text in notices), notices


def test_the_script_for_a_database_in_use_commits_step_by_step_and_refuses_before_the_backfill(database):
    migrate.upgrade(database, BEFORE)
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(OLD_SESSIONS, (30,))
    script = migrate.review_sql(database)
    assert script.count("\nCOMMIT;") == script.count("BEGIN;") > 1
    assert script.index("ADD COLUMN ttl_hours") < script.index("run `partyline backfill ttl_hours`")
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="run `partyline backfill"):
            connection.execute(script)
        connection.execute("ROLLBACK")
    assert migrate.current(database) == EXPAND
    backfill.run(database, "ttl_hours")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(migrate.review_sql(database))
    assert migrate.current(database) == CONTRACT
