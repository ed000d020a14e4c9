"""A session's rows in PostgreSQL, past the server: what a replay counts, and an audit looks fixes up in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import asyncpg

CONNECT_S = 10.0
ANSWER_S = 60.0

_QUERY = files("load_tests").joinpath("count_rows.sql").read_text("utf-8")


class CannotCount(Exception):
    """The text says why, and holds no part of the database's address."""


async def count_rows(database_url: str, session: int) -> int:
    """The rows of the session now. Raises `CannotCount`."""
    return int((await look_up(database_url, _QUERY, session))[0][0])


async def look_up(database_url: str, query: str, session: int) -> Sequence[asyncpg.Record]:
    """What a query of one session finds. Raises `CannotCount`."""
    try:
        connection = await asyncpg.connect(database_url, timeout=CONNECT_S)
        try:
            return await connection.fetch(query, session, timeout=ANSWER_S)
        finally:
            await connection.close(timeout=CONNECT_S)
    except (OSError, TimeoutError):
        raise CannotCount("the database does not answer") from None
    except asyncpg.InsufficientPrivilegeError:
        raise CannotCount("this database user may not read party_positions") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise CannotCount(f"the database refuses ({type(error).__name__})") from None
