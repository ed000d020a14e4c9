"""Expand, backfill, deploy, contract, on one real change, while a crowd streams: no error, nobody waits long.

Before the deploy the processes run the statements of before (`before_ttl_column/`) from a copy of the code; after it
they run ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from db import migrate
from db.backfill import APPLICATION
from db.patience import MIGRATOR
from db.revision import NEEDED_REVISION
from load_tests.run.notes import Run
from server.up import Up
from tests.db.ttl_column import BEFORE, CONTRACT, EXPAND, OLD_SESSIONS, SWITCH
from tests.e2e.conftest import GatewayAt, Phone, free_port, http, new_session, now_ms
from tests.e2e.lock_waits import LIMIT_S, LockWaits

ROOT = Path(__file__).parents[2]
OLD_FILES = Path(__file__).parent / "before_ttl_column"
SESSIONS = 50_000
MEMBERS = 40
SCENARIO = """
[traits]
host_changes_per_hour = 240
late_joiner_share = 0.3
leaver_share = 0
ended_share = 0
tunnels_per_hour = 6
tunnel_s = [5, 20]
kills_per_hour = 6
killed_s = [5, 15]
[objectives]
violations = 0
held_at_end = 0
lost = 0
"""


def old_code(where: Path) -> Path:
    """Our packages with the files of before the change in their places."""
    for package in ("protocol", "db", "server"):
        shutil.copytree(ROOT / package, where / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(OLD_FILES, where, dirs_exist_ok=True)
    return where


class Live(Up):
    """`up`, whose database is of before the change and whose processes run the code that is in `code`."""

    code = ROOT

    def _migrate(self) -> None:
        migrate.upgrade(self.stack.database_url, BEFORE)

    def start_process(self, name: str, *arguments: str) -> None:
        with contextlib.chdir(self.code):  # `python -m` finds the packages that lie there first
            super().start_process(name, *arguments)
        if name in ("gateway", "writer", "keeper"):
            assert Path(f"/proc/{self.processes[name].pid}/cwd").resolve() == self.code.resolve()

    def restart(self, *names: str) -> None:
        for name in names:
            process = self.processes.pop(name)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            self.start_process(name)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    up = Live(
        data_dir=tmp_path / "data",
        host="127.0.0.1",
        port=free_port(),
        demo=False,
        partitions="auto",
        say=print,
    )
    up.data_dir.mkdir()
    up.code = old_code(tmp_path / "old")
    try:
        up.start()
        yield up
    finally:
        up.stop()


def partyline(up: Up, *arguments: object, code: int = 0) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PARTYLINE_")}
    environment["PARTYLINE_DATABASE_URL"] = up.stack.database_url
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def ask(up: Up, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(
        up.stack.database_url, autocommit=True, cursor_factory=psycopg.RawCursor
    ) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def long_report(up: Up) -> threading.Thread:
    """Somebody who holds the table, as readers do, until two seconds after somebody began to wait for it."""
    reading = threading.Event()

    def read() -> None:
        with psycopg.connect(up.stack.database_url, application_name="a report") as connection:
            connection.execute("SELECT count(*) FROM party_sessions")
            reading.set()
            waits = f"SELECT FROM pg_stat_activity WHERE application_name = '{MIGRATOR}' AND wait_event_type = 'Lock'"
            last = time.monotonic() + 30
            while time.monotonic() < last and not ask(up, waits):  # its process may be slow to start
                time.sleep(0.02)
            time.sleep(2)

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    return thread


class Hosts:
    """Somebody makes a session ten times a second, all the time; nobody may notice anything but the restart."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._done, self.gateway_away = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._make)
        self.answers: Counter[int | str] = Counter()

    def __enter__(self) -> Hosts:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _make(self) -> None:
        while not self._done.wait(0.1):
            away = self.gateway_away.is_set()
            try:
                answer, _ = http(self._up, "POST", "/v1/sessions", {"display_name": "Host"})
            except OSError as error:
                answer = type(error).__name__
            if not away and not self.gateway_away.is_set():
                self.answers[answer] += 1


async def a_party_works(up: Up) -> None:
    """Made, joined, streamed to, acked, its time-to-live shortened and read back: with the code that runs now."""
    session = new_session(up, ttl_hours=30)
    path = f"/v1/sessions/{session['session']}"
    phone = await Phone.join(up, session["sharable_token"])
    at = now_ms()
    await phone.acked(await phone.fix(37.5, 127.0, at=at))
    token = session["host"]["member_token"]
    status, _ = http(up, "PATCH", path, {"options": {"ttl_hours": 20}}, token)
    assert status == 200
    _, answer = http(up, "GET", path, token=token)
    assert answer["options"]["ttl_hours"] == 20
    status, track = http(up, "GET", f"{path}/track", token=token)
    assert status == 200
    assert track["features"]
    await phone.close()


async def one_party_on_both(old: Up, new: GatewayAt) -> None:
    """A member on each, the host now here and now there: each reads what the other has written."""
    session = new_session(old, ttl_hours=30)
    path, token = f"/v1/sessions/{session['session']}", session["host"]["member_token"]
    ana = await Phone.join(old, session["sharable_token"], "Ana")
    bo = await Phone.join(new, session["sharable_token"], "Bo")
    for hours, here, there in ((20, new, old), (10, old, new)):
        for phone in (ana, bo):
            await phone.acked(await phone.fix(37.5, 127.0))
        assert http(here, "PATCH", path, {"options": {"ttl_hours": hours}}, token)[0] == 200
        _, answer = http(there, "GET", path, token=token)
        assert answer["options"]["ttl_hours"] == hours
        _, track = http(there, "GET", f"{path}/track", token=token)
        assert len(track["features"]) == 2
    await ana.close()
    await bo.close()


def start_crowd(up: Up, folder: Path) -> subprocess.Popen[str]:
    scenario = folder / "crowd.toml"
    scenario.write_text(SCENARIO)
    arguments = ["crowd", "--data-dir", up.data_dir, "--members", MEMBERS, "--minutes", 20, "-s", scenario]
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", *map(str, arguments), "--json", folder / "run.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in process.stdout or ():
        if line.startswith("playing"):
            return process
        said.append(line)
    raise AssertionError(f"the crowd did not start: {''.join(said)}")


def end_crowd(process: subprocess.Popen[str], folder: Path) -> Run:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    return msgspec.json.decode((folder / "run.json").read_bytes(), type=Run)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_column_takes_the_place_of_a_key_while_a_crowd_streams(live: Live, tmp_path: Path) -> None:
    ask(live, OLD_SESSIONS, SESSIONS)
    assert migrate.current(live.stack.database_url) == BEFORE
    crowd = start_crowd(live, tmp_path)
    with LockWaits(live.stack.database_url) as locks, Hosts(live) as hosts:
        await a_party_works(live)

        report = long_report(live)  # what a migration meets in the day: somebody reads, for seconds
        said = partyline(live, "migrate", code=1)  # expand: it keeps that, and asks for the backfill
        report.join()
        assert f"came to revision {EXPAND}, then" in said
        assert "run `partyline backfill ttl_hours` and migrate again" in said
        await a_party_works(live)
        said = partyline(live, "backfill", "ttl_hours", "--batch", 500, "--pause-ms", 20)
        assert "ttl_hours: finished" in said
        said = partyline(live, "migrate")
        assert f"at revision {SWITCH}; {CONTRACT} takes away what an older Partyline uses" in said
        await a_party_works(live)  # the old code reads its key, the new functions read the column

        live.code = ROOT  # deploy: the new gateway beside the old one, while somebody migrates once more
        port = free_port()
        live.start_process("gateway-2", "--port", str(port))
        beside = GatewayAt(f"http://127.0.0.1:{port}")
        while "lease is held" not in (live.data_dir / "gateway-2.log").read_text():
            assert live.processes["gateway-2"].poll() is None
            await asyncio.sleep(0.05)
        migrating = asyncio.create_task(asyncio.to_thread(partyline, live, "migrate"))
        await one_party_on_both(live, beside)
        assert f"at revision {SWITCH} already" in await migrating
        live.restart("writer", "keeper")
        await a_party_works(live)  # old gateway, new writer
        hosts.gateway_away.set()
        live.restart("gateway")
        live._wait_until_ready()
        hosts.gateway_away.clear()
        await a_party_works(live)

        assert f"at revision {CONTRACT}" in partyline(live, "migrate", "--to", CONTRACT)
        assert "finished" in partyline(live, "backfill", "ttl_hours_key", "--batch", 500, "--pause-ms", 20)
        await a_party_works(live)
        await asyncio.sleep(5)
    run = end_crowd(crowd, tmp_path)

    print(f"{locks.report()}\n{hosts.answers[201]} sessions made")  # noqa: T201 - the figure
    assert run.audited.broken == {}, run.audited.violations
    assert run.audited.looked_up > 0
    assert run.account.held == run.account.lost == 0
    assert run.account.offered == run.account.acked + sum(run.account.rejected.values())
    assert run.gave_up == {}
    assert set(hosts.answers) == {201}, hosts.answers
    closes = {code for tally in run.tallies for code in tally.closes}
    assert "4000 going_away" in closes  # the phones were there when the gateway went, and came back
    for name in ("gateway", "gateway-2", "writer", "keeper"):
        log = (live.data_dir / f"{name}.log").read_text()
        assert '"level": "ERROR"' not in log, log
        assert "Traceback" not in log, log
    assert ask(live, "SELECT count(*) FROM party_sessions WHERE options ? 'ttl_hours'") == [(0,)]
    assert ask(live, "SELECT count(*) >= $1::integer FROM party_sessions", SESSIONS) == [(True,)]

    assert locks.looks > 100
    assert any(wait.who == MIGRATOR for wait in locks.of_tables())  # it waited for the report, and gave way
    assert [str(wait) for wait in locks.of_tables() if wait.seconds >= LIMIT_S] == []
    ours = {MIGRATOR, APPLICATION}
    assert [str(wait) for wait in locks.of_rows() if wait.seconds >= LIMIT_S and wait.holders & ours] == []


NAIVE = {
    "holds its lock while it works": (
        "ALTER TABLE party_sessions ADD COLUMN more integer; SELECT pg_sleep(1.5)"
    ),
    "waits for its lock without a limit": ("ALTER TABLE party_sessions ADD COLUMN more integer"),
}


@pytest.mark.parametrize("naive", NAIVE)
def test_a_naive_migration_is_seen(migrated_database: str, naive: str) -> None:
    """The same looks as above, and what a migration without our limits does to who reads one session."""
    started, waiting = threading.Event(), "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def migrates() -> None:
        with psycopg.connect(migrated_database, application_name=MIGRATOR) as migrator:
            started.set()
            migrator.execute(NAIVE[naive])

    def reads() -> None:
        with psycopg.connect(migrated_database, application_name="a gateway") as gateway:
            gateway.execute("SELECT id FROM party_sessions WHERE id = 1")

    with (
        psycopg.connect(migrated_database) as report,
        psycopg.connect(migrated_database, autocommit=True) as beside,
        LockWaits(migrated_database) as locks,
    ):
        if naive.startswith("waits"):
            report.execute("SELECT count(*) FROM party_sessions")  # and its transaction stays open
        threads = [threading.Thread(target=migrates), threading.Thread(target=reads)]
        threads[0].start()
        started.wait()
        while not beside.execute(
            "SELECT 1 FROM pg_locks WHERE relation = 'party_sessions'::regclass AND mode = 'AccessExclusiveLock'"
        ).fetchone():
            time.sleep(0.01)
        threads[1].start()
        if naive.startswith("waits"):
            while (beside.execute(waiting).fetchone() or (0,))[0] < 2:
                time.sleep(0.01)
            time.sleep(LIMIT_S * 1.5)
            report.rollback()
        for thread in threads:
            thread.join()
    (longest, *_) = [wait for wait in locks.of_tables() if wait.who == "a gateway"]
    assert longest.seconds >= LIMIT_S, locks.report()
    assert longest.table == "party_sessions"


CHANGED = {
    "db/queries/positions.sql": [("s.ttl_hours", "(s.options ->> 'ttl_hours')::integer")],
    "db/queries/sessions.sql": [
        (" Its time-to-live is a column, and no key of the stored options.", ""),
        ("precision, options, ttl_hours)", "precision, options)"),
        ("options, ttl_hours, revision", "options, revision"),
        (" - 'ttl_hours', $7)", ")"),
        (" - 'ttl_hours', ttl_hours = $3,", ","),
    ],
    "db/queries/current.sql": [("options, ttl_hours, revision", "options, revision")],
    "db/records.py": [
        (
            'msgspec.structs.replace(_decode_options(record["options"]), ttl_hours=record["ttl_hours"])',
            '_decode_options(record["options"])',
        )
    ],
    "db/sessions.py": [
        ("*stored", "stored"),
        ("tuple[str, int]:", "str:"),
        ('    """The options as JSON, and the one of them that has a column."""\n', ""),
        (".decode(), options.ttl_hours", ".decode()"),
    ],
    "db/revision.py": [(f'NEEDED_REVISION = "{NEEDED_REVISION}"', 'NEEDED_REVISION = "0018"')],
}
"""What the change is in each file: ours, and before it."""


@pytest.mark.parametrize("name", CHANGED)
def test_the_code_of_before_differs_from_ours_in_the_time_to_live_alone(name: str) -> None:
    """So that it stays what would really run: who changes one of these files changes it there too."""
    text = (ROOT / name).read_text()
    for now, before in CHANGED[name]:
        assert now in text
        text = text.replace(now, before)
    assert text == (OLD_FILES / name).read_text()


def test_nothing_else_is_of_before() -> None:
    assert {
        str(path.relative_to(OLD_FILES)) for path in OLD_FILES.rglob("*.*") if path.suffix != ".pyc"
    } == set(CHANGED)
