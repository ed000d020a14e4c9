"""A server that has not loaded TimescaleDB, as Amazon RDS: `auto` comes to native partitions by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db import migrate, positions, retention, sessions
from db.embedded import Stack
from tests.db.conftest import HOUR_MS, TTL_HOURS, now_ms, window


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("bare"), preload=()) as stack:
        yield stack


@pytest.fixture
def migrated_database(bare: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("PARTYLINE_PARTITIONS", raising=False)
    migrate.upgrade(bare.database_url)
    return bare.database_url


async def test_a_row_is_stored_read_and_dropped(superuser, gateway, writer, keeper, party):
    assert await superuser.fetchval("SHOW shared_preload_libraries") == ""
    assert await superuser.fetchval("SELECT positions_kind()") == "native"
    assert not await superuser.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
    rows = [
        positions.pack_row(party.id, party.guest, window(ago), 0, 37.5, 127.0, 8.0, "exact")
        for ago in (4 * 24 * HOUR_MS, 0)
    ]
    result = await positions.commit_rows(writer, rows, shard=party.shard, ttl_hours=TTL_HOURS)
    assert result.inserted == 2
    span = {"user_ids": None, "from_ms": 0, "to_ms": now_ms() + HOUR_MS, "limit": 10}
    assert len(await sessions.track(gateway, party.id, **span)) == 2
    await retention.make_partitions_ahead(keeper)
    drops = await retention.drop_expired(keeper, ttl_hours=48, lock_timeout_ms=2000)
    assert sum(one.dropped_rows for one in drops) == 1
    assert len(await sessions.track(gateway, party.id, **span)) == 1


def test_a_hypertable_is_refused_with_the_mend(bare: Stack):
    url = bare.superuser_url("postgres")
    with pytest.raises(migrate.MigrationError, match="PARTYLINE_PARTITIONS=native"):
        migrate.upgrade(url, partitions="hypertable")
    assert migrate.current(url) is None
