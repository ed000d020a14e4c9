"""What is acked is in PostgreSQL (G1), whatever process dies meanwhile; each window once (G2)."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.up import Up
from tests.e2e.conftest import Phone, new_session, now_ms, rows
from tests.e2e.replaying import finished, start_replay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MEMBERS, FIXES = 5, 600


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """Five people, ten minutes, a fix a second."""
    start = datetime(2026, 5, 1, tzinfo=UTC).timestamp()
    file = tmp_path / "five.ndjson"
    with file.open("w") as lines:
        for second in range(FIXES):
            at = datetime.fromtimestamp(start + second, UTC).isoformat().replace("+00:00", "Z")
            for person in range(MEMBERS):
                lat, lon = 37.5 + second / 1e5, 127 + person / 100
                fix = {
                    "person": f"p{person}",
                    "t": at,
                    "lat": lat,
                    "lon": lon,
                    "acc": 5,
                    "alt": None,
                    "speed": None,
                }
                lines.write(json.dumps(fix) + "\n")
    return file


async def assert_nothing_lost(up: Up, account: Any) -> None:
    assert account["adds_up"]
    assert account["totals"]["acked"] == MEMBERS * FIXES
    stored = await rows(up, account["session"])
    windows = {(row["user_id"], row["start_ms"]) for row in stored}
    assert len(stored) == len(windows) == account["totals"]["windows"]
    assert MEMBERS * FIXES / 5 <= len(stored) <= MEMBERS * (FIXES / 5 + 1)


async def test_a_writer_away_for_a_minute(own_up: Up) -> None:
    session = new_session(own_up)
    ana = await Phone.join(own_up, session["sharable_token"], "Ana")
    bo = await Phone.join(own_up, session["sharable_token"], "Bo")
    seq = await ana.fix(37.5, 127.0)
    await ana.acked(seq)
    own_up.processes["writer"].kill()
    own_up.processes["writer"].wait()
    sent, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        at = now_ms()
        sent.append((await ana.fix(37.5 + len(sent) / 1e4, 127.0, at=at), at))
        while at not in [row[1] for row in (await bo.until("positions"))["p"]]:
            pass  # sharing goes on
        await asyncio.sleep(1)
    assert not await acks_so_far(ana, above=seq), "acked without a commit"
    own_up.start_process("writer")
    await ana.acked(sent[-1][0])
    stored = {row["start_ms"] for row in await rows(own_up, session["session"])}
    assert stored >= {at // 5000 * 5000 for _, at in sent}


async def acks_so_far(phone: Phone, above: int) -> list[int]:
    acks = []
    try:
        while True:
            message = await phone.next(timeout=1)
            if message["t"] == "ack" and message["seq"] > above:
                acks.append(message["seq"])
    except TimeoutError:
        return acks


@pytest.mark.parametrize("victim", ["postgres", "redis", "gateway", "writer", "all"])
async def test_kill_9_in_the_middle(own_up: Up, track: Path, tmp_path: Path, victim: str) -> None:
    path = tmp_path / "account.json"
    process = start_replay(own_up, track, path, "--speed", "30", "--timeout", "120")
    await asyncio.sleep(6)
    victims = ["postgres", "redis", "gateway", "writer"] if victim == "all" else [victim]
    for name in victims:
        if name in own_up.processes:
            own_up.processes[name].kill()
            own_up.processes[name].wait()
        else:
            getattr(own_up.stack, name).kill()
    await asyncio.sleep(4)
    for name in victims:
        if name in own_up.processes:
            own_up.start_process(name)
        else:
            getattr(own_up.stack, name).start()
    await assert_nothing_lost(own_up, await asyncio.to_thread(finished, process, path))


async def test_a_stopping_gateway_loses_nothing_and_says_come_again(own_up: Up) -> None:
    session = new_session(own_up)
    ana = await Phone.join(own_up, session["sharable_token"])
    at = now_ms()
    seq = await ana.fix(37.5, 127.0, at=at)
    await ana.until("positions")
    own_up.processes["gateway"].terminate()
    assert await ana.closed() == 4000
    assert {"t": "ack", "seq": seq} in ana.seen, "the window was not handed on before the goodbye"
    assert own_up.processes["gateway"].wait(20) == 0
    (row,) = await rows(own_up, session["session"])
    assert row["start_ms"] == at // 5000 * 5000


async def test_chunks_past_their_time_are_dropped_while_the_writer_writes(
    own_up: Up, track: Path, tmp_path: Path
) -> None:
    import asyncpg

    connection = await asyncpg.connect(own_up.stack.database_url)
    days = 4
    async with connection.transaction():  # or the keeper drops a day before there is a row in it
        await connection.execute("SELECT make_positions_chunks(now() - interval '13 days', now())")
        await connection.execute(
            """INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, accuracy_m, precision)
               SELECT 999, u, date_bin('5 seconds', now(), 'epoch') - d * interval '1 day' - i * interval '5 seconds',
                      0, ST_SetSRID(ST_MakePoint(127, 37.5), 4326), 5, 'exact'
               FROM generate_series(8, 8 + $1::int - 1) d, generate_series(0, 999) i, generate_series(1, 3) u""",
            days,
        )
    path = tmp_path / "account.json"
    process = start_replay(own_up, track, path, "--speed", "30")
    own_up.processes["keeper"].terminate()
    own_up.processes["keeper"].wait()
    own_up.start_process("keeper")
    async with asyncio.timeout(30):
        while await connection.fetchval("SELECT count(*) FROM party_positions WHERE session_id = 999"):
            await asyncio.sleep(0.2)
    runs = await connection.fetch("SELECT * FROM retention_runs ORDER BY id")
    assert sum(run["dropped_rows"] for run in runs) == days * 3000
    assert len(runs) >= days
    for run in runs:
        assert run["error"] is None
        assert run["chunks_before"] - run["chunks_after"] == len(run["dropped_chunks"]) == 1
        assert run["bytes_after"] < run["bytes_before"]
        assert run["oldest_after"] is None or run["oldest_after"] > run["oldest_before"]
        assert run["duration_ms"] >= 0
    await connection.close()
    await assert_nothing_lost(own_up, await asyncio.to_thread(finished, process, path))
    assert "cannot write" not in (own_up.data_dir / "writer.log").read_text()
