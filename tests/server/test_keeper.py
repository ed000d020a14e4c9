"""The keeper works under its own role, survives PostgreSQL, and stops when it is told (G7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from db import retention
from db.pool import connect
from server.keeper import Keeper
from tests import chunks
from tests.server.lives import Closed, Life, eventually, running


@pytest.fixture
def party_database(migrated_database: str) -> str:
    """One for each test: rows and chunks are counted as a whole here."""
    return migrated_database


@pytest.fixture
async def keeper(role_url: Callable[[str], str]) -> AsyncIterator[Keeper]:
    pool = await connect(role_url("keeper"), min_size=1, max_size=2, application_name="keeper")
    yield Keeper(pool=pool, ttl_hours=48, interval_s=0.05)
    pool.terminate()


async def fill(superuser: asyncpg.Connection, session: int, user: int, days: int, each: int = 10) -> None:
    """Rows at noon of each of the last days, today's left out, and chunks for these days alone."""
    if await left(superuser) == 0:
        await chunks.drop_all(superuser)
    await superuser.execute("SELECT make_positions_chunks(now() - $1 * INTERVAL '1 day', now())", days)
    await superuser.execute(
        "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
        "SELECT $1, $2, date_trunc('day', now(), 'UTC') - d * interval '1 day' + n * interval '5 seconds' "
        "+ interval '12 hours', 0, ST_SetSRID(ST_MakePoint(127, 37), 4326), 'exact' "
        "FROM generate_series(1, $3) d, generate_series(0, $4 - 1) n",
        session,
        user,
        days,
        each,
    )


async def left(superuser: asyncpg.Connection, where: str = "true") -> int:
    count: int = await superuser.fetchval(f"SELECT count(*) FROM party_positions WHERE {where}")
    return count


async def test_it_drops_what_the_server_and_flags_what_a_session_keeps_no_longer(
    life: Life, keeper: Keeper, superuser: asyncpg.Connection
) -> None:
    short = await life.host(ttl_hours=1)
    long = await life.host(ttl_hours=168)
    for hosted in (short, long):
        await fill(superuser, hosted.id, hosted.host_user_id, 6)
    assert await keeper._pool.fetchval("SELECT current_user") == "partyline_keeper"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper._pool.fetchval("SELECT count(*) FROM party_positions")
    await keeper.work()
    assert keeper.chunks_dropped in (3, 4)  # by the hour: whole days past 48 hours
    assert keeper.rows_dropped == keeper.chunks_dropped * 20
    assert await left(superuser) == (6 - keeper.chunks_dropped) * 20
    flagged = f"session_id = {short.id} AND ttl_expired"
    assert await left(superuser, flagged) == await left(superuser, f"session_id = {short.id}") > 0
    assert await left(superuser, f"session_id = {long.id} AND ttl_expired") == 0
    assert (keeper.rounds, keeper.failures) == (1, 0)
    runs = await superuser.fetch("SELECT * FROM retention_runs WHERE error IS NULL")
    assert sum(run["dropped_rows"] for run in runs) == keeper.rows_dropped
    await keeper.work()
    assert keeper.rounds == 2
    assert len(await superuser.fetch("SELECT * FROM retention_runs")) == len(runs)


async def test_more_rows_than_a_batch_are_flagged_in_one_round(
    life: Life, keeper: Keeper, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.keeper.FLAG_BATCH", 7)
    hosted = await life.host(ttl_hours=1)
    await fill(superuser, hosted.id, hosted.host_user_id, 1, each=30)
    await keeper.work()
    assert keeper.rows_flagged == await left(superuser, "ttl_expired") == 30


async def test_a_chunk_in_use_is_a_failure_that_is_told_and_tried_again(
    life: Life, keeper: Keeper, superuser: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("server.keeper.LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(retention, "RETRY_PAUSE_S", 0.01)
    hosted = await life.host()
    await fill(superuser, hosted.id, hosted.host_user_id, 5)
    async with superuser.transaction():
        await left(superuser)  # a reader's lock on every chunk
        await keeper.work()
        assert (keeper.chunks_dropped, keeper.failures) == (0, 1)
        assert "could not be dropped" in caplog.text
        assert "chunk dropped" not in caplog.text
    await keeper.work()
    assert keeper.chunks_dropped >= 2


async def test_it_deletes_expired_doodles_and_recommendations_and_drops_old_months(
    keeper: Keeper, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.keeper.DELETE_BATCH", 4)
    await superuser.execute("UPDATE month_keeping SET keep_months = 10")
    await superuser.execute("SELECT set_config('partyline.author_place', '127 37.5', false)")
    await superuser.execute(
        "INSERT INTO posts (type, body, created_at, expires_at, geofence) SELECT 'doodle', 'here', "
        "now() - interval '1 day', now() - interval '1 hour', ST_SetSRID(ST_MakePoint(127, 37.5), 4326) "
        "FROM generate_series(1, 10)"
    )
    await superuser.execute(
        "INSERT INTO trip_cache (context_hash, payload, created_at, valid_until) SELECT "
        "encode(sha256(n::text::bytea), 'hex'), '{}', now() - interval '2 days', now() + n * interval '1 hour' "
        "FROM generate_series(-2, 3) n WHERE n <> 0"
    )
    old = "INSERT INTO posts (type, body, created_at) VALUES ('review', 'old', now() - interval '11 months 1 day')"
    await superuser.execute(old)
    await keeper.work()
    assert keeper.rows_deleted == 12
    dropped = keeper.chunks_dropped
    assert dropped == await superuser.fetchval("SELECT count(*) FROM retention_runs")
    assert (keeper.rows_dropped, keeper.failures) == (1, 0)
    assert await superuser.fetchval("SELECT count(*) FROM posts") == 0
    assert await superuser.fetchval("SELECT count(*) FROM trip_cache") == 3
    # Native partitions of positions are there before any row is, and go as well.
    runs = await superuser.fetch(
        "SELECT table_name, count(*) FROM retention_runs WHERE table_name <> 'party_positions' GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(run) for run in runs] == [("feedback", 2), ("posts", 2)]
    await keeper.work()
    assert (keeper.rows_deleted, keeper.chunks_dropped) == (12, dropped)


async def test_it_survives_postgresql_and_goes_on_by_itself(keeper: Keeper, party_database: str) -> None:
    async with running(keeper.run):
        await eventually(lambda: keeper.rounds > 1)
        async with Closed(party_database):
            await eventually(lambda: keeper.failures > 1)
        rounds = keeper.rounds
        await eventually(lambda: keeper.rounds > rounds)


async def test_a_stop_ends_the_wait_between_rounds(role_url: Callable[[str], str]) -> None:
    pool = await connect(role_url("keeper"), min_size=1, max_size=1, application_name="keeper")
    keeper = Keeper(pool=pool, ttl_hours=48, interval_s=3600)
    stop = asyncio.Event()
    task = asyncio.ensure_future(keeper.run(stop))
    await eventually(lambda: keeper.rounds)
    stop.set()
    async with asyncio.timeout(5):
        await task
    await keeper.run(stop)
    assert keeper.rounds == 1, "worked after the stop"
    pool.terminate()
