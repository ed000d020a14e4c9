"""Real recordings through the real server: what is stored is what the file says, once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.up import Up
from tests.e2e.conftest import rows
from tests.e2e.replaying import expected_windows, recording, replay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def stored_windows(up: Up, account: Any) -> set[tuple[str, int]]:
    """(member name, window start) of the rows of a replay's session."""
    connection = await asyncpg.connect(up.stack.database_url)
    try:
        names = {
            row["user_id"]: row["display_name"]
            for row in await connection.fetch(
                "SELECT user_id, display_name FROM party_members WHERE session_id = $1", account["session"]
            )
        }
    finally:
        await connection.close()
    found = await rows(up, account["session"])
    windows = {(names[row["user_id"]], row["start_ms"]) for row in found}
    assert len(windows) == len(found), "a window twice"
    return windows


def run(up: Up, file: Path, path: Path, *arguments: str) -> Any:
    account = replay(up, file, path, *arguments)
    account["ended_at_ms"] = time.time_ns() // 1_000_000 + 60_000
    return account


async def test_helsinki_8_people(up: Up, tmp_path: Path) -> None:
    file = recording("helsinki-trafficsense.ndjson.gz")
    account = run(up, file, tmp_path / "account.json", "--save", str(tmp_path / "party.json"))
    totals = account["totals"]
    assert totals["read"] == 6030 == totals["acked"] + sum(totals["rejected"].values())
    assert await stored_windows(up, account) == expected_windows(file, account)

    again = replay(up, file, tmp_path / "again.json", "--resume", str(tmp_path / "party.json"))
    assert again["session"] == account["session"]
    assert again["totals"]["acked"] == totals["acked"]
    assert await stored_windows(up, account) == expected_windows(file, account), "G2: a row more"


@pytest.mark.parametrize(
    ("name", "by", "reasons"),
    [
        ("sfbay-emission-arrival.ndjson.gz", "track", {"too_old"}),
        ("gpx-misc.ndjson.gz", "person", {"too_old"}),
        ("vincennes-tracklib.ndjson.gz", "person", {"range"}),
    ],
)
async def test_odd_recordings(up: Up, tmp_path: Path, name: str, by: str, reasons: set[str]) -> None:
    file = recording(name)
    account = run(up, file, tmp_path / "account.json")
    totals = account["totals"]
    assert totals["offered"] == totals["acked"] + sum(totals["rejected"].values())
    assert reasons <= set(totals["rejected"])
    stored = await stored_windows(up, account)
    assert all(start >= account["started_at"] // 5000 * 5000 for _, start in stored)
    assert stored == expected_windows(file, account, by)
