"""The faults of a chaos run: what is done to a fleet, and how it is undone. Each ends with the fleet whole.

A fault is drawn with its victim and how long it lasts from a seeded `Random`, so that a seed gives the same
list again. Redis always comes back empty: it keeps nothing on disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from db.embedded.redis_cluster import ClusterServer
from tests.chaos.child import Child
from tests.chaos.fleet import Fleet
from tests.chaos.proxy import Mode, Proxy

Harm = Callable[[Fleet, int], AbstractContextManager[None]]
"""Does harm to the victim of this number; at the end of the context it is undone."""


@contextmanager
def _killed(child: Child) -> Iterator[None]:
    child.kill()
    try:
        yield
    finally:
        child.start()


@contextmanager
def _paused(child: Child) -> Iterator[None]:
    child.pause()
    try:
        yield
    finally:
        child.resume()


@contextmanager
def _turned(proxy: Proxy, mode: Mode) -> Iterator[None]:
    proxy.turn(mode)
    try:
        yield
    finally:
        proxy.turn(Mode.PASS)


def _of(children: Sequence[Child], number: int) -> Child:
    return children[number % len(children)]


def _to(proxies: Sequence[Proxy], number: int) -> Proxy:
    return proxies[number % len(proxies)]


def kill_gateway(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _killed(_of(fleet.gateways, number))


def stop_gateway(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _paused(_of(fleet.gateways, number))


@contextmanager
def end_gateway(fleet: Fleet, number: int) -> Iterator[None]:
    gateway = _of(fleet.gateways, number)
    gateway.terminate()
    try:
        yield
    finally:
        gateway.start()


def kill_writer(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _killed(_of(fleet.writers, number))


def stop_writer(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _paused(_of(fleet.writers, number))


def kill_keeper(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _killed(fleet.keeper)


@contextmanager
def kill_everything(fleet: Fleet, number: int) -> Iterator[None]:
    with contextlib.ExitStack() as healing:
        healing.enter_context(kill_postgres(fleet, number))
        healing.enter_context(kill_redis(fleet, number))
        for child in fleet.children:
            child.kill()
        yield
    for child in fleet.children:
        child.start()


@contextmanager
def kill_redis(fleet: Fleet, number: int) -> Iterator[None]:
    fleet.stack.redis.kill()
    try:
        yield
    finally:
        fleet.stack.redis.start()


@contextmanager
def stop_redis(fleet: Fleet, number: int) -> Iterator[None]:
    pid = fleet.stack.redis.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def kill_postgres(fleet: Fleet, number: int) -> Iterator[None]:
    fleet.stack.postgres.kill()
    try:
        yield
    finally:
        fleet.stack.postgres.start()


@contextmanager
def read_only_postgres(fleet: Fleet, number: int) -> Iterator[None]:
    _set_read_only(fleet, "on")
    try:
        yield
    finally:
        _set_read_only(fleet, "off")


def _set_read_only(fleet: Fleet, value: str) -> None:
    with fleet.as_superuser() as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def full_disk(fleet: Fleet, number: int) -> Iterator[None]:
    """PostgreSQL may end by itself, or refuse; when there is room again it is started if need be."""
    assert fleet.disk is not None
    fleet.disk.fill()
    try:
        yield
    finally:
        fleet.disk.empty()
        time.sleep(0.2)
        fleet.stack.postgres.start()


@contextmanager
def kill_master(fleet: Fleet, number: int) -> Iterator[None]:
    """Its replica takes over, if it is away for long enough; else it comes back empty."""
    master = _master(fleet, number)
    master.kill()
    try:
        yield
    finally:
        master.start()


@contextmanager
def stop_master(fleet: Fleet, number: int) -> Iterator[None]:
    """Its replica takes over, and it wakes up believing that it is still a master."""
    pid = _master(fleet, number).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _master(fleet: Fleet, number: int) -> ClusterServer:
    """Every other time the one that gives the leases."""
    assert fleet.cluster is not None
    return fleet.cluster.master_of("control" if number % 2 else f"batch:{number % 8}")


def stall_to_redis(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _turned(_to(fleet.to_redis, number), Mode.STALL)


def cut_to_redis(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _turned(_to(fleet.to_redis, number), Mode.CUT)


def stall_to_database(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _turned(_to(fleet.to_database, number), Mode.STALL)


def cut_to_database(fleet: Fleet, number: int) -> AbstractContextManager[None]:
    return _turned(_to(fleet.to_database, number), Mode.CUT)


WITHOUT_REDIS: list[Harm] = [
    kill_gateway,
    stop_gateway,
    end_gateway,
    kill_writer,
    stop_writer,
    kill_keeper,
    kill_postgres,
    read_only_postgres,
    stall_to_database,
    cut_to_database,
]
ONE_REDIS: list[Harm] = [
    *WITHOUT_REDIS,
    kill_redis,
    stop_redis,
    stall_to_redis,
    cut_to_redis,
    kill_everything,
]
CLUSTER: list[Harm] = [*WITHOUT_REDIS, kill_master, stop_master, kill_master, stop_master]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to whom, after `wait_s` of peace, for `lasts_s`."""

    harm: Harm
    victim: int
    wait_s: float
    lasts_s: float

    def __str__(self) -> str:
        name = self.harm.__name__.replace("_", " ")
        return f"{name} (victim {self.victim}) after {self.wait_s:.1f} s, for {self.lasts_s:.1f} s"

    def inject(self, fleet: Fleet) -> None:
        """Waits, harms, waits, undoes, and waits until the fleet is ready."""
        time.sleep(self.wait_s)
        with self.harm(fleet, self.victim):
            time.sleep(self.lasts_s)
        fleet.await_ready()


def drawn(seed: int, count: int, harms: Sequence[Harm], *, peace_s: float = 2.0) -> list[Fault]:
    """`count` faults in random order, each kind as often as every other, as far as that comes out even."""
    random = Random(seed)
    kinds: list[Harm] = []
    while len(kinds) < count:
        some = list(harms)
        random.shuffle(some)
        kinds += some
    return [
        Fault(harm, random.randrange(1000), random.uniform(0.2, 2 * peace_s), random.uniform(0.3, 5.0))
        for harm in kinds[:count]
    ]
