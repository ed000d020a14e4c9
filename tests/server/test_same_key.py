"""Gateways with different mask keys do not start together."""

from __future__ import annotations

import logging

import pytest

from server.redis_link import connect_redis
from server.same_key import MARK, OtherMaskKey, require_same_key
from server.serving import serve
from server.settings import Settings
from tests.server.lives import MASK_KEY, Life, Lives

OURS, OTHER = bytes.fromhex(MASK_KEY), bytes(32)


async def test_another_key_is_refused_until_the_mark_is_taken_away(life: Life) -> None:
    for _ in range(2):
        await require_same_key(life.redis, OURS)
    with pytest.raises(OtherMaskKey, match=f"DEL {MARK}") as refused:
        await require_same_key(life.redis, OTHER)
    assert MASK_KEY not in str(refused.value)
    mark = await life.redis.get(MARK)
    assert OURS not in mark
    assert MASK_KEY.encode() not in mark
    assert await life.redis.ttl(MARK) == -1
    await life.redis.delete(MARK)
    await require_same_key(life.redis, OTHER)


async def test_a_gateway_with_another_key_does_not_start(live: Lives) -> None:
    life = await live()
    await require_same_key(life.redis, OTHER)
    settings: Settings = life.gateway.settings
    with pytest.raises(OtherMaskKey):
        await serve(settings, host="127.0.0.1", port=0)


async def test_without_redis_nothing_is_compared(caplog: pytest.LogCaptureFixture) -> None:
    link = connect_redis("redis://127.0.0.1:1")
    with caplog.at_level(logging.WARNING):
        await require_same_key(link.client, OURS)
    await link.aclose()
    assert "could not be compared" in caplog.text
