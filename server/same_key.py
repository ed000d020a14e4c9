"""Gateways that run together have one mask key: with another, a person has another grid and shift, and who
sees them through both averages them.

Redis keeps a mark of the key, without an expiry: a keyed digest, of which the key cannot be told. The first
gateway sets it; who has another key does not start.
"""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import Any

from redis.exceptions import RedisError

MARK = "mask-key"

logger = logging.getLogger("partyline.gateway")


class OtherMaskKey(RuntimeError):
    """Another mask key is in use; one sentence that names the mend."""

    def __init__(self) -> None:
        super().__init__(
            "PARTYLINE_MASK_KEY is not the key of the gateways that use this Redis: give this one theirs "
            f"(to change it for all, stop all of them, and run `redis-cli DEL {MARK}`)"
        )


async def require_same_key(redis: Any, secret: bytes) -> None:
    """Raises `OtherMaskKey`. Without Redis nothing is compared, and a warning is logged."""
    mark = blake2b(key=secret, person=b"partyline.mark", digest_size=16).hexdigest().encode()
    try:
        if await redis.set(MARK, mark, nx=True):
            return
        there = await redis.get(MARK)
    except (RedisError, OSError):
        logger.warning("the mask key could not be compared with the other gateways': Redis is away")
        return
    if there is not None and there != mark:
        raise OtherMaskKey
