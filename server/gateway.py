"""The gateway: wires its parts together and runs the clocked loops. The only place that knows all parts."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from redis.exceptions import RedisError

from db.records import SessionRow
from server.addresses import Addresses, networks
from server.announcer import Announcer
from server.applying import Applier
from server.auth import UserTokens
from server.channels import Channels
from server.clock import SteadyClock
from server.clocks import boot_ms, epoch_ms, monotonic_ms
from server.commands import Commands
from server.control_entry import Entry
from server.control_store import ControlStore
from server.doors import Doors
from server.entrance import Entrance
from server.erasure import Erasures
from server.flusher import Flusher
from server.follower import Follower
from server.hub import Hub
from server.lease import LEASE_MS, Lease
from server.leaving import leave
from server.masking import MaskKey
from server.redis_link import RedisLink
from server.refresher import AWAY, Refresher
from server.registry import Registry
from server.relay import PREFIX, Relay
from server.settings import Settings
from server.slots import Slots, nothing
from server.steering import Steering
from server.streams import ACKS, commits_channel

ERASURES_S = 5.0
"""How often a gateway looks for erasures that were left."""

logger = logging.getLogger("partyline.gateway")


class Gateway:
    """All parts of a gateway, and the loops that drive them."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, link: RedisLink) -> None:
        self.settings = settings
        self.pool = pool
        self.link = link
        self.redis = redis = link.client
        self.channels = Channels(link)
        self.id = secrets.token_hex(8)
        self.lease = Lease(boot_ms)
        self.hub = Hub(
            clock=SteadyClock(epoch_ms, monotonic_ms),
            may_send=self.lease.held,
            mask_key=MaskKey(bytes.fromhex(settings.mask_key)),
            backlog_rows=settings.backlog_rows,
            max_connections=settings.max_connections,
        )
        self.doors = Doors(
            addresses=Addresses(
                proxies=networks(settings.trusted_proxies), unlimited=networks(settings.unlimited_addresses)
            ),
            per_address=settings.connections_per_address,
            total=settings.max_connections,
            joins_per_s=settings.joins_per_s,
            joins_burst=settings.joins_burst,
            clock=self.hub.clock,
            stats=self.hub.stats,
        )
        self.users = UserTokens(
            secret=settings.jwt_secret or None,
            jwks_url=settings.jwks_url or None,
            audience=settings.jwt_audience or None,
        )
        self.flusher = Flusher(
            hub=self.hub, redis=redis, gateway_id=self.id, stream_rows=settings.stream_rows
        )
        self.channels.route(ACKS, lambda _, data: self.flusher.committed(data))
        self.channels.want(commits_channel(self.id))
        self.registry = Registry(hub=self.hub, pool=pool, redis=redis)
        self.refresher = Refresher(hub=self.hub, registry=self.registry, pool=pool)
        self.control = ControlStore(redis, self.id)
        self.steering = Steering(
            hub=self.hub,
            registry=self.registry,
            refresher=self.refresher,
            announcer=Announcer(self.control, self.id, now_ms=boot_ms, away=AWAY),
            pool=pool,
            redis=redis,
            flusher=self.flusher,
        )
        self.applier = Applier(self.hub, touched=self.registry.touched, reread=self.refresher.want)
        self.follower = Follower(self.control, self, self.lease, away=AWAY)
        self.relay = Relay(
            hub=self.hub,
            channels=self.channels,
            redis=redis,
            gateway_id=self.id,
            reread=self.refresher.want,
        )
        self.hub.relay = self.relay
        self.channels.route(PREFIX, self.relay.heard, self.relay.joined)
        self.erasures = Erasures(pool=pool, redis=redis, steering=self.steering)
        self.entrance = Entrance(
            hub=self.hub,
            registry=self.registry,
            pool=pool,
            refresher=self.refresher,
            steering=self.steering,
            users=self.users,
            allow_guests=settings.allow_guests,
            doors=self.doors,
            max_sessions=settings.max_sessions,
        )
        self.slots = Slots(
            now_ns=time.monotonic_ns, sleep=time.sleep, after_reads=asyncio.get_running_loop().call_soon
        )
        self.worker = 0
        """Its number among the workers of one port, from 1; 0: it is the only one."""
        self.commands = Commands(entrance=self.entrance, steering=self.steering)
        self.hub.command = self.commands.begin
        self.slots.never_while(self.commands.running)
        self._held = False

    # --- loops ------------------------------------------------------------------------------------------

    async def run_clock(self) -> None:
        """Ticks and sweeps: as a slot begins, and by a timer when nothing is read (a task costs more)."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        timer: asyncio.TimerHandle | None = None

        def beat() -> None:
            try:
                self._beat()
            except Exception as error:
                if not failed.done():
                    failed.set_exception(error)

        def turn() -> None:
            nonlocal timer
            beat()
            timer = loop.call_later(self.slots.left_s(), turn)

        self.slots.on_wake = beat
        turn()
        try:
            await failed
        finally:
            self.slots.on_wake = nothing
            if timer is not None:
                timer.cancel()

    @property
    def draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self.commands.draining

    def _beat(self) -> None:
        held = self.lease.held()
        if held != self._held:
            self._held = held
            logger.warning("the lease is held" if held else "the lease is lost: positions are not sent")
            self.hub.policy()
        self.hub.run(self.hub.clock())

    async def run_flushes(self) -> None:
        """Batches out."""
        while True:
            await asyncio.sleep(self.settings.flush_ms / 1000)
            await self.flusher.flush()
            self.hub.say_acks()

    async def run_look_ups(self) -> None:
        """Batches that nobody has heard of."""
        while True:
            await asyncio.sleep(2)
            try:
                await self.flusher.look_up_unknown()
            except (RedisError, OSError):
                continue

    async def run_erasures(self) -> None:
        """Erasures that were left half-way, by us or by a gateway that died."""
        while True:
            await asyncio.sleep(ERASURES_S)
            await self.erasures.finish_old()

    # --- what the control stream tells (`follower.Gateway`) ------------------------------------------

    def apply(self, entry: Entry | None) -> None:
        """One entry holds when this returns."""
        self.applier.apply(entry)

    async def forget(self, receipt: str) -> None:
        """Whoever the receipt of an erasure means is forgotten when this returns."""
        await self.steering.forget_receipt(receipt)

    def doubt_all(self) -> None:
        """Nothing is sent until it was read again."""
        self.applier.doubt_all()

    async def reread_all(self) -> None:
        """Reads every session anew."""
        await self.refresher.reread_all()

    def regained(self) -> None:
        """The lease is held again."""
        self._beat()
        self.relay.regained()

    def live(self, gateways: frozenset[str]) -> None:
        """Who has a lease now."""
        self.relay.live(gateways, self.hub.clock())

    async def hold(self, row: SessionRow) -> None:
        """A live session is on this gateway, and who is connected to others is known, if they answer."""
        if row.status != "live":
            return
        if row.id not in self.hub.sessions and len(self.hub.sessions) >= self.settings.max_sessions:
            return
        with suppress(LookupError):
            async with self.registry.lock(row.id):
                session = await self.registry.load(row.id)
            await self.relay.answered(session)

    async def give_back_lease(self) -> None:
        """This gateway sends no positions any more: nobody need wait for it."""
        self.lease.end()
        try:
            await asyncio.wait_for(self.control.give_back(), LEASE_MS / 1000)
        except AWAY:
            return  # it ends by itself

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All loops, for as long as the context lasts."""
        loops: list[Coroutine[Any, Any, None]] = [
            self.follower.run_lease(),
            self.follower.run_stream(),
            self.refresher.run(),
            self.relay.run(),
            self.refresher.run_comparing(),
            self.run_clock(),
            self.run_flushes(),
            self.run_look_ups(),
            self.run_erasures(),
            self.channels.run(),
        ]
        tasks = {asyncio.create_task(_supervised(loop)) for loop in loops}
        try:
            yield
        finally:
            while tasks:  # Python 3.11's wait_for may swallow a cancellation: ask again
                for task in tasks:
                    task.cancel()
                _, tasks = await asyncio.wait(tasks, timeout=0.1)

    async def drain(self) -> None:
        """Takes nobody in any more, hands on what it has, and sends everybody away."""
        self.commands.draining = True
        logger.info("draining", extra={"connections": len(self.hub.connections)})
        await leave(self.hub, self.flusher)
        logger.info("drained", extra={"batches": len(self.hub.batches)})

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Levels, for `/metrics`."""
        hub = self.hub
        return {
            "connections": ("Connections open", len(hub.connections)),
            "sessions": ("Sessions in memory", len(hub.sessions)),
            "windows_unsettled": ("Windows that wait for their commit", hub.windows.unsettled),
            "batches_unsettled": ("Batches that wait for their commit", len(hub.batches)),
            "holding": ("1 while fixes are held", float(hub.holding)),
            "streams_full": ("Shards whose stream takes no more", len(self.flusher.filling.full)),
            "lease_held": ("1 while positions may be sent", float(self.lease.held())),
            "worker": ("Its number among the workers of one port; 0: the only one", self.worker),
        }


async def _supervised(loop: Coroutine[Any, Any, None]) -> None:
    try:
        await loop
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        logger.critical("a loop of the gateway died", extra={"error": type(error).__name__})
        raise SystemExit(1) from None
