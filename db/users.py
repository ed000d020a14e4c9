"""Users as far as a party needs them: guests are made, anybody is found, and anybody can be erased (G7)."""

from __future__ import annotations

import msgspec

from db.pool import Database
from db.queries import load

_SQL = load("users")

ERASE_TIMEOUT_S = 300.0
"""An erasure deletes rows of every chunk; it may take longer than other commands."""


class NoSuchUser(LookupError):
    """There is no such user, or they were erased."""

    def __init__(self) -> None:
        super().__init__("there is no such user")


class ErasedUser(msgspec.Struct, frozen=True):
    """What an erasure touched, so that gateways can clean their caches."""

    session_ids: list[int]
    """Sessions that the user was in."""
    ended_session_ids: list[int]
    """Of these, the ones that ended because the user was their host."""


async def create_guest(conn: Database) -> int:
    """A new user without an account, who agrees to share places. Its id."""
    return int(await conn.fetchval(_SQL["create_guest"]))


async def find_user(conn: Database, user_id: int) -> bool:
    """Whether there is such a user, and they were not erased."""
    return await conn.fetchval(_SQL["find_user"], user_id) is not None


async def erase_user(conn: Database, user_id: int) -> ErasedUser:
    """Deletes every position of the user, and whatever names them; one transaction.

    When it returns, rows that are still on their way are refused as `gone`. Doing it twice does no harm.
    Raises `NoSuchUser` for an id that never was.
    """
    row = await conn.fetchrow(_SQL["erase_user"], user_id, timeout=ERASE_TIMEOUT_S)
    if row is None or row["session_ids"] is None:
        raise NoSuchUser
    return ErasedUser(list(row["session_ids"]), list(row["ended_session_ids"]))
