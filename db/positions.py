"""The writer's path: rows arrive packed in PostgreSQL's binary COPY format, and are judged as they commit.

PostgreSQL decides what may be stored now, in the transaction that stores it: for most sessions as a whole,
row by row where that leaves a doubt. Nothing is stored that is finer than session, member and user allow
(G3, G4), nothing twice (G2), nothing of the erased (G7). No coordinate is in an error of this module.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg

from db.fence import FENCE_CLASS, SHARDS, hold_shared
from db.parties import ID, SESSION, Batch, Parties, take_apart
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
    "PartitionMissing",
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


Refused: TypeAlias = tuple[int, int, int, Reject]
"""`(session_id, user_id, window_start_ms, reason)`: `gone`, `precision`, `too_old` or `future`."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What became of a batch. Rows that are neither inserted nor refused were there already (G2)."""

    inserted: int
    refused: list[Refused] = field(default_factory=list)


class PartitionMissing(RuntimeError):
    """Rows are for a day that PostgreSQL has no partition for yet. Nothing is stored; they may come again."""

    def __init__(self) -> None:
        super().__init__("there is no partition for these rows yet: start the keeper, which makes them ahead")


async def commit_rows(conn: Connection, rows: Iterable[bytes], *, shard: int, ttl_hours: int) -> CommitResult:
    """Stores a batch of one shard in one transaction; when it returns, the rows are committed.

    `rows`: what `pack_row` made; `ttl_hours`: how long the server keeps rows at most. A row is refused
    - `gone`: there is no such session or member, or the user is erased;
    - `precision`: finer than session, member and user allow now, or the session stores nothing;
    - `too_old`: past its time-to-live, or before the session's start: it would bring a dropped chunk back;
    - `future`: more than an hour ahead of the database's clock: it would make a chunk that is never dropped.

    Raises `ValueError` for a row of another shard, whose fence this transaction does not hold;
    `PartitionMissing` where no partition was made ahead; `asyncpg`'s own errors for bytes that are no row and
    for a lost connection. After any of them nothing is stored.
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
    try:
        return await _commit(conn, batch, shard, ttl_hours)
    except asyncpg.CheckViolationError as error:
        if not _without_partition(error):
            raise
    # A day of these rows was dropped, or is not made yet. Judged row by row: what was dropped is too old.
    try:
        return await _commit_staged(conn, batch, None, shard, ttl_hours)
    except asyncpg.CheckViolationError as error:
        if not _without_partition(error):
            raise
        raise PartitionMissing from None


def _without_partition(error: asyncpg.CheckViolationError) -> bool:
    """Of all checks only that of the partitions has no name."""
    return error.constraint_name is None


async def _commit(conn: Connection, batch: bytes, shard: int, ttl_hours: int) -> CommitResult:
    taken = take_apart(batch)
    if taken is None:
        return await _commit_staged(conn, batch, None, shard, ttl_hours)
    try:
        return await _commit_copied(conn, taken, shard, ttl_hours)
    except asyncpg.UniqueViolationError:  # some are there already, and COPY cannot pass over them
        return await _commit_staged(conn, batch, taken.parties, shard, ttl_hours)


async def _commit_copied(conn: Connection, batch: Batch, shard: int, ttl_hours: int) -> CommitResult:
    """Copies what may surely be stored straight into the table; only the rest is judged row by row."""
    sure, refused = batch.ordered, []
    # Read committed: a statement must see what was committed while an earlier one waited for the fence.
    async with conn.transaction(isolation="read_committed"):
        doubtful = await _hold_and_doubt(conn, batch.parties, shard, ttl_hours)
        if doubtful:
            doubted = set(map(ID.pack, doubtful))
            sure = [row for row in sure if row[SESSION] not in doubted]
        inserted = await _copy(conn, "party_positions", b"".join(sure))
        if doubtful:
            await _stage(conn, b"".join(row for row in batch.rows if row[SESSION] in doubted))
            refused = await _refuse(conn, doubtful, shard, ttl_hours)
            inserted += _count(await conn.execute(_SQL["store"]))
    return CommitResult(inserted, refused)


async def _commit_staged(
    conn: Connection, batch: bytes, parties: list[Parties] | None, shard: int, ttl_hours: int
) -> CommitResult:
    """PostgreSQL takes the bytes apart; what is there already stays as it is (G2).

    `parties`: who is in the batch; `None`: nobody knows, and every row is judged.
    """
    async with conn.transaction(isolation="read_committed"):
        # Staged before the fence is taken: a writer that is slow to send holds up nobody.
        await _stage(conn, batch)
        doubtful = await _hold_and_doubt(conn, parties or [], shard, ttl_hours)
        refused: list[Refused] = []
        if doubtful or parties is None:
            refused = await _refuse(conn, None if parties is None else doubtful, shard, ttl_hours)
        inserted = _count(await conn.execute(_SQL["store"]))
    return CommitResult(inserted, refused)


async def _hold_and_doubt(conn: Connection, parties: list[Parties], shard: int, ttl_hours: int) -> list[int]:
    """Takes the fence; then the sessions of which not every row may surely be stored."""
    await conn.execute(_SQL["look_up_by_key"])
    await hold_shared(conn, shard)
    return [
        row["session_id"]
        for party in parties
        for row in await conn.fetch(_SQL["doubtful"], shard, ttl_hours, *party)
    ]


async def _stage(conn: Connection, batch: bytes) -> None:
    await conn.execute(_SQL["make_staging"])
    await _copy(conn, _STAGING, batch, schema="pg_temp")


async def _refuse(conn: Connection, sessions: list[int] | None, shard: int, ttl_hours: int) -> list[Refused]:
    """Takes what may not be stored of these sessions (of all) out of the staging table. The fence is held."""
    refused = []
    for session_id, user_id, recorded_at, reason in await conn.fetch(
        _SQL["refuse"], shard, ttl_hours, sessions
    ):
        if reason == "shard":
            raise ValueError(f"a row of session {session_id} is not of shard {shard}")
        refused.append((session_id, user_id, to_ms(recorded_at), Reject(reason)))
    return refused


async def _copy(conn: Connection, table: str, batch: bytes, schema: str | None = None) -> int:
    async def whole() -> AsyncIterator[bytes]:
        yield COPY_HEADER + batch + COPY_TRAILER

    return _count(
        await conn.copy_to_table(table, schema_name=schema, columns=_COLUMNS, format="binary", source=whole())
    )


def _count(status: str) -> int:
    """The number at the end of `COPY 7` and `INSERT 0 7`."""
    return int(status.rpartition(" ")[2])
