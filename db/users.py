"""Users as far as a party needs them: guests are made, anybody is found. `db.erasure` erases them (G7)."""

from __future__ import annotations

from db.pool import Database
from db.queries import load

_SQL = load("users")


class NoSuchUser(LookupError):
    """There is no such user, or they were erased."""

    def __init__(self) -> None:
        super().__init__("there is no such user")


async def create_guest(conn: Database) -> int:
    """A new user without an account, who agrees to share places. Its id."""
    return int(await conn.fetchval(_SQL["create_guest"]))


async def find_user(conn: Database, user_id: int) -> bool:
    """Whether there is such a user, and they were not erased."""
    return await conn.fetchval(_SQL["find_user"], user_id) is not None
