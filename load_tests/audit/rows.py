"""A session's rows in PostgreSQL, read past the server: what the audit looks acked fixes up in."""

from __future__ import annotations

from importlib.resources import files

import asyncpg

from load_tests.audit.stored_row import StoredRow
from load_tests.rows import ANSWER_S, CONNECT_S, CannotCount
from protocol.precision import Precision

_QUERY = files("load_tests.audit").joinpath("session_rows.sql").read_text("utf-8")


async def stored_rows(database_url: str, session: int) -> list[StoredRow]:
    """The rows of the session now, in no order. Raises `CannotCount`, whose text holds no address."""
    try:
        connection = await asyncpg.connect(database_url, timeout=CONNECT_S)
        try:
            found = await connection.fetch(_QUERY, session, timeout=ANSWER_S)
        finally:
            await connection.close(timeout=CONNECT_S)
    except (OSError, TimeoutError):
        raise CannotCount("the database does not answer") from None
    except asyncpg.InsufficientPrivilegeError:
        raise CannotCount("this database user may not read party_positions") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise CannotCount(f"the database refuses ({type(error).__name__})") from None
    return [
        StoredRow(
            m=row["m"],
            window_ms=row["window_ms"],
            offset_ms=row["offset_ms"],
            lat=row["lat"],
            lon=row["lon"],
            accuracy_m=row["accuracy_m"],
            precision=Precision(row["precision"]),
        )
        for row in found
    ]
