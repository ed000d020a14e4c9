"""The `partyline` command: help that helps, one line and exit 2 for what was asked wrongly, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from server.cli import app

GOOD = {
    "DATABASE_URL": "postgresql://partyline_writer:a-secret@127.0.0.1:1/x",
    "REDIS_URL": "redis://:a-secret@127.0.0.1:1/0",
    "MASK_KEY": "5a" * 32,
}


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


COMMANDS = ("check-data", "up", "gateway", "writer", "keeper", "migrate", "doctor", "walk", "replay")


def partyline(*arguments: str, **settings: str) -> Done:
    """The command in this process, which is quicker; `as_process` is what people start."""
    environment = {name: None for name in os.environ if name.startswith("PARTYLINE_")}
    environment |= {f"PARTYLINE_{name}": value for name, value in settings.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.logs.set_up_logs", lambda **_: None)  # the tests' own logs stay as they are
        done = CliRunner().invoke(app, arguments, env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return Done(done.exit_code, done.stdout, done.stderr)


def as_process(*arguments: str, **settings: str) -> Done:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}
    environment |= {f"PARTYLINE_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def asked_wrongly(*arguments: str, **settings: str) -> str:
    """The one line that it ends with."""
    return one_line(partyline(*arguments, **settings), 2)


def one_line(done: Done, code: int) -> str:
    assert done.code == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("partyline: ")
    assert "secret" not in line
    return line


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_the_help_names_every_command_and_each_shows_how() -> None:
    listed = as_process("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in listed
        done = (as_process if command in ("walk", "replay") else partyline)(command, "--help")
        assert done.code == 0
        assert f"partyline {command}" in done.stdout, "no example"
        assert done.stderr == ""


def test_nothing_asked_and_nonsense_asked() -> None:
    assert "Commands:" in partyline().stdout + partyline().stderr
    for arguments in (
        ["fly"],
        ["up", "--fly"],
        ["gateway", "--port", "0"],
        ["writer", "--metrics-port", "x"],
    ):
        done = partyline(*arguments)
        assert done.code == 2
        assert "Traceback" not in done.stderr


def test_the_process_says_one_line_too() -> None:
    assert "PARTYLINE_MASK_KEY" in one_line(as_process("gateway", **GOOD | {"MASK_KEY": "a-secret"}), 2)
    assert "127.0.0.1:1/x" in one_line(as_process("gateway", **GOOD), 2)


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("DATABASE_URL", "mysql://u:a-secret@h/x", "postgresql://role:password@host:port/database"),
        ("REDIS_URL", "http://:a-secret@h", "redis://:password@host:port/0"),
        ("REDIS_URL", "redis://:a-secret@h:99999/0", "redis://:password@host:port/0"),
        ("MASK_KEY", "a-secret", "64 hexadecimal digits"),
        ("TTL_HOURS", "0", "whole number from 1"),
        ("FLUSH_MS", "ten", "whole number from 50 to 5000"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
        ("PARTITIONS", "Native", "auto, hypertable or native"),
        ("ALLOW_GUESTS", "maybe", "1 or 0"),
        ("JWT_SECRET", "a-secret", "32 characters"),
        ("DATABSE_URL", "postgresql://u:a-secret@h/x", "no such setting"),
    ],
)
def test_a_wrong_setting_is_named_with_its_form(name: str, value: str, form: str) -> None:
    line = asked_wrongly("gateway", **GOOD | {name: value})
    assert f"PARTYLINE_{name}" in line
    assert form in line


def test_every_command_reads_the_settings_the_same() -> None:
    for command in ("up", "gateway", "writer", "keeper", "migrate", "doctor"):
        assert "PARTYLINE_FLY: there is no such setting" in asked_wrongly(command, **GOOD, FLY="1")


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        ("gateway", ["DATABASE_URL", "REDIS_URL", "MASK_KEY"]),
        ("writer", ["DATABASE_URL", "REDIS_URL"]),
        ("keeper", ["DATABASE_URL"]),
        ("migrate", ["DATABASE_URL"]),
    ],
)
def test_a_setting_that_is_missing_is_named(command: str, needs: list[str]) -> None:
    for name in needs:
        settings = {key: value for key, value in GOOD.items() if key != name}
        assert f"PARTYLINE_{name} is not set" in asked_wrongly(command, **settings)


def test_a_database_that_does_not_answer(taken: int) -> None:
    for command in ("gateway", "writer", "keeper"):
        line = asked_wrongly(command, **GOOD)
        assert "127.0.0.1:1/x" in line
        assert "PARTYLINE_DATABASE_URL" in line
    for arguments in (["migrate"], ["migrate", "--sql"]):
        one_line(partyline(*arguments, **GOOD), 1)


def test_a_port_that_is_taken_and_a_host_that_is_not_here(taken: int, tmp_path: Path) -> None:
    for command in (["gateway"], ["up", "--data-dir", str(tmp_path / "never")]):
        line = asked_wrongly(*command, "--port", str(taken), **GOOD)
        assert f"port {taken} is taken" in line
        assert "--port" in line
        for host in ("no.such.host.invalid", "203.0.113.7"):
            line = asked_wrongly(*command, "--host", host, "--port", "18080", **GOOD)
            assert "--host" in line
            assert "taken" not in line
    assert not (tmp_path / "never").exists()


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        line = asked_wrongly("up", "--data-dir", str(where), "--port", "18080")
        assert str(where) in line
        assert "--data-dir" in line


def test_migrate_prints_sql_and_changes_nothing(database: str, migrated_database: str) -> None:
    for settings in ({}, {"DATABASE_URL": database}):
        done = partyline("migrate", "--sql", **settings)
        assert done.code == 0, done.stderr
        assert "CREATE TABLE party_positions" in done.stdout
    with psycopg.connect(database) as connection:
        (tables,) = connection.execute(  # type: ignore[misc]
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchone()
    assert tables == 0
    assert "CREATE TABLE" not in partyline("migrate", "--sql", DATABASE_URL=migrated_database).stdout
    for arguments in (["--to", "nonsense"], ["--sql", "--to", "nonsense"]):
        assert "nonsense" in one_line(partyline("migrate", *arguments, DATABASE_URL=database), 1)


def test_migrate_makes_the_logins(database: str) -> None:
    secret = "a-password-for-tests"
    for already in ("", " already"):
        done = partyline("migrate", DATABASE_URL=database, WRITER_PASSWORD=secret)
        assert done.code == 0, done.stderr
        assert done.stdout.startswith("at revision ")
        assert done.stdout.endswith(f"{already}\n")
        assert secret not in done.stdout + done.stderr
    host = database.rpartition("@")[2]
    with psycopg.connect(f"postgresql://partyline_writer:{secret}@{host}") as connection:
        assert connection.info.user == "partyline_writer"


def test_doctor_exits_by_what_it_finds(migrated_database: str, redis_url: str) -> None:
    good = partyline("doctor", DATABASE_URL=migrated_database, REDIS_URL=redis_url)
    assert good.code == 0
    assert [line[:6] for line in good.stdout.splitlines()] == ["ok    "] * 3
    bad = partyline("doctor", **GOOD)
    assert bad.code == 1
    assert "FAIL  PARTYLINE_DATABASE_URL" in bad.stdout
    assert "FAIL  PARTYLINE_REDIS_URL" in bad.stdout
    assert "secret" not in bad.stdout


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{half")
    done = as_process("up", "--data-dir", str(tmp_path), "--port", "18081", "--no-demo")
    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert f"{tmp_path / 'keys.json'} is damaged" in done.stderr
    assert not (tmp_path / "endpoints.json").exists()
