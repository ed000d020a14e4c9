"""Erasure (G7): a person becomes nobody at once, what they left goes step by step, a receipt stays.

Each step is a transaction of its own and may be taken again: whoever dies in between, somebody else goes on
from `unfinished_erasures`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import asyncpg
import msgspec

from db.fence import transaction
from db.pool import Connection, Database
from db.queries import load
from db.times import to_ms, to_ms_or_none
from db.users import NoSuchUser

_SQL = load("erasure")

Answer = TypeVar("Answer")

STEP_TIMEOUT_S = 300
"""A step deletes many rows; it may take longer than other commands."""
ATTEMPTS = 5
"""The backend may be writing for the same person in another order of locks; PostgreSQL then ends one."""


class Receipt(msgspec.Struct, frozen=True):
    """One row of `erasure_receipts`: nothing in it leads to the person. Times are epoch milliseconds."""

    id: UUID
    erased_at_ms: int
    finished_at_ms: int | None
    """`None` while something is left of them; only numbers from after that are whole."""
    sessions: int
    sessions_ended: int
    positions_deleted: int = 0
    redis_rows_deleted: int = 0
    posts_deleted: int = 0
    posts_kept: int = 0
    feedback_kept: int = 0
    trips_kept: int = 0
    missions_deleted: int = 0
    features_deleted: int = 0


class Erasure(msgspec.Struct, frozen=True):
    """An erasure under way: what gateways must forget."""

    receipt: UUID
    began_ms: int
    user_id: int
    session_ids: list[int]
    """Sessions that the user was in."""
    ended_session_ids: list[int]
    """Of these, the ones that ended because the user was their host."""

    def receipt_so_far(self) -> Receipt:
        """What can be said before it is finished."""
        return Receipt(self.receipt, self.began_ms, None, len(self.session_ids), len(self.ended_session_ids))

    def __repr__(self) -> str:  # nobody's number in a log
        return f"Erasure(receipt={self.receipt})"


async def erase_user(conn: Database, user_id: int) -> Erasure:
    """Makes the user nobody: from now on nothing of them can come. `carry_on_erasure` must follow.

    Raises `NoSuchUser` for an id that never was, or is erased.
    """

    async def step(tx: Connection) -> Erasure:
        row = await tx.fetchrow(_SQL["erase_user"], user_id, timeout=STEP_TIMEOUT_S + 5)
        if row is None or row["receipt"] is None:
            raise NoSuchUser
        return _erasure_of(row, user_id)

    return await _in_a_step(conn, step)


async def carry_on_erasure(conn: Database, receipt: UUID) -> None:
    """Deletes what is left of them in PostgreSQL: positions, then what they wrote. Again does no harm."""

    async def step(tx: Connection) -> bool:
        return bool(await tx.fetchval(_SQL["carry_on_erasure"], receipt, timeout=STEP_TIMEOUT_S + 5))

    while await _in_a_step(conn, step):
        pass


async def unfinished_erasures(conn: Database, older_than_s: float) -> list[Erasure]:
    """Erasures that began so long ago and were not finished, the oldest first."""
    rows = await conn.fetch(_SQL["unfinished_erasures"], older_than_s)
    return [_erasure_of(row, row["user_id"]) for row in rows]


async def finish_erasure(conn: Database, receipt: UUID, redis_rows: int) -> Receipt:
    """Forgets who it was, once Redis holds nothing of them; `redis_rows` were on their way there.

    Raises `LookupError` for a receipt that never was.
    """
    row = await conn.fetchrow(_SQL["finish_erasure"], receipt, redis_rows)
    if row is None:
        raise LookupError("there is no such receipt")
    return _receipt_of(row)


async def _in_a_step(conn: Database, step: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    attempts = 0
    while True:
        try:
            async with transaction(conn) as tx:
                await tx.execute(_SQL["allow_time"], f"{STEP_TIMEOUT_S}s")
                return await step(tx)
        except asyncpg.DeadlockDetectedError:
            attempts += 1
            if attempts == ATTEMPTS:
                raise


def _erasure_of(row: asyncpg.Record, user_id: int) -> Erasure:
    return Erasure(row["receipt"], to_ms(row["began"]), user_id, row["session_ids"], row["ended_session_ids"])


def _receipt_of(row: asyncpg.Record) -> Receipt:
    counts = {key: value for key, value in row.items() if key not in ("id", "erased_at", "finished_at")}
    return Receipt(row["id"], to_ms(row["erased_at"]), to_ms_or_none(row["finished_at"]), **counts)
