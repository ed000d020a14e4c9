"""Runs the writer and the keeper as processes: connect, work until SIGTERM, finish the round, leave."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterable

import uvloop
from prometheus_client import start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from db.pool import connect
from db.revision import require_revision
from server.keeper import Keeper
from server.redis_link import connect_redis
from server.settings import Settings, require
from server.writer import Writer

_LEVELS = ("_seconds", "_waiting", "dead_letters")
"""How the names of gauges end; all others are counters."""

Counts = Callable[[], dict[str, tuple[str, float]]]


class _CountsCollector(Collector):
    def __init__(self, prefix: str, counts: Counts) -> None:
        self._prefix = prefix
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        for name, (text, value) in self._counts().items():
            kind = GaugeMetricFamily if name.endswith(_LEVELS) else CounterMetricFamily
            yield kind(f"partyline_{self._prefix}_{name}", text, value=value)


def _serve_metrics(port: int | None, prefix: str, counts: Counts) -> None:
    if port is not None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_CountsCollector(prefix, counts))
        try:
            start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise OSError(f"metrics port {port}: {error.strerror}; name another --metrics-port") from None


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _write(settings: Settings, name: str, metrics_port: int | None) -> None:
    require(settings, "database_url", "redis_url")
    stop = _stop_event()
    pool = await connect(settings.database_url, min_size=1, max_size=2, application_name="partyline-writer")
    link = connect_redis(settings.redis_url, socket_timeout=10)
    writer = Writer(
        pool=pool, redis=link.client, name=name, ttl_hours=settings.ttl_hours, publish=link.publish
    )
    stats = writer.stats
    try:
        await require_revision(pool)
        _serve_metrics(
            metrics_port,
            "writer",
            lambda: {
                "entries": ("Stream entries committed", stats.entries),
                "rows": ("Rows inserted", stats.rows),
                "rows_refused": ("Rows refused", stats.refused),
                "entries_dead": ("Entries put aside", stats.dead),
                "claims": ("Times that entries of another writer were taken over", stats.claims),
                "entries_waiting": ("Entries in all streams", stats.waiting),
                "dead_letters": ("Entries that lie aside in Redis", stats.dead_letters),
                "failures": ("Rounds that failed and are tried again", stats.failures),
            },
        )
        await writer.run(stop)
    finally:
        await link.aclose()
        await pool.close()


async def _keep(settings: Settings, metrics_port: int | None) -> None:
    require(settings, "database_url")
    stop = _stop_event()
    pool = await connect(settings.database_url, min_size=1, max_size=2, application_name="partyline-keeper")
    keeper = Keeper(pool=pool, ttl_hours=settings.ttl_hours, interval_s=settings.keeper_interval_s)
    try:
        await require_revision(pool)
        _serve_metrics(
            metrics_port,
            "keeper",
            lambda: {
                "rounds": ("Rounds done", keeper.rounds),
                "chunks_dropped": ("Chunks and months dropped", keeper.chunks_dropped),
                "rows_dropped": ("Rows in them", keeper.rows_dropped),
                "rows_flagged": ("Rows flagged ttl_expired", keeper.rows_flagged),
                "rows_deleted": ("Expired doodles and recommendations deleted", keeper.rows_deleted),
                "failures": ("Rounds that failed", keeper.failures),
            },
        )
        await keeper.run(stop)
    finally:
        await pool.close()


def own_name() -> str:
    """A writer's name that no other has, also where hosts and process ids are alike, as in containers."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def run_writer(settings: Settings, *, name: str | None, metrics_port: int | None) -> None:
    """The writer's process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_write(settings, name or own_name(), metrics_port))


def run_keeper(settings: Settings, *, metrics_port: int | None) -> None:
    """The keeper's process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_keep(settings, metrics_port))
