"""Workers: one port, several processes; who dies is started again, who is replaced costs nobody a connection."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from server.control_store import GATEWAYS, LEASES
from tests.e2e.conftest import free_port
from tests.server.lives import MASK_KEY
from tests.server.test_up import wait_until

QUICK = """
import server.workers as workers
workers.DEATHS, workers.BACKOFF_S = 3, (0.0, 0.1)
from server.cli import main
main()
"""


class Running:
    """`partyline gateway` as a process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, metrics_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.metrics_port = metrics_port
        self._log = log

    def log(self) -> list[dict[str, object]]:
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self) -> str:
        return self._log.read_text()

    def events(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.log() if line["event"] == event]

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def by_number(self) -> dict[int, int]:
        """Process ids of the workers by their number."""
        found = {}
        for pid in self.children():
            arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if "--as-worker" in arguments:
                found[json.loads(arguments[arguments.index("--as-worker") + 1])["number"]] = pid
        return found

    def metrics(self, port: int) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {sample.name: sample.value for family in families for sample in family.samples}

    def ready(self, times: int = 1) -> None:
        wait_until(
            lambda: len(self.events("all workers are ready")) >= times or self.process.poll() is not None
        )
        assert self.process.poll() is None, self.said()


Starts = Callable[..., Running]


@pytest.fixture
def gateway(role_url: Callable[[str], str], redis_url: str, tmp_path: Path) -> Iterator[Starts]:
    """Starts `partyline gateway` with these arguments."""
    with ExitStack() as stack:

        def start(*arguments: str, code: str = "", **settings: str) -> Running:
            wanted = {
                "PARTYLINE_DATABASE_URL": role_url("gateway"),
                "PARTYLINE_REDIS_URL": redis_url,
                "PARTYLINE_MASK_KEY": MASK_KEY,
            } | settings
            return stack.enter_context(_process(tmp_path / "gateway.log", arguments, code, wanted))

        yield start


@contextmanager
def _process(log: Path, arguments: tuple[str, ...], code: str, settings: dict[str, str]) -> Iterator[Running]:
    port, metrics_port = free_port(), _two_free_ports()
    run = ["-c", code] if code else ["-m", "server.cli"]
    where = ["--port", str(port), "--metrics-port", str(metrics_port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *run, "gateway", *where, *arguments],
            env=environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Running(process, port, metrics_port, log)
    finally:
        process.kill()
        process.wait()


def _two_free_ports() -> int:
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Callers:
    """Somebody connects anew all the time: whoever is not answered is counted by what happened."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/healthz"
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(3)]
        self.answers: Counter[object] = Counter()

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._done.wait(0.005):
            try:
                with urllib.request.urlopen(self._url, timeout=30) as answer:
                    self.answers[answer.status] += 1
            except OSError as error:
                self.answers[repr(error)] += 1


def test_workers_share_a_port_are_replaced_and_started_again_and_nobody_is_turned_away(
    gateway: Starts, redis_url: str
) -> None:
    running = gateway("--workers", "2")
    running.ready()
    first = running.by_number()
    assert set(first) == {1, 2}
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
        served = {running.metrics(running.port)["partyline_worker"] for _ in range(40)}
        assert served == {1, 2}
    own = [running.metrics(running.metrics_port + more) for more in (0, 1)]
    assert [one["partyline_worker"] for one in own] == [1, 2]
    assert {line["worker"] for line in running.events("ready")} == {1, 2}

    with Callers(running.port) as callers:
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: running.events("rolling restart done"))
        second = running.by_number()
        assert set(second) == {1, 2}
        assert not set(first.values()) & set(second.values())
        assert all(map(is_gone, first.values()))
        time.sleep(0.3)
    assert callers.answers[200] > 50
    assert set(callers.answers) == {200}, callers.answers

    os.kill(second[1], signal.SIGKILL)
    wait_until(lambda: len(running.events("ready")) >= 5)  # who waits for it meanwhile is served then
    third = running.by_number()
    assert third[2] == second[2]
    assert third[1] != second[1]
    assert running.metrics(running.metrics_port)["partyline_worker"] == 1
    (died,) = running.events("a worker has died: it is started again")
    assert (died["worker"], died["exit"]) == (1, -9)

    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    assert all(map(is_gone, third.values()))
    assert len(running.events("drained")) == 4
    with redis.Redis.from_url(redis_url) as client:  # nobody waits for a lease of theirs
        (killed,) = client.zrange(GATEWAYS, 0, -1)  # its lease runs out by itself
        assert set(client.scan_iter("gw:*")) <= {LEASES.encode() + killed}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


def test_a_killed_parent_leaves_no_worker_behind(gateway: Starts) -> None:
    running = gateway("--workers", "2")
    running.ready()
    workers = running.by_number().values()
    running.process.kill()
    wait_until(lambda: all(map(is_gone, workers)))
    assert len(running.events("drained")) == 2, running.said()  # they were told to stop, not killed


@pytest.mark.slow
def test_a_worker_that_dies_at_once_again_and_again_ends_them_all_with_one_line(gateway: Starts) -> None:
    running = gateway("--workers", "2", code=QUICK)
    running.ready()
    workers, killed = running.by_number(), set()
    while running.process.poll() is None:
        pid = running.by_number().get(1)
        if pid is not None and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert running.process.returncode == 1
    assert len(killed) == 3
    assert "partyline: worker 1 died 3 times at once (exit -9)\n" in running.said()
    assert "Traceback" not in running.said()
    assert is_gone(workers[2])


def test_workers_that_cannot_start_say_why_and_end_as_a_single_one_does(gateway: Starts) -> None:
    running = gateway(
        "--workers", "2", PARTYLINE_DATABASE_URL=f"postgresql://partyline_gateway:a@127.0.0.1:{free_port()}/x"
    )
    assert running.process.wait(60) == 2
    lines = running.said().splitlines()
    assert lines[-1] in ("partyline: worker 1 did not start", "partyline: worker 2 did not start")
    assert "is it running, and is PARTYLINE_DATABASE_URL right?" in lines[0]
    assert "Traceback" not in running.said()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_second_signal_ends_at_once(gateway: Starts, workers: str) -> None:
    running = gateway("--workers", workers)
    wait_until(lambda: _is_ready(running.metrics_port) or running.process.poll() is not None)
    if workers == "2":
        running.ready()
    with socket.create_connection(("127.0.0.1", running.port)):  # whoever has it waits for its request
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(20) == 1
    assert len(running.events("drained")) < int(workers)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
