"""Gateways that hold the same session, over a real Redis: who hears what, what is said again, what is not said at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis

from db import sessions as store
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.messages import MemberState
from protocol.precision import Precision
from server import peers
from server.applying import doubt, release
from server.relay import SESSIONS_A_ROUND, SILENT_MS, live_channel
from tests.server.lives import Hosted, Life, eventually, member_of, said, welcome
from tests.server.lives import a_life as unrelated_life
from tests.server.lives import now_ms as wall_ms
from tests.server.parties import RecordingSocket, make_member, make_session

Gateways = Callable[[], Any]


async def _beats(life: Life) -> None:
    while True:
        life.hub.run(life.hub.clock())
        await asyncio.sleep(0.005)


@asynccontextmanager
async def related(database_url: str, redis_url: str) -> AsyncIterator[Life]:
    """A life with the loops that the relay needs."""
    async with unrelated_life(database_url, redis_url) as life:
        loops = (
            life.gateway.channels.run(),
            life.gateway.relay.run(),
            life.gateway.refresher.run(),
            _beats(life),
        )
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield life
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            failed = [task.exception() for task in tasks if not task.cancelled()]
            assert failed == []


@pytest.fixture
async def gateway(role_url: Callable[[str], str], redis_url: str) -> AsyncIterator[Gateways]:
    """Starts related lives."""
    async with AsyncExitStack() as stack:

        async def start() -> Life:
            return await stack.enter_async_context(related(role_url("gateway"), redis_url))

        yield start


def states(life: Life, hosted: Hosted) -> dict[int, MemberState]:
    return {number: member.state for number, member in life.session(hosted).members.items()}


def knows(life: Life, hosted: Hosted, *others: Life) -> Callable[[], bool]:
    wanted = {other.gateway.id for other in others}
    return lambda: hosted.id in life.hub.sessions and set(life.session(hosted).peers) == wanted


async def met(hosted: Hosted, *lives: Life) -> None:
    """All of them know of each other."""
    for life in lives:
        await eventually(knows(life, hosted, *(other for other in lives if other is not life)))


async def hears(socket: RecordingSocket, number: int, at: int) -> None:
    """The position was told."""
    rows: list[Any] = []

    def told() -> bool:
        rows.extend(row[:2] for message in said(socket, wire.Positions) for row in message.p)
        return (number, at) in rows

    await eventually(told)


@pytest.fixture
async def two(gateway: Gateways) -> tuple[Life, Life, Hosted, RecordingSocket, RecordingSocket]:
    """The host on one gateway, Ana on another."""
    one, other = await gateway(), await gateway()
    hosted = await one.host(tick_ms=250)
    host = await one.resume(hosted.host_token)
    ana = await other.join(hosted)
    await met(hosted, one, other)
    both = {1: MemberState.LIVE, member_of(ana).number: MemberState.LIVE}
    await eventually(lambda: states(one, hosted) == both == states(other, hosted))
    return one, other, hosted, host, ana


# --- presence and positions ----------------------------------------------------------------------------


async def test_members_on_two_gateways_see_each_other(two: Any) -> None:
    one, other, hosted, host, ana = two
    number = member_of(ana).number
    at = wall_ms()
    other.fix(ana, 1, at)
    await hears(host, number, at)
    one.fix(host, 1, at + 1)
    await hears(ana, 1, at + 1)
    assert one.session(hosted).here == other.session(hosted).here == {}


async def test_whoever_comes_later_is_told_what_is_shown(two: Any, gateway: Gateways) -> None:
    one, other, hosted, host, ana = two
    at = wall_ms()
    other.fix(ana, 1, at)
    await hears(host, member_of(ana).number, at)
    third = await gateway()
    bo = await third.join(hosted, "Bo")
    await hears(bo, member_of(ana).number, at)
    live = dict.fromkeys((1, 2, 3), MemberState.LIVE)
    for life in (one, other, third):
        await eventually(lambda life=life: states(life, hosted) == live)


async def test_who_enters_while_the_hello_is_not_answered_is_told_of(gateway: Gateways) -> None:
    one, other = await gateway(), await gateway()
    hosted = await one.host(tick_ms=250)
    await one.resume(hosted.host_token)
    await eventually(lambda: one.hub.stats.relayed == 1)
    doubt(one.hub, one.session(hosted))  # it answers when it is released
    async with other.registry.lock(hosted.id):
        await other.registry.load(hosted.id)
    await eventually(knows(one, hosted, other))
    ana = await other.join(hosted)
    other.fix(ana, 1, wall_ms())
    assert other.session(hosted).peers == {}
    release(one.hub, one.session(hosted))
    number = member_of(ana).number
    await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)
    await eventually(lambda: one.session(hosted).members[number].shown is not None)


async def test_nobody_new_is_announced_as_offline_first(two: Any) -> None:
    one, other, hosted, host, _ = two
    host.said()
    bo = await other.join(hosted, "Bo")
    told: list[Any] = []

    def came() -> bool:
        told.extend(m.state for m in said(host, wire.Member) if m.m == member_of(bo).number)
        return bool(told)

    await eventually(came)
    await asyncio.sleep(0.1)
    came()
    assert set(told) == {MemberState.LIVE}


async def test_a_goodbye_and_a_silence_are_told_too(two: Any) -> None:
    one, other, hosted, _, ana = two
    member = member_of(ana)
    await eventually(lambda: states(one, hosted)[member.number] is MemberState.LIVE)
    member.heard_ms -= 60_000
    await eventually(lambda: states(one, hosted)[member.number] is MemberState.STALE)
    other.hub.closed(ana.connection)
    await eventually(lambda: states(one, hosted)[member.number] is MemberState.OFFLINE)


async def test_the_newest_connection_of_a_member_replaces_the_one_on_another_gateway(two: Any) -> None:
    one, other, hosted, host, ana = two
    token = welcome(ana).member_token
    number = member_of(ana).number
    await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)
    host.said()
    again = await one.resume(token)
    await eventually(lambda: ana.closed_with == CloseCode.REPLACED)
    assert again.closed_with is None
    await asyncio.sleep(0.1)
    assert states(one, hosted).get(number) is states(other, hosted)[number] is MemberState.LIVE
    assert MemberState.OFFLINE not in [m.state for m in said(host, wire.Member)]
    at = wall_ms()
    one.fix(again, 1, at)
    await eventually(lambda: other.session(hosted).members[number].shown is not None)


async def test_an_older_connection_that_was_not_told_of_the_newer_goes(two: Any) -> None:
    """The message that should have closed it was lost: it goes when its gateway speaks of it."""
    one, other, hosted, _, ana = two
    member = one.session(hosted).members[member_of(ana).number]
    ghost = one.open()
    one.session(hosted).elsewhere.clear()
    member.connection, ghost.connection.member = ghost.connection, member
    member.since_ms = member_of(ana).since_ms - 1_000
    one.gateway.relay.moved(member)
    await eventually(lambda: ghost.closed_with == CloseCode.REPLACED)
    assert ana.closed_with is None
    await eventually(lambda: states(one, hosted)[member.number] is MemberState.LIVE)


# --- gateways that go --------------------------------------------------------------------------------------


async def test_a_gateway_without_a_lease_has_no_members(two: Any) -> None:
    one, other, hosted, host, ana = two
    number = member_of(ana).number
    await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)
    relay, now = one.gateway.relay, one.hub.clock()
    relay.live(frozenset({one.gateway.id, other.gateway.id}), now)
    relay.live(frozenset({one.gateway.id}), now + SILENT_MS)
    assert states(one, hosted).get(number) is MemberState.LIVE, "it may have been heard of late"
    host.said()
    relay.live(frozenset({one.gateway.id}), now + SILENT_MS + 1)
    assert states(one, hosted).get(number) is MemberState.OFFLINE
    assert [(m.m, m.state) for m in said(host, wire.Member)] == [(number, MemberState.OFFLINE)]
    assert one.session(hosted).peers == {}


async def test_a_gateway_that_was_forgotten_is_asked_as_soon_as_it_speaks(two: Any) -> None:
    one, other, hosted, host, ana = two
    number = member_of(ana).number
    await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)
    one.gateway.relay.live(frozenset(), one.hub.clock() + SILENT_MS + 1)
    assert states(one, hosted).get(number) is MemberState.OFFLINE
    at = wall_ms()
    other.fix(ana, 1, at)
    await hears(host, number, at)
    await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)


async def test_a_session_that_goes_says_goodbye(two: Any) -> None:
    one, other, hosted, _, ana = two
    other.hub.drop(other.session(hosted))
    await eventually(knows(one, hosted))
    assert states(one, hosted)[member_of(ana).number] is MemberState.OFFLINE


async def test_a_session_that_is_loaded_anew_is_known_again(two: Any) -> None:
    one, other, hosted, host, ana = two
    for _ in range(3):
        other.hub.drop(other.session(hosted))
        bo = await other.join(hosted, "Bo")
        await met(hosted, one, other)
        number = member_of(bo).number
        await eventually(lambda number=number: states(one, hosted).get(number) is MemberState.LIVE)


# --- what is not said -------------------------------------------------------------------------------------


@asynccontextmanager
async def overheard(life: Life, hosted: Hosted) -> AsyncIterator[list[Any]]:
    """What is said in the session, by anybody."""
    heard: list[Any] = []

    async def listen(pubsub: Any) -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                heard.append(peers.decode(message["data"]))

    redis: Redis = life.redis
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(live_channel(hosted.id))
        listening = asyncio.create_task(listen(pubsub))
        yield heard
        listening.cancel()
        await asyncio.wait([listening])


async def test_a_session_on_one_gateway_says_hello_and_nothing_more(gateway: Gateways) -> None:
    one = await gateway()
    await gateway()
    hosted = await one.host(tick_ms=250)
    async with overheard(one, hosted) as heard:
        host = await one.resume(hosted.host_token)
        ana = await one.join(hosted)
        at = wall_ms()
        for turn in range(5):
            one.fix(ana, turn, at + turn)
            await asyncio.sleep(0.1)
        await hears(host, member_of(ana).number, at + 4)
        one.hub.closed(ana.connection)
        await asyncio.sleep(0.2)
    assert [type(message) for message in heard] == [peers.Hello]
    assert one.hub.stats.relayed == 1


async def test_nothing_finer_than_allowed_is_taken_and_what_was_early_is_asked_again(two: Any) -> None:
    """The other gateway has read of a loosening that this one has not."""
    one, other, hosted, host, ana = two
    session, number = one.session(hosted), member_of(ana).number
    session.precision = session.pledged = Precision.ROUGH  # also should it be read meanwhile
    one.hub.restrict(session)
    host.said()
    at = wall_ms()
    other.fix(ana, 1, at)
    await eventually(lambda: session in one.gateway.relay._early)
    assert session.members[number].shown is None
    await asyncio.sleep(0.3)
    assert said(host, wire.Positions) == []
    session.pledged = None
    one.gateway.refresher.want(hosted.id)  # it is exact in PostgreSQL
    await hears(host, number, at)
    assert one.gateway.relay._early == set()


async def test_nothing_is_said_of_a_session_that_is_withheld_until_it_is_released(two: Any) -> None:
    one, other, hosted, host, ana = two
    async with overheard(one, hosted) as heard:
        doubt(other.hub, other.session(hosted))
        at = wall_ms()
        other.fix(ana, 1, at)
        member_of(ana).heard_ms -= 60_000
        other.hub.announce_moved(other.session(hosted), wall_ms())
        assert member_of(ana).state is MemberState.STALE
        await asyncio.sleep(0.7)
        assert [message for message in heard if message.gateway == other.gateway.id] == []
        release(other.hub, other.session(hosted))
        await hears(host, member_of(ana).number, at)
        await eventually(lambda: states(one, hosted)[member_of(ana).number] is MemberState.STALE)


async def test_sessions_that_are_withheld_stop_nobody_elses(two: Any) -> None:
    """Many of them wait with something to say; the loop neither spins nor forgets the others."""
    one, other, hosted, host, ana = two
    relay = other.gateway.relay
    for number in range(SESSIONS_A_ROUND + 50):
        waiting = make_session(10**9 + number)
        waiting.withheld = True
        waiting.peers["c" * 16] = other.hub.clock()
        other.hub.sessions[waiting.id] = waiting
        relay.moved(make_member(waiting))
    at = wall_ms()
    other.fix(ana, 1, at)
    await hears(host, member_of(ana).number, at)
    cpu_s, began_s = time.process_time(), time.monotonic()
    await asyncio.sleep(0.5)
    assert time.process_time() - cpu_s < 0.9 * (time.monotonic() - began_s)
    for session in [session for session in other.hub.sessions.values() if session.id >= 10**9]:
        other.hub.drop(session)
    await eventually(lambda: relay._unsaid == {})


async def test_what_came_while_the_lease_was_late_is_said_with_the_next(two: Any) -> None:
    one, other, hosted, host, ana = two
    number, lease = member_of(ana).number, other.gateway.lease
    await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)
    async with overheard(one, hosted) as heard:
        lease._until_ms = 0
        other.hub.closed(ana.connection)
        await asyncio.sleep(0.3)
        assert heard == []
        assert states(one, hosted).get(number) is MemberState.LIVE
        lease._until_ms = 2**62
        other.gateway.live(frozenset({one.gateway.id, other.gateway.id}))
        await eventually(lambda: states(one, hosted).get(number) is MemberState.OFFLINE)


async def test_without_a_lease_nothing_is_kept_of_sessions_that_went(two: Any) -> None:
    _, other, hosted, *_ = two
    other.gateway.lease._until_ms = 0
    other.hub.drop(other.session(hosted))
    await eventually(lambda: other.gateway.relay._unsaid == {})


async def test_what_redis_does_not_take_is_said_again(
    gateway: Gateways, role_url: Callable[[str], str], redis_url: str
) -> None:
    """A gateway that may not publish for a while: the newest counts, and nothing is lost."""
    one = await gateway()
    user = f"gateway-{one.gateway.id}"
    await one.redis.execute_command("ACL", "SETUSER", user, "on", ">p", "~*", "&*", "+@all")
    try:
        parts = urlsplit(redis_url)
        own_url = urlunsplit(parts._replace(netloc=f"{user}:p@{parts.netloc.rpartition('@')[2]}"))
        async with related(role_url("gateway"), own_url) as other:
            hosted = await one.host(tick_ms=250)
            host = await one.resume(hosted.host_token)
            ana = await other.join(hosted)
            await met(hosted, one, other)
            number = member_of(ana).number
            await eventually(lambda: states(one, hosted).get(number) is MemberState.LIVE)
            await one.redis.execute_command("ACL", "SETUSER", user, "-publish")
            said_before, at = other.hub.stats.relayed, wall_ms()
            other.fix(ana, 1, at)
            await asyncio.sleep(0.5)
            other.fix(ana, 2, at + 1)
            other.hub.closed(ana.connection)
            await asyncio.sleep(0.5)
            assert other.hub.stats.relayed == said_before
            await one.redis.execute_command("ACL", "SETUSER", user, "+publish")
            await hears(host, number, at + 1)
            await eventually(lambda: states(one, hosted).get(number) is MemberState.OFFLINE)
    finally:
        await one.redis.execute_command("ACL", "DELUSER", user)


async def test_what_cannot_be_read_is_counted_and_harms_nobody(two: Any) -> None:
    one, other, hosted, host, ana = two
    for data in (b"", b"\xff" * 100, b"\x91" * 100_000, peers.encode(["p", "a" * 16, [[1, 2]]])):
        await one.redis.publish(live_channel(hosted.id), data)
    await eventually(lambda: one.hub.stats.relay_unreadable == other.hub.stats.relay_unreadable == 4)
    at = wall_ms()
    other.fix(ana, 1, at)
    await hears(host, member_of(ana).number, at)


async def test_gateways_beyond_the_bound_are_not_heard(two: Any) -> None:
    one, _, hosted, *_ = two
    for number in range(peers.PEERS_BOUND + 5):
        hello = peers.Hello(f"{number:016x}", 1, False, [])
        await one.redis.publish(live_channel(hosted.id), peers.encode(hello))
    await eventually(lambda: len(one.session(hosted).peers) == peers.PEERS_BOUND)
    await asyncio.sleep(0.1)
    assert len(one.session(hosted).peers) == peers.PEERS_BOUND


# --- who asks over HTTP -----------------------------------------------------------------------------------


async def test_a_gateway_that_does_not_hold_a_session_knows_its_states_when_asked(
    two: Any, gateway: Gateways
) -> None:
    _, _, hosted, _, ana = two
    third = await gateway()
    found = await store.find_session(third.pool, hosted.id)
    assert found is not None
    await asyncio.gather(third.gateway.hold(found), third.gateway.hold(found))
    assert states(third, hosted) == {1: MemberState.LIVE, member_of(ana).number: MemberState.LIVE}
    fourth = await gateway()
    async with fourth.registry.lock(hosted.id):
        session = await fourth.registry.load(hosted.id)
    assert session in fourth.gateway.relay._expected
    await eventually(lambda: fourth.gateway.relay._expected == {})
    assert len(session.peers) == 3
    began_s = time.monotonic()
    for _ in range(20):
        await third.gateway.hold(found)
    assert time.monotonic() - began_s < 20 * 0.25, "who has the answers waits no more"
