"""Autobahn's 517 cases against the gateway's WebSocket class: all pass but those that `WAIVED` names.

A connection of ours carries text or binary, so each case goes to a server of its kind. A second run keeps the
limits of production: there cases may fail, and the server must not.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.limits import MAX_FRAME_BYTES
from server.handshake import PATH
from server.up import Up
from server.websocket import ODD_BOUND
from tests.e2e.conftest import started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent
ALL = 517
ROOMY = 64 * 1024 * 1024
"""Bytes of a message, and odd frames, when nothing is to be too much: the largest case sends 16 MiB."""
BINARY = ("1.2.*", "9.2.*", "9.4.*", "9.6.*", "9.8.*")
TEXT = (
    "1.1.*",
    "2.*",
    "3.*",
    "4.*",
    "5.*",
    "6.*",
    "7.*",
    "9.1.*",
    "9.3.*",
    "9.5.*",
    "9.7.*",
    "10.*",
    "12.*",
    "13.*",
)
PATIENT = ("9.7.*", "9.8.*")
"""A thousand small messages, one after the other's echo: a slot of the gateway each. Once is enough."""

PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
WAIVED = {
    "7.1.5": "a close between two fragments: `websockets` answers 1002 to it, where 1000 is asked for",
}
BY_DESIGN = ("12.", "13.")
"""permessage-deflate is never agreed to: it costs memory and CPU, and opens a way for bombs."""
GROWTH_BYTES = 64 * 1024 * 1024
"""What a server may hold more of after the second run than before it."""


@contextmanager
def echo(kind: str, max_message_bytes: int, odd_bound: int, log: Path) -> Iterator[tuple[str, int]]:
    """A server's URL and process id. It must live until the end, and complain of nothing."""
    command = [
        sys.executable,
        "-m",
        "tests.conformance.echo_server",
        kind,
        str(max_message_bytes),
        str(odd_bound),
    ]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    with process, process.stdout as said:
        try:
            yield f"ws://127.0.0.1:{int(said.readline())}{PATH}", process.pid
            assert process.poll() is None, "the server has died"
        finally:
            process.terminate()
    assert process.returncode == -signal.SIGTERM, "uvicorn raises it again, when it has stopped"
    assert log.read_text() == ""


def verdicts(url: str, include: tuple[str, ...], exclude: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    command = [sys.executable, "-m", "tests.conformance.cases", url, ",".join(include), ",".join(exclude)]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {case: (exchange, close) for case, (exchange, close) in json.loads(ran.stdout).items()}


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_all_cases_pass_but_the_waived(tmp_path: Path) -> None:
    found: dict[str, tuple[str, str]] = {}
    with (
        echo("text", ROOMY, ROOMY, tmp_path / "text.log") as (text, _),
        echo("binary", ROOMY, ROOMY, tmp_path / "binary.log") as (binary, _),
        ThreadPoolExecutor() as both,
    ):
        for some in both.map(verdicts, (text, binary), (TEXT, BINARY)):
            found |= some
    assert len(found) == ALL
    refused = {case for case, (exchange, _) in found.items() if exchange == "UNIMPLEMENTED"}
    assert refused == {case for case in found if case.startswith(BY_DESIGN)}, "compression, and nothing else"
    assert {found[case][1] for case in refused} == {"OK"}
    failed = {case for case in found.keys() - refused if not PASSED.issuperset(found[case])}
    print(Counter(exchange for exchange, _ in found.values()))  # noqa: T201
    assert failed == set(WAIVED), {case: found[case] for case in failed}


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_with_the_limits_of_production_the_server_survives_them_all(kind: str, tmp_path: Path) -> None:
    with echo(kind, MAX_FRAME_BYTES, ODD_BOUND, tmp_path / "server.log") as (url, pid):
        before = resident_bytes(pid)
        found = verdicts(url, ("*",), PATIENT)
        assert resident_bytes(pid) - before < GROWTH_BYTES
        again = verdicts(url, ("1.1.1" if kind == "text" else "1.2.1",))
    assert len(found) == ALL - 12
    assert set(again.values()) == {("OK", "OK")}


def test_a_gateway_survives_them_all(tmp_path: Path) -> None:
    up: Up = started(tmp_path)
    try:
        gateway = up.processes["gateway"]
        before = resident_bytes(gateway.pid)
        found = verdicts(up.http.replace("http", "ws") + PATH, ("*",), PATIENT)
        assert resident_bytes(gateway.pid) - before < GROWTH_BYTES
        assert gateway.poll() is None
        log = (up.data_dir / "gateway.log").read_text()
    finally:
        up.stop()
    assert len(found) == ALL - 12
    levels = {json.loads(line)["level"] for line in log.splitlines()}
    assert "INFO" in levels
    assert not levels & {"ERROR", "CRITICAL"}
