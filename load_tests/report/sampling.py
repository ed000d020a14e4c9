"""Asks the servers how they are, from outside: `/metrics`, Redis' INFO, PostgreSQL's statistics.

It never raises and never takes longer than `ANSWER_S`: what cannot be read is left out. An address, which may
hold a password, is never repeated. Counters are as read; `_s` is seconds, `_bytes` bytes.

    gateway      gateway_cpu_s gateway_memory_bytes gateway_started_s gateway_connections gateway_fixes
                 gateway_positions gateway_conflated gateway_unsettled gateway_holding stream_entries
    Redis        redis_cpu_s redis_memory_bytes redis_used_bytes redis_commands redis_clients
    PostgreSQL   postgresql_commits postgresql_rows_inserted postgresql_connections
                 and on the same machine postgresql_cpu_s postgresql_memory_bytes
    writer       on the same machine writer_cpu_s writer_memory_bytes
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import TypeAlias

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from load_tests.bench.proc import ProcessGone, children
from load_tests.report import processes
from load_tests.run.notes import ServerSample

ANSWER_S = 0.8
"""For a server to answer, all of them at the same time."""

GATEWAY = {
    "process_cpu_seconds_total": "gateway_cpu_s",
    "process_resident_memory_bytes": "gateway_memory_bytes",
    "process_start_time_seconds": "gateway_started_s",
    "partyline_connections": "gateway_connections",
    "partyline_fixes_in_total": "gateway_fixes",
    "partyline_positions_out_total": "gateway_positions",
    "partyline_positions_conflated_total": "gateway_conflated",
    "partyline_windows_unsettled": "gateway_unsettled",
    "partyline_holding": "gateway_holding",
    "partyline_stream_entries": "stream_entries",
}
ADDED_UP: dict[str, Callable[[list[float]], float]] = {
    "gateway_started_s": max,
    "gateway_holding": max,
    "stream_entries": max,
}
"""What is no sum over several gateways. A gateway that does not answer is left out."""
REDIS = {
    "used_memory_rss": "redis_memory_bytes",
    "used_memory": "redis_used_bytes",
    "total_commands_processed": "redis_commands",
    "connected_clients": "redis_clients",
}
Figures: TypeAlias = dict[str, float]
_QUERY = files("load_tests.report").joinpath("postgresql.sql").read_text("utf-8")


class Sampler:
    """Keeps a connection to each server that was named."""

    def __init__(self, https: Sequence[str], database_url: str = "", redis_url: str = "") -> None:
        self._https, self._database_url, self._redis_url = https, database_url, redis_url
        self._client: httpx.AsyncClient | None = None
        self._redis: Redis | None = None
        self._database: asyncpg.Connection[asyncpg.Record] | None = None
        self._writers: dict[int, list[int]] = {}
        """Processes by the port of their connection."""

    async def sample(self) -> ServerSample:
        """How the servers are now."""
        at_s = time.time()
        found = await asyncio.gather(
            _or_nothing(self._of_gateway()), _or_nothing(self._of_redis()), _or_nothing(self._of_postgresql())
        )
        return ServerSample(at_s, {name: value for figures in found for name, value in figures.items()})

    async def close(self) -> None:
        """Lets go of the servers. May come twice, and before the first sample."""
        client, redis, database = self._client, self._redis, self._database
        self._client = self._redis = self._database = None
        if client is not None:
            await client.aclose()
        if redis is not None:
            await redis.aclose()
        if database is not None:
            database.terminate()

    async def _of_gateway(self) -> Figures:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ANSWER_S, trust_env=False)
        found = await asyncio.gather(*(_or_nothing(self._of_one(self._client, http)) for http in self._https))
        names = {name for figures in found for name in figures}
        return {name: ADDED_UP.get(name, sum)([one[name] for one in found if name in one]) for name in names}

    @staticmethod
    async def _of_one(client: httpx.AsyncClient, http: str) -> Figures:
        answer = await client.get(f"{http}/metrics")
        answer.raise_for_status()
        return {
            GATEWAY[one.name]: one.value
            for family in text_string_to_metric_families(answer.text)
            for one in family.samples
            if one.name in GATEWAY
        }

    async def _of_redis(self) -> Figures:
        if not self._redis_url:
            return {}
        if self._redis is None:
            self._redis = Redis.from_url(
                self._redis_url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S
            )
        info = await self._redis.info()
        figures = {name: float(info[key]) for key, name in REDIS.items() if key in info}
        return figures | {"redis_cpu_s": float(info["used_cpu_sys"]) + float(info["used_cpu_user"])}

    async def _of_postgresql(self) -> Figures:
        if not self._database_url:
            return {}
        database, self._database = self._database, None
        if database is None or database.is_closed():
            database = await asyncpg.connect(
                self._database_url, timeout=ANSWER_S, server_settings={"application_name": "partyline-crowd"}
            )
        try:
            row = await database.fetchrow(_QUERY)
        except BaseException:  # in the middle of an answer: it is of no more use
            database.terminate()
            raise
        self._database = database
        if row is None:
            return {}
        figures = {
            f"postgresql_{name}": float(row[name]) for name in ("commits", "rows_inserted", "connections")
        }
        return figures | await asyncio.to_thread(self._of_processes, row)

    def _of_processes(self, row: asyncpg.Record) -> Figures:
        """What `/proc` says, if the servers are on this machine."""
        figures: Figures = {}
        try:
            postmaster = processes.postmaster_of(row["pid"], row["our_port"] or 0)
            if postmaster is None:
                return {}
            backends = children(postmaster)
            figures["postgresql_cpu_s"] = processes.family_cpu_s(postmaster, backends)
            memory = processes.shared_bytes((postmaster, *backends))
            if memory is not None:
                figures["postgresql_memory_bytes"] = float(memory)
            writers = self._known_writers(row["writer_ports"], row["server_port"])
            if writers:
                figures["writer_cpu_s"] = sum(map(processes.cpu_s, writers))
                figures["writer_memory_bytes"] = float(sum(map(processes.resident_bytes, writers)))
        except ProcessGone:  # between two looks: the next sample has it
            pass
        return figures

    def _known_writers(self, ports: list[int], server_port: int) -> set[int]:
        """The writers' processes; each connection's is searched for once."""
        for port in ports:
            if port not in self._writers:
                self._writers[port] = processes.holders_of(port, server_port)
        return {pid for port in ports for pid in self._writers[port]}


async def _or_nothing(reading: Awaitable[Figures]) -> Figures:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await reading
    except Exception:  # of three drivers, and none may end the run
        return {}
