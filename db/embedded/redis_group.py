"""Several Redis servers on one data directory, for one parent process: a Cluster, or what Sentinels watch.

They run in the same enclosure as the embedded stack, end with the stop and with the parent, and keep nothing:
each start forms the group anew. Single servers may be killed, stopped and started meanwhile; they keep their
ports, and who they are in the group.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from db.embedded import root
from db.embedded.enclosure import Enclosure, may_mount, own
from db.embedded.errors import StackFailed
from db.embedded.server import Redis, free_port, port_is_free
from db.embedded.stack import lock_directory

FORMED_WITHIN_S = 60.0
ATTEMPTS = 3
"""A free port can be taken by somebody else before the server has it."""


def tell(line: str) -> None:
    sys.stderr.write(line + "\n")


class RedisGroup(ABC):
    """A context manager. `servers` are all of it, in the order in which they are started."""

    def __init__(self, data_dir: Path, *, say: Callable[[str], None] = tell) -> None:
        self.data_dir = data_dir.absolute()
        self.password = secrets.token_urlsafe(24)
        self.servers: Sequence[Redis] = ()
        self._say = say
        self._lock_fd: int | None = None

    def start(self) -> None:
        """Starts and forms the group; raises as `Stack.start` does, and then nothing of it runs."""
        try:
            inside = self._open()
            for attempt in range(1, ATTEMPTS + 1):
                self.servers = self.made(inside)
                try:
                    self._run()
                    return
                except StackFailed:
                    taken = any(not one.running and not port_is_free(one.port) for one in self.servers)
                    self._stop_servers()
                    if not taken or attempt == ATTEMPTS:
                        raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops every server and frees the directory. Twice does nothing."""
        self._stop_servers()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    @abstractmethod
    def url(self) -> str:
        """As PARTYLINE_REDIS_URL takes it."""

    @abstractmethod
    def made(self, inside: Enclosure) -> Sequence[Redis]:
        """New servers, on free ports."""

    @abstractmethod
    def form(self) -> None:
        """Makes one group of servers that run."""

    @abstractmethod
    def formed(self) -> bool:
        """Whether every server that runs says that the group is well. May raise `redis.RedisError`."""

    def await_formed(self) -> None:
        """Waits for that. Raises `StackFailed`."""
        self.await_true(self.formed)

    def await_true(self, true: Callable[[], bool]) -> None:
        """Waits until `true()`; a `redis.RedisError` is a no. Raises `StackFailed`."""
        give_up = time.monotonic() + FORMED_WITHIN_S
        while time.monotonic() < give_up:
            with contextlib.suppress(redis.RedisError):
                if true():
                    return
            time.sleep(0.05)
        raise StackFailed(f"The Redis servers formed no group; their logs are in {self.data_dir}.")

    def _open(self) -> Enclosure:
        mount = may_mount()
        built = root.prepare(self._say, mount=mount)
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock_fd is None:
            self._lock_fd = lock_directory(self.data_dir)
        inside = Enclosure(built / "root", self.data_dir, mount=mount, lock_fd=self._lock_fd)
        folder = inside.folder("redis")
        if folder.exists():
            for old in folder.iterdir():  # the group of before
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        else:
            folder.mkdir(mode=0o700)
        own(folder)
        inside.place("redis")
        return inside

    def _run(self) -> None:
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.await_ready()
        self.form()
        self.await_formed()

    def _stop_servers(self) -> None:
        for server in reversed(self.servers):
            server.stop()


def distinct_ports(number: int) -> list[int]:
    """Free ports, no two alike."""
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(free_port())
    return list(ports)
