"""`partyline up`: everything on this machine, from nothing: servers, roles, processes, a demo party.

Starts the embedded PostgreSQL and Redis, migrates, gives each process its own role and password, starts
gateway, writer and keeper as processes of their own, and writes `endpoints.json` once they are ready.
It only starts and stops: what runs is the same as anywhere else.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from db import backfill, migrate
from db.embedded.stack import Stack
from server.children import command, ending_with_us, stop

READY_TIMEOUT_S = 30.0
DEMO_WALKERS = 5
LOOPBACK = "127.0.0.0/8, ::1"
"""A crowd that tests this machine comes from one address."""
_ROLES = ("gateway", "writer", "keeper")

Say = Callable[[str], None]


class UpError(Exception):
    """One sentence: what did not start, and where to look."""


class Up:
    """What `up` has started. `stop` may be called at any time, also twice."""

    def __init__(
        self,
        *,
        data_dir: Path,
        host: str,
        port: int,
        demo: bool,
        say: Say,
        partitions: str | None = None,
        redis_url: str = "",
        workers: int = 1,
    ) -> None:
        """`partitions`: as `db.migrate.upgrade` takes it. `redis_url`: of another Redis than the stack's.
        `workers`: of the gateway.
        """
        self.data_dir = data_dir
        self._host = host
        self._port = port
        self._demo = demo
        self._partitions = partitions
        self._redis_url = redis_url
        self._workers = workers
        self._say = say
        self.stack = Stack(data_dir, say=say)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._endpoints = data_dir / "endpoints.json"
        self._ours = False
        """Whether the data directory is locked by us: else the endpoints in it are somebody else's."""
        self._secrets = _Secrets(data_dir / "keys.json")

    def start(self) -> None:
        """Starts everything and waits until it is ready. Raises `UpError`, `StackUnavailable`, …"""
        self.stack.start()
        self._ours = True
        self._endpoints.unlink(missing_ok=True)  # of a life that was killed
        self._say("Migrating the database …")
        self._migrate()
        migrate.set_role_passwords(
            self.stack.database_url,
            {role: self._secrets.get(role.removeprefix("partyline_")) for role in migrate.LOGIN_ROLES},
        )
        for name in _ROLES:
            self.start_process(name)
        self._wait_until_ready()
        if self._demo:
            self._start_demo()
        self._write_endpoints()

    @property
    def http(self) -> str:
        """Where the gateway answers on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def redis_url(self) -> str:
        """Which Redis the processes use."""
        return self._redis_url or self.stack.redis_url

    def invitation(self) -> str | None:
        """The demo party's link."""
        path = self.data_dir / "invitation.json"
        if not self._demo or not path.exists():
            return None
        link: str = json.loads(path.read_text())["join_url"]
        return link

    def wait(self) -> None:
        """Until a process ends by itself, which is an error. SIGTERM and Ctrl-C raise in here."""
        while True:
            for name, process in self.processes.items():
                code = process.poll()
                if code is not None and name != "walk":
                    raise UpError(f"the {name} has stopped (exit {code}); see {self._log_path(name)}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stops everything, in the order that loses nothing: walkers, gateway, writer, keeper, servers."""
        for role in ("walk", "gateway", "writer", "keeper"):
            for name in [name for name in self.processes if _role_of(name) == role]:
                stop(self.processes.pop(name))
        if self._ours:
            self._ours = False
            self._endpoints.unlink(missing_ok=True)
        self.stack.stop()

    # --- parts ------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        """To the head, with every backfill: no process of before runs on this machine."""
        url = self.stack.database_url
        migrate.upgrade(url, partitions=self._partitions, fill=partial(backfill.run, url))
        for name in backfill.names():
            backfill.run(url, name)

    def start_process(self, name: str, *arguments: str) -> None:
        """Starts `gateway`, `writer`, `keeper` or `walk` as a process with a log file of its own.

        A further one is named after its role, as `gateway-2` or `writer-2`.
        """
        role = _role_of(name)
        if role == "gateway" and not arguments:
            where = ("--host", self._host, "--port", str(self._port))
            arguments = (*where, "--workers", str(self._workers))
        environment = dict(os.environ)
        environment.pop("PARTYLINE_DATA_DIR", None)
        environment |= {
            "PARTYLINE_REDIS_URL": self.redis_url,
            "PARTYLINE_MASK_KEY": self._secrets.get("mask_key"),
            "PARTYLINE_UNLIMITED_ADDRESSES": os.environ.get("PARTYLINE_UNLIMITED_ADDRESSES", LOOPBACK),
            "PARTYLINE_ALLOW_GUESTS": os.environ.get("PARTYLINE_ALLOW_GUESTS", "1"),
            "PARTYLINE_DATABASE_URL": self._url_of(role) if role in _ROLES else "",
        }
        with self._log_path(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - our own command
                command(role, *arguments),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches `up` alone, which stops them in order
                preexec_fn=ending_with_us(),  # noqa: PLW1509 - see there
            )

    def _url_of(self, role: str) -> str:
        parts = urlsplit(self.stack.database_url)
        login = f"partyline_{role}:{quote(self._secrets.get(role))}"
        return f"postgresql://{login}@{parts.hostname}:{parts.port}{parts.path}"

    def _log_path(self, name: str) -> Path:
        return self.data_dir / f"{name}.log"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise UpError(f"the {name} did not start; see {self._log_path(name)}")
            try:
                with urllib.request.urlopen(f"{self.http}/readyz", timeout=1):  # noqa: S310 - our own port
                    return
            except OSError:
                time.sleep(0.05)
        raise UpError(f"the gateway is not ready; see {self._log_path('gateway')}")

    def _start_demo(self) -> None:
        invitation = self.data_dir / "invitation.json"
        invitation.unlink(missing_ok=True)
        self.start_process(
            "walk", "--url", self.http, "--members", str(DEMO_WALKERS), "--invitation", str(invitation)
        )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not invitation.exists():
            if time.monotonic() > deadline or self.processes["walk"].poll() is not None:
                raise UpError(f"the demo party did not start; see {self._log_path('walk')}")
            time.sleep(0.05)

    def _write_endpoints(self) -> None:
        endpoints = {
            "http": self.http,
            "ws": self.http.replace("http", "ws", 1) + "/v1/stream",
            "database_url": self.stack.database_url,
            "redis_url": self.redis_url,
        }
        _write_private(self._endpoints, json.dumps(endpoints))


def _role_of(name: str) -> str:
    return name.partition("-")[0]


class _Secrets:
    """Passwords and keys of this data directory, made once, kept at mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str:
        """The secret of this name: 64 hexadecimal digits."""
        try:
            known: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        except ValueError:
            raise UpError(f"{self._path} is damaged: restore it, or remove it to get new keys") from None
        if name not in known:
            known[name] = secrets.token_hex(32)
            _write_private(self._path, json.dumps(known))
        return known[name]


def _write_private(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
