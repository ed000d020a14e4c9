"""`partyline walk`: walkers join, one of them roughly; the token stays off the command line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from load_tests.walk_command import walk
from protocol.precision import Precision
from tests.load_tests.peer import Peer

PROGRAM = "import typer; from load_tests.walk_command import walk; typer.run(walk)"


@pytest.fixture(autouse=True)
def _no_running_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARTYLINE_DATA_DIR", str(tmp_path / "nothing-here"))
    monkeypatch.delenv("PARTYLINE_SHARABLE_TOKEN", raising=False)


def run(*arguments: object, stdin: str = "") -> Result:
    app = typer.Typer()
    app.command("walk")(walk)
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "secret" not in result.output
    return result


def test_five_walk_and_one_of_them_roughly(tmp_path: Path) -> None:
    invitation = tmp_path / "invitation.json"
    with Peer().running() as peer:
        result = run("--url", peer.url, "--invitation", invitation, "--minutes", "0.02")
    assert result.exit_code == 0, result.output
    assert result.output.count("\n") == 1
    assert sorted(peer.choices.values()) == [Precision.EXACT] * 4 + [Precision.ROUGH]
    assert len(peer.fixes) == 5
    assert invitation.stat().st_mode & 0o777 == 0o600
    written = json.loads(invitation.read_text())
    assert written["join_url"].endswith("/j#sharable-secret")
    assert {"session", "sharable_token", "host"} < set(written)


def test_they_join_a_session_by_a_token_from_the_environment_or_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Peer().running() as peer:
        piped = run(
            "--url", peer.url, "-n", "1", "--minutes", "0", "--token-stdin", stdin="sharable-secret\n"
        )
        monkeypatch.setenv("PARTYLINE_SHARABLE_TOKEN", "sharable-secret")
        named = run("--url", peer.url, "-n", "1", "--minutes", "0")
    assert (piped.exit_code, named.exit_code) == (0, 0), piped.output + named.output
    assert peer.created == []
    assert list(peer.choices.values()) == [Precision.EXACT, Precision.EXACT]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_walk_in_order(how: signal.Signals) -> None:
    with Peer().running() as peer:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--url", peer.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(1000):
            if len(peer.fixes) == 5:
                break
            time.sleep(0.01)
        process.send_signal(how)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert len(output.splitlines()) == 1


def test_a_signal_while_nobody_answers_ends_it_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, "--url", url], stdin=subprocess.DEVNULL)
        with silent.accept()[0] as held_open:
            held_open.recv(1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


def test_when_the_session_ends_so_does_the_walk() -> None:
    with Peer(close_with=4503).running() as peer:
        result = run("--url", peer.url)
    assert result.exit_code == 2
    assert "has ended" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--url", "http://127.0.0.1:9"), "No server answers"),
        ((), "--url"),
        (("--url", "http://127.0.0.1:9", "--token-stdin"), "Standard input holds no token"),
    ],
)
def test_trouble_is_one_sentence_with_the_mend(arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_token_and_an_invitation_together_are_refused(tmp_path: Path) -> None:
    result = run(
        *("--url", "http://127.0.0.1:9", "--token-stdin", "--invitation", tmp_path / "i.json"),
        stdin="secret\n",
    )
    assert result.exit_code == 2
    assert "--invitation" in result.output
