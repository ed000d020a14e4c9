"""The keeper: chunks past the time-to-live go, each with its record; nobody who writes notices."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from db import positions, retention
from db.retention import drop_expired, flag_expired
from protocol.options import Options
from tests import chunks
from tests.db.conftest import HOUR_MS, TTL_HOURS, make_party, now_ms, window

DAY_MS = 24 * HOUR_MS


@pytest.fixture(autouse=True)
async def without_chunks(superuser):
    """Chunks are counted here: only those that a test makes are there."""
    await chunks.drop_all(superuser)


async def fill(superuser, party, days, *, each=40):
    """`each` rows in each of the last days; put there by the superuser, as the past was."""
    await chunks.make(superuser, now_ms() - (days - 1) * DAY_MS, now_ms())
    for day in range(days):
        await superuser.execute(
            "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
            "SELECT $1, $2, to_timestamp($3::bigint / 1000) - n * interval '5 seconds', 0, "
            "ST_SetSRID(ST_MakePoint(127, 37), 4326), 'exact' FROM generate_series(0, $4 - 1) n",
            party.id,
            party.guest,
            (now_ms() // DAY_MS - day) * DAY_MS + HOUR_MS,
            each,
        )


async def drop(keeper, **how):
    return await drop_expired(keeper, **({"ttl_hours": 48, "lock_timeout_ms": 200} | how))


async def test_whole_chunks_go_one_by_one_with_their_records(keeper, superuser, party):
    await fill(superuser, party, 6)
    assert await chunks.count(superuser) == 6
    drops = await drop(keeper)
    # Today, yesterday, and the day that 48 hours ago lies in stay.
    assert [one.chunks_before - one.chunks_after for one in drops] == [1, 1, 1]
    assert [one.dropped_rows for one in drops] == [40, 40, 40]
    assert [(one.chunks_before, one.chunks_after) for one in drops] == [(6, 5), (5, 4), (4, 3)]
    assert all(len(one.dropped_chunks) == 1 and one.error is None for one in drops)
    assert all(one.bytes_before > one.bytes_after > 0 for one in drops)
    assert all(one.rows_before - one.rows_after == one.dropped_rows for one in drops)
    assert [one.oldest_after_ms - one.oldest_before_ms for one in drops] == [DAY_MS] * 3
    assert await chunks.count(superuser) == 3
    assert await superuser.fetchval("SELECT count(*) FROM retention_runs WHERE error IS NULL") == 3
    assert await drop(keeper) == []


async def test_nothing_that_is_younger_goes(keeper, superuser, party):
    await fill(superuser, party, 4)
    await drop(keeper, ttl_hours=24)
    youngest_gone = await superuser.fetchval(
        "SELECT count(*) FROM party_positions WHERE recorded_at > now() - interval '24 hours'"
    )
    assert youngest_gone == await superuser.fetchval(
        "SELECT count(*) FROM generate_series(0, 3) d, generate_series(0, 39) n WHERE "
        "to_timestamp(($1::bigint / 86400000 - d) * 86400 + 3600) - n * interval '5 seconds' "
        "> now() - interval '24 hours'",
        now_ms(),
    )


async def test_an_empty_table_drops_nothing(keeper):
    assert await drop(keeper) == []


async def test_the_last_chunk_leaves_no_oldest(keeper, superuser, party):
    await superuser.execute("DELETE FROM retention_runs")
    await fill(superuser, party, 1)
    await superuser.execute("UPDATE party_positions SET recorded_at = recorded_at")
    await chunks.drop_all(superuser)
    await chunks.make(superuser, 1_577_836_800_000, 1_577_836_800_000)
    await superuser.execute(
        "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
        "VALUES (1, 1, '2020-01-01', 0, ST_SetSRID(ST_MakePoint(0, 0), 4326), 'rough')"
    )
    [only] = await drop(keeper)
    assert (only.chunks_after, only.oldest_after_ms, only.bytes_after) == (0, None, 0)


async def test_who_writes_today_sees_no_error_and_waits_for_nobody(login, keeper, superuser, party):
    await fill(superuser, party, 5, each=400)
    writer = await login("writer")
    stop = asyncio.Event()
    stored = 0

    async def write():
        nonlocal stored
        n = 0
        while not stop.is_set():
            rows = [positions.pack_row(party.id, party.host, window(5000 * n), 0, 1.0, 1.0, 5.0, "exact")]
            result = await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)
            stored += result.inserted
            n += 1

    writing = asyncio.create_task(write())
    drops = await drop(keeper)
    stop.set()
    await writing
    assert sum(one.dropped_rows for one in drops) == 800
    assert stored > 0
    assert (
        await superuser.fetchval("SELECT count(*) FROM party_positions WHERE user_id = $1", party.host)
        == stored
    )


async def test_a_chunk_in_use_is_tried_again_and_then_recorded(
    keeper, superuser, migrated_database, party, monkeypatch
):
    monkeypatch.setattr(retention, "RETRY_PAUSE_S", 0.01)
    await fill(superuser, party, 4)
    reading = await asyncpg.connect(migrated_database)
    transaction = reading.transaction()
    await transaction.start()
    await reading.fetchval("SELECT count(*) FROM party_positions")
    [failed] = await drop(keeper, lock_timeout_ms=20)
    assert "in use" in failed.error
    assert (failed.dropped_rows, failed.dropped_chunks, failed.chunks_after) == (0, [], 4)
    assert await chunks.count(superuser) == 4

    trying = asyncio.create_task(drop(keeper, lock_timeout_ms=2000))
    await asyncio.sleep(0.1)
    await transaction.rollback()
    await reading.close()
    assert [one.error for one in await trying] == [None]
    assert await superuser.fetchval("SELECT count(*) FROM retention_runs WHERE error IS NOT NULL") == 1


async def test_two_keepers_take_turns(login, superuser, party):
    await fill(superuser, party, 8)
    keepers = [await login("keeper") for _ in range(3)]
    done = await asyncio.gather(*(drop(one, lock_timeout_ms=5000) for one in keepers))
    drops = [one for some in done for one in some]
    assert all(one.error is None for one in drops)
    assert len({one.dropped_chunks[0] for one in drops}) == len(drops) == 5


async def test_a_late_row_does_not_bring_a_dropped_chunk_back(keeper, writer, superuser, party):
    await fill(superuser, party, 5)
    await drop(keeper)
    left = await chunks.count(superuser)
    late = positions.pack_row(party.id, party.guest, window(4 * DAY_MS), 0, 1.0, 1.0, None, "exact")
    result = await positions.commit_rows(writer, [late], shard=party.shard, ttl_hours=48)
    assert [why for *_, why in result.refused] == ["too_old"]
    assert await chunks.count(superuser) == left


@pytest.mark.parametrize("how", [{"ttl_hours": 0}, {"ttl_hours": -1}, {"lock_timeout_ms": 0}])
async def test_a_time_that_is_not_positive_is_refused(keeper, how):
    with pytest.raises(ValueError, match="at least 1"):
        await drop(keeper, **how)


async def test_the_server_refuses_it_too(keeper):
    for wrong in (0, -5, None, 10**6):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await keeper.fetch("SELECT * FROM drop_oldest_expired_chunk($1)", wrong)
    for wrong in (0, 10**7, None):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await keeper.fetch("SELECT flag_expired($1, NULL)", wrong)


async def flags(superuser, party):
    return [
        tuple(row)
        for row in await superuser.fetch(
            "SELECT ttl_expired, count(*) FROM party_positions WHERE session_id = $1 GROUP BY 1 ORDER BY 1",
            party.id,
        )
    ]


async def test_rows_past_their_sessions_own_time_are_flagged_in_batches(keeper, gateway, superuser):
    short = await make_party(gateway, name="short", options=Options(ttl_hours=20))
    long = await make_party(gateway, name="long", options=Options(ttl_hours=TTL_HOURS))
    await fill(superuser, short, 4)
    await fill(superuser, long, 4)
    expired = (
        "SELECT count(*) FROM party_positions WHERE session_id = $1 "
        "AND recorded_at <= now() - interval '20 hours'"
    )
    before = await superuser.fetchval(expired, short.id)
    flagged = [await flag_expired(keeper, 50)]
    while flagged[-1] == 50:
        flagged.append(await flag_expired(keeper, 50))
    # A row may have expired in between.
    assert 120 <= before <= sum(flagged) <= await superuser.fetchval(expired, short.id)
    assert max(flagged) <= 50
    assert dict(await flags(superuser, short))[True] == sum(flagged)
    assert await flags(superuser, long) == [(False, 160)]


async def test_two_members_with_the_same_window_are_both_flagged(keeper, gateway, superuser):
    party = await make_party(gateway, options=Options(ttl_hours=20))
    await fill(superuser, party, 3, each=6)
    party.guest, guest = party.host, party.guest
    await fill(superuser, party, 3, each=6)
    for _ in range(40):
        await flag_expired(keeper, 1)
    left = await superuser.fetchval(
        "SELECT count(*) FROM party_positions WHERE NOT ttl_expired AND recorded_at <= now() - interval '20 h 5 min'"
    )
    assert left == 0
    assert guest != party.guest


async def test_sessions_that_keep_as_long_as_the_server_are_left_to_the_drop(keeper, gateway, superuser):
    party = await make_party(gateway, options=Options(ttl_hours=20))
    await fill(superuser, party, 4)
    assert await flag_expired(keeper, 1000, keep_hours=20) == 0
    assert await flag_expired(keeper, 1000, keep_hours=21) > 0


@pytest.mark.parametrize("batch", [0, -1, 10**7])
async def test_a_batch_has_a_size(keeper, batch):
    with pytest.raises(ValueError, match="batch"):
        await flag_expired(keeper, batch)
