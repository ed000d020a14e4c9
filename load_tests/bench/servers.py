"""The servers that are measured: how each is started, what it can do, which processes are counted."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from load_tests.bench.prerequisites import (
    SOURCES,
    Absent,
    Cache,
    built_floor,
    find_program,
    nginx_with_nchan,
    node_with,
    python_with_fastapi,
)
from load_tests.bench.proc import child_with
from load_tests.bench.running import Running, free_port

UP_S = 240.0
"""`partyline up` builds its embedded servers the first time."""


@dataclass(frozen=True)
class Subject:
    """One server of the comparison. `relays`, `ticks`: what it can do for a party."""

    name: str
    dialect: str
    start: Callable[[Cache, Path], Running]
    """Starts it with a folder for what it writes. Raises `Absent`."""
    relays: bool = True
    ticks: bool = False
    counted: Callable[[Running], list[int]] = Running.pids
    needs: Callable[[Cache], object] = lambda cache: None
    """Looks for all it needs. Raises `Absent`."""

    @property
    def is_partyline(self) -> bool:
        return self.dialect == "partyline"

    def wait_ready(self, running: Running) -> None:
        """Raises `DidNotStart`."""
        if self.is_partyline:
            running.wait_ready(lambda: endpoints_file(running).exists(), UP_S)
        else:
            running.wait_ready()


def _start_floor(cache: Cache, folder: Path) -> Running:
    port = free_port()
    return Running("C floor", [str(built_floor(cache)), str(port)], port, folder)


def _start_node(module: str, script: str) -> Callable[[Cache, Path], Running]:
    def start(cache: Cache, folder: Path) -> Running:
        node, modules = node_with(cache, module)
        port = free_port()
        shutil.copy(SOURCES / script, modules / script)  # beside node_modules, or it would not find them
        command = [node, str(modules / script), str(port)]
        return Running(module, command, port, folder, NODE_ENV="production")

    return start


def _start_fastapi(cache: Cache, folder: Path) -> Running:
    python, port = python_with_fastapi(cache), free_port()
    options = "--log-level error --no-access-log --ws-per-message-deflate false --ws-ping-interval 3600"
    listen = ["--host", "127.0.0.1", "--port", str(port), "--backlog", "4096"]
    command = [str(python), "-m", "uvicorn", "fastapi_app:app", "--app-dir", str(SOURCES)]
    return Running(
        "FastAPI", [*command, *options.split(), *listen], port, folder, PYTHONDONTWRITEBYTECODE="1"
    )


def _start_mosquitto(cache: Cache, folder: Path) -> Running:
    program, port = find_program("mosquitto", "mosquitto"), free_port()
    settings = _filled("mosquitto.conf", folder, port=str(port), unused_port=str(free_port()))
    return Running("mosquitto", [program, "-c", str(settings)], port, folder)


def _start_nchan(cache: Cache, folder: Path) -> Running:
    nginx, module = nginx_with_nchan()
    port = free_port()
    settings = _filled("nchan.conf", folder, port=str(port), folder=str(folder), module=str(module))
    who = ["-g", f"user {getpass.getuser()};"] if getpass.getuser() == "root" else []
    return Running("nginx", [nginx, "-p", str(folder), "-c", str(settings), *who], port, folder)


def _filled(name: str, place: Path, **values: str) -> Path:
    target = place / name
    target.write_text((SOURCES / name).read_text("utf-8").format(**values), "utf-8")
    return target


def _start_partyline(cache: Cache, folder: Path) -> Running:
    port = free_port()
    program = Path(sys.executable).with_name("partyline")
    if not program.exists():
        raise Absent(f"there is no partyline beside {sys.executable}", "make install")
    data = folder / "up"
    command = [str(program), "up", "--no-demo", "--data-dir", str(data), "--port", str(port)]
    return Running("partyline", command, port, folder)


def endpoints_file(running: Running) -> Path:
    """What `partyline up` writes once it is ready."""
    return running.folder / "up" / "endpoints.json"


def owner_urls(running: Running) -> tuple[str, str]:
    """Of a running `partyline up`: PostgreSQL as its owner, and Redis."""
    found = json.loads(endpoints_file(running).read_text())
    return found["database_url"], found["redis_url"]


def gateway_of(running: Running) -> list[int]:
    """Only the gateway is counted: it is what the other subjects are."""
    return [child_with(running.process.pid, "gateway")]


SUBJECTS = (
    Subject("Partyline", "partyline", _start_partyline, relays=False, ticks=True, counted=gateway_of),
    Subject("C floor", "plain", _start_floor, ticks=True, needs=built_floor),
    Subject(
        "Node ws",
        "plain",
        _start_node("ws", "ws.js"),
        ticks=True,
        needs=lambda cache: node_with(cache, "ws"),
    ),
    Subject(
        "socket.io",
        "socket.io",
        _start_node("socket.io", "socketio.js"),
        needs=lambda cache: node_with(cache, "socket.io"),
    ),
    Subject("FastAPI", "plain", _start_fastapi, needs=python_with_fastapi),
    Subject(
        "mosquitto",
        "mqtt",
        _start_mosquitto,
        needs=lambda cache: find_program("mosquitto", "mosquitto"),
    ),
    Subject("nginx nchan", "nchan", _start_nchan, needs=lambda cache: nginx_with_nchan()),
)
