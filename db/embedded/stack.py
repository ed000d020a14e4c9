"""The embedded stack: PostgreSQL and Redis on one data directory, for one parent process.

    with Stack(Path("data")) as stack:
        connect(stack.database_url, stack.redis_url)

The servers end with the stop, and with the parent however it ends. One data directory has one stack at a
time; stacks on different directories run side by side. It creates the database, and leaves what is in it to
the migrations. In the data directory: `postgres/`, `redis/` (settings only), `postgres.log`, `redis.log`,
`secrets.json` (mode 0600), `ports.json`, `lock`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from db.embedded import cluster, root
from db.embedded.enclosure import Enclosure, may_mount, own
from db.embedded.errors import StackBusy, StackFailed
from db.embedded.server import Postgres, Redis, free_port, port_is_free

LOCK_WITHIN_S = 40.0
"""How long the servers of a parent that died may take to end: more than the warden gives them."""
ATTEMPTS = 3
"""A free port can be taken by somebody else before the server has it."""


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


class Stack:
    """See the module. `say` gets a line for each thing that takes long (only the first build does).

    `preload`: libraries that PostgreSQL loads; none is a server like those where TimescaleDB cannot be had.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        say: Callable[[str], None] = _tell,
        preload: Sequence[str] = cluster.PRELOAD,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._say = say
        self._preload = preload
        self._turn = threading.RLock()
        self._wanted = False
        self._lock_fd: int | None = None
        self._postgres: Postgres | None = None
        self._redis: Redis | None = None

    @property
    def postgres(self) -> Postgres:
        if self._postgres is None:
            raise StackFailed("The stack is not started.")
        return self._postgres

    @property
    def redis(self) -> Redis:
        if self._redis is None:
            raise StackFailed("The stack is not started.")
        return self._redis

    @property
    def database_url(self) -> str:
        """The superuser on the database `partyline`."""
        return self.superuser_url(cluster.DATABASE)

    def superuser_url(self, database: str) -> str:
        return self.postgres.url(database)

    @property
    def redis_url(self) -> str:
        return self.redis.url

    def start(self) -> None:
        """Starts both servers; does nothing when they run.

        Raises `StackUnavailable` (this machine cannot), `StackBusy` (the directory is in use) or
        `StackFailed`; then nothing of it runs.
        """
        with self._turn:
            self._wanted = True
            try:
                if self._lock_fd is None:
                    self._open()
                self._run()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stops both servers and frees the directory. Twice, or before the start, it does nothing."""
        with self._turn:
            self._wanted = False
            for server in (self._redis, self._postgres):
                if server is not None:
                    server.stop()
            self._redis = self._postgres = None
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

    def _open(self) -> None:
        """Takes the directory, and makes in it what a first start needs."""
        mount = may_mount()
        built = root.prepare(self._say, mount=mount)
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = lock_fd = lock_directory(self.data_dir)
        except OSError as error:
            raise StackFailed(
                f"The data directory {self.data_dir} cannot be used: {error.strerror}."
            ) from None
        inside = Enclosure(built / "root", self.data_dir, mount=mount, lock_fd=lock_fd)
        passwords = self._passwords(inside, built / "template")
        remembered = _read(self.data_dir / "ports.json")
        self._postgres = Postgres(
            inside,
            port=remembered.get("postgres", 0),
            password=passwords["postgres"],
            log=self.data_dir / "postgres.log",
        )
        self._postgres.preload = self._preload
        self._redis = Redis(
            inside,
            port=remembered.get("redis", 0),
            password=passwords["redis"],
            log=self.data_dir / "redis.log",
        )

    def _passwords(self, inside: Enclosure, template: Path) -> dict[str, str]:
        """Makes the folders if need be. A password is written down once it holds: then a kill is harmless."""
        file = self.data_dir / "secrets.json"
        known = _read(file)
        folder = inside.folder("redis")
        if not folder.exists():
            folder.mkdir(mode=0o700)
            own(folder)
        inside.place("redis")
        if not inside.folder("postgres").exists():
            known.pop("postgres", None)
            cluster.new_cluster(template, inside.folder("postgres"))
        inside.place("postgres")
        if "postgres" not in known:
            password = secrets.token_urlsafe(24)
            log = self.data_dir / "setup.log"
            cluster.set_password(inside, password, log=log)
            log.unlink()
            known["postgres"] = password
        known.setdefault("redis", secrets.token_urlsafe(24))
        _write(file, known)
        return known

    def _run(self) -> None:
        servers = (self.postgres, self.redis)
        for attempt in range(1, ATTEMPTS + 1):
            for server in servers:
                if server.port == 0 or not (server.running or port_is_free(server.port)):
                    server.port = free_port()
            try:
                for server in servers:
                    server.launch()
                for server in servers:
                    server.await_ready()
                if not self._wanted:  # a signal handler of this thread called stop in between
                    raise StackFailed("The stack was stopped while it started.")
                break
            except BaseException as error:
                for server in servers:  # also where such a stop has let go of them already
                    server.stop()
                if not isinstance(error, StackFailed):
                    raise
                taken = any(not server.running and not port_is_free(server.port) for server in servers)
                if not taken or attempt == ATTEMPTS or not self._wanted:
                    raise
        _write(self.data_dir / "ports.json", {"postgres": self.postgres.port, "redis": self.redis.port})


def lock_directory(data_dir: Path) -> int:
    """Locks the directory. Waits for the servers of a parent that is gone; refuses when the parent lives."""
    lock_fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(lock_fd, 32, 0).decode(errors="replace").strip()
            if time.monotonic() > give_up or (owner.isdigit() and Path(f"/proc/{owner}").exists()):
                os.close(lock_fd)
                raise StackBusy(
                    f"Another partyline (process {owner or 'unknown'}) runs on {data_dir}: "
                    "stop it, or name another --data-dir."
                ) from None
            time.sleep(0.05)
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, str(os.getpid()).encode(), 0)
    return lock_fd


def _read(file: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one when it is missing."""
    try:
        known = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise StackFailed(f"{file} is damaged: it holds no JSON object. Restore it, or remove it.")
    return known


def _write(file: Path, known: dict[str, Any]) -> None:
    """Writes a JSON file, whole or not at all, for its owner's eyes only."""
    new = file.with_name(file.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as text:
        json.dump(known, text)
    new.rename(file)
