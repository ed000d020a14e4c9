"""The writer's path: rows arrive packed in PostgreSQL's binary COPY format, and are judged as they commit.

The writer only joins bytes; PostgreSQL decides row by row what may be stored now, in the transaction that
stores it. Nothing is stored that is finer than session, member and user allow (G3, G4), nothing twice (G2),
nothing of the erased (G7). No coordinate is in an error of this module.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import asyncpg

from db.fence import FENCE_CLASS, SHARDS, hold_shared
from db.pool import Connection
from db.queries import load
from db.times import PG_EPOCH_MS, to_ms
from protocol.limits import WINDOW_MS
from protocol.messages import Reject

__all__ = [
    "COPY_HEADER",
    "COPY_TRAILER",
    "FENCE_CLASS",
    "CommitResult",
    "commit_rows",
    "pack_row",
]

_SQL = load("positions")
_STAGING = "party_positions_staged"
_COLUMNS = ("session_id", "user_id", "recorded_at", "fix_offset_ms", "loc", "accuracy_m", "precision")

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)

# A tuple is its number of fields, then each field as length and bytes, all big-endian; length -1 is NULL.
# The place is an EWKB point: byte order, type with the SRID flag, SRID, x, y. Both labels have five letters.
_ROW = struct.Struct(">h iq iq iq ih iBIIdd if i5s")
_ROW_WITHOUT_ACCURACY = struct.Struct(">h iq iq iq ih iBIIdd i i5s")
_BIG_ENDIAN, _POINT_WITH_SRID, _SRID = 0, 0x2000_0001, 4326
_LABELS = {"exact": b"exact", "rough": b"rough"}

MAX_ACCURACY_M = 40_075_017.0
"""No circle on Earth is larger than its girth; infinity is no accuracy."""

_EARLIEST_MS, _LATEST_MS = 0, 253_402_300_800_000
"""1970 to 9999: what pack_row takes. What may be stored is decided at commit."""


def pack_row(  # noqa: PLR0917 - in the order of the columns
    session_id: int,
    user_id: int,
    window_start_ms: int,
    fix_offset_ms: int,
    lat: float,
    lon: float,
    accuracy_m: float | None,
    precision: str,
) -> bytes:
    """One masked position as a tuple of binary COPY: 90 bytes, or 86 without accuracy.

    `window_start_ms`: epoch milliseconds, a multiple of 5,000; `fix_offset_ms`: 0 to 4,999; degrees, metres;
    `precision`: `exact` or `rough`. Raises `ValueError` for anything else, without repeating it.
    """
    if not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):  # also what is not a number
        raise ValueError("a position must be finite degrees: latitude to 90, longitude to 180")
    if window_start_ms % WINDOW_MS or not _EARLIEST_MS <= window_start_ms < _LATEST_MS:
        raise ValueError(
            "a window must start at a multiple of 5,000 ms since the epoch, before the year 10000"
        )
    if not 0 <= fix_offset_ms < WINDOW_MS:
        raise ValueError("a fix must lie 0 to 4,999 ms after its window's start")
    label = _LABELS.get(precision)
    if label is None:
        raise ValueError("only exact and rough positions are stored")
    recorded_at = (window_start_ms - PG_EPOCH_MS) * 1000
    try:
        if accuracy_m is None:
            return _ROW_WITHOUT_ACCURACY.pack(
                7, 8, session_id, 8, user_id, 8, recorded_at, 2, fix_offset_ms,
                25, _BIG_ENDIAN, _POINT_WITH_SRID, _SRID, lon, lat, -1, 5, label,
            )  # fmt: skip
        if not 0.0 <= accuracy_m <= MAX_ACCURACY_M:
            raise ValueError("an accuracy must be metres from 0 to the girth of the Earth")
        return _ROW.pack(
            7, 8, session_id, 8, user_id, 8, recorded_at, 2, fix_offset_ms,
            25, _BIG_ENDIAN, _POINT_WITH_SRID, _SRID, lon, lat, 4, accuracy_m, 5, label,
        )  # fmt: skip
    except struct.error:
        raise ValueError("ids must be whole numbers of 64 bits") from None


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What became of a batch. Rows that are neither inserted nor refused were there already (G2)."""

    inserted: int
    refused: list[tuple[int, int, int, Reject]] = field(default_factory=list)
    """`(session_id, user_id, window_start_ms, reason)`: `gone`, `precision`, `too_old` or `future`."""


async def commit_rows(conn: Connection, rows: Iterable[bytes], *, shard: int, ttl_hours: int) -> CommitResult:
    """Stores a batch of one shard in one transaction; when it returns, the rows are committed.

    `rows`: what `pack_row` made; `ttl_hours`: how long the server keeps rows at most. A row is refused
    - `gone`: there is no such session or member, or the user is erased;
    - `precision`: finer than session, member and user allow now, or the session stores nothing;
    - `too_old`: past its time-to-live, or before the session's start: it would bring a dropped chunk back;
    - `future`: more than an hour ahead of the database's clock: it would make a chunk that is never dropped.

    Raises `ValueError` for a row of another shard, whose fence this transaction does not hold; `asyncpg`'s
    own errors for bytes that are no row, and for a lost connection. After any of them nothing is stored.
    The connection must be free: inside somebody else's transaction a return would not mean a commit.
    """
    if not 0 <= shard < SHARDS:
        raise ValueError(f"a shard is a number from 0 to {SHARDS - 1}")
    if ttl_hours < 1:
        raise ValueError("ttl_hours must be at least 1")
    batch = b"".join(rows)
    if not batch:
        return CommitResult(0)
    if conn.is_in_transaction():
        raise ValueError("commit_rows needs a connection that is not in a transaction")
    copied = COPY_HEADER + batch + COPY_TRAILER
    # Read committed: the judging statement must see what was committed while it waited for the fence.
    async with conn.transaction(isolation="read_committed"):
        await conn.execute(_SQL["make_staging"])
        # Staged before the fence is taken: a writer that is slow to send holds up nobody.
        await conn.copy_to_table(
            _STAGING, schema_name="pg_temp", columns=_COLUMNS, format="binary", source=_whole(copied)
        )
        await hold_shared(conn, shard)
        refused = await _refuse(conn, shard, ttl_hours)
        inserted = None if refused else await _copy_all(conn, copied)
        if inserted is None:
            inserted = _count(await conn.execute(_SQL["store"]))
    return CommitResult(inserted, refused)


async def _refuse(conn: Connection, shard: int, ttl_hours: int) -> list[tuple[int, int, int, Reject]]:
    """Takes what may not be stored out of the staging table. The fence is held."""
    doubtful = [row["session_id"] for row in await conn.fetch(_SQL["doubtful"], shard, ttl_hours)]
    if not doubtful:
        return []
    refused = []
    for session_id, user_id, recorded_at, reason in await conn.fetch(
        _SQL["refuse"], shard, ttl_hours, doubtful
    ):
        if reason == "shard":
            raise ValueError(f"a row of session {session_id} is not of shard {shard}")
        refused.append((session_id, user_id, to_ms(recorded_at), Reject(reason)))
    return refused


async def _copy_all(conn: Connection, copied: bytes) -> int | None:
    """Copies a batch that passed as a whole straight into the table; `None` if a row was there already.

    The same bytes a second time cost less than INSERT … SELECT: PostgreSQL inserts copied rows many at once.
    """
    try:
        async with conn.transaction():
            return _count(
                await conn.copy_to_table(
                    "party_positions", columns=_COLUMNS, format="binary", source=_whole(copied)
                )
            )
    except asyncpg.UniqueViolationError:
        return None


def _count(status: str) -> int:
    """The number at the end of `COPY 7` and `INSERT 0 7`."""
    return int(status.rpartition(" ")[2])


async def _whole(copied: bytes) -> AsyncIterator[bytes]:
    yield copied
