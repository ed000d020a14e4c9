"""Erases a user everywhere (G7): first PostgreSQL, so that nothing can come back, then memory, then Redis.

What cannot be done at this moment, because PostgreSQL or Redis is away or this process dies, is done by the
next beat of any gateway; the receipt is finished only then.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from db import sessions as store
from db.fence import SHARDS
from db.parties import ID
from db.pool import Pool
from db.sessions import Erasure, Receipt
from server.announcer import Unconfirmed
from server.refresher import AWAY
from server.snapshots import forget_masks, forget_snapshots
from server.steering import Steering
from server.streams import dead_key, fresh_key, stream_key

FINISH_AFTER_S = 10.0
"""An erasure that is older is nobody's any more: the gateway that began it died, or could not finish it."""

_AWAY = (*AWAY, Unconfirmed)
_PURGE = (Path(__file__).parent / "purge.lua").read_text(encoding="utf-8")

logger = logging.getLogger("partyline.erasure")


class Erasures:
    """This gateway's part of every erasure."""

    def __init__(self, *, pool: Pool, redis: Any, steering: Steering) -> None:
        self._pool = pool
        self._redis = redis
        self._steering = steering

    async def erase(self, user_id: int) -> Receipt:
        """Erases the user. The receipt is finished, unless something was away. Raises `NoSuchUser`."""
        erasure = await store.erase_user(self._pool, user_id)
        try:
            return await self._complete(erasure)
        except _AWAY as error:
            logger.warning("an erasure is left to a later beat", extra={"error": type(error).__name__})
            return erasure.receipt_so_far()

    async def finish_old(self, older_than_s: float = FINISH_AFTER_S) -> None:
        """Finishes what was left. What is away still waits for the next beat."""
        try:
            for erasure in await store.unfinished_erasures(self._pool, older_than_s):
                await self._complete(erasure)
                logger.warning("an erasure that was left is finished")
        except _AWAY as error:
            logger.warning("erasures cannot be finished now", extra={"error": type(error).__name__})

    async def _complete(self, erasure: Erasure) -> Receipt:
        await self._steering.forget_user_here(erasure)
        await store.carry_on_erasure(self._pool, erasure.receipt)
        await self._steering.forget_user_elsewhere(erasure)
        return await store.finish_erasure(self._pool, erasure.receipt, await self._purge(erasure))

    async def _purge(self, erasure: Erasure) -> int:
        """Redis holds nothing of them when it returns; how many rows were on their way."""
        for session_id in erasure.session_ids:
            await forget_snapshots(self._redis, session_id, 0)
        await forget_masks(self._redis, erasure.user_id)
        rows = 0
        for key in [name(shard) for shard in range(SHARDS) for name in (stream_key, dead_key)]:
            rows += int(await self._redis.eval(_PURGE, 2, key, fresh_key(key), ID.pack(erasure.user_id)))
        return rows
