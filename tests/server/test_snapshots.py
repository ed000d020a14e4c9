"""The cache in Redis: what is shown comes back as it was, what is damaged is left out, what is tightened is gone."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from protocol import messages as wire
from protocol.precision import Precision
from server.masking import UserMasks, mask
from server.redis_link import connect_redis
from server.snapshots import (
    EXPIRY_S,
    add_masks,
    add_snapshots,
    forget_masks,
    forget_snapshots,
    key,
    mask_key,
    read_snapshots,
    restore_masks,
)
from tests.server.parties import KEY, NOW, make_member, make_session, position


@pytest.fixture
async def redis(any_redis_url: str) -> AsyncIterator[Redis]:
    link = connect_redis(any_redis_url)
    yield link.client
    await link.aclose()


async def test_what_is_shown_comes_back_as_it_was(redis: Redis) -> None:
    session, other = make_session(1), make_session(2)
    ann, bob, silent = make_member(session, 1), make_member(session, 2), make_member(session, 3)
    eve = make_member(other, 1)
    session.show(ann, position(NOW, lat=1.5))
    session.show(bob, position(NOW, lat=2.5, precision=Precision.ROUGH))
    other.show(eve, position(NOW, lat=3.5))
    pipeline = redis.pipeline(transaction=False)
    assert add_snapshots(pipeline, [ann, bob, silent, eve]) == 3
    await pipeline.execute()
    assert await read_snapshots(redis, 1) == {1: ann.shown, 2: bob.shown}
    assert await read_snapshots(redis, 2) == {1: eve.shown}
    assert await read_snapshots(redis, 3) == {}
    assert 0 < await redis.ttl(key(1)) <= EXPIRY_S


async def test_a_damaged_entry_is_left_out_and_harms_no_other(redis: Redis) -> None:
    session = make_session(1)
    ann = make_member(session, 1)
    session.show(ann, position(NOW))
    pipeline = redis.pipeline(transaction=False)
    add_snapshots(pipeline, [ann])
    await pipeline.execute()
    good = await redis.hget(key(1), "1")
    await redis.hset(
        key(1),
        mapping={"2": b"\xc1", "3": b"", "4": good[:-3], "x": good, "5": good.replace(b"exact", b"exuct")},
    )
    assert await read_snapshots(redis, 1) == {1: ann.shown}


async def test_forgetting_takes_the_whole_session_or_its_members(redis: Redis) -> None:
    session = make_session(1)
    members = [make_member(session, number) for number in range(1, 5)]
    pipeline = redis.pipeline(transaction=False)
    for member in members:
        session.show(member, position(NOW))
    add_snapshots(pipeline, members)
    await pipeline.execute()
    await forget_snapshots(redis, 1, 0, 2, 3, 99)
    assert set(await read_snapshots(redis, 1)) == {1, 4}
    await forget_snapshots(redis, 1, 0)
    await forget_snapshots(redis, 1, 0)
    assert await redis.exists(key(1)) == 0


async def test_no_exact_coordinate_of_a_rough_member_is_in_redis(redis: Redis) -> None:
    session = make_session(1, precision=Precision.ROUGH)
    ann = make_member(session, 1)
    fix = wire.Fix(seq=1, at=NOW, lat=51.123456, lon=8.765432)
    shown = mask(ann.allowed, ann.masks, 500, fix)
    assert shown is not None
    session.show(ann, shown)  # type: ignore[arg-type]
    pipeline = redis.pipeline(transaction=False)
    add_snapshots(pipeline, [ann])
    add_masks(pipeline, [ann])
    await pipeline.execute()
    (found,) = (await read_snapshots(redis, 1)).values()
    assert (found.lat, found.lon) != (fix.lat, fix.lon)
    assert found.precision is Precision.ROUGH

    for stored in (await redis.hget(key(1), "1"), await redis.get(mask_key(ann.user_id))):
        for degrees in (fix.lat, fix.lon):
            assert struct.pack(">d", degrees) not in stored
            assert struct.pack(">f", degrees) not in stored


async def test_masks_go_on_where_they_were(redis: Redis) -> None:
    session = make_session(1, precision=Precision.ROUGH)
    ann, exact = make_member(session, 1), make_member(make_session(2), 2)
    shown = mask(ann.allowed, ann.masks, 500, wire.Fix(seq=1, at=NOW, lat=50.0, lon=8.0))
    pipeline = redis.pipeline(transaction=False)
    add_masks(pipeline, [ann, exact])
    await pipeline.execute()
    assert await redis.get(mask_key(exact.user_id)) is None, "who is exact has shown no cell"
    fresh = UserMasks(KEY, ann.user_id)
    await restore_masks(redis, {ann.user_id: fresh, 4711: UserMasks(KEY, 4711)})
    again = mask(Precision.ROUGH, fresh, 500, wire.Fix(seq=1, at=NOW, lat=50.3, lon=8.3))
    assert again == shown, "the rest of a beat was answered already"
    await redis.set(mask_key(4711), b"\xc1damaged")
    await restore_masks(redis, {4711: UserMasks(KEY, 4711)})
    await restore_masks(redis, {})
    await forget_masks(redis, ann.user_id)
    assert await redis.get(mask_key(ann.user_id)) is None
