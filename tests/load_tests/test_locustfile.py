"""Locust as people run it, in processes of its own: a master, two workers, a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.up import Up
from tests.e2e.conftest import free_port, up

__all__ = ["up"]
ROOT = Path(__file__).parents[2]
LOCUST = [sys.executable, "-m", "locust", "-f", str(ROOT / "load_tests" / "locustfile.py")]
USERS, PARTY, SECONDS = 30, 5, 15


@contextmanager
def workers(count: int, port: int, folder: Path) -> Iterator[list[Path]]:
    """Worker processes of the master at `port`; their logs."""
    logs = [folder / f"worker-{number}.log" for number in range(count)]
    running = []
    try:
        for log in logs:
            with log.open("wb") as file:
                arguments = [*LOCUST, "--worker", "--master-port", str(port)]
                running.append(subprocess.Popen(arguments, cwd=ROOT, stdout=file, stderr=file))
        yield logs
        for process in running:
            process.wait(20)
    finally:
        for process in running:
            process.kill()
            process.wait()


def locust(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    return subprocess.run(
        [*LOCUST, "--headless", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


async def parties_with_rows(up: Up) -> int:
    connection = await asyncpg.connect(up.stack.database_url)
    try:
        return int(await connection.fetchval("SELECT count(DISTINCT session_id) FROM party_positions"))
    finally:
        await connection.close()


@pytest.mark.slow
async def test_a_master_and_two_workers_share_the_users_and_nothing_fails(up: Up, tmp_path: Path) -> None:
    port = free_port()
    with workers(2, port, tmp_path) as logs:
        done = locust(
            *("--master", "--master-bind-port", str(port), "--expect-workers", "2", "--host", up.http),
            *("-u", str(USERS), "-r", "15", "-t", f"{SECONDS}s", "--json"),
            *("--party-size", str(PARTY), "--fix-rate", "2"),
        )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = {one["name"]: one for one in json.loads(done.stdout)}
    assert {name: one["num_failures"] for name, one in said.items()} == dict.fromkeys(said, 0)
    made = said["/v1/sessions"]["num_requests"]
    assert made == USERS // PARTY
    assert USERS / 2 < said["join"]["num_requests"] <= 2 * USERS  # some join late, some come back
    assert said["ack"]["num_requests"] > USERS
    assert said["delivery"]["num_requests"] > USERS
    assert 0 <= said["delivery"]["min_response_time"] <= said["delivery"]["max_response_time"]
    assert await parties_with_rows(up) == made  # both workers' parties, and no party twice
    for text in (done.stderr, *(log.read_text() for log in logs)):
        assert "Traceback" not in text
        assert "index 1) quit" in text or "Got quit message" in text


@pytest.mark.slow
def test_a_dead_address_is_counted_with_one_sentence() -> None:
    done = locust("-u", "10", "-r", "10", "-t", "6s", "--only-summary", "--host", "http://127.0.0.1:9")
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    assert text.count("No server answers; start one with `partyline up`, or mend --host.") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--host is not an address"),
        (("--host", "nonsense"), "--host is not an address"),
        (("--host", "http://me:open-sesame@localhost"), "--host takes the server's address alone"),
        (("--host", "http://127.0.0.1:9", "--party-size", "0"), "party size: give 1 to 500"),
        (("--host", "http://127.0.0.1:9", "--party-size", "501"), "party size: give 1 to 500"),
        (("--host", "http://127.0.0.1:9", "--fix-rate", "1000"), "rate: give one fix a minute"),
        (("--host", "http://127.0.0.1:9", "--party-minutes", "0"), "minutes: give more than 0"),
    ],
)
def test_what_cannot_start_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = locust("-u", "1", "-t", "5s", *arguments)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("partyline: ")]
    assert said in line
    assert "Traceback" not in done.stderr
    assert "open-sesame" not in done.stderr + done.stdout
