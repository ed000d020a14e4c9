"""Rows for the writer are the rows that the server itself packs, in the shards that it would choose."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from db import positions
from db.fence import SHARDS as SERVER_SHARDS
from db.fence import shard_of
from load_tests.bench import rows

DAY = datetime(2026, 5, 1, tzinfo=UTC)


def test_a_row_is_packed_as_the_server_packs_it() -> None:
    start_ms = int(DAY.timestamp() * 1000)
    at_us = (start_ms - 946_684_800_000) * 1000
    ours = rows.pack(7, 9, at_us, 37.5, 126.9)
    assert ours == positions.pack_row(7, 9, start_ms, 700, 37.5, 126.9, 5.0, "exact")
    assert (rows.COPY_HEADER, rows.COPY_TRAILER) == (positions.COPY_HEADER, positions.COPY_TRAILER)
    assert rows.SHARDS == SERVER_SHARDS


def test_entries_hold_every_row_once_in_its_shard() -> None:
    members = [(session, session * 10 + n) for session in range(1, 21) for n in range(5)]
    found = rows.entries(members, DAY, 1234)
    size = len(rows.pack(1, 1, 0, 0.0, 0.0))
    seen = set()
    for shard, mine in found.items():
        for entry in mine:
            assert len(entry) <= rows.ROWS_AN_ENTRY * size
            for at in range(0, len(entry), size):
                row = entry[at : at + size]
                assert shard_of(int.from_bytes(row[6:14], "big")) == shard
                seen.add((row[6:14], row[18:26], row[30:38]))
    assert len(seen) == 1234
    copied = rows.batches(found)
    assert sum(len(batch) - len(rows.COPY_HEADER) - len(rows.COPY_TRAILER) for batch in copied) == 1234 * size


@pytest.mark.parametrize("members", [[], [(1, 1)]])
def test_too_many_rows_for_a_day_are_refused(members: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="not enough members"):
        rows.entries(members, DAY, 20_000)
