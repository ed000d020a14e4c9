"""A crowd on the real thing: its account adds up, its audit is clean, its exit code says how it went."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psycopg
import pytest

from load_tests.run.notes import Run
from server.up import Up

MEMBERS = 30


def start(up: Up, *arguments: object) -> subprocess.Popen[str]:
    """A crowd under way, its output as one text."""
    command = [sys.executable, "-m", "server.cli", "crowd", "--data-dir", up.data_dir, "--members", MEMBERS]
    return subprocess.Popen(
        [str(part) for part in (*command, *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int, timeout_s: float = 150) -> str:
    """What it said, if it ends with `code`."""
    output, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def played(up: Up, report: Path, *arguments: object, code: int = 0) -> tuple[Run, str]:
    """The run of a crowd that ends with `code`, and what it said."""
    output = ended(start(up, *arguments, "--json", report), code)
    return msgspec.json.decode(report.read_bytes(), type=Run), output


def assert_honest(run: Run) -> None:
    """Every fix has its end, and nothing that was promised was broken."""
    account = run.account
    assert account.offered == account.acked + sum(account.rejected.values()) + account.held + account.lost
    assert account.offered > 0
    assert run.audited.broken == {}, run.audited.violations
    assert run.audited.note == ""
    assert run.audited.looked_up > 0
    assert sum(one.offered for one in run.tallies) == account.offered
    assert sum(one.acked for one in run.tallies) == account.acked
    assert run.gave_up == {}


def quick(tmp_path: Path, text: str) -> Path:
    """A scenario of a test's own."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


CALM = """
[traits]
tunnels_per_hour = 0
sleeps_per_hour = 0
kills_per_hour = 0
host_changes_per_hour = 0
late_joiner_share = 0
leaver_share = 0
ended_share = 0
"""


def test_a_short_crowd_is_honest_and_reports(up: Up, tmp_path: Path) -> None:
    html = tmp_path / "run.html"
    run, output = played(
        up, tmp_path / "run.json", "--minutes", 0.1, "--workers", 2, "--html", html, "--codec", "msgpack"
    )
    assert_honest(run)
    assert run.account.held == 0
    assert (run.scenario, run.members, run.workers, run.outcome) == ("mixed", MEMBERS, 2, "done")
    assert all(one.met for one in run.objectives)
    assert any(sample.figures.get("gateway_cpu_s", 0) > 0 for sample in run.samples)
    assert run.samples[-1].figures["load_cpu_s"] > 0
    assert "the account adds up" in output
    assert "Audit: clean" in output
    assert f"The report is in {html}." in output
    assert "<html" in html.read_text()


def test_an_objective_that_cannot_be_met_exits_1_and_says_which(up: Up, tmp_path: Path) -> None:
    scenario = quick(tmp_path, CALM + "[objectives]\ndelay_p50_ms = 1\nack_p99_ms = 20000\n")
    run, output = played(up, tmp_path / "run.json", "--minutes", 0.05, "-s", scenario, code=1)
    assert_honest(run)
    assert [one.name for one in run.objectives if not one.met] == ["delay_p50_ms"]
    assert "Missed: delay_p50_ms, limit 1 ms, seen " in output


def test_a_session_that_is_full_is_one_sentence(up: Up, tmp_path: Path) -> None:
    scenario = quick(tmp_path, CALM + "[session]\nmax_members = 3\n")
    output = ended(start(up, "-s", scenario), 2)
    last = output.splitlines()[-1]
    assert last.startswith("partyline: A session is full")
    assert "4504 full" in last
    assert "max_members under [session]" in last


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_the_report_so_far_is_told(up: Up, tmp_path: Path, stop: signal.Signals) -> None:
    process = start(up, "--minutes", 10, "--json", tmp_path / "run.json")
    for line in process.stdout or ():
        if line.startswith("playing"):
            break
    time.sleep(3)
    process.send_signal(stop)
    output = ended(process, 130)
    run = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=Run)
    assert_honest(run)
    assert run.outcome == "stopped"
    assert run.account.held == 0
    assert "stopped" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mixed", "rush-hour", "tunnel", "reconnect-storm", "slow-phones", "host-tightens"]
)
def test_each_scenario_is_honest(up: Up, tmp_path: Path, name: str) -> None:
    run, _ = played(up, tmp_path / "run.json", "-s", name, "--minutes", 0.4, "--seed", 5)
    assert_honest(run)
    assert run.account.held == 0
    closes = {code: count for tally in run.tallies for code, count in tally.closes.items()}
    if name == "reconnect-storm":
        assert closes["1006 cut"] > 0
        assert run.account.sent_again > 0


@pytest.mark.slow
def test_recorded_tracks_are_played(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "party.ndjson"
    with file.open("w") as out:
        for second in range(40):
            for person in ("a", "b", "c"):
                fix = {"person": person, "t": f"2024-05-01T10:00:{second:02d}Z", "lat": 37.5, "lon": 127.0}
                print(json.dumps(fix | {"acc": 5.0}), file=out)
    scenario = quick(tmp_path, CALM)
    run, _ = played(up, tmp_path / "run.json", "--minutes", 0.2, "-s", scenario, "--replay", file)
    assert_honest(run)
    assert run.tracks == ["party.ndjson"]
    assert run.account.acked == run.account.offered >= MEMBERS * 10


@pytest.mark.slow
def test_without_an_audit_the_delays_are_measured_and_nothing_is_judged(up: Up, tmp_path: Path) -> None:
    run, output = played(up, tmp_path / "run.json", "--minutes", 0.1, "--no-audit")
    assert "violations" not in [one.name for one in run.objectives]
    assert "Not checked: nothing was audited: --no-audit." in output
    assert sum(sum(one.delay_ms.values()) for one in run.tallies) > 0


@pytest.mark.slow
def test_without_a_database_the_audit_says_what_it_did_not_do(up: Up, tmp_path: Path) -> None:
    run, output = played(up, tmp_path / "run.json", "--minutes", 0.1, "--url", up.http)
    assert (run.audited.looked_up, run.audited.broken) == (0, {})
    assert "rows were not looked up: give the database's address with --database-url." in output


@pytest.mark.slow
def test_a_gateway_that_restarts_costs_nothing_but_time(own_up: Up, tmp_path: Path) -> None:
    scenario = quick(tmp_path, CALM)
    process = start(own_up, "--minutes", 0.7, "-s", scenario, "--json", tmp_path / "run.json")
    _until_playing(process)
    time.sleep(5)
    gateway = own_up.processes["gateway"]
    gateway.terminate()
    assert gateway.wait(20) == 0
    time.sleep(3)
    own_up.start_process("gateway")
    output = ended(process, 0)
    run = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=Run)
    assert_honest(run)
    assert run.account.held == 0
    assert "4000 going_away" in output
    assert "1006 cut" in output  # dialled while nobody was there


@pytest.mark.slow
def test_a_gateway_that_does_not_come_back_ends_with_the_account_and_1(own_up: Up, tmp_path: Path) -> None:
    scenario = quick(tmp_path, CALM)
    process = start(own_up, "--minutes", 0.3, "-s", scenario, "--json", tmp_path / "run.json")
    _until_playing(process)
    _until_stored(own_up)
    own_up.processes["gateway"].kill()
    output = ended(process, 1)
    run = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=Run)
    assert_honest(run)
    assert run.account.held > 0
    assert "Missed: held_at_end" in output


@pytest.mark.slow
def test_a_load_process_that_dies_is_one_sentence(up: Up) -> None:
    process = start(up, "--minutes", 5, "--workers", 2)
    _until_playing(process)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    workers = [int(pid) for pid in children.stdout.split()]
    assert len(workers) == 2
    subprocess.run(["kill", "-9", str(workers[1])], check=True)
    output = ended(process, 1, 30)
    assert "Load process 2 of 2 was killed by signal 9" in output
    assert not _alive(workers[0])


def _until_playing(process: subprocess.Popen[str]) -> None:
    for line in process.stdout or ():
        if line.startswith("playing"):
            return


def _until_stored(up: Up) -> None:
    """Until the first rows are committed, and a second more: then they are acked."""
    with psycopg.connect(up.stack.database_url, autocommit=True) as connection:
        while connection.execute("SELECT EXISTS (SELECT FROM party_positions)").fetchone() != (True,):
            time.sleep(0.1)
    time.sleep(1)


def _alive(pid: int) -> Any:
    return Path(f"/proc/{pid}").exists()


OURS = f"id > (SELECT max(id) - {MEMBERS // 5} FROM party_sessions)"
"""The sessions of the crowd that came last."""


@pytest.mark.slow
async def test_who_leaves_is_gone_and_no_session_stays_behind(up: Up, tmp_path: Path) -> None:
    scenario = quick(tmp_path, "[traits]\nleaver_share = 1\nlate_joiner_share = 1\nended_share = 0.5\n")
    run, _ = played(up, tmp_path / "run.json", "--minutes", 0.3, "-s", scenario)
    assert_honest(run)
    assert run.account.held == 0
    assert not any(tally.closes for tally in run.tallies)
    connection = await asyncpg.connect(up.stack.database_url)
    try:
        live = await connection.fetchval(
            f"SELECT count(*) FROM party_sessions WHERE status = 'live' AND {OURS}"
        )
        left = await connection.fetch(
            "SELECT count(*) FILTER (WHERE role = 'member' AND left_at IS NOT NULL) AS gone, count(*) AS all "
            f"FROM party_members JOIN party_sessions ON id = session_id WHERE {OURS}"
        )
    finally:
        await connection.close()
    assert live == 0
    assert left[0]["all"] == MEMBERS
    assert left[0]["gone"] > MEMBERS / 3
