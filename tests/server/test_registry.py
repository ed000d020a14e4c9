"""Sessions come from PostgreSQL once, under their lock, and show nothing finer than is allowed now (G3, G4)."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from db import sessions as store
from db.current import read_parties
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.precision import Precision
from server.snapshots import add_snapshots, key, mask_key
from tests.server.lives import SEOUL, Hosted, Life, Lives, member_of, now_ms, said, welcome


async def row_of(life: Life, hosted: Hosted) -> store.SessionRow:
    row = await store.find_session(life.pool, hosted.id)
    assert row is not None
    return row


async def test_many_who_join_at_once_load_one_session(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = await life.host()
    loads = []
    read = read_parties

    async def counted(*arguments: Any) -> Any:
        loads.append(arguments)
        await asyncio.sleep(0.02)
        return await read(*arguments)

    monkeypatch.setattr("server.registry.read_parties", counted)
    sockets = await asyncio.gather(*(life.join(hosted, f"guest {n}") for n in range(20)))
    assert len(loads) == 1
    assert {member_of(socket).session for socket in sockets} == {life.session(hosted)}
    assert sorted(life.session(hosted).members) == list(range(1, 22))
    assert sorted(member_of(socket).number for socket in sockets) == list(range(2, 22))


async def test_a_lock_a_session_and_no_lock_left_behind(life: Life) -> None:
    order = []

    async def work(session: int, name: str) -> None:
        async with life.registry.lock(session):
            order.append(name)
            await asyncio.sleep(0.02)
            order.append(name)

    await asyncio.gather(work(1, "a"), work(1, "b"), work(2, "c"))
    assert order.index("b") == 2 or "".join(order).replace("c", "") == "aabb"
    assert order.index("c") < 3, "another session waited"
    assert not life.registry._locks


async def test_a_restarted_gateway_shows_what_was_shown(live: Lives) -> None:
    first = await live()
    hosted = await first.host()
    ana = await first.join(hosted)
    at = now_ms() - 6_000
    first.fix(ana, 1, at, acc=5.0, spd=1.5, hdg=90.0)
    await first.flush()
    second = await live()
    late = welcome(await second.join(hosted, "Late"))
    assert late.positions == [(member_of(ana).number, at, *SEOUL, 5.0, 1.5, 90.0)]
    assert {member.name: member.state for member in late.members} == {
        "Host": "offline",
        "Ana": "offline",
        "Late": "live",
    }


@pytest.mark.parametrize("tightened", ["session", "member", "user"])
@pytest.mark.parametrize("to", [Precision.ROUGH, Precision.PRIVATE])
async def test_a_snapshot_finer_than_allowed_now_is_not_shown(
    live: Lives, superuser: asyncpg.Connection, tightened: str, to: Precision
) -> None:
    """As when a gateway died after a tightening was committed, and before the cache was dropped."""
    first = await live()
    hosted = await first.host()
    ana = await first.join(hosted)
    bo = await first.join(hosted, "Bo")
    for socket in (ana, bo):
        first.fix(socket, 1, now_ms() - 6_000)
    await first.flush()
    member = member_of(ana)
    match tightened:
        case "session":
            await store.set_session_precision(first.pool, hosted.id, to)
        case "member":
            await store.set_member_precision(first.pool, hosted.id, member.user_id, to)
        case "user":
            await superuser.execute(
                "UPDATE users SET privacy_level = $2::text::precision_level WHERE id = $1",
                member.user_id,
                to.value,
            )
    assert await first.redis.hlen(key(hosted.id)) == 2
    second = await live()
    late = welcome(await second.join(hosted, "Late"))
    shown = {row[0] for row in late.positions}
    assert shown == (set() if tightened == "session" else {member_of(bo).number})


async def test_who_left_is_not_shown_after_a_restart(live: Lives) -> None:
    first = await live()
    hosted = await first.host()
    ana = await first.join(hosted)
    first.fix(ana, 1, now_ms() - 6_000)
    await first.flush()
    packed = await first.redis.hgetall(key(hosted.id))
    await first.send(ana, wire.Leave())
    await first.redis.hset(key(hosted.id), mapping=packed)  # as if the cache had not been dropped
    second = await live()
    late = welcome(await second.join(hosted, "Late"))
    assert late.positions == []
    assert "Ana" not in {member.name for member in late.members}


async def test_a_restarted_gateway_goes_on_with_the_masks(live: Lives) -> None:
    """A fresh draw at each restart would show cell after cell of one place, without threshold and delay."""
    first = await live()
    hosted = await first.host("rough")
    ana = await first.join(hosted)
    token = welcome(ana).member_token
    beat = (now_ms() - 600_000) // 60_000 * 60_000
    first.fix(ana, 1, beat)
    shown = member_of(ana).shown
    assert shown is not None
    await first.flush()
    far = SEOUL[0] + 0.01  # over a kilometre: without the state this is another cell
    for n in range(1, 4):
        life = await live()
        socket = await life.resume(token)
        assert [row[2:4] for row in welcome(socket).positions] == [(shown.lat, shown.lon)]
        life.fix(socket, 1, beat + n * 1_000, lat=far)
        again = member_of(socket).shown
        assert again is not None
        assert (again.lat, again.lon) == (shown.lat, shown.lon)
        await life.flush()
    forgetful = await live()
    await forgetful.redis.delete(mask_key(member_of(ana).user_id), key(hosted.id))
    socket = await forgetful.resume(token)
    forgetful.fix(socket, 1, beat + 5_000, lat=far)
    fresh = member_of(socket).shown
    assert fresh is not None
    assert (fresh.lat, fresh.lon) != (shown.lat, shown.lon), "the test would have seen a fresh draw"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xc1",
        b"text",
        b"\x91\x91\x93\x07\x00\x90",
        b"\x91\x91\x93\xcd\x01\xf4\x01\x90",
        b"\x91\xc0",
        b"\x90" * 99,
    ],
)
async def test_a_mask_state_that_is_garbage_is_ignored(live: Lives, garbage: bytes) -> None:
    first = await live()
    hosted = await first.host("rough")
    ana = await first.join(hosted)
    token = welcome(ana).member_token
    await first.redis.set(mask_key(member_of(ana).user_id), garbage)
    await first.redis.hset(key(hosted.id), "2", garbage)
    await first.redis.hset(key(hosted.id), garbage, garbage)
    second = await live()
    socket = await second.resume(token)
    assert welcome(socket).positions == []
    second.fix(socket, 1, now_ms() - 1_000)
    assert not said(socket, wire.Rejected)
    assert member_of(socket).shown is not None


async def test_without_redis_a_session_starts_without_its_cache(
    life: Life, live: Lives, caplog: pytest.LogCaptureFixture
) -> None:
    hosted = await life.host()
    away = await live()
    away.redis.connection_pool.connection_kwargs["port"] = 1
    await away.redis.connection_pool.disconnect()
    away.redis.connection_pool.reset()
    socket = await away.join(hosted)
    assert welcome(socket).positions == []
    assert "snapshots could not be read" in caplog.text
    assert "masks start afresh" in caplog.text


async def test_a_loaded_session_is_not_loaded_again(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    life.fix(ana, 1, now_ms() - 1_000)
    session = life.session(hosted)
    pipeline = life.redis.pipeline(transaction=False)
    add_snapshots(pipeline, [member_of(ana)])
    await pipeline.execute()
    async with life.registry.lock(hosted.id):
        assert await life.registry.load(hosted.id) is session
    assert member_of(ana).shown is not None
    assert member_of(ana).shown.at  # type: ignore[union-attr]


async def test_put_brings_a_member_up_to_date_and_keeps_who_they_are(life: Life) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    member = member_of(ana)
    async with life.registry.lock(hosted.id):
        await store.set_member_precision(life.pool, hosted.id, member.user_id, Precision.ROUGH)
        (_, row) = await store.members(life.pool, hosted.id)
        assert life.registry.put(life.session(hosted), row) is member
    assert (member.own, member.connection) == (Precision.ROUGH, ana.connection)


async def test_who_is_made_a_viewer_sends_no_more(life: Life, superuser: asyncpg.Connection) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    member = member_of(ana)
    life.fix(ana, 1, now_ms())
    shown = member.shown
    assert shown is not None
    await superuser.execute("UPDATE party_members SET role = 'viewer' WHERE user_id = $1", member.user_id)
    async with life.registry.lock(hosted.id):
        (_, row) = await store.members(life.pool, hosted.id)
        life.registry.put(life.session(hosted), row)
    assert member.message().role is wire.Role.VIEWER
    life.fix(ana, 2, now_ms())
    assert member.shown is shown
    assert ana.closed_with == CloseCode.FORBIDDEN


async def test_a_phone_that_hops_between_gateways_takes_its_mask_along(live: Lives) -> None:
    """Both have the session and a mask of Ana in memory: neither starts afresh, neither goes on from older."""
    first, second = await live(), await live()
    hosted = await first.host("rough")
    ana = await first.join(hosted)
    token = welcome(ana).member_token
    await second.join(hosted, "Bo")
    far, beat = SEOUL[0] + 0.01, (now_ms() - 1_800_000) // 60_000 * 60_000

    async def show(life: Life, at: int, lat: float) -> tuple[float, float]:
        socket = await life.resume(token)
        life.fix(socket, 1, at, lat=lat)
        shown = member_of(socket).shown
        assert shown is not None
        await life.flush()
        return shown.lat, shown.lon

    home = await show(first, beat, SEOUL[0])
    assert await show(second, beat + 1_000, far) == home, "the mask started afresh"
    later = beat + 900_000  # after such a gap a crossing needs no delay
    there = await show(second, later, far)
    assert there != home
    assert await show(first, later + 1_000, SEOUL[0]) == there, "the mask went on from what was older"
