"""`partyline up`: ready when its endpoints are written, and nothing left when it ends, however it ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests.e2e.conftest import free_port

KEYS = {"http", "ws", "database_url", "redis_url"}


def wait_until(true: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def environments() -> Iterator[tuple[int, str]]:
    """(pid, environment and command line) of every process that we may look at."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "environ").read_text(errors="replace") + (folder / "cmdline").read_text()
            except OSError:
                continue
            yield int(folder.name), text


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    data_dir: Path
    port: int
    mark: str

    @property
    def endpoints(self) -> Path:
        return self.data_dir / "endpoints.json"

    def pids(self) -> list[int]:
        """Every process that was started by this `up`, itself included: they inherit its mark or directory."""
        return [pid for pid, text in environments() if self.mark in text or str(self.data_dir) in text]

    def output(self) -> str:
        return (self.data_dir.parent / f"{self.data_dir.name}.out").read_text()


@contextmanager
def starting(data_dir: Path, *arguments: str, host: str = "127.0.0.1") -> Iterator[Running]:
    port, mark = free_port(), f"mark-{os.getpid()}-{data_dir.name}-{time.monotonic_ns()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}
    out = data_dir.parent / f"{data_dir.name}.out"
    with out.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "up", "--data-dir", str(data_dir), "--port", str(port), "--host", host, *arguments],
            env=environment | {"PYTEST_MARK": mark},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )  # fmt: skip
    running = Running(process, data_dir, port, mark)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def ready(running: Running) -> dict[str, str]:
    wait_until(lambda: running.endpoints.exists() or running.process.poll() is not None)
    assert running.process.poll() is None, running.output()
    found: dict[str, str] = json.loads(running.endpoints.read_text())
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """Two at once, on directories and ports of their own."""
    folder = tmp_path_factory.mktemp("ups")
    with starting(folder / "one", "--no-demo") as one, starting(folder / "two", "--no-demo") as two:
        ready(one)
        ready(two)
        yield one, two


def test_the_endpoints_are_complete_private_and_answer(pair: tuple[Running, Running]) -> None:
    for running in pair:
        found = ready(running)
        assert set(found) == KEYS
        assert stat.S_IMODE(running.endpoints.stat().st_mode) == 0o600
        assert stat.S_IMODE((running.data_dir / "keys.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(running.data_dir.stat().st_mode) == 0o700
        assert found["http"] == f"http://127.0.0.1:{running.port}"
        assert found["ws"] == f"ws://127.0.0.1:{running.port}/v1/stream"
        with urllib.request.urlopen(f"{found['http']}/readyz", timeout=5) as answer:
            assert answer.status == 200
        with psycopg.connect(found["database_url"]) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()  # type: ignore[misc]
            assert revision
        with redis.Redis.from_url(found["redis_url"]) as client:
            assert client.ping()


def test_two_run_side_by_side_and_share_nothing(pair: tuple[Running, Running]) -> None:
    one, two = (ready(running) for running in pair)
    assert not set(one.values()) & set(two.values())
    with redis.Redis.from_url(one["redis_url"]) as client, redis.Redis.from_url(two["redis_url"]) as other:
        client.set("here", 1)
        assert other.get("here") is None


def test_no_secret_is_in_a_command_line(pair: tuple[Running, Running]) -> None:
    secrets = []
    for running in pair:
        secrets += json.loads((running.data_dir / "keys.json").read_text()).values()
        found = ready(running)
        secrets += [part for url in ("database_url", "redis_url") if (part := urlsplit(found[url]).password)]
    assert len(secrets) >= 12
    lines = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                lines.append((folder / "cmdline").read_text(errors="replace"))
            except OSError:
                continue
    assert any("server.cli" in line for line in lines)
    assert not [line for line in lines if any(secret in line for secret in secrets)]


def test_each_process_has_its_own_role(pair: tuple[Running, Running]) -> None:
    with psycopg.connect(ready(pair[0])["database_url"]) as connection:
        users = connection.execute(
            "SELECT DISTINCT usename::text, application_name FROM pg_stat_activity "
            "WHERE application_name LIKE 'partyline-%' ORDER BY 1"
        ).fetchall()
    assert users == [(f"partyline_{name}", f"partyline-{name}") for name in ("gateway", "keeper", "writer")]


def test_a_data_directory_in_use_is_refused_and_left_as_it_is(pair: tuple[Running, Running]) -> None:
    before = ready(pair[0])
    with starting(pair[0].data_dir, "--no-demo") as second:
        assert second.process.wait(60) == 1
        output = second.output()
    assert "Traceback" not in output
    assert "--data-dir" in output
    assert ready(pair[0]) == before, "the endpoints of the one that runs"
    with urllib.request.urlopen(f"{before['http']}/readyz", timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_whole(tmp_path: Path, number: signal.Signals) -> None:
    with starting(tmp_path / "up", "--no-demo") as running:
        ready(running)
        assert len(running.pids()) >= 6
        running.process.send_signal(number)
        assert running.process.wait(60) == 0
        assert running.pids() == []
        assert not running.endpoints.exists()
        assert "Traceback" not in running.output()


@pytest.mark.slow
def test_it_stops_whole_while_it_starts(tmp_path: Path) -> None:
    for n, sign in enumerate(("up.out", "up/postgres", "up/gateway.log"), 1):
        with starting(tmp_path / "up", "--no-demo") as running:
            wait_until(lambda sign=sign: (tmp_path / sign).exists())
            time.sleep(0.1 * n)
            running.process.send_signal(signal.SIGTERM)
            code = running.process.wait(60)
            assert code == 0 or (sign == "up.out" and code == -signal.SIGTERM), "before it could listen"
            wait_until(lambda running=running: running.pids() == [], 15)
            assert not running.endpoints.exists()


@pytest.mark.slow
def test_a_killed_up_leaves_no_process_and_starts_again_where_it_was(tmp_path: Path) -> None:
    with starting(tmp_path / "up", "--no-demo") as running:
        first = ready(running)
        body = json.dumps({"display_name": "Host"}).encode()
        request = urllib.request.Request(
            f"{first['http']}/v1/sessions", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            session = json.loads(answer.read())["session"]
        running.process.kill()
        running.process.wait()
        wait_until(lambda: running.pids() == [], 30)
        assert running.endpoints.exists(), "nobody was there to remove it"
    with starting(tmp_path / "up", "--no-demo") as again:
        wait_until(lambda: ready(again)["http"].endswith(f":{again.port}"))
        with psycopg.connect(ready(again)["database_url"]) as connection:
            assert connection.execute("SELECT id FROM party_sessions").fetchall() == [(session,)]


@pytest.mark.slow
def test_a_part_that_dies_ends_it_with_its_name(tmp_path: Path) -> None:
    with starting(tmp_path / "up", "--no-demo", host="0.0.0.0") as running:
        assert ready(running)["http"] == f"http://127.0.0.1:{running.port}"
        (pid,) = [pid for pid, text in environments() if running.mark in text and "\0writer\0" in text]
        os.kill(pid, signal.SIGKILL)
        assert running.process.wait(60) == 1
        assert "the writer has stopped" in running.output()
        assert "writer.log" in running.output()
        assert running.pids() == []
        assert not running.endpoints.exists()


@pytest.mark.slow
def test_the_demo_party_walks_and_its_invitation_is_shown(tmp_path: Path) -> None:
    with starting(tmp_path / "up", host="127.0.0.2") as running:
        found = ready(running)
        assert found["http"] == f"http://127.0.0.2:{running.port}"
        invitation = json.loads((tmp_path / "up" / "invitation.json").read_text())["join_url"]
        assert stat.S_IMODE((tmp_path / "up" / "invitation.json").stat().st_mode) == 0o600
        wait_until(lambda: invitation in running.output())
        token = invitation.partition("#")[2]
        assert not [pid for pid, text in environments() if token in text]
        with psycopg.connect(found["database_url"], autocommit=True) as connection:
            stored = "SELECT count(DISTINCT user_id) FROM party_positions"
            wait_until(lambda: connection.execute(stored).fetchone() == (5,))
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert running.pids() == []


def test_stop_may_come_twice_and_before_the_start(tmp_path: Path) -> None:
    from server.up import Up

    (tmp_path / "endpoints.json").write_text("{}")
    up = Up(data_dir=tmp_path, host="::", port=1, demo=False, say=lambda text: None)
    up.stop()
    up.stop()
    assert (tmp_path / "endpoints.json").exists(), "somebody else's"
    assert up.http == "http://[::1]:1"
