"""Native partitions: made ahead and never twice; a row without one waits, one of a dropped day is too old."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db import migrate, positions, retention
from db.positions import PartitionMissing
from protocol.messages import Reject
from tests import chunks
from tests.db.conftest import HOUR_MS, TTL_HOURS, window

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def migrated_database(database: str) -> str:
    """Native whatever the run is."""
    migrate.upgrade(database, partitions="native")
    return database


async def commit(writer, party, *ago_ms, ttl_hours=TTL_HOURS):
    rows = [
        positions.pack_row(party.id, party.guest, window(ago), 0, 37.5, 127.0, 8.0, "exact") for ago in ago_ms
    ]
    return await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=ttl_hours)


async def count(superuser):
    return await superuser.fetchval("SELECT count(*) FROM party_positions")


async def days(superuser):
    """Days from today on which chunks begin."""
    return [
        day
        for (day,) in await superuser.fetch(
            "SELECT (extract(epoch FROM range_start - date_trunc('day', now(), 'UTC')) / 86400)::integer AS day "
            "FROM positions_chunks() WHERE range_end = range_start + INTERVAL '24 hours' ORDER BY day"
        )
    ]


async def drop_from(superuser, day, *, to=99):
    """As if the keeper had been away."""
    await superuser.execute(
        "SELECT drop_positions_chunk(chunk) FROM positions_chunks() WHERE range_start BETWEEN "
        "date_trunc('day', now(), 'UTC') + $1 * INTERVAL '1 day' AND now() + $2 * INTERVAL '1 day'",
        day,
        to,
    )


async def test_days_are_there_from_the_start_and_nothing_takes_what_fits_in_none(superuser):
    assert await days(superuser) == list(range(-8, 8))
    assert (
        await superuser.fetchval(
            "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r' "
            "AND pg_get_expr(relpartbound, oid) = 'DEFAULT'"
        )
        == 0
    )


async def test_the_keeper_makes_what_is_missing_and_nothing_twice(keeper, superuser):
    await drop_from(superuser, 3)
    await drop_from(superuser, -4, to=-3)
    assert await days(superuser) == [-8, -7, -6, -5, -2, -1, 0, 1, 2]
    for _ in range(2):
        await retention.make_partitions_ahead(keeper)
        assert await days(superuser) == list(range(-8, 8))


async def test_a_time_zone_of_the_session_moves_no_day(login, superuser):
    await drop_from(superuser, 1)
    keeper = await login("keeper")
    await keeper.execute("SET timezone = 'Asia/Seoul'")
    await retention.make_partitions_ahead(keeper)
    assert await days(superuser) == list(range(-8, 8))


async def test_a_day_that_was_dropped_does_not_come_back(keeper, superuser):
    await retention.drop_expired(keeper, ttl_hours=48, lock_timeout_ms=2000)
    left = await days(superuser)
    assert left[0] == -2
    await retention.make_partitions_ahead(keeper)
    assert await days(superuser) == left


async def test_a_table_without_any_gets_them_again(keeper, superuser):
    await chunks.drop_all(superuser)
    assert await days(superuser) == []
    await retention.make_partitions_ahead(keeper)
    assert await days(superuser) == list(range(-8, 8))


async def test_two_keepers_at_once_make_each_day_once(login, superuser):
    await chunks.drop_all(superuser)
    await asyncio.gather(*[retention.make_partitions_ahead(await login("keeper")) for _ in range(3)])
    assert await days(superuser) == list(range(-8, 8))


async def test_a_new_partition_keeps_no_statistics_of_places_and_people(keeper, superuser):
    await drop_from(superuser, 1)
    await retention.make_partitions_ahead(keeper)
    kept = await superuser.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relispartition AND c.relkind = 'r' AND a.attname IN ('loc', 'user_id') "
        "AND a.attstattarget IS DISTINCT FROM 0"
    )
    assert kept == []


async def test_partitions_are_made_and_dropped_while_somebody_writes(login, keeper, superuser, party):
    await drop_from(superuser, 1)
    writer = await login("writer")
    async with writer.transaction():
        # Its lock on the table is there until the end.
        await writer.execute(
            "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
            "VALUES ($1, $2, to_timestamp($3::bigint / 1000), 0, ST_SetSRID(ST_MakePoint(1, 1), 4326), 'rough')",
            party.id,
            party.guest,
            window(),
        )
        await retention.make_partitions_ahead(keeper)
        assert await days(superuser) == list(range(-8, 8))


async def test_a_drop_gives_way_to_who_uses_the_table(
    migrated_database, login, keeper, superuser, party, monkeypatch
):
    """A reader holds the table for long: the drop is given up, and whoever writes queues behind it for no longer."""
    monkeypatch.setattr(retention, "RETRY_PAUSE_S", 0.01)
    reading = await asyncpg.connect(migrated_database)
    writer = await login("writer")
    async with reading.transaction():
        await reading.fetchval("SELECT count(*) FROM party_positions")
        dropping = asyncio.create_task(retention.drop_expired(keeper, ttl_hours=48, lock_timeout_ms=2000))
        stored = 0
        while not dropping.done():
            stored += (await commit(writer, party, 5000 * stored)).inserted
            await asyncio.sleep(0)
        [failed] = await dropping
    await reading.close()
    assert "in use" in failed.error
    assert failed.table_name == "party_positions"
    assert stored > 0
    assert [
        one.error for one in await retention.drop_expired(keeper, ttl_hours=48, lock_timeout_ms=2000)
    ] == ([None] * 6)


async def test_only_a_partition_of_ours_is_dropped(superuser):
    await superuser.execute("CREATE TABLE stranger ()")
    for name in ("stranger", "users", "party_positions"):
        with pytest.raises(asyncpg.RaiseError, match="is no partition of party_positions"):
            await superuser.execute("SELECT drop_positions_chunk($1::text::regclass)", name)


async def test_partitions_do_not_overlap(superuser):
    with pytest.raises(asyncpg.InvalidObjectDefinitionError, match="would overlap"):
        await superuser.execute(
            "CREATE TABLE twice PARTITION OF party_positions FOR VALUES FROM ('2000-01-01') TO ('2100-01-01')"
        )


async def test_rows_without_a_partition_wait_for_the_keeper(writer, keeper, superuser, party):
    await drop_from(superuser, -1)
    for _ in range(2):
        with pytest.raises(PartitionMissing, match="start the keeper"):
            await commit(writer, party, 2 * DAY_MS, 5000, 0)
        assert await count(superuser) == 0, "nothing of the batch, though a day is there"
    await retention.make_partitions_ahead(keeper)
    assert (await commit(writer, party, 2 * DAY_MS, 5000, 0)).inserted == 3


async def test_rows_of_a_dropped_day_are_too_old_and_hold_up_nobody(writer, keeper, superuser, party):
    """The keeper kept less than the writer: on a hypertable the day would come back, to be dropped again."""
    await retention.drop_expired(keeper, ttl_hours=48, lock_timeout_ms=2000)
    result = await commit(writer, party, 4 * DAY_MS, 0)
    assert result.inserted == 1
    assert [reason for *_, reason in result.refused] == [Reject.TOO_OLD]


async def test_a_check_that_has_a_name_is_not_a_missing_partition(writer, party):
    row = positions.pack_row(party.id, party.guest, window(), 0, 37.5, 127.0, 8.0, "exact")
    unaligned = row.replace(row[30:38], (int.from_bytes(row[30:38]) + 1).to_bytes(8))
    with pytest.raises(asyncpg.CheckViolationError):
        await positions.commit_rows(writer, [unaligned], shard=party.shard, ttl_hours=TTL_HOURS)
