"""What an error of a commit says: of the entry (poison), of the connection (lost), or of the servers (away).

What nobody foresaw is the entry's: a writer that ends over it would leave it to the next one, and so on. To
put a good entry aside loses nothing, since nobody was told of it: its gateway finds it missing and sends it
again.
"""

from __future__ import annotations

from enum import Enum, auto

import asyncpg
from redis.exceptions import RedisError

from db.positions import PartitionMissing


class Verdict(Enum):
    """What becomes of the entries of a commit that failed."""

    POISON = auto()
    """PostgreSQL never takes these bytes: put aside."""
    LOST = auto()
    """The connection ended meanwhile, perhaps because of these bytes: tried again alone, a few times."""
    AWAY = auto()
    """PostgreSQL or Redis does not answer, or not now: entries wait, nothing is lost."""


AWAY = (RedisError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, PartitionMissing, TimeoutError)
"""Errors after which a round is tried again; one of the entry itself is dealt with before."""

_POISON = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InternalServerError,
    asyncpg.ProtocolViolationError,
    asyncpg.ProgramLimitExceededError,
)
_DAMAGED = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
"""The database's own damage, not the entry's."""
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,  # a statement that meets the server's goodbye
    ConnectionError,
)


def verdict(error: BaseException) -> Verdict:
    """Of an error of `commit_rows` on a connection that was there when it began."""
    if isinstance(error, _DAMAGED):
        return Verdict.AWAY
    if isinstance(error, _POISON):
        return Verdict.POISON
    if isinstance(error, _LOST):
        return Verdict.LOST
    if isinstance(error, ValueError):  # asyncpg has one that is an InterfaceError too
        return Verdict.POISON
    if isinstance(error, asyncpg.InterfaceError):
        return Verdict.LOST
    return Verdict.AWAY if isinstance(error, AWAY) else Verdict.POISON


LOSSES = 4
"""As often a lone entry may cost the connection before it counts as poison."""
_SUSPECTS = 1_024
Suspect = tuple[int, bytes]
"""A shard, and an entry of its stream."""


class Suspects:
    """Entries that were alone in a commit whose connection ended, and how often. Bounded; the oldest goes."""

    def __init__(self) -> None:
        self._losses: dict[Suspect, int] = {}

    def __len__(self) -> int:
        return len(self._losses)

    def lost(self, entry: Suspect) -> bool:
        """It happened again. Whether the entry is poison by now."""
        losses = self._losses.pop(entry, 0) + 1
        if losses >= LOSSES:
            return True
        self._losses[entry] = losses
        if len(self._losses) > _SUSPECTS:
            del self._losses[next(iter(self._losses))]
        return False

    def clear(self, entry: Suspect) -> None:
        """It was committed after all."""
        self._losses.pop(entry, None)
