"""The fence of G3 under drawn interleavings: a world of latencies around the real cores of two gateways.

A gateway is a real hub with its session, lease, follower, applier, refresher, announcer and steering. Between
them lie the control stream with its leases, which may be restarted empty, and the session as PostgreSQL has
it. Whatever leaves a gateway takes a drawn time; a gateway may be cut off, or stopped, at any moment.

Looked at, always: once a tightening has returned, no gateway sends a position that is finer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import detangle
import pytest

from db.current import Party as PartyRow
from db.records import MemberRow, SessionRow
from protocol.messages import Positions, Role
from protocol.options import Options
from protocol.precision import Precision, coarsest, tightens
from server import refresher, steering
from server.announcer import Announcer, Unconfirmed
from server.applying import Applier
from server.control_entry import START, Entry, Place
from server.control_store import Renewal, Standing
from server.follower import Follower
from server.lease import LEASE_MS, Lease
from server.refresher import AWAY, Refresher
from server.registry import Registry
from server.steering import Steering
from tests.server.parties import NOW, Party

T = TypeVar("T")

CALLS, FAULTS = 2, 2
OPTIONS = Options(tick_ms=250)
LAT = 50.0
SLOW_READ_S = 2.0
"""PostgreSQL may be slower than everything else."""
EXACT, ROUGH, PRIVATE = Precision


class Away(OSError):
    """A server did not answer. What was asked may have been done."""


async def takes(most_s: float = 0.2) -> None:
    """What leaves a process takes a while."""
    await asyncio.sleep(detangle.uniform(0.001, most_s, 4))


class Row:
    """The session as PostgreSQL has it, of a host alone."""

    def __init__(self) -> None:
        self.precision, self.revision = EXACT, 1

    def party(self) -> PartyRow:
        host = MemberRow(1, 1001, 1, Role.HOST, "Host", EXACT, EXACT, 0, None, False)
        viewer = MemberRow(1, 1002, 2, Role.VIEWER, "Viewer", EXACT, EXACT, 0, None, False)
        return PartyRow(self.session(), [host, viewer])

    def session(self) -> SessionRow:
        return SessionRow(1, 1001, "live", 0, None, self.precision, OPTIONS, self.revision, 0)

    def set(self, precision: Precision) -> SessionRow:
        self.precision, self.revision = precision, self.revision + 1
        return self.session()


class Control:
    """The control stream and the leases, as the scripts keep them: each call is one step."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.lives = 0
        self.restart()
        self._since = -LEASE_MS  # it has served for long

    def restart(self) -> None:
        """Empty, and another server."""
        self.lives += 1
        self._entries: list[tuple[Place, Entry | None]] = []
        self._leases: dict[str, tuple[Place, int]] = {}
        self._since: int | None = None

    def last(self) -> Place:
        return self._entries[-1][0] if self._entries else START

    def announce(self, entry: Entry) -> Place:
        at = (max(self._now_ms(), self.last()[0]), self.last()[1] + 1)
        self._entries.append((at, entry))
        return at

    def after(self, at: Place) -> list[tuple[Place, Entry | None]]:
        return [(place, entry) for place, entry in self._entries if place > at]

    def renew(self, name: str, at: Place, *, kept: bool) -> Renewal:
        now = self._now_ms()
        self._since = now if self._since is None else self._since
        held = self._leases.get(name, (START, 0))[1] > now
        granted = held if kept else at == self.last()
        if granted:
            self._leases[name] = (at, now + LEASE_MS)
        return Renewal(granted, self.last(), frozenset(self._live()), now - self._since)

    def standing(self) -> Standing:
        age = -1 if self._since is None else self._now_ms() - self._since
        return Standing(age, self._live())

    def _live(self) -> dict[str, Place]:
        return {name: at for name, (at, until) in self._leases.items() if until > self._now_ms()}


class Store:
    """One gateway's way to the control stream."""

    def __init__(self, gateway: Gateway, control: Control) -> None:
        self._gateway, self._control = gateway, control

    async def _ask(self, act: Callable[[], T]) -> T:
        life = self._control.lives
        await self._gateway.way()
        if life != self._control.lives:
            raise Away
        answer = act()
        await self._gateway.way()
        if life != self._control.lives:
            raise Away
        return answer

    async def renew(self, at: Place, *, kept: bool) -> Renewal:
        return await self._ask(lambda: self._control.renew(self._gateway.name, at, kept=kept))

    async def last(self) -> Place:
        return await self._ask(self._control.last)

    async def after(self, at: Place, *, block: bool = True) -> list[tuple[Place, Entry | None]]:
        for _ in range(3 if block else 1):
            if found := await self._ask(lambda: self._control.after(at)):
                return found
            if block:
                await asyncio.sleep(0.2)
        return []

    async def announce(self, entry: Entry) -> Place:
        return await self._ask(lambda: self._control.announce(entry))

    async def standing(self) -> Standing:
        return await self._ask(self._control.standing)


class NoFlusher:
    """Nothing is cached in this world."""

    def forget_later(self, session_id: int, revision: int) -> None: ...


class Gateway:
    """The parts that G3 rests on, wired as the gateway wires them."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self.name = world, name
        self.party = Party(options=OPTIONS)
        self.lease = Lease(world.ms)
        hub = self.party.hub
        hub.clock, hub.may_send = (lambda: NOW + world.ms()), self.lease.held
        _, self._phone = self.party.enter(1, role=Role.HOST)
        _, self._seen = self.party.enter(2, role=Role.VIEWER)
        for user in (1001, 1002):
            hub.masks_of(user)
        pool: Any = self  # whoever asks PostgreSQL: `patched` hears it
        self.registry = Registry(hub=hub, pool=pool, redis=None)
        self.refresher = Refresher(hub=hub, registry=self.registry, pool=pool)
        store = Store(self, world.control)
        self.steering = Steering(
            hub=hub,
            registry=self.registry,
            refresher=self.refresher,
            announcer=Announcer(store, name, now_ms=world.ms, away=AWAY),
            pool=pool,
            redis=None,
            flusher=NoFlusher(),  # type: ignore[arg-type]
        )
        self._applier = Applier(hub, touched=self.registry.touched, reread=self.refresher.want)
        self.follower = Follower(store, self, self.lease, away=AWAY)
        self.cut_until_s = self.stopped_until_s = 0.0
        self._seq = 0
        loops = (
            self.follower.run_lease(),
            self.follower.run_stream(),
            self.refresher.run(),
            self.refresher.run_comparing(),
            self._ticks(),
        )
        self.tasks = [asyncio.ensure_future(loop) for loop in loops]

    async def way(self) -> None:
        """To Redis, or back: it takes a while, stalls while the gateway is cut off, and waits while it is stopped."""
        await takes()
        cut_s = self.cut_until_s - self._world.s()
        if cut_s > 0:
            await asyncio.sleep(min(cut_s, 3.0))
            raise Away
        await self.runs()

    async def runs(self) -> None:
        """Returns when it is not stopped."""
        while (left_s := self.stopped_until_s - self._world.s()) > 0:
            await asyncio.sleep(left_s)

    async def _ticks(self) -> None:
        """The host's phone sends where it is, and what is due is sent to the party."""
        while True:
            await asyncio.sleep(detangle.uniform(0.1, 0.5, 3))
            await self.runs()
            self._seq += 1
            for socket in (self._phone, self._seen):
                socket.heard = True
            self.party.fix(self._phone, self._seq, lat=LAT)
            self.party.hub.run(self.party.hub.clock())
            for frame in self._seen.written:
                if b'"positions"' in frame:
                    self._judge()
                    break
            self._seen.written.clear()
            self._phone.written.clear()

    def _judge(self) -> None:
        for message in self._seen.said():
            for row in message.p if isinstance(message, Positions) else ():
                self._world.sent += 1
                detangle.note(f"{self.name} has sent a position")
                finest = EXACT if row[2] == LAT else ROUGH
                assert finest.coarseness >= self._world.held.coarseness, "finer than what had returned (G3)"

    # --- what the control stream tells ----------------------------------------------------------------

    def apply(self, entry: Entry | None) -> None:
        detangle.note(f"{self.name} applies {entry}")
        self._applier.apply(entry)

    def doubt_all(self) -> None:
        self._applier.doubt_all()

    async def forget(self, receipt: str) -> None:
        raise AssertionError("nobody is erased here")

    async def reread_all(self) -> None:
        await self.refresher.reread_all()

    def regained(self) -> None: ...

    def live(self, gateways: frozenset[str]) -> None: ...


class World:
    """Two gateways, a host who steers, and what goes wrong."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.row, self.control = Row(), Control(self.ms)
        self.held = EXACT
        """What the last tightening that returned promises."""
        self.sent = 0
        self.returned = self.unconfirmed = 0
        self.gateways = [Gateway(self, name) for name in "ab"]

    def s(self) -> float:
        return self._loop.time()

    def ms(self) -> int:
        return int(self._loop.time() * 1000)

    async def read_parties(self, pool: Gateway, ids: Iterable[int]) -> dict[int, PartyRow]:
        await takes()
        await pool.runs()
        party = self.row.party()
        detangle.note(f"{pool.name} reads {party.session.precision}, revision {party.session.revision}")
        await takes(SLOW_READ_S)
        await pool.runs()
        return dict.fromkeys(ids, party)

    async def read_revisions(self, pool: Gateway, ids: Iterable[int]) -> dict[int, int]:
        return {id_: party.session.revision for id_, party in (await self.read_parties(pool, ids)).items()}

    async def set_session_precision(self, pool: Gateway, session_id: int, precision: Precision) -> SessionRow:
        await takes()
        row = self.row.set(precision)
        detangle.note(f"PostgreSQL has {precision}, revision {row.revision}")
        await takes()
        await pool.runs()
        return row

    async def steer(self) -> None:
        """The host's calls, one after the other, at whichever gateway."""
        for _ in range(detangle.randint(1, CALLS)):
            await asyncio.sleep(detangle.uniform(0.3, 2.0, 6))
            gateway = detangle.choice(self.gateways)
            precision = detangle.choice([PRIVATE, ROUGH, EXACT])
            if tightens(precision, self.held):
                self.held = precision  # a loosening may be seen at once
            detangle.note(f"{gateway.name} is asked for {precision}")
            try:
                await gateway.steering.set_session_precision(1, precision)
            except Unconfirmed:
                self.unconfirmed += 1
            else:
                self.held = coarsest(self.held, precision)
                detangle.note(f"{precision} has returned")
                self.returned += 1

    async def fail(self) -> None:
        for _ in range(detangle.randint(0, FAULTS)):
            await asyncio.sleep(detangle.uniform(0.1, 1.5, 6))
            gateway, lasts_s = detangle.choice(self.gateways), detangle.uniform(1.0, 7.0, 4)
            match detangle.randint(0, 2):
                case 0:
                    detangle.note(f"{gateway.name} is cut off for {lasts_s} s")
                    gateway.cut_until_s = self.s() + lasts_s
                case 1:
                    detangle.note(f"{gateway.name} is stopped for {lasts_s} s")
                    gateway.stopped_until_s = self.s() + lasts_s
                case _:
                    detangle.note("Redis is restarted")
                    self.control.restart()

    async def run(self) -> None:
        failing = asyncio.ensure_future(self.fail())
        await self.steer()
        await failing
        await asyncio.sleep(2.5)
        for gateway in self.gateways:
            for task in gateway.tasks:
                assert not task.done() or task.exception() is None, task
                task.cancel()


class Counts:
    """Over all worlds of a run."""

    def __init__(self) -> None:
        self.sent = self.returned = self.unconfirmed = 0


def woven(patch: pytest.MonkeyPatch, counts: Counts) -> Callable[[], Any]:
    """A world to be explored: PostgreSQL's answers come from its own row."""

    async def forget_snapshots(*_: Any) -> None:
        await takes()

    async def weave() -> None:
        world = World()
        patch.setattr(refresher, "read_parties", world.read_parties)
        patch.setattr(refresher, "read_revisions", world.read_revisions)
        patch.setattr(steering.store, "set_session_precision", world.set_session_precision)
        patch.setattr(steering, "forget_snapshots", forget_snapshots)
        await world.run()
        counts.sent += world.sent
        counts.returned += world.returned
        counts.unconfirmed += world.unconfirmed

    return weave
