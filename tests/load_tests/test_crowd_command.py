"""`partyline crowd` asked wrongly: one sentence with the mend, exit code 2, never a traceback."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from load_tests.crowd_command import crowd
from tests.load_tests.peer import Peer

PROGRAM = "import typer; from load_tests.crowd_command import crowd; typer.run(crowd)"


@pytest.fixture(autouse=True)
def _no_running_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARTYLINE_DATA_DIR", str(tmp_path / "nothing-here"))


def run(*arguments: object) -> Result:
    app = typer.Typer(rich_markup_mode=None)
    app.command("crowd")(crowd)
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert "secret" not in result.output
    return result


def refused(*arguments: object) -> str:
    """What is said, as one line, of a crowd that cannot start."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    return re.sub(r"[\s│]+", " ", result.output)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def dead() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_help_shows_examples_and_the_scenarios_are_listed() -> None:
    said = run("--help").output
    assert "partyline crowd --scenario reconnect-storm" in said
    assert "--list-scenarios" in said
    listed = run("--list-scenarios")
    assert listed.exit_code == 0
    assert listed.output.startswith("mixed ")
    assert "host-tightens" in listed.output


def test_a_dead_address_and_none_at_all() -> None:
    assert "No server answers at http://127.0.0.1" in refused("--url", dead())
    assert "start one with `partyline up`, or give its address with --url" in refused()


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://h:99999999", "http://h/?token=s"])
def test_what_is_no_address(url: str) -> None:
    assert "--url" in refused("--url", url)


@pytest.mark.parametrize(
    ("status", "says"), [(200, "not Partyline"), (401, "guests"), (404, "--url"), (503, "readyz")]
)
def test_what_makes_no_session(status: int, says: str) -> None:
    with Peer(status=status).running() as peer:
        assert says in refused("--url", peer.url, "--members", 5)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (4501, "refuses the token of a session that it has just made (4501 bad_token); check that --url"),
        (4503, "Somebody else steers the sessions"),
        (4504, "a smaller --party-size, or a larger max_members under [session]"),
        (4505, "no Partyline"),
        (1002, "no Partyline"),
        (4508, "look at the server's log"),
    ],
)
def test_a_party_that_cannot_be_entered(code: int, says: str) -> None:
    with Peer(close_with=code).running() as peer:
        said = refused("--url", peer.url, "--members", 5, "--workers", 1)
        assert says in said
        assert not any("secret" in path for path in peer.paths)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--members", 0),
        ("--members", 1_000_001),
        ("--members", "many"),
        ("--party-size", 501),
        ("--party-size", 0),
        ("--rate", 51),
        ("--rate", 0),
        ("--rate", "nan"),
        ("--minutes", 0),
        ("--minutes", "inf"),
        ("--minutes", "nan"),
        ("--workers", 0),
        ("--workers", 65),
        ("--codec", "xml"),
    ],
)
def test_impossible_numbers(arguments: tuple[object, ...]) -> None:
    said = refused("--url", dead(), *arguments)
    assert str(arguments[0]) in said or "There is no such crowd" in said
    assert "No server answers" not in said


def test_scenarios_that_are_none(tmp_path: Path) -> None:
    assert "There is no scenario rush" in refused("--scenario", "rush", "--url", dead())
    mine = tmp_path / "mine.toml"
    mine.write_text("[traits]\nwalks = 1")
    assert "mine.toml: traits: there is no key walks." in refused("-s", mine, "--url", dead())


def test_a_broken_track_is_named_with_its_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gpx"
    broken.write_text('<gpx>\n<trk><trkseg>\n<trkpt lat="1"')
    assert "broken.gpx, line 3: " in refused("--replay", broken, "--url", dead())
    assert "none.gpx: No such file" in refused("--replay", tmp_path / "none.gpx", "--url", dead())


def test_reports_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    assert "there is no such folder" in refused("--json", tmp_path / "no" / "run.json", "--url", dead())
    assert "is a folder" in refused("--json", tmp_path, "--url", dead())
    assert "none.json cannot be read" in refused("--baseline", tmp_path / "none.json", "--url", dead())
    (tmp_path / "run.json").write_text(json.dumps({"token": "secret"}))
    assert "run.json is not a JSON report" in refused("--baseline", tmp_path / "run.json", "--url", dead())


def test_a_database_that_does_not_answer() -> None:
    address = f"postgresql://someone:secret@127.0.0.1:{free_port()}/x"
    said = refused("--url", dead(), "--database-url", address)
    assert "The rows cannot be looked up: the database does not answer; check --database-url." in said


def test_more_phones_than_files_may_be_open() -> None:
    shell = f'ulimit -n 300; exec "{sys.executable}" -c "{PROGRAM}" --url {dead()} --members 1000'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`ulimit -n 1100`" in done.stderr
    assert "--workers" in done.stderr
    assert "Traceback" not in done.stderr
