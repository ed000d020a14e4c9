"""A change holds when its call returns (G3), a loosening needs each member's own yes (G4);
whatever of PostgreSQL and Redis is away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import jwt
import pytest

from db import sessions as store
from db.fence import shard_of
from db.pool import DatabaseUnavailable
from db.positions import commit_rows, pack_row
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.options import Options
from protocol.precision import Precision
from server.announcer import Unconfirmed
from server.snapshots import key, read_snapshots
from server.tokens import digest
from tests.server.lives import SECRET, SEOUL, Closed, Hosted, Life, Lives, member_of, now_ms, said, welcome
from tests.server.parties import RecordingSocket

EXACT, ROUGH, PRIVATE = Precision.EXACT, Precision.ROUGH, Precision.PRIVATE
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, DatabaseUnavailable)


async def walking(
    life: Life, precision: Precision = EXACT
) -> tuple[Hosted, RecordingSocket, RecordingSocket]:
    """A host who looks on, and Ana, who was seen at one place and is cached there."""
    hosted = await life.host(precision.value)
    host = await life.resume(hosted.host_token)
    ana = await life.join(hosted)
    life.fix(ana, 1, now_ms() - 6_000)
    await life.flush()
    host.said()
    ana.said()
    return hosted, host, ana


async def in_database(life: Life, hosted: Hosted) -> list[Precision]:
    """Session's precision, then each member's own."""
    row = await store.find_session(life.pool, hosted.id)
    assert row is not None
    return [row.precision, *(member.precision for member in await store.members(life.pool, hosted.id))]


async def store_exact(superuser: asyncpg.Connection, hosted: Hosted, user_id: int) -> Any:
    """A writer's attempt at an exact row."""
    row = pack_row(hosted.id, user_id, (now_ms() - 6_000) // 5000 * 5000, 0, *SEOUL, 5.0, "exact")
    return await commit_rows(superuser, [row], shard=shard_of(hosted.id), ttl_hours=168)


@pytest.mark.parametrize("to", [ROUGH, PRIVATE])
@pytest.mark.parametrize("who", ["host", "member"])
async def test_a_tightening_holds_when_it_returns(
    life: Life, superuser: asyncpg.Connection, who: str, to: Precision
) -> None:
    hosted, host, ana = await walking(life)
    session, member = life.session(hosted), member_of(ana)
    life.fix(ana, 2, now_ms() - 1_000)
    if who == "host":
        row = await life.steering.set_session_precision(hosted.id, to)
        assert (row.precision, row.revision) == (to, session.revision)
    else:
        await life.steering.share(session, member, to)
    assert member.allowed is to
    assert member.shown is None
    assert not session.changed
    assert not [
        w for w in member.windows.values() if w.position.precision is EXACT and w.state.name == "OPEN"
    ]
    assert await read_snapshots(life.redis, hosted.id) == {}
    stored = await store_exact(superuser, hosted, member.user_id)
    assert (stored.inserted, [refusal[3] for refusal in stored.refused]) == (0, ["precision"])
    late = welcome(await life.join(hosted, "Late"))
    assert late.positions == []
    assert late.session_precision is (to if who == "host" else EXACT)
    life.hub.run(now_ms() + 5_000)
    assert not [row for frame in said(host, wire.Positions) for row in frame.p]


async def test_the_order_state_then_commit_then_cache_then_return(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, _, ana = await walking(life)
    member, order = member_of(ana), []
    commit, forget = store.set_session_precision, life.steering._uncache

    async def committing(*arguments: Any) -> Any:
        order.append(
            ("commit", member.allowed, member.shown is None, await life.redis.exists(key(hosted.id)))
        )
        return await commit(*arguments)

    async def forgetting(*arguments: Any) -> None:
        order.append(("forget", *(await in_database(life, hosted))[:1]))
        await forget(*arguments)
        order.append(("forgotten", await life.redis.exists(key(hosted.id))))

    monkeypatch.setattr("server.steering.store.set_session_precision", committing)
    monkeypatch.setattr(life.steering, "_uncache", forgetting)
    await life.steering.set_session_precision(hosted.id, ROUGH)
    assert order == [("commit", ROUGH, True, 1), ("forget", ROUGH), ("forgotten", 0)]


async def test_a_tightening_waits_for_a_writer_that_judged_by_the_old_precision(
    life: Life, superuser: asyncpg.Connection
) -> None:
    hosted, *_ = await walking(life)
    async with superuser.transaction():
        await superuser.execute(
            "SELECT pg_advisory_xact_lock_shared($1, $2)", 0x50415254, shard_of(hosted.id)
        )
        tightening = asyncio.ensure_future(life.steering.set_session_precision(hosted.id, PRIVATE))
        await asyncio.sleep(0.3)
        assert not tightening.done()
        assert life.session(hosted).precision is PRIVATE, "shown to the party until the commit"
    await tightening


async def test_a_loosening_by_the_host_asks_each_member(life: Life) -> None:
    hosted, host, ana = await walking(life, ROUGH)
    member, host_member = member_of(ana), member_of(host)
    await life.steering.set_session_precision(hosted.id, EXACT)
    assert (member.allowed, host_member.allowed) == (ROUGH, EXACT)
    assert await in_database(life, hosted) == [EXACT, EXACT, ROUGH]
    assert welcome(await life.join(hosted, "New")).precision is EXACT, "who joins afterwards says yes by it"
    life.fix(ana, 2, now_ms())
    assert member.shown is not None
    assert member.shown.precision is ROUGH
    await life.send(ana, wire.Share(precision=EXACT))
    assert member.allowed is EXACT
    assert said(host, wire.PrecisionChanged)[-1].precision is EXACT


async def test_a_loosening_is_committed_before_it_is_applied(life: Life, party_database: str) -> None:
    hosted, _, ana = await walking(life, ROUGH)
    async with Closed(party_database):
        with pytest.raises(AWAY):
            await life.steering.set_session_precision(hosted.id, EXACT)
        with pytest.raises(AWAY):
            await life.steering.share(life.session(hosted), member_of(ana), EXACT)
        assert life.session(hosted).precision is ROUGH
        assert member_of(ana).allowed is ROUGH


async def test_nobody_loosens_past_the_user_s_own_privacy(life: Life, superuser: asyncpg.Connection) -> None:
    hosted = await life.host()
    user_id = await store.create_guest(life.pool)
    await superuser.execute("UPDATE users SET privacy_level = 'rough' WHERE id = $1", user_id)
    token = jwt.encode({"sub": str(user_id), "exp": time.time() + 60}, SECRET, algorithm="HS256")
    ana = await life.say(wire.Join(name="Ana", token=hosted.sharable, user=token))
    assert welcome(ana).precision is ROUGH
    await life.send(ana, wire.Share(precision=EXACT))
    assert member_of(ana).allowed is ROUGH


@pytest.mark.parametrize("who", ["host", "member"])
async def test_without_the_database_a_tightening_fails_closed(
    life: Life, party_database: str, who: str
) -> None:
    """The caller gets an error; in memory it holds, also when the member comes again, until it is repeated."""
    hosted, host, ana = await walking(life)
    member = member_of(ana)
    async with Closed(party_database):
        with pytest.raises(AWAY):
            if who == "host":
                await life.steering.set_session_precision(hosted.id, PRIVATE)
            else:
                await life.steering.share(life.session(hosted), member, PRIVATE)
        assert member.allowed is PRIVATE
        assert member.shown is None
        life.fix(ana, 2, now_ms())
        assert member.shown is None
        await life.send(ana, wire.Share(precision=PRIVATE))
        assert ana.closed_with == CloseCode.UNAVAILABLE
    assert await in_database(life, hosted) == [EXACT, EXACT, EXACT]
    late = await life.join(hosted, "Late")
    assert welcome(late).positions == []
    async with life.registry.lock(hosted.id):
        for row in await store.members(life.pool, hosted.id):
            life.registry.put(life.session(hosted), row)
        life.hub.restrict(life.session(hosted))
    assert member.allowed is PRIVATE, "loosened by coming again"
    if who == "host":
        assert life.session(hosted).precision is PRIVATE
        await life.steering.set_session_precision(hosted.id, PRIVATE)
        assert (await in_database(life, hosted))[0] is PRIVATE
        assert await life.redis.exists(key(hosted.id)) == 0


async def test_a_tightening_that_failed_is_whole_when_it_is_repeated(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that a slow phone had not taken before the first attempt must not outlive the second."""
    hosted, host, ana = await walking(life)
    for kind in ("session", "member"):
        slow = await life.join(hosted, f"slow {kind}")
        slow.stuck()

        async def fails(*_: object) -> None:
            raise OSError

        async def tighten(kind: str = kind) -> None:
            if kind == "session":
                await life.steering.set_session_precision(hosted.id, ROUGH)
            else:
                await life.steering.share(life.session(hosted), member_of(ana), PRIVATE)

        with monkeypatch.context() as patch:
            patch.setattr(f"server.steering.store.set_{kind}_precision", fails)
            with pytest.raises(OSError, match=r"^$"):
                await tighten()
        assert not slow.aborted
        await tighten()
        assert slow.aborted, kind


async def test_slow_connections_are_cut_before_a_tightening_returns_and_no_others(life: Life) -> None:
    hosted, host, ana = await walking(life)
    other = await life.host()
    elsewhere = await life.join(other)
    elsewhere.stuck()
    slow, closing = await life.join(hosted, "Slow"), await life.join(hosted, "Closing")
    slow.stuck(1)
    closing.stuck(1)
    closing.connection.close(CloseCode.GOING_AWAY)
    await life.steering.set_session_precision(hosted.id, ROUGH)
    assert slow.aborted
    assert closing.aborted, "its bytes are still on their way"
    assert not (host.aborted or ana.aborted or elsewhere.aborted)
    fresh = await life.join(hosted, "Fresh")
    fresh.stuck(1)
    await life.steering.set_session_precision(hosted.id, EXACT)
    assert not fresh.aborted, "a loosening cuts nobody"


async def test_without_redis_a_tightening_holds_here_says_so_and_the_cache_goes_later(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, _, ana = await walking(life)
    kwargs = life.redis.connection_pool.connection_kwargs
    port = kwargs["port"]
    await life.redis.connection_pool.disconnect()
    life.redis.connection_pool.reset()
    kwargs["port"] = 1
    monkeypatch.setattr("server.announcer.CONFIRM_MS", 300)
    with pytest.raises(Unconfirmed):  # it holds here; another gateway may have a lease, and not know
        await life.steering.set_session_precision(hosted.id, ROUGH)
    assert life.session(hosted).precision is ROUGH
    assert (await in_database(life, hosted))[0] is ROUGH
    kwargs["port"] = port
    life.redis.connection_pool.reset()
    assert await life.redis.exists(key(hosted.id))
    await life.flush()
    assert not [p for p in (await read_snapshots(life.redis, hosted.id)).values() if p.precision is EXACT]


async def test_a_kick_holds_when_it_returns(life: Life) -> None:
    hosted, host, ana = await walking(life)
    number = member_of(ana).number
    bo = await life.join(hosted, "Bo")
    bo.stuck()
    await life.steering.kick(hosted.id, number)
    assert ana.closed_with == CloseCode.KICKED
    assert [m.state for m in said(host, wire.Member) if m.m == number] == [wire.MemberState.LEFT]
    assert number not in life.session(hosted).members
    assert await life.redis.hget(key(hosted.id), str(number)) is None
    ana.said()
    life.hub.run(now_ms() + 5_000)
    assert ana.said() == []
    await life.steering.kick(hosted.id, member_of(bo).number)
    assert bo.aborted, "bytes for the kicked were left in the socket"


async def test_a_kick_of_the_host_or_of_nobody_changes_nothing(life: Life) -> None:
    hosted, host, ana = await walking(life)
    for number in (1, 99, 0):
        with pytest.raises(LookupError):
            await life.steering.kick(hosted.id, number)
        await life.send(host, wire.Kick(m=number))
    assert host.closed_with is None
    assert ana.closed_with is None
    assert host.reading
    assert set(life.session(hosted).members) == {1, 2}


async def test_who_leaves_is_gone_and_their_token_dead(life: Life) -> None:
    hosted, host, ana = await walking(life)
    number = member_of(ana).number
    await life.send(ana, wire.Leave())
    assert ana.closed_with == CloseCode.BAD_TOKEN
    assert [m.state for m in said(host, wire.Member) if m.m == number] == [wire.MemberState.LEFT]
    assert await read_snapshots(life.redis, hosted.id) == {}
    assert welcome(await life.join(hosted, "Late")).positions == []


async def test_the_end_is_everybody_s(life: Life) -> None:
    hosted, host, ana = await walking(life)
    await life.steering.end(hosted.id, "ended by the host")
    for socket in (host, ana):
        assert said(socket, wire.Ended) == [wire.Ended(reason="ended by the host")]
        assert socket.closed_with == CloseCode.ENDED
    assert hosted.id not in life.hub.sessions
    assert not await life.redis.exists(key(hosted.id))
    await life.steering.end(hosted.id, "again")


async def test_live_only_from_now_on_is_not_cached(life: Life) -> None:
    hosted, _, ana = await walking(life)
    row = await store.find_session(life.pool, hosted.id)
    assert row is not None
    changed = await life.steering.set_options(hosted.id, Options(ttl_hours=1, tick_ms=250, live_only=True))
    assert life.session(hosted).options == changed.options
    assert life.session(hosted).revision == changed.revision > row.revision
    life.fix(ana, 2, now_ms() - 1_000)
    await life.flush()
    assert not await life.redis.exists(key(hosted.id))


async def test_a_session_that_is_nowhere(life: Life) -> None:
    nowhere = 2**40
    calls = [
        life.steering.set_session_precision(nowhere, ROUGH),
        life.steering.set_options(nowhere, Options(ttl_hours=1)),
        life.steering.rotate(nowhere, digest("x")),
        life.steering.end(nowhere, "over"),
        life.steering.kick(nowhere, 2),
    ]
    for call in calls:
        with pytest.raises(LookupError):
            await call


async def test_a_session_that_is_not_in_memory_is_steered_as_well(live: Lives) -> None:
    first = await live()
    hosted, _, ana = await walking(first)
    second = await live()
    await second.steering.set_session_precision(hosted.id, ROUGH)
    assert await read_snapshots(second.redis, hosted.id) == {}
    await second.steering.kick(hosted.id, member_of(ana).number)
    await second.steering.end(hosted.id, "over")
    assert second.hub.sessions == {}
    assert (await in_database(second, hosted))[0] is ROUGH


async def test_steering_at_once_comes_one_after_another(life: Life) -> None:
    hosted, host, ana = await walking(life)
    wanted = [EXACT, ROUGH, PRIVATE, ROUGH, EXACT, PRIVATE] * 3
    await asyncio.gather(*(life.steering.set_session_precision(hosted.id, p) for p in wanted))
    heard = said(host, wire.PrecisionChanged)
    assert [change.precision for change in heard] == wanted
    assert [change.revision for change in heard] == sorted({change.revision for change in heard})
    assert (await in_database(life, hosted))[0] is life.session(hosted).precision is PRIVATE
    assert member_of(ana).allowed is PRIVATE
