"""`partyline replay`: every fix of the files has an end in the account, and trouble is one sentence."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from load_tests.replay_command import replay
from protocol.messages import Fix, Reject
from tests.load_tests.peer import Peer

GPS = Path(__file__).parents[3] / "shared" / "gps"
PROGRAM = "import typer; from load_tests.replay_command import replay; typer.run(replay)"


@pytest.fixture(autouse=True)
def _no_running_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARTYLINE_DATA_DIR", str(tmp_path / "nothing-here"))


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command("replay")(replay)
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert "secret" not in result.output
    return result


def recording(tmp_path: Path, fixes: int = 30, step_s: int = 2, name: str = "party.ndjson") -> Path:
    lines = []
    for second in range(0, fixes * step_s, step_s):
        for person in ("a", "b"):
            t = f"2024-05-01T10:{second // 60:02d}:{second % 60:02d}.500Z"
            lines.append(json.dumps({"person": person, "t": t, "lat": 37.5, "lon": 127.0, "acc": 5.0}))
    lines.append(json.dumps({"person": "a", "t": None, "lat": 37.5, "lon": 127.0}))
    path = tmp_path / name
    path.write_text("\n".join(lines))
    return path


def account_of(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "account.json").read_text())


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_all_fixes_are_acked_and_each_window_is_counted(tmp_path: Path, codec: str) -> None:
    with Peer().running() as peer:
        result = run(
            recording(tmp_path),
            *("--url", peer.url, "--speed", "max", "--shift-to-now", "--codec", codec),
            *("--json", tmp_path / "account.json", "--ttl-hours", "48", "--rough-cell-m", "250"),
        )
    assert result.exit_code == 0, result.output
    said = account_of(tmp_path)
    assert said["totals"]["acked"] == 60
    assert said["totals"]["unusable"] == {"no_time": 1}
    assert said["totals"]["windows"] == len(peer.rows) == 24
    assert said["rows_found"] is None
    assert "Rows were not counted" in result.output
    options = peer.created[0]["options"]
    assert (options["max_members"], options["ttl_hours"], options["rough_cell_m"]) == (50, 48, 250)
    assert options["started_at"] == said["started_at"]
    assert sorted(peer.names.values()) == ["a", "b"]
    assert not any("secret" in path for path in peer.paths)


def test_an_own_calculation_from_the_account_gives_the_same_windows(tmp_path: Path) -> None:
    file = recording(tmp_path)
    with Peer().running() as peer:
        run(file, "--url", peer.url, "--speed", "0", "--shift-to-now", "--json", tmp_path / "account.json")
    windows = set()
    for member in account_of(tmp_path)["members"]:
        assert member["delta_ms"] % 5000 == 0
        recorded = [json.loads(line) for line in file.read_text().splitlines()]
        start = 1_714_557_600_500  # 2024-05-01T10:00:00.500Z
        times = [
            start + 2000 * step for step in range(len([r for r in recorded if r["person"] == "a" and r["t"]]))
        ]
        windows |= {(member["m"], (at + member["delta_ms"]) // 5000) for at in times}
    assert windows == peer.rows


def test_a_connection_that_is_cut_before_its_acks_loses_nothing(tmp_path: Path) -> None:
    with Peer(cuts=3).running() as peer:
        result = run(
            recording(tmp_path), "--url", peer.url, "--speed", "max", "--json", tmp_path / "account.json"
        )
    assert result.exit_code == 0, result.output
    said = account_of(tmp_path)
    assert said["totals"]["acked"] == 60
    assert said["totals"]["sent_again"] > 0
    assert "Resume" in peer.first_tags


def test_rejected_fixes_are_shown_by_their_reason(tmp_path: Path) -> None:
    def judge(fix: Fix) -> Reject | None:
        return (Reject.RANGE if fix.seq % 2 else Reject.TOO_OLD) if fix.seq <= 4 else None

    with Peer(judge=judge).running() as peer:
        result = run(
            recording(tmp_path), "--url", peer.url, "--speed", "max", "--json", tmp_path / "account.json"
        )
    assert result.exit_code == 0, result.output
    assert account_of(tmp_path)["totals"]["rejected"] == {"range": 4, "too_old": 4}
    assert "rejected: too_old" in result.output


def test_fixes_that_are_still_held_are_an_open_account(tmp_path: Path) -> None:
    with Peer(acks=False).running() as peer:
        result = run(recording(tmp_path), "--url", peer.url, "--speed", "max", "--timeout", "1")
    assert result.exit_code == 1
    assert "60 fixes are still held" in result.output


def test_a_saved_party_is_played_again_by_the_same_members(tmp_path: Path) -> None:
    file, party = recording(tmp_path), tmp_path / "party.json"
    with Peer().running() as peer:
        common = ("--url", peer.url, "--speed", "max", "--shift-to-now", "--json", tmp_path / "account.json")
        assert run(file, *common, "--save", party).exit_code == 0
        assert party.stat().st_mode & 0o777 == 0o600
        rows, before = set(peer.rows), account_of(tmp_path)
        assert run(file, *common, "--resume", party).exit_code == 0
        after = account_of(tmp_path)
    assert peer.rows == rows
    assert peer.first_tags == ["Join", "Join", "Resume", "Resume"]
    assert len(peer.created) == 1
    for key in ("started_at", "session", "rows_expected"):
        assert before[key] == after[key]
    assert [m["delta_ms"] for m in before["members"]] == [m["delta_ms"] for m in after["members"]]


def test_a_speed_scales_the_times_of_sending(tmp_path: Path) -> None:
    with Peer().running() as peer:
        result = run(recording(tmp_path, 10), "--url", peer.url, "--speed", "60", "--shift-to-now")
    assert result.exit_code == 0, result.output
    assert all(len(fixes) == 10 for fixes in peer.fixes.values())
    now = time.time_ns() // 1_000_000
    assert all(fix.at <= now for fixes in peer.fixes.values() for fix in fixes)


@pytest.mark.skipif(not GPS.is_dir(), reason="the recordings are not beside the repository")
@pytest.mark.parametrize("name", ["gpx-misc.ndjson.gz", "sfbay-emission-arrival.ndjson.gz"])
def test_real_recordings_add_up_whatever_is_in_them(tmp_path: Path, name: str) -> None:
    with Peer().running() as peer:
        result = run(
            GPS / name,
            *("--url", peer.url, "--speed", "max", "--shift-to-now", "--codec", "msgpack"),
            *("--json", tmp_path / "account.json"),
        )
    assert result.exit_code == 0, result.output
    assert account_of(tmp_path)["totals"]["windows"] == len(peer.rows)


def test_after_ctrl_c_the_account_so_far_is_told(tmp_path: Path) -> None:
    file = recording(tmp_path, fixes=500)
    with Peer().running() as peer:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(file), "--url", peer.url, "--speed", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(1000):
            if len(peer.fixes) == 2:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert "The account adds up." in output
    assert "fixes were not sent" in output
    assert "Traceback" not in output


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_dead_address_is_one_sentence_with_the_mend(tmp_path: Path) -> None:
    result = run(recording(tmp_path), "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 2
    assert "No server answers" in result.output
    assert "partyline up" in result.output


def test_no_address_at_all_is_one_sentence_with_the_mend(tmp_path: Path) -> None:
    result = run(recording(tmp_path))
    assert result.exit_code == 2
    assert "--url" in result.output


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://h:99999999", "http://h/?token=s"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    result = run(recording(tmp_path), "--url", url)
    assert result.exit_code == 2
    assert "--url" in result.output


def test_a_missing_file_and_a_broken_one_are_named_with_the_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run(tmp_path / "none.gpx", "--url", url)
    assert (result.exit_code, "none.gpx: No such file" in result.output) == (2, True)
    broken = tmp_path / "broken.gpx"
    broken.write_text('<gpx>\n<trk><trkseg>\n<trkpt lat="1"')
    result = run(broken, "--url", url)
    assert (result.exit_code, "broken.gpx, line 3: " in result.output) == (2, True)


@pytest.mark.parametrize(
    ("code", "says"),
    [(4501, "without --resume"), (4503, "has ended"), (4504, "is full"), (4505, "join_timeout")],
)
def test_a_party_that_cannot_be_entered_is_one_sentence(tmp_path: Path, code: int, says: str) -> None:
    with Peer(close_with=code).running() as peer:
        result = run(recording(tmp_path), "--url", peer.url)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize(
    ("status", "says"), [(401, "guests"), (404, "--url"), (422, "options"), (503, "readyz")]
)
def test_a_session_that_cannot_be_made_is_one_sentence(tmp_path: Path, status: int, says: str) -> None:
    with Peer(status=status).running() as peer:
        result = run(recording(tmp_path), "--url", peer.url)
    assert result.exit_code == 2
    assert says in result.output


def test_a_server_that_is_not_partyline_is_one_sentence(tmp_path: Path) -> None:
    with Peer(status=200).running() as peer:
        result = run(recording(tmp_path), "--url", peer.url)
    assert result.exit_code == 2


def test_a_party_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "party.json").write_text('{"session": "secret"}')
    for name in ("party.json", "none.json"):
        result = run(
            recording(tmp_path), "--url", f"http://127.0.0.1:{free_port()}", "--resume", tmp_path / name
        )
        assert (result.exit_code, name in result.output) == (2, True)


def test_a_database_that_does_not_answer_is_one_sentence_without_its_address(tmp_path: Path) -> None:
    address = f"postgresql://someone:hidden@127.0.0.1:{free_port()}/x"
    with Peer().running() as peer:
        result = run(recording(tmp_path), "--url", peer.url, "--database-url", address)
    assert result.exit_code == 2
    assert "--database-url" in result.output
    assert "hidden" not in result.output


@pytest.mark.parametrize("speed", ["-1", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_refused(tmp_path: Path, speed: str) -> None:
    assert run(recording(tmp_path), f"--speed={speed}").exit_code == 2


def test_where_no_file_may_be_written_the_account_is_still_told(tmp_path: Path) -> None:
    with Peer().running() as peer:
        result = run(
            recording(tmp_path),
            "--url",
            peer.url,
            "--speed",
            "max",
            "--json",
            tmp_path / "no" / "account.json",
        )
    assert result.exit_code == 2
    assert "The account adds up." in result.output
    assert "account.json cannot be written" in result.output


def test_the_server_is_found_by_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer().running() as peer:
        (tmp_path / "endpoints.json").write_text(json.dumps({"http": peer.url, "ws": "", "redis_url": ""}))
        for arguments in (("--data-dir", tmp_path), ()):
            monkeypatch.setenv("PARTYLINE_DATA_DIR", str(tmp_path))
            assert run(recording(tmp_path), "--speed", "max", *arguments).exit_code == 0
    (tmp_path / "endpoints.json").write_text("{")
    assert run(recording(tmp_path)).exit_code == 2
    assert os.environ["PARTYLINE_DATA_DIR"] == str(tmp_path)
