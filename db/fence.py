"""The fence between who stores and who tightens: an advisory lock for each shard of sessions.

A writer holds the shared side from before it judges its rows until its commit. Whoever tightens takes the
exclusive side before changing anything: so it waits for the writers that judged by the old precision, and
those that come after see the new one (G3). Locks are taken in one order: user, fence, session, member.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from db.pool import Connection, Database

FENCE_CLASS = 0x50415254  # "PART"; the same number stands in the SQL functions
SHARDS = 8
"""Shards of sessions; a power of two, because the SQL takes the last three bits of the id."""


def shard_of(session_id: int, shards: int = SHARDS) -> int:
    """The shard of a session, from 0. Raises `ValueError` without a shard."""
    if shards < 1:
        raise ValueError("there must be at least one shard")
    return session_id % shards


async def hold_exclusive(connection: Connection, session_id: int) -> None:
    """Waits for the writers of the session's shard; they wait for us until this transaction ends.

    Must be the first statement of its transaction that locks anything. A writer that holds its side for
    longer than two seconds loses its connection, and its uncommitted rows come again.
    """
    await connection.execute("SELECT take_fence($1)", shard_of(session_id))


async def hold_shared(connection: Connection, shard: int) -> None:
    """The writer's side, until this transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1, $2)", FENCE_CLASS, shard)


@asynccontextmanager
async def transaction(conn: Database) -> AsyncIterator[Connection]:
    """One transaction on the connection, or on one of the pool. Read committed: every statement sees what
    was committed while an earlier one waited for a lock.
    """
    if isinstance(conn, asyncpg.Pool):
        async with conn.acquire() as taken, taken.transaction(isolation="read_committed"):
            yield taken
    else:
        async with conn.transaction(isolation="read_committed"):
            yield conn


@asynccontextmanager
async def fenced(conn: Database, session_id: int) -> AsyncIterator[Connection]:
    """A transaction that begins with the exclusive fence of the session's shard.

    Also for a loosening: whether it is one is only known once the session is locked, and the fence must be
    taken before that lock, or two of these would wait for each other.
    """
    async with transaction(conn) as tx:
        await hold_exclusive(tx, session_id)
        yield tx
