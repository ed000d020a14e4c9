"""Connections of one process, under its own role, with bounds on how long anything may take.

Nothing here repeats a URL: it holds a password.
"""

from __future__ import annotations

from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from db.address import place

CONNECT_TIMEOUT_S = 10.0
STATEMENT_TIMEOUT_S = 30
COMMAND_TIMEOUT_S = STATEMENT_TIMEOUT_S + 5.0
"""The client waits a little longer than the server works, so that the server's own error comes first."""

IDLE_IN_TRANSACTION_S = 10
"""A stopped process loses its open transaction, and with it its fence, so that a tightening need not wait."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Database: TypeAlias = "Connection | Pool"
"""What the functions of `db` take: a connection, or a pool to take one from."""


class DatabaseUnavailable(RuntimeError):
    """PostgreSQL could not be reached; the text says where and why, and never the password."""


async def connect(url: str, *, min_size: int, max_size: int, application_name: str) -> Pool:
    """A pool of `min_size` to `max_size` connections. Raises `DatabaseUnavailable`, `ValueError`."""
    try:
        where = place(url)
    except ValueError as error:
        raise DatabaseUnavailable(str(error)) from None
    if not 0 <= min_size <= max_size or max_size < 1:
        raise ValueError("a pool's sizes must be 0 <= min_size <= max_size and max_size >= 1")
    try:
        return await asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={
                "application_name": application_name,
                "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
                "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
                "timezone": "UTC",
                # Estimates over many chunks are large, the statements are not: compiling costs more.
                "jit": "off",
            },
        )
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        ValueError,
    ) as error:
        reason = str(error) if isinstance(error, asyncpg.PostgresError) else type(error).__name__
        raise DatabaseUnavailable(f"cannot use PostgreSQL at {where}: {reason}") from None
