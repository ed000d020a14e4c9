"""The gateway: wires its parts together and runs the clocked loops. The only place that knows all parts."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.close_codes import CloseCode
from protocol.messages import ClientMessage, End, Join, Kick, Resume, SetPrecision, Share
from protocol.server import Refused, Step
from server.addresses import Addresses, networks
from server.auth import UserTokens
from server.clock import SteadyClock
from server.connection import Connection
from server.doors import Doors
from server.entrance import Entrance
from server.erasure import Erasures
from server.flusher import Flusher
from server.hub import Hub
from server.lease import LEASE_MS, RENEW_MS, Lease
from server.masking import MaskKey
from server.registry import Registry
from server.settings import Settings
from server.slots import Slots, nothing
from server.steering import Steering

DRAIN_S = 5.0
"""How long a stopping gateway waits for commits before it says goodbye."""

ERASURES_S = 5.0
"""How often a gateway looks for erasures that were left."""

logger = logging.getLogger("partyline.gateway")


def epoch_ms() -> int:
    """The wall clock, which somebody may set."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """The clock of leases, which nobody can set."""
    return time.monotonic_ns() // 1_000_000


class Gateway:
    """All parts of a gateway, and the loops that drive them."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, redis: Redis) -> None:
        self.settings = settings
        self.pool = pool
        self.redis = redis
        self.id = secrets.token_hex(8)
        self.lease = Lease(monotonic_ms)
        self.hub = Hub(
            clock=SteadyClock(epoch_ms, monotonic_ms),
            may_send=self.lease.held,
            mask_key=MaskKey(bytes.fromhex(settings.mask_key)),
            backlog_rows=settings.backlog_rows,
            max_connections=settings.max_connections,
        )
        self.hub.command = self._command
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
        self.flusher = Flusher(hub=self.hub, redis=redis, gateway_id=self.id)
        self.registry = Registry(hub=self.hub, pool=pool, redis=redis)
        self.steering = Steering(
            hub=self.hub, registry=self.registry, pool=pool, redis=redis, flusher=self.flusher
        )
        self.erasures = Erasures(pool=pool, redis=redis, flusher=self.flusher, steering=self.steering)
        self.entrance = Entrance(
            hub=self.hub,
            registry=self.registry,
            pool=pool,
            steering=self.steering,
            users=self.users,
            allow_guests=settings.allow_guests,
            doors=self.doors,
            max_sessions=settings.max_sessions,
        )
        self.slots = Slots(
            now_ns=time.monotonic_ns, sleep=time.sleep, after_reads=asyncio.get_running_loop().call_soon
        )
        self.draining = False
        self._held = False
        self._commands: set[asyncio.Task[None]] = set()
        self.slots.never_while(self._commands)

    # --- commands: the rare messages that need PostgreSQL or Redis ------------------------------------

    def _command(self, connection: Connection, step: Step, message: ClientMessage) -> None:
        task = asyncio.ensure_future(self._carry_out(connection, step, message))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _carry_out(self, connection: Connection, step: Step, message: ClientMessage) -> None:
        try:
            await self._act(connection, step, message)
        except Refused as refused:
            connection.fail(refused.code)
        except LookupError:
            logger.info("a command named what is not there any more", extra={"step": step.name})
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            logger.warning("a command failed: the database is away", extra={"error": type(error).__name__})
            connection.fail(CloseCode.UNAVAILABLE)
        except Exception as error:  # our mistake; its text may hold what the client sent
            logger.error("a command failed", extra={"error": type(error).__name__, "step": step.name})
            connection.fail(CloseCode.UNAVAILABLE)
        finally:
            connection.resume_reading()

    async def _act(self, connection: Connection, step: Step, message: ClientMessage) -> None:
        if isinstance(message, Join | Resume):
            if self.draining:
                raise Refused(CloseCode.GOING_AWAY)
            await self.entrance.enter(connection, message)
            return
        member = connection.member
        if member is None:
            return
        session = member.session
        match message:
            case Share():
                await self.steering.share(session, member, message.precision)
            case SetPrecision():
                await self.steering.set_session_precision(session.id, message.precision)
            case Kick():
                await self.steering.kick(session.id, message.m)
            case End():
                await self.steering.end(session.id, "ended by the host")
            case _:
                await self.steering.leave(session, member)

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

    async def run_lease(self) -> None:
        """Renews the lease."""
        while True:
            asked_ms = self.lease.now()
            try:
                await asyncio.wait_for(self.redis.set(f"gw:{self.id}", b"0", px=LEASE_MS), LEASE_MS / 1000)
                self.lease.renewed(asked_ms)
            except (RedisError, OSError, TimeoutError):
                pass
            await asyncio.sleep(RENEW_MS / 1000)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All loops, for as long as the context lasts."""
        loops: list[Coroutine[Any, Any, None]] = [
            self.run_lease(),
            self.run_clock(),
            self.run_flushes(),
            self.run_look_ups(),
            self.run_erasures(),
            self.flusher.listen(),
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
        """Hands on every window, waits a little for the commits, so that most clients get their acks."""
        self.draining = True
        await self.flusher.flush(everything=True)
        deadline_ms = monotonic_ms() + int(DRAIN_S * 1000)
        while len(self.hub.batches) and monotonic_ms() < deadline_ms:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(0.05)
        self.hub.say_acks()

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Levels, for `/metrics`."""
        hub = self.hub
        return {
            "connections": ("Connections open", len(hub.connections)),
            "sessions": ("Sessions in memory", len(hub.sessions)),
            "windows_unsettled": ("Windows that wait for their commit", hub.windows.unsettled),
            "batches_unsettled": ("Batches that wait for their commit", len(hub.batches)),
            "holding": ("1 while fixes are held", float(hub.holding)),
            "lease_held": ("1 while positions may be sent", float(self.lease.held())),
        }


async def _supervised(loop: Coroutine[Any, Any, None]) -> None:
    try:
        await loop
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        logger.critical("a loop of the gateway died", extra={"error": type(error).__name__})
        raise SystemExit(1) from None
