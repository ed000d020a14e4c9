"""A session's rows in PostgreSQL, read past the server: what the audit looks acked fixes up in."""

from __future__ import annotations

from importlib.resources import files

from load_tests.audit.stored_row import StoredRow
from load_tests.rows import look_up
from protocol.precision import Precision

_QUERY = files("load_tests.audit").joinpath("session_rows.sql").read_text("utf-8")


async def stored_rows(database_url: str, session: int) -> list[StoredRow]:
    """The rows of the session now, in no order. Raises `CannotCount`, whose text holds no address."""
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
        for row in await look_up(database_url, _QUERY, session)
    ]
