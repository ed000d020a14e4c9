"""Several gateways and writers over one PostgreSQL and one Redis (or a Cluster): real processes, to be harmed.

    with Fleet(tmp_path, gateways=3, writers=2) as fleet:
        fleet.gateways[0].kill()

Each gateway reaches PostgreSQL and Redis through a proxy of its own (`fleet.to_database[n]`, `fleet.to_redis[n]`),
so that one can be cut off alone; a Cluster's nodes name their own addresses, so there is no proxy to one.
Everything of a fleet lies in one folder.
"""

from __future__ import annotations

import secrets
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

from db import backfill, migrate
from db.embedded import Stack
from db.embedded.redis_cluster import RedisCluster
from tests.chaos.child import Child
from tests.chaos.proxy import Proxy
from tests.chaos.small_disk import SmallDisk
from tests.e2e.conftest import free_port

READY_S = 60.0


def through(url: str, proxy: Proxy) -> str:
    """The same address by way of a proxy."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{proxy.port}"))


class Fleet:
    """A context: nothing is left at its end. `cluster`: Redis is a Cluster of three masters with a replica each. `disk_mb`: the servers' data lies on a disk that can be filled,
    where that can be had. `environment`: settings of every process."""

    def __init__(
        self,
        folder: Path,
        *,
        gateways: int = 2,
        writers: int = 1,
        cluster: bool = False,
        disk_mb: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.disk = SmallDisk(folder / "stack", disk_mb) if disk_mb else None
        self.cluster = RedisCluster(folder / "cluster", masters=3, replicas=1) if cluster else None
        self.stack = Stack(folder / "stack", say=lambda _: None)
        self.ports = [free_port() for _ in range(gateways)]
        self._writers = writers
        self._environment = dict(environment or {})
        self._passwords = {role: secrets.token_hex(16) for role in migrate.LOGIN_ROLES}
        self.gateways: list[Child] = []
        self.writers: list[Child] = []
        self.keeper: Child
        self.to_redis: list[Proxy] = []
        self.to_database: list[Proxy] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- what is where ------------------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        """Of the gateways."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def database_url(self) -> str:
        """The superuser's, past every proxy."""
        return self.stack.database_url

    @property
    def redis_url(self) -> str:
        """Past every proxy; of the Cluster, if there is one."""
        return self.stack.redis_url if self.cluster is None else self.cluster.url

    @property
    def children(self) -> list[Child]:
        return [*self.gateways, *self.writers, *([self.keeper] if hasattr(self, "keeper") else [])]

    # --- its life -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.stack.start()
        if self.cluster is not None:
            self.cluster.start()
        url = self.stack.database_url
        if self.disk is not None:
            with self.as_superuser() as connection:
                connection.execute("ALTER SYSTEM SET max_wal_size = '96MB'")
                connection.execute("SELECT pg_reload_conf()")
        migrate.upgrade(url, fill=partial(backfill.run, url))
        for name in backfill.names():
            backfill.run(url, name)
        migrate.set_role_passwords(url, self._passwords)
        mask_key = secrets.token_hex(32)
        for number, port in enumerate(self.ports):
            redis_url = self.redis_url
            if self.cluster is None:
                redis_url = through(redis_url, self._proxy(self.to_redis, self.stack.redis.port))
            to_database = self._proxy(self.to_database, self.stack.postgres.port)
            self.gateways.append(
                self._child(
                    f"gateway-{number}",
                    *("gateway", "--port", str(port)),
                    role="gateway",
                    redis_url=redis_url,
                    database=to_database,
                    PARTYLINE_MASK_KEY=mask_key,
                    PARTYLINE_ALLOW_GUESTS="1",
                    PARTYLINE_UNLIMITED_ADDRESSES="127.0.0.0/8,::1",
                )
            )
        for number in range(self._writers):
            name = f"writer-{number}"
            self.writers.append(self._child(name, "writer", "--name", name, role="writer"))
        self.keeper = self._child("keeper", "keeper", role="keeper")
        for child in self.children:
            child.start()
        self.await_ready()

    def await_ready(self) -> None:
        """Until every gateway is ready, and the Cluster is whole."""
        if self.cluster is not None:
            self.cluster.await_formed()
        deadline = time.monotonic() + READY_S
        waiting = list(zip(self.gateways, self.urls, strict=True))
        while waiting:
            child, url = waiting[0]
            assert child.is_running, f"{child.name} has ended: {child.said()[-2000:]}"
            assert time.monotonic() < deadline, f"{child.name} is not ready: {child.said()[-2000:]}"
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                    waiting.pop(0)
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        """Kills the processes, then stops the servers. May come twice."""
        for child in self.children:
            child.kill()
        for proxy in (*self.to_redis, *self.to_database):
            proxy.stop()
        if self.cluster is not None:
            self.cluster.stop()
        self.stack.stop()
        if self.disk is not None:
            self.disk.unmount()

    @contextmanager
    def as_superuser(self) -> Iterator[psycopg.Connection]:
        """A connection of one's own, which writes also where nobody else may."""
        with psycopg.connect(
            self.database_url, autocommit=True, options="-c default_transaction_read_only=off"
        ) as connection:
            yield connection

    # --- the parts of it ----------------------------------------------------------------------------------

    @staticmethod
    def _proxy(proxies: list[Proxy], port: int) -> Proxy:
        proxy = Proxy(port)
        proxy.start()
        proxies.append(proxy)
        return proxy

    def _child(
        self,
        name: str,
        *arguments: str,
        role: str,
        redis_url: str | None = None,
        database: Proxy | None = None,
        **environment: str,
    ) -> Child:
        parts = urlsplit(self.database_url)
        login = f"partyline_{role}:{quote(self._passwords[f'partyline_{role}'])}"
        url = f"postgresql://{login}@127.0.0.1:{parts.port}{parts.path}"
        environment |= {
            "PARTYLINE_DATABASE_URL": url if database is None else through(url, database),
            "PARTYLINE_REDIS_URL": redis_url or self.redis_url,
        }
        return Child(
            name,
            *arguments,
            environment=environment | self._environment,
            log=self.folder / f"{name}.log",
        )
