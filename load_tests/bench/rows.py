"""Rows as the gateway hands them over: PostgreSQL's binary COPY form, in entries of one shard.

Pure. The form and the number of shards are what gateway and writer agree on in Redis; they are written here
again because a load knows the server from outside only, and the measurement counts that every row arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime

from protocol.limits import WINDOW_MS

SHARDS = 8
ROWS_AN_ENTRY = 100
"""About what a gateway with 8,000 connections hands over for a shard at once."""
ENTRIES_A_COMMIT = 256
"""What the writer reads from a shard at once: as many rows go into one COPY of the ceiling."""

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
COLUMNS = ("session_id", "user_id", "recorded_at", "fix_offset_ms", "loc", "accuracy_m", "precision")
_ROW = struct.Struct(">h iq iq iq ih iBIIdd if i5s")
_POINT_WITH_SRID, _SRID = 0x2000_0001, 4326
_POSTGRES_EPOCH_S = 946_684_800


def pack(session: int, user: int, at_us: int, lat: float, lon: float) -> bytes:
    """One row; `at_us` is microseconds since 2000, a multiple of a window."""
    return _ROW.pack(
        7, 8, session, 8, user, 8, at_us, 2, 700, 25, 0, _POINT_WITH_SRID, _SRID, lon, lat,
        4, 5.0, 5, b"exact",
    )  # fmt: skip


def entries(members: Sequence[tuple[int, int]], day: datetime, rows: int) -> dict[int, list[bytes]]:
    """Stream entries by shard, `rows` rows together, one a member and window from the day's beginning.

    Raises `ValueError` for more rows than the members can have in a day.
    """
    windows = -(-rows // max(1, len(members)))
    if not members or windows * WINDOW_MS > 86_400_000:
        raise ValueError("there are not enough members for so many rows in a day")
    begun_us = (int(day.timestamp()) - _POSTGRES_EPOCH_S) * 1_000_000
    packed: dict[int, list[bytes]] = {shard: [] for shard in range(SHARDS)}
    left = rows
    for window in range(windows):
        at_us = begun_us + window * WINDOW_MS * 1000
        for number, (session, user) in enumerate(members[:left]):
            place = pack(session, user, at_us, 37.5 + number * 1e-4, 126.9 + window * 1e-6)
            packed[session % SHARDS].append(place)
        left -= min(left, len(members))
    return {
        shard: [b"".join(mine[at : at + ROWS_AN_ENTRY]) for at in range(0, len(mine), ROWS_AN_ENTRY)]
        for shard, mine in packed.items()
    }


def batches(by_shard: dict[int, list[bytes]]) -> list[bytes]:
    """The same rows as whole binary COPY streams, as many rows each as the writer commits at once."""
    return [
        COPY_HEADER + b"".join(mine[at : at + ENTRIES_A_COMMIT]) + COPY_TRAILER
        for mine in by_shard.values()
        for at in range(0, len(mine), ENTRIES_A_COMMIT)
    ]
