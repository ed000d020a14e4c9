"""`/proc`: a process is named only on proof, and what is said of it is right."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from load_tests.bench.proc import ProcessGone, children
from load_tests.report.processes import (
    cpu_s,
    family_cpu_s,
    holders_of,
    postmaster_of,
    resident_bytes,
    shared_bytes,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NOBODY = 2**22 + 1
"""Above every process's number."""


def test_who_holds_a_connection_is_found_by_its_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert holders_of(client.getsockname()[1], port) == [os.getpid()]
            assert holders_of(port, client.getsockname()[1]) == []  # the server's end was not accepted
        assert holders_of(1, port) == []


def test_a_process_that_is_no_backend_of_ours_has_no_postmaster() -> None:
    assert postmaster_of(os.getpid(), 5432) is None
    assert postmaster_of(NOBODY, 5432) is None


def test_a_backend_is_known_by_the_port_in_its_title() -> None:
    title = "postgres: partyline partyline 127.0.0.1(40123) idle"
    backend = subprocess.Popen(["bash", "-c", f"exec -a '{title}' sleep 60"])
    try:
        for _ in range(500):
            with open(f"/proc/{backend.pid}/cmdline", "rb") as file:
                if file.read().startswith(b"postgres:"):
                    break
            time.sleep(0.01)
        assert postmaster_of(backend.pid, 40123) == os.getpid()
        assert postmaster_of(backend.pid, 4012) is None
        assert postmaster_of(backend.pid, 401234) is None
    finally:
        backend.kill()
        backend.wait()


def test_a_familys_time_keeps_that_of_children_who_ended() -> None:
    before = family_cpu_s(os.getpid(), [])
    subprocess.run([sys.executable, "-c", "while __import__('time').process_time() < 0.5: pass"], check=True)
    assert family_cpu_s(os.getpid(), []) - before >= 0.4
    assert family_cpu_s(os.getpid(), children(os.getpid())) >= cpu_s(os.getpid())


def test_memory_is_in_bytes() -> None:
    mine = resident_bytes(os.getpid())
    assert 2**20 < mine < 2**34
    shared = shared_bytes([os.getpid()])
    assert shared is not None
    assert 2**20 < shared <= 1.2 * resident_bytes(os.getpid())


def test_a_process_that_is_gone_is_said_to_be_gone() -> None:
    for read in (cpu_s, resident_bytes):
        with pytest.raises(ProcessGone):
            read(NOBODY)
    with pytest.raises(ProcessGone):
        shared_bytes([NOBODY])
