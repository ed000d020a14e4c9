"""Writer and keeper as processes: they start, count, finish on SIGTERM, and say in one line why they cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from db.revision import NEEDED_REVISION
from tests.e2e.conftest import free_port
from tests.server.lives import Life, eventually, now_ms


@contextmanager
def process(log: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}
    environment |= {f"PARTYLINE_{name.upper()}": value for name, value in settings.items()}
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "server.cli", *arguments], env=environment, stdout=output, stderr=output
        )
        try:
            yield started
        finally:
            started.kill()
            started.wait()


async def counts(port: int) -> dict[str, float]:
    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    try:
        lines = (await asyncio.to_thread(fetch)).splitlines()
    except OSError:
        return {}
    return {line.split()[0]: float(line.split()[1]) for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_writer_works_until_it_is_told_to_stop(
    life: Life, role_url: Callable[[str], str], redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    hosted = await life.host()
    ana = await life.join(hosted)
    life.fix(ana, 1, now_ms() - 60_000)
    await life.flush()
    port, log = free_port(), tmp_path / "log"
    settings = {"database_url": role_url("writer"), "redis_url": redis_url}
    with process(log, "writer", "--metrics-port", str(port), **settings) as writer:
        await eventually(lambda: counted(port, "partyline_writer_rows_total"))
        writer.send_signal(number)
        assert await asyncio.to_thread(writer.wait, 15) == 0
    text = log.read_text()
    assert "Traceback" not in text
    assert role_url("writer").split(":")[2].split("@")[0] not in text


async def counted(port: int, name: str) -> bool:
    return (await counts(port)).get(name) == 1


async def test_a_keeper_works_until_it_is_told_to_stop(
    role_url: Callable[[str], str], tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    url = role_url("keeper")
    with process(log, "keeper", "--metrics-port", str(port), database_url=url) as keeper:
        await eventually(lambda: counted(port, "partyline_keeper_rounds_total"))
        keeper.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(keeper.wait, 15) == 0
    assert "Traceback" not in log.read_text()


async def test_a_taken_metrics_port_is_named(
    role_url: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("writer", "keeper"):
            settings = {"database_url": role_url(name), "redis_url": redis_url}
            log = tmp_path / name
            with process(log, name, "--metrics-port", str(port), **settings) as started:
                assert await asyncio.to_thread(started.wait, 15) == 2
            (line,) = log.read_text().splitlines()
            assert f"metrics port {port}" in line
            assert "--metrics-port" in line


PROCESSES = {
    "gateway": ["gateway", "--port"],
    "writer": ["writer", "--metrics-port"],
    "keeper": ["keeper", "--metrics-port"],
}


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_process_does_not_start_on_a_database_that_is_older_than_it_needs(
    role_url: Callable[[str], str], party_database: str, redis_url: str, tmp_path: Path, name: str
) -> None:
    with psycopg.connect(party_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    settings = {"database_url": role_url(name), "redis_url": redis_url, "mask_key": "5a" * 32}
    log = tmp_path / "log"
    with process(log, *PROCESSES[name], str(free_port()), **settings) as started:
        assert await asyncio.to_thread(started.wait, 30) == 1
    (line,) = log.read_text().splitlines()
    assert line == (
        f"partyline: the database is at revision 0001, and this Partyline needs {NEEDED_REVISION} or newer: "
        "run `partyline migrate`"
    )


async def test_a_keeper_works_on_a_database_that_is_newer(
    role_url: Callable[[str], str], party_database: str, tmp_path: Path
) -> None:
    with psycopg.connect(party_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    port, log = free_port(), tmp_path / "log"
    with process(log, "keeper", "--metrics-port", str(port), database_url=role_url("keeper")) as keeper:
        await eventually(lambda: counted(port, "partyline_keeper_rounds_total"))
        keeper.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(keeper.wait, 15) == 0


async def test_a_writer_waits_for_a_redis_that_is_not_there(
    role_url: Callable[[str], str], tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    settings = {"database_url": role_url("writer"), "redis_url": "redis://:a-secret@127.0.0.1:1/0"}
    with process(log, "writer", "--metrics-port", str(port), **settings) as writer:
        await eventually(lambda: failed(port))
        assert writer.poll() is None
        writer.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(writer.wait, 30) == 0
    assert "cannot write; entries wait" in log.read_text()
    assert "a-secret" not in log.read_text()


async def failed(port: int) -> bool:
    return (await counts(port)).get("partyline_writer_failures_total", 0) > 0
