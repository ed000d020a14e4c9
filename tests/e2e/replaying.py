"""Runs `partyline replay` as a process, and calculates independently what it should have stored."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from server.up import Up

GPS = Path(__file__).resolve().parents[3] / "shared" / "gps"


def recording(name: str) -> Path:
    path = GPS / name
    if not path.exists():
        pytest.skip(f"the real recordings are not here: {name} (they lie beside the repository)")
    return path


def start_replay(up: Up, file: Path, account: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A replay under way, as fast as it goes unless the arguments say otherwise."""
    command = [sys.executable, "-m", "server.cli", "replay", str(file), "--shift-to-now", "--speed", "max"]
    return subprocess.Popen(
        [*command, "--data-dir", str(up.data_dir), "--json", str(account), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[bytes], account: Path, timeout_s: float = 300) -> Any:
    """The account of a replay that must end well."""
    _, stderr = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, stderr.decode()
    return json.loads(account.read_text())


def replay(up: Up, file: Path, account: Path, *arguments: str) -> Any:
    return finished(start_replay(up, file, account, *arguments), account)


def expected_windows(file: Path, account: Any, by: str = "person") -> set[tuple[str, int]]:
    """(person, window start) of every fix that a session of these times takes: straight from the file."""
    deltas = {member["member"]: member["delta_ms"] for member in account["members"]}
    latest = max(deltas.values()) and account["ended_at_ms"]
    windows = set()
    for line in gzip.open(file, "rt"):
        fix = json.loads(line)
        if fix["t"] is None or not (-90 <= fix["lat"] <= 90 and -180 <= fix["lon"] <= 180):
            continue
        at = int(datetime.fromisoformat(fix["t"]).timestamp() * 1000) + deltas[fix.get(by) or fix["person"]]
        if account["started_at"] <= at <= latest:
            windows.add((fix.get(by) or fix["person"], at // 5000 * 5000))
    return windows
