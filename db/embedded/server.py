"""One server of the stack: its start, stop, kill, and restart on the same port. Knows nothing of the other.

A start waits until the server answers, and names its log when it does not. Every call may come twice,
before the first start, or after a kill.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from db.embedded import cluster
from db.embedded.enclosure import Enclosure, Process, own
from db.embedded.errors import StackFailed

READY_WITHIN_S = 60.0
"""Crash recovery after a kill is part of a start; a start that takes longer is a failed one."""
LOG_BYTES = 10_000_000
"""A log longer than this is put aside (one is kept) at the next start."""


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers themselves do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server(ABC):
    """What PostgreSQL and Redis have in common. `launch` starts it, `await_ready` waits for it."""

    name = "server"

    def __init__(self, inside: Enclosure, *, port: int, password: str, log: Path) -> None:
        self.port = port
        self._inside, self._password, self._log = inside, password, log
        self._process: Process | None = None
        self._wardens_word = True
        """Whether the warden ended by itself, so that all of the last process is gone."""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The real server process (PostgreSQL's postmaster). Raises `StackFailed` when it does not run."""
        if self._process is None or not self._process.running:
            raise StackFailed(f"{self.name} is not running.")
        return self._process.pid

    def start(self) -> None:
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        if not self.running:
            self.stop()
            if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
                self._log.rename(self._log.with_suffix(".log.1"))
            self._process = self._launched()

    def await_ready(self) -> None:
        process = self._process
        if process is None:
            raise StackFailed(f"{self.name} was stopped while it started.")
        give_up = time.monotonic() + READY_WITHIN_S
        while not self._answers(process.pid):
            if not process.running:
                raise StackFailed(f"{self.name} ended while it started; its log is {self._log}.")
            if time.monotonic() > give_up:
                self.stop()
                raise StackFailed(
                    f"{self.name} did not get ready in {READY_WITHIN_S:.0f} s; see {self._log}."
                )
            time.sleep(0.01)

    def stop(self) -> None:
        self._end(lambda process: process.stop())

    def kill(self) -> None:
        """SIGKILL to the server process. Returns when it and what it had forked are gone."""
        self._end(lambda process: (process.kill(), process.stop())[0])

    def _end(self, how: Callable[[Process], int]) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._wardens_word = how(process) >= 0

    @abstractmethod
    def _launched(self) -> Process:
        """A new process of this server."""

    @abstractmethod
    def _answers(self, pid: int) -> bool:
        """Whether the process takes connections."""


class Postgres(Server):
    """A stop is PostgreSQL's fast shutdown: open transactions are rolled back, sessions closed."""

    name = "PostgreSQL"
    preload: Sequence[str] = cluster.PRELOAD

    def _launched(self) -> Process:
        folder = self._inside.folder("postgres")
        if self._wardens_word:
            # Nobody is left of this data directory, so a pid in there is of some stranger by now.
            (folder / "postmaster.pid").unlink(missing_ok=True)
        cluster.configure(folder, port=self.port, preload=self.preload)
        return self._inside.start(
            [f"{cluster.BIN}/postgres", "-D", cluster.INSIDE],
            folder="postgres",
            log=self._log,
            stop=[(signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)],
        )

    def _answers(self, pid: int) -> bool:
        return cluster.ready(self._inside.folder("postgres"), pid)

    def url(self, database: str) -> str:
        return f"postgresql://{cluster.SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{database}"


REDIS_SETTINGS = """\
# Written by partyline at every start: what is changed here is lost.
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir /data/redis
save ""
appendonly no
maxmemory {maxmemory_mb}mb
maxmemory-policy noeviction
loglevel warning
databases 16
"""


class Redis(Server):
    """Keeps nothing: what it holds is gone after a stop. Full, it refuses writes and evicts nothing."""

    name = "Redis"
    maxmemory_mb = 512
    file = "redis.conf"

    def settings(self) -> str:
        """What is written down at every start."""
        return REDIS_SETTINGS.format(port=self.port, password=self._password, maxmemory_mb=self.maxmemory_mb)

    def arguments(self) -> list[str]:
        """Behind the settings' name."""
        return []

    def _launched(self) -> Process:
        settings = self._inside.folder("redis") / self.file
        fd = os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(self.settings())
        own(settings)
        return self._inside.start(
            ["/usr/bin/redis-server", f"/data/redis/{self.file}", *self.arguments()],
            folder="redis",
            log=self._log,
            stop=[(signal.SIGTERM, 10.0)],
        )

    def _answers(self, pid: int) -> bool:
        with self.client() as client:
            try:
                return bool(client.info("server")["process_id"] == pid)
            except redis.RedisError:
                return False

    def client(self) -> redis.Redis:
        """A client of this server alone, which tries nothing again: who asks does, and sooner."""
        once = Retry(NoBackoff(), 0)
        return redis.Redis("127.0.0.1", self.port, password=self._password, socket_timeout=5.0, retry=once)

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"
