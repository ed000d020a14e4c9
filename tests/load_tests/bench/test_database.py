"""The database's part measures what it says: the crowd may store, commits are the writer's, a day is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from db.positions import commit_rows
from load_tests.bench import database, rows
from load_tests.bench.phone import LoadError
from tests import chunks

DAYS = tuple(database.days_ago(datetime.now(UTC), ago) for ago in (3, 5))
CROWD = 200


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MEMBERS", CROWD)


@pytest.fixture
async def owner(migrated_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated_database)
    await chunks.drop_all(connection)
    yield connection
    await connection.close()


async def test_the_crowd_is_made_once_and_may_store_all_its_rows(owner: asyncpg.Connection) -> None:
    crowd = await database._crowd(owner)
    assert await database._crowd(owner) == crowd != sorted(crowd)
    assert len(set(crowd)) == CROWD
    prepared = rows.entries(crowd, DAYS[0].begins, 3 * CROWD)
    await owner.execute(database._SQL["make"], DAYS[0].begins)
    for shard, mine in prepared.items():
        result = await commit_rows(owner, mine, shard=shard, ttl_hours=168)
        assert result.refused == []
    assert await database._count(owner, DAYS[0]) == 3 * CROWD


async def test_the_copy_stores_every_row_and_leaves_none(owner: asyncpg.Connection) -> None:
    assert await database.copy_rows_s(owner, DAYS[0], 3 * CROWD) > 0
    assert await chunks.count(owner) == 0


def test_commits_hold_every_entry_once_and_the_shards_take_turns() -> None:
    per_commit = rows.ENTRIES_A_COMMIT
    by_shard = {shard: [bytes([shard, n % 256]) for n in range(2 * per_commit + shard)] for shard in range(8)}
    found = [one[len(rows.COPY_HEADER) : -len(rows.COPY_TRAILER)] for one in database.commits(by_shard)]
    assert [one[0] for one in found] == [*range(8), *range(8), *range(1, 8)]
    assert all(len(one) <= 2 * per_commit for one in found)
    for shard, mine in by_shard.items():
        assert b"".join(one for one in found if one[0] == shard) == b"".join(mine)


async def test_a_day_is_dropped_and_another_deleted(
    owner: asyncpg.Connection, migrated_database: str
) -> None:
    witness = await asyncpg.connect(migrated_database)
    took = await database.remove_day(owner, witness, (DAYS[0], DAYS[1]), 5_000)
    await witness.close()
    assert all(seconds > 0 for seconds in took)
    assert took.drop_waited_s > 0
    assert await chunks.count(owner) == 0
    assert await owner.fetchval("SELECT count(*) FROM retention_runs") == 0, "the keeper's look is undone"


async def test_a_drop_of_a_day_without_a_chunk_is_an_error(owner: asyncpg.Connection) -> None:
    with pytest.raises(LoadError, match="not there to drop"):
        await database._drop(owner, DAYS[0])
