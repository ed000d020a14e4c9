"""What is started is stopped, also twice and also after it died; what does not start says why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from load_tests.bench.prerequisites import Absent, Cache, apt, cache_of, find_program, install, node_with
from load_tests.bench.proc import ProcessGone, child_with, children, cpu_ns, memory_kib
from load_tests.bench.running import DidNotStart, Running, free_port

LISTENER = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


def test_a_server_is_there_until_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    running = Running("listener", [sys.executable, "-c", LISTENER, str(port)], port, tmp_path)
    running.wait_ready()
    assert running.process.pid in children(os.getpid())
    assert child_with(os.getpid(), str(port)) == running.process.pid
    running.stop()
    running.stop()
    assert running.process.pid not in children(os.getpid())
    with pytest.raises(ProcessGone):
        memory_kib([running.process.pid])
    with pytest.raises(ProcessGone):
        cpu_ns([running.process.pid])
    with pytest.raises(ProcessGone, match="no such-word"):
        child_with(os.getpid(), "such-word")


def test_one_that_ends_at_once_says_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room today')"]
    running = Running("fragile", command, free_port(), tmp_path)
    with pytest.raises(DidNotStart, match="fragile ended at once: no room today"):
        running.wait_ready()
    running.stop()


def test_settings_of_a_deployment_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTYLINE_DATABASE_URL", "postgresql://somewhere/else")
    code = "import os,sys; sys.exit(os.environ.get('PARTYLINE_DATABASE_URL', 'clean'))"
    running = Running("look", [sys.executable, "-c", code], free_port(), tmp_path)
    with pytest.raises(DidNotStart, match="clean"):
        running.wait_ready()


def test_what_is_absent_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Absent, match="apt-get install -y --no-install-recommends nothing-of-the-kind"):
        find_program("no-such-program", "nothing-of-the-kind")
    assert apt("a", "b").endswith("a b")
    monkeypatch.setattr("load_tests.bench.prerequisites.find_program", lambda *_: "node")
    with pytest.raises(Absent, match="npm install") as refused:
        node_with(Cache(tmp_path), "ws")
    assert str(tmp_path) in refused.value.command


def test_the_cache_is_the_users() -> None:
    home = Path("somewhere")
    assert cache_of({}, home).folder == home / ".cache" / "partyline" / "bench"
    assert cache_of({"XDG_CACHE_HOME": "cache"}, home).folder == Path("cache/partyline/bench")


def test_an_installation_that_fails_is_told() -> None:
    assert install(Absent("nothing", "true"))
    assert not install(Absent("nothing", "false"))
