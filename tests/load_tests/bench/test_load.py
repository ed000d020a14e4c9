"""The load counts what really came: a relay that loses is convicted, one that does not is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

from load_tests.bench import load as load_module
from load_tests.bench.dialects import DIALECTS
from load_tests.bench.invitations import by_number
from load_tests.bench.load import PARTY, Load
from load_tests.bench.load_process import LoadProcess
from load_tests.bench.phone import LoadError
from load_tests.bench.prerequisites import Absent, Cache
from load_tests.bench.proc import cpu_ns, memory_kib
from load_tests.bench.running import Running, free_port
from load_tests.bench.servers import SUBJECTS

FLOOR = next(one for one in SUBJECTS if one.name == "C floor")


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Running]:
    try:
        running = FLOOR.start(Cache(tmp_path), tmp_path)
    except Absent as absent:
        pytest.skip(str(absent))
    try:
        FLOOR.wait_ready(running)
        yield running
    finally:
        running.stop()


@contextmanager
def opened(port: int, *, ticks: bool = False, parties: int = 2) -> Iterator[Load]:
    load = Load(DIALECTS["plain"], port, by_number, ticks=ticks)
    try:
        assert load.open(parties) == parties * PARTY
        yield load
    finally:
        load.close()


@pytest.mark.parametrize("ticks", [False, True])
def test_the_floor_loses_nothing(floor: Running, ticks: bool) -> None:
    with opened(floor.port, ticks=ticks) as load:
        sent = load.flood(0.2) + load.pace(20, 0.5)
        outcome = load.settle(5)
    assert outcome.sent == sent > 0
    assert (outcome.missing, outcome.stale) == (0, 0)
    assert ticks or outcome.delivered == sent * (PARTY - 1)


def test_a_load_in_a_process_of_its_own_does_the_same(floor: Running) -> None:
    before = cpu_ns(floor.pids())
    with LoadProcess("plain", floor.port, ticks=False) as load:
        assert load.do("open", 3) == 3 * PARTY
        assert load.do("sign_of_life") == 3 * PARTY
        assert load.do("flood", 0.1) > 0
        outcome = load.do("settle", 5)
    assert (outcome.missing, outcome.stale) == (0, 0)
    assert cpu_ns(floor.pids()) > before
    assert memory_kib(floor.pids()) > 0


def test_a_phone_sends_no_more_than_the_server_takes(floor: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "MOST_FIXES", 10)
    with opened(floor.port, ticks=True) as load:
        assert load.flood(5) == 10 * 2 * PARTY
        with pytest.raises(LoadError, match="shorter run"):
            load.pace(10, 1)


class Faulty:
    """A relay with a fault, on threads."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.parties: dict[str, list[ServerConnection]] = {}
        self.count = 0
        self.lock = threading.Lock()

    def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        with self.lock:
            party = self.parties.setdefault(socket.request.path, [])
            party.append(socket)
        for message in socket:
            self.count += 1
            if self.fault == "closes" and self.count == 7:
                socket.socket.shutdown(2)
                return
            if self.fault == "loses" and self.count == 7:
                continue
            for other in list(party):
                if other is not socket:
                    other.send(message)

    @contextmanager
    def running(self) -> Iterator[int]:
        with serve(self.handle, "127.0.0.1", 0) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield server.socket.getsockname()[1]
            server.shutdown()
            thread.join()


def test_a_lost_fix_is_missed() -> None:
    with Faulty("loses").running() as port, opened(port) as load:
        load.pace(5, 1)
        outcome = load.settle(0.5)
    assert outcome.missing == PARTY - 1


def test_a_lost_last_fix_leaves_connections_stale() -> None:
    with Faulty("loses").running() as port, opened(port, parties=1) as load:
        load.pace(7, 0.2)  # seven fixes of five phones: the last one is a second one
        outcome = load.settle(0.5)
    assert (outcome.missing, outcome.stale) == (PARTY - 1, PARTY - 1)


def test_a_server_that_closes_ends_the_load_with_a_sentence() -> None:
    with (
        Faulty("closes").running() as port,
        opened(port) as load,
        pytest.raises(LoadError, match="closed a connection"),
    ):
        load.pace(10, 2)


def test_nobody_there_is_a_sentence() -> None:
    with LoadProcess("plain", free_port(), ticks=False) as load:
        with pytest.raises(LoadError, match="could not reach"):
            load.do("open", 1)
        with pytest.raises(ValueError, match="open"):
            load.begin("close")


def test_a_server_that_refuses_is_a_sentence(floor: Running) -> None:
    load = Load(DIALECTS["socket.io"], floor.port, by_number, ticks=False)
    with pytest.raises(LoadError, match="refused"):
        load.open(1)
    load.close()
