"""A session in any order of events on two real gateways, against a model of what anybody may see (G3, G4).

Hosts, members and the two ways to steer; joins, resumes, losses, choices, kicks, leaves, the end. The gateways run
in this process with all their loops, over real Redis and PostgreSQL; their members' sockets record what is written.
Once a call has returned nobody receives anything finer than the model allows, nor anything of who was removed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.precision import Precision, coarsest, tightens
from tests.server.lives import Hosted, Life, a_life, now_ms, roles_of
from tests.server.parties import RecordingSocket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

T = TypeVar("T")
EXAMPLES = int(os.environ.get("PARTYLINE_TEST_MODEL_EXAMPLES", "40"))
STEPS = int(os.environ.get("PARTYLINE_TEST_MODEL_STEPS", "30"))
TICK_MS = 250
EXACT, ROUGH, PRIVATE = Precision
precisions = st.sampled_from([EXACT, EXACT, EXACT, ROUGH, PRIVATE])
gateways = st.integers(0, 1)
anybody = st.integers(0, 7)


class Place:
    """Two gateways and the loop on which they live, for all examples of a run."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.lives: list[Life] = []
        self.run(self._start(roles_of(database_url)("gateway"), redis_url))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _start(self, database_url: str, redis_url: str) -> None:
        for _ in range(2):
            life = await self._stack.enter_async_context(a_life(database_url, redis_url))
            life.gateway.lease.end()  # this one is had from Redis
            await self._stack.enter_async_context(life.gateway.running())
            self.lives.append(life)
        async with asyncio.timeout(20):
            while not all(life.gateway.lease.held() for life in self.lives):
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        self.run(self._stack.aclose())
        self.runner.close()


class Person:
    """A member as the model has them."""

    def __init__(self, number: int, token: str, own: Precision, *, host: bool = False) -> None:
        self.number, self.token, self.own, self.host = number, token, own, host
        self.gone = False
        self.sockets: list[tuple[Life, RecordingSocket]] = []
        self.seq = 0


class SessionMachine(RuleBasedStateMachine):
    """One session."""

    place: ClassVar[Place]
    steps: ClassVar[int] = 0
    rows: ClassVar[int] = 0
    _lats: ClassVar[Iterator[int]] = itertools.count(1)

    @initialize(precision=precisions)
    def made(self, precision: Precision) -> None:
        self.hosted: Hosted = self.run(self.place.lives[0].host(precision.value, tick_ms=TICK_MS))
        self.precision, self.ended, self.revision = precision, False, 1
        host = Person(1, self.hosted.host_token, EXACT, host=True)
        self.people = [host]
        self.sent: set[float] = set()
        self.before = self.allowed()
        self.come_in(host, self.place.lives[0])
        self.walk(1, 0.4)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.place.run(work)

    # --- the model --------------------------------------------------------------------------------

    def allowed(self) -> dict[int, Precision | None]:
        """What may be seen of whom now; `None`: nothing, they are not there."""
        return {
            one.number: None if one.gone or self.ended else coarsest(self.precision, one.own)
            for one in self.people
        }

    def pick(self, which: int, among: Callable[[Person], object] = lambda one: True) -> Person | None:
        found = [one for one in self.people if among(one)]
        return found[which % len(found)] if found else None

    def there(self, which: int) -> tuple[Person, Life, RecordingSocket] | None:
        """Somebody with an open connection."""
        one = self.pick(which, lambda one: one.sockets and not one.gone and not self.ended)
        return None if one is None else (one, *one.sockets[-1])

    def come_in(self, one: Person, life: Life) -> None:
        socket = self.run(life.resume(one.token))
        if one.gone or self.ended:
            assert socket.closed_with == (CloseCode.BAD_TOKEN if one.gone else CloseCode.ENDED)
            return
        assert socket.closed_with is None
        welcome = self.welcomed(socket)
        assert welcome.you == one.number, "another number"
        assert welcome.precision is coarsest(self.precision, one.own)
        one.sockets = [(life, socket)]  # an older connection is replaced, on whichever gateway it was
        one.seq = 0

    def welcomed(self, socket: RecordingSocket) -> wire.Welcome:
        welcome, *rest = socket.said()
        assert isinstance(welcome, wire.Welcome)
        assert welcome.session_precision is self.precision
        assert welcome.revision >= self.revision
        self.judge(welcome.positions)
        for message in rest:
            self.judge(getattr(message, "p", ()))
        return welcome

    def judge(self, rows: Any) -> None:
        """Nothing finer than was allowed before or is allowed after this step; that is one step's moment."""
        after = self.allowed()
        for number, _, lat, *_ in rows:
            type(self).rows += 1
            either = [one for one in (self.before.get(number), after.get(number)) if one is not None]
            assert either, f"a position of {number}, who is not there"
            finest = min(either, key=lambda one: one.coarseness)
            assert finest is not PRIVATE, "a position of who is private"
            assert finest is EXACT or lat not in self.sent, "an exact position of who is rough"

    # --- what happens -----------------------------------------------------------------------------

    @precondition(lambda self: len(self.people) < 6)
    @rule(gateway=gateways, own=precisions)
    def join(self, gateway: int, own: Precision) -> None:
        life = self.place.lives[gateway]
        socket = self.run(life.join(self.hosted, "Ana", precision=own))
        if self.ended:
            assert socket.closed_with in (CloseCode.ENDED, CloseCode.BAD_TOKEN)
            return
        assert socket.closed_with is None
        welcome, *_ = messages = socket.said()
        assert isinstance(welcome, wire.Welcome)
        assert welcome.you not in [one.number for one in self.people]
        one = Person(welcome.you, welcome.member_token, own)
        one.sockets.append((life, socket))
        self.people.append(one)
        assert welcome.precision is coarsest(self.precision, own)
        for message in messages:
            self.judge(getattr(message, "positions", getattr(message, "p", ())))

    @rule(which=anybody, gateway=gateways)
    def resume(self, which: int, gateway: int) -> None:
        one = self.pick(which)
        assert one is not None
        self.come_in(one, self.place.lives[gateway])

    @rule(which=anybody)
    def lose_the_connection(self, which: int) -> None:
        if found := self.there(which):
            one, _, socket = found
            one.sockets.pop()

            async def lost() -> None:
                socket.connection.lost()

            self.run(lost())

    @precondition(lambda self: not self.ended)
    @rule(count=st.integers(1, 2), then_s=st.sampled_from([0.4, 0.02]))
    def walk(self, count: int, then_s: float) -> None:
        """Everybody who is there sends where they are."""

        async def walked() -> None:
            for one in [one for one in self.people if one.sockets] * count:
                life, socket = one.sockets[-1]
                one.seq += 1
                lat = 37.0 + next(self._lats) * 1e-6
                self.sent.add(lat)
                life.fix(socket, one.seq, now_ms(), lat=lat)
            await asyncio.sleep(then_s)

        self.run(walked())

    @rule(seconds=st.sampled_from([0.3, 0.05, 0.6]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(which=anybody, own=precisions)
    def share(self, which: int, own: Precision) -> None:
        if found := self.there(which):
            one, life, socket = found
            self.run(life.send(socket, wire.Share(own)))
            one.own = own

    @precondition(lambda self: not self.ended)
    @rule(gateway=gateways, to=precisions, by_socket=st.booleans())
    def set_precision(self, gateway: int, to: Precision, by_socket: bool) -> None:
        host = self.people[0]
        if by_socket and host.sockets:
            life, socket = host.sockets[-1]
            self.run(life.send(socket, wire.SetPrecision(to)))
        else:
            row = self.run(self.place.lives[gateway].steering.set_session_precision(self.hosted.id, to))
            assert row.precision is to
            assert row.revision > self.revision or to is self.precision
            self.revision = max(row.revision, self.revision)
        if tightens(to, self.precision):  # a loosening pins everybody else until their own yes (G4)
            for one in self.people[1:]:
                if not one.gone:
                    one.own = coarsest(one.own, self.precision)
        self.precision = to

    @precondition(lambda self: not self.ended)
    @rule(which=anybody, gateway=gateways)
    def kick(self, which: int, gateway: int) -> None:
        if one := self.pick(which, lambda one: not one.host and not one.gone):
            self.run(self.place.lives[gateway].steering.kick(self.hosted.id, one.number))
            self.removed(one)

    @rule(which=anybody)
    def leave(self, which: int) -> None:
        if one := self.pick(which, lambda one: one.sockets and not one.host and not one.gone):
            life, socket = one.sockets[-1]
            self.run(life.send(socket, wire.Leave()))
            self.removed(one)

    @precondition(lambda self: not self.ended and len(self.people) > 3)
    @rule(gateway=gateways)
    def end(self, gateway: int) -> None:
        self.run(self.place.lives[gateway].steering.end(self.hosted.id, "over"))
        self.ended = True
        for one in self.people:
            self.closed(one)

    def removed(self, one: Person) -> None:
        one.gone = True  # and their token is dead
        self.closed(one)

    def closed(self, one: Person) -> None:
        """When the call has returned, on whichever gateway they were."""
        for _, socket in one.sockets:
            assert socket.closed_with is not None or socket.aborted, "who was removed is still there"
            for message in socket.said():
                self.judge(getattr(message, "p", ()))
        one.sockets.clear()

    # --- after every step -------------------------------------------------------------------------

    @invariant()
    def nobody_has_seen_more_than_allowed(self) -> None:
        type(self).steps += 1
        for one in self.people:
            for _, socket in one.sockets:
                for message in socket.said():
                    self.judge(getattr(message, "p", ()))
                    if isinstance(message, wire.PrecisionChanged):
                        assert message.revision >= self.revision - 1
        self.before = self.allowed()

    def teardown(self) -> None:
        async def gone() -> None:
            for one in getattr(self, "people", ()):
                for _, socket in one.sockets:
                    socket.connection.lost()

        self.run(gone())


def test_a_session_in_any_order(party_database: str, redis_url: str) -> None:
    SessionMachine.place = Place(party_database, redis_url)
    try:
        run_state_machine_as_test(
            SessionMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],  # real time does not shrink
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        SessionMachine.place.stop()
    print(f"{SessionMachine.steps} steps, {SessionMachine.rows} positions judged")  # noqa: T201
    assert SessionMachine.rows > 0, "too little was seen"
