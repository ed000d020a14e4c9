"""From what PostgreSQL says to what a gateway's sessions are: changes of which nobody told, nothing released too early.

Two lives of gateways on real servers, without their loops; what happens while one of them reads is planned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from db import sessions as store
from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.messages import PrecisionChanged, Reject, Rejected
from protocol.options import Options
from protocol.precision import Precision
from server import refresher
from server.applying import doubt
from server.refresher import AWAY
from tests.server.lives import (
    Closed,
    Hosted,
    Life,
    Lives,
    eventually,
    member_of,
    now_ms,
    said,
)
from tests.server.parties import RecordingSocket

EXACT, ROUGH, PRIVATE = Precision


class Scene:
    """A session that two gateways have in memory: the host is on `one`, Ana and Bo are on `two`."""

    def __init__(self, one: Life, two: Life, hosted: Hosted, *sockets: RecordingSocket) -> None:
        self.one, self.two, self.hosted = one, two, hosted
        self.host, self.ana, self.bo = sockets
        self.session = two.session(hosted)
        self.refresher = two.gateway.refresher

    def wanted(self) -> bool:
        return self.hosted.id in self.refresher._wanted

    async def read(self, **how: Any) -> None:
        await self.refresher.refresh(self.hosted.id, **how)


@pytest.fixture
async def scene(live: Lives) -> Scene:
    one, two = await live(), await live()
    hosted = await one.host()
    host = await one.resume(hosted.host_token)
    ana, bo = await two.join(hosted, "Ana"), await two.join(hosted, "Bo")
    scene = Scene(one, two, hosted, host, ana, bo)
    await one.gateway.refresher.refresh(hosted.id)
    await scene.read()
    for socket in (host, ana, bo):
        socket.said()
    assert not scene.wanted()
    return scene


def meanwhile(monkeypatch: pytest.MonkeyPatch, life: Life, what: Callable[[], Awaitable[Any] | None]) -> None:
    """`what` happens once, after PostgreSQL was read, and before it is taken."""
    registry, remember = life.registry, life.registry.remember_masks

    async def remembered(user_ids: Iterable[int]) -> None:
        monkeypatch.setattr(registry, "remember_masks", remember)
        happening = what()
        if happening is not None:
            await happening
        await remember(user_ids)

    monkeypatch.setattr(registry, "remember_masks", remembered)


@asynccontextmanager
async def looping(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
        assert not any(task.done() for task in tasks), "a loop ended"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


# --- what nobody told ----------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Scene], Awaitable[Any]]] = {
    "precision": lambda scene: store.set_session_precision(scene.one.pool, scene.hosted.id, ROUGH),
    "member": lambda scene: store.set_member_precision(
        scene.one.pool, scene.hosted.id, member_of(scene.ana).user_id, PRIVATE
    ),
    "options": lambda scene: store.set_options(
        scene.one.pool, scene.hosted.id, Options(ttl_hours=168, live_only=True)
    ),
    "token": lambda scene: store.rotate_token(scene.one.pool, scene.hosted.id, b"x" * 32),
    "join": lambda scene: scene.one.join(scene.hosted, "Cem"),
    "kick": lambda scene: store.kick(scene.one.pool, scene.hosted.id, member_of(scene.ana).number),
    "leave": lambda scene: store.leave(scene.one.pool, scene.hosted.id, member_of(scene.ana).user_id),
    "end": lambda scene: store.end_session(scene.one.pool, scene.hosted.id),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_another_gateway_has_changed_is_found(scene: Scene, change: str) -> None:
    """Redis lost the announcement, or the teller died before it told."""
    await CHANGES[change](scene)
    await scene.refresher.compare()
    assert scene.session.withheld
    assert scene.wanted()
    await scene.read()
    assert not scene.wanted()
    row = await store.find_session(scene.two.pool, scene.hosted.id)
    assert row is not None
    if change == "end":
        assert scene.hosted.id not in scene.two.hub.sessions
        assert (scene.ana.closed_with, scene.bo.closed_with) == (CloseCode.ENDED, CloseCode.ENDED)
        return
    session = scene.session
    assert not session.withheld
    assert (session.precision, session.options, session.revision) == (
        row.precision,
        row.options,
        row.revision,
    )
    rows = {
        member.member_no: member
        for member in await store.members(scene.two.pool, scene.hosted.id)
        if member.left_at_ms is None
    }
    assert {number: member.own for number, member in session.members.items()} == {
        number: member.precision for number, member in rows.items()
    }
    await scene.refresher.compare()
    assert not session.withheld, "once is enough"


async def test_who_has_changed_nothing_goes_on(scene: Scene) -> None:
    await scene.refresher.compare()
    assert (scene.session.withheld, scene.session.doubts, scene.wanted()) == (False, 0, False)


async def test_nothing_in_memory_is_nothing_to_compare(life: Life, party_database: str) -> None:
    async with Closed(party_database):
        await life.gateway.refresher.compare()


async def test_other_sessions_go_on(scene: Scene) -> None:
    other = await scene.two.host()
    await scene.two.resume(other.host_token)
    await CHANGES["precision"](scene)
    await scene.refresher.compare()
    assert not scene.two.session(other).withheld


async def test_the_loops_find_it_and_read_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresher, "COMPARE_S", 0.02)
    async with looping(scene.refresher.run(), scene.refresher.run_comparing()):
        await CHANGES["precision"](scene)
        await eventually(lambda: scene.session.precision is ROUGH and not scene.session.withheld)
        await CHANGES["kick"](scene)
        await eventually(lambda: scene.ana.closed_with == CloseCode.BAD_TOKEN)


# --- what a read does ----------------------------------------------------------------------------------


async def test_what_became_finer_than_allowed_is_shown_no_more(scene: Scene) -> None:
    scene.two.fix(scene.ana, 1, now_ms())
    ana = member_of(scene.ana)
    assert ana.shown is not None
    await CHANGES["precision"](scene)
    await scene.read()
    assert (ana.allowed, ana.shown, scene.session.changed) == (ROUGH, None, {})
    scene.two.hub.say_acks()
    assert [message.code for message in said(scene.ana, Rejected)] == [Reject.PRECISION]


async def test_the_party_is_told_of_the_precision(scene: Scene) -> None:
    await CHANGES["precision"](scene)
    await scene.read()
    told = [PrecisionChanged(precision=ROUGH, revision=scene.session.revision)]
    assert said(scene.ana, PrecisionChanged) == told
    await scene.read()
    assert said(scene.bo, PrecisionChanged) == told, "once"


async def test_whoever_tells_the_party_reads_quietly(scene: Scene) -> None:
    await CHANGES["precision"](scene)
    await scene.read(quietly=True)
    assert scene.session.precision is ROUGH
    assert said(scene.ana, PrecisionChanged) == []


async def test_who_was_removed_is_closed_and_the_others_are_told(scene: Scene) -> None:
    ana = member_of(scene.ana)
    await CHANGES["kick"](scene)
    await scene.read()
    assert scene.ana.closed_with == CloseCode.BAD_TOKEN
    assert scene.bo.closed_with is None
    assert [(message.m, message.state) for message in said(scene.bo, wire.Member)] == [
        (ana.number, wire.MemberState.LEFT)
    ]


async def test_who_came_in_elsewhere_is_a_member_here(scene: Scene) -> None:
    cem = await scene.one.join(scene.hosted, "Cem")
    await scene.read()
    number = member_of(cem).number
    assert scene.session.members[number].name == "Cem"
    assert number in [message.m for message in said(scene.bo, wire.Member)]


async def test_a_session_that_is_no_more_ends(scene: Scene, superuser: asyncpg.Connection) -> None:
    await superuser.execute("DELETE FROM party_members WHERE session_id = $1", scene.hosted.id)
    await superuser.execute("DELETE FROM party_sessions WHERE id = $1", scene.hosted.id)
    await scene.read()
    assert scene.ana.closed_with == CloseCode.ENDED
    assert scene.hosted.id not in scene.two.hub.sessions


async def test_a_person_who_takes_the_consent_back_is_private(
    scene: Scene, superuser: asyncpg.Connection
) -> None:
    ana = member_of(scene.ana)
    await superuser.execute("UPDATE users SET location_opt_in = false WHERE id = $1", ana.user_id)
    await scene.read()
    assert (ana.own, ana.allowed) == (EXACT, PRIVATE)


async def test_what_is_not_here_is_not_read(scene: Scene) -> None:
    scene.refresher.want(2**40)
    await scene.refresher.refresh(2**40)
    assert 2**40 not in scene.two.hub.sessions
    assert 2**40 not in scene.refresher._wanted


async def test_all_are_read_some_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresher, "AT_ONCE", 2)
    hosts = [await scene.two.host() for _ in range(4)]
    for hosted in hosts:
        await scene.two.resume(hosted.host_token)
        await store.set_session_precision(scene.one.pool, hosted.id, ROUGH)
        doubt(scene.two.hub, scene.two.session(hosted))
    await scene.refresher.reread_all()
    assert [scene.two.session(hosted).precision for hosted in hosts] == [ROUGH] * 4
    assert not any(session.withheld for session in scene.two.hub.sessions.values())


# --- what happens meanwhile ----------------------------------------------------------------------------


async def test_a_doubt_that_came_during_the_read_keeps_it_withheld(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubt(scene.two.hub, scene.session)
    meanwhile(monkeypatch, scene.two, lambda: doubt(scene.two.hub, scene.session))
    await scene.read()
    assert scene.session.withheld
    assert scene.wanted()
    await scene.read()
    assert not scene.session.withheld
    assert not scene.wanted()


async def test_an_older_read_is_not_taken(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host tightens at this gateway after the row was read: what was read would loosen it again."""
    doubt(scene.two.hub, scene.session)
    meanwhile(
        monkeypatch, scene.two, lambda: scene.two.steering.set_session_precision(scene.hosted.id, PRIVATE)
    )
    await scene.read()
    assert scene.session.precision is PRIVATE
    assert member_of(scene.ana).allowed is PRIVATE
    assert scene.wanted()
    await scene.read()
    assert (scene.session.precision, scene.session.withheld) == (PRIVATE, False)


async def test_what_is_wanted_during_the_read_is_read_once_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, scene.two, lambda: scene.refresher.want(scene.hosted.id))
    await scene.read()
    assert scene.wanted()


async def test_a_session_that_went_and_came_during_the_read_is_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go_and_come() -> None:
        scene.two.hub.drop(scene.session)
        async with scene.two.registry.lock(scene.hosted.id):
            await scene.two.registry.load(scene.hosted.id)

    await CHANGES["precision"](scene)
    meanwhile(monkeypatch, scene.two, go_and_come)
    await scene.read()
    assert scene.session.precision is EXACT, "nobody looks at this one any more"
    assert scene.two.session(scene.hosted).precision is ROUGH


# --- PostgreSQL is away --------------------------------------------------------------------------------


async def test_what_cannot_be_read_stays_withheld_and_is_tried_again(
    scene: Scene, party_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresher, "RETRY_S", 0.02)
    await CHANGES["precision"](scene)
    async with looping(scene.refresher.run()):
        async with Closed(party_database):
            doubt(scene.two.hub, scene.session)
            scene.refresher.want(scene.hosted.id)
            await asyncio.sleep(0.2)
            assert scene.session.withheld
        await eventually(lambda: not scene.session.withheld)
    assert scene.session.precision is ROUGH


async def test_what_somebody_else_could_not_read_is_read_by_the_loop(
    scene: Scene, party_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A steering call has taken it upon itself, and failed: nobody else knows that it is withheld."""
    monkeypatch.setattr(refresher, "RETRY_S", 0.02)
    doubt(scene.two.hub, scene.session)
    async with looping(scene.refresher.run()):
        async with Closed(party_database):
            with pytest.raises(AWAY):
                await scene.read()
            assert scene.session.withheld
        await eventually(lambda: not scene.session.withheld)


async def test_comparing_goes_on_when_postgresql_is_back(
    scene: Scene, party_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresher, "COMPARE_S", 0.02)
    async with looping(scene.refresher.run_comparing()):
        async with Closed(party_database):
            await asyncio.sleep(0.2)
        await CHANGES["precision"](scene)
        await eventually(lambda: scene.session.withheld)


# --- what is pledged -----------------------------------------------------------------------------------


async def test_a_tightening_that_could_not_be_committed_stays(scene: Scene, party_database: str) -> None:
    """The host was told that it failed, but holds here until they say otherwise."""
    two = scene.two
    async with Closed(party_database):
        with suppress(*AWAY):
            await two.steering.set_session_precision(scene.hosted.id, ROUGH)
    assert scene.session.pledged is ROUGH
    await CHANGES["options"](scene)  # something else has changed
    await scene.refresher.compare()
    await scene.read()
    assert (scene.session.precision, scene.session.options.live_only) == (ROUGH, True)
    assert member_of(scene.ana).allowed is ROUGH
    row = await store.find_session(two.pool, scene.hosted.id)
    assert row is not None
    assert row.precision is EXACT
    await two.steering.set_session_precision(scene.hosted.id, EXACT)
    assert (scene.session.pledged, scene.session.precision) == (None, EXACT)


async def test_a_members_tightening_that_could_not_be_committed_stays(
    scene: Scene, party_database: str
) -> None:
    ana = member_of(scene.ana)
    async with Closed(party_database):
        with suppress(*AWAY):
            await scene.two.steering.share(scene.session, ana, PRIVATE)
    assert ana.pledged is PRIVATE
    await CHANGES["options"](scene)
    await scene.refresher.compare()
    await scene.read()
    assert (ana.own, ana.allowed, member_of(scene.bo).allowed) == (PRIVATE, PRIVATE, EXACT)
    await scene.two.steering.share(scene.session, ana, EXACT)
    assert (ana.pledged, ana.own, ana.allowed) == (None, EXACT, EXACT)
