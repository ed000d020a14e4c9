"""`partyline check-data`: says what is broken and nothing personal, asks for little, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from typer.testing import CliRunner

from db import migrate
from db.checks import login
from db.checks.rules import RULES
from server.cli import app
from tests.db.conftest import PASSWORD

BROKEN = """
INSERT INTO places (name, category, geo) VALUES ('Secret garden', 'park', ST_SetSRID(ST_MakePoint(0, 0), 4326));
INSERT INTO users (email) VALUES ('planted.person@example.test');
INSERT INTO trips (user_id, duration_min, mode) SELECT max(id), 180, 'walk' FROM users;
INSERT INTO trip_nodes (trip_id, place_id, sequence) VALUES (1, 1, 2), (1, 1, 4);
"""
WARNING_ONLY = BROKEN.split("INSERT INTO users", maxsplit=1)[0]

# Python's own sockets: libpq's are not among them, and what Great Expectations might send would be.
LONELY = """
import sys
def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"the network was asked for: {event}")
sys.addaudithook(forbid)
from server.cli import app
app()
"""


def settings(**values):
    gone = dict.fromkeys((name for name in os.environ if name.startswith("PARTYLINE_")), None)
    return gone | {f"PARTYLINE_{name}": value for name, value in values.items()}


def check_data(url, *arguments):
    done = CliRunner().invoke(app, ["check-data", *arguments], env=settings(DATABASE_URL=url))
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert PASSWORD not in done.output
    return done


def plant(url, sql):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)


def test_the_migrator_may_check_and_an_empty_database_is_healthy(role_url, tmp_path):
    done = check_data(role_url("migrator"), "--json", str(tmp_path / "out.json"))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", rule.name] for rule in RULES]
    assert lines[-1] == f"{len(RULES)} rules: {len(RULES)} ok, 0 failed, 0 warnings"
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["success"] is True
    assert [result["rule"] for result in report["results"]] == [rule.name for rule in RULES]


def test_a_broken_rule_is_named_with_keys_and_nothing_personal(migrated_database, tmp_path):
    plant(migrated_database, BROKEN)
    done = check_data(migrated_database, "--json", str(tmp_path / "out.json"))
    assert done.exit_code == 1
    assert "FAILED   trip_stops_have_no_holes" in done.stdout
    assert "1 row breaks it, in trip_nodes: trip_id 1\n" in done.stdout
    assert "warning  places_are_not_at_zero" in done.stdout
    assert f"{len(RULES)} rules: {len(RULES) - 2} ok, 1 failed, 1 warnings" in done.stdout
    written = (tmp_path / "out.json").read_text()
    broken = {one["rule"]: one for one in json.loads(written)["results"] if not one["success"]}
    assert broken["trip_stops_have_no_holes"]["keys"] == [{"trip_id": "1"}]
    assert broken["places_are_not_at_zero"]["severity"] == "warning"
    for secret in ("planted.person", "Secret garden", "POINT", migrated_database):
        assert secret not in done.output + written


def test_a_warning_breaks_nothing(migrated_database):
    plant(migrated_database, WARNING_ONLY)
    done = check_data(migrated_database, "--rule", "places_are_not_at_zero", "--rule", "ratings_are_in_range")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["warning", "1", "ok", "2"]


def test_many_keys_are_shortened(migrated_database, tmp_path):
    plant(migrated_database, WARNING_ONLY * 30)
    done = check_data(
        migrated_database, "--rule", "places_are_not_at_zero", "--json", str(tmp_path / "out.json")
    )
    assert "30 rows break it, in places: place_id 1; " in done.stdout
    assert "; …\n" in done.stdout
    [result] = json.loads((tmp_path / "out.json").read_text())["results"]
    assert (result["broken_rows"], len(result["keys"])) == (30, 20)


@pytest.mark.parametrize(
    ("url", "arguments", "said"),
    [
        (None, (), "PARTYLINE_DATABASE_URL is not set"),
        ("postgresql://x:a/b@c@127.0.0.1/y", (), "PARTYLINE_DATABASE_URL must look|not of the form"),
        (f"postgresql://x:{PASSWORD}@127.0.0.1:1/y", (), "cannot use PostgreSQL at 127.0.0.1:1/y as x"),
        (f"postgresql://x:{PASSWORD}@127.0.0.1:1/y", ("--rule", "no_such"), "there is no rule no_such"),
        (f"postgresql://x:{PASSWORD}@127.0.0.1:1/y", ("--json", "not/there.json"), "name another --json"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(url, arguments, said):
    done = check_data(url, *arguments)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert any(one in done.stderr for one in said.split("|")), done.stderr
    assert done.stdout == ""


def test_a_database_that_was_never_migrated(database):
    done = check_data(database)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "was never migrated: run partyline migrate" in done.stderr


@pytest.mark.parametrize("role", ["writer", "keeper", "reader", "analyst"])
def test_a_login_that_may_not_see_every_row(role_url, role):
    done = check_data(role_url(role))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "may not become partyline_owner" in done.stderr
    assert "partyline_migrator" in done.stderr


def test_without_the_extra_it_says_how_to_get_it(migrated_database, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "great_expectations"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    done = check_data(migrated_database)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "pip install 'partyline[checks]'" in done.stderr


def test_a_schema_from_before_is_said_to_be_old(database):
    migrate.upgrade(database, "0005")
    done = check_data(database, "--rule", "schema_is_at_head", "--rule", "ratings_are_in_range")
    assert done.exit_code == 1
    assert f"missing_revision {login.head()}" in done.stdout
    assert "not checked: the schema has not what it looks at: run partyline migrate" in done.stdout


def test_a_rule_that_takes_too_long_is_not_passed(migrated_database):
    with psycopg.connect(migrated_database) as connection:
        connection.execute("LOCK TABLE trips IN ACCESS EXCLUSIVE MODE")
        done = check_data(
            migrated_database,
            "--timeout",
            "1",
            "--rule",
            "trip_budgets_are_ordered",
            "--rule",
            "ratings_are_in_range",
        )
    assert done.exit_code == 1
    assert "not checked: it took longer than 1 s" in done.stdout
    assert "2 rules: 1 ok, 1 failed, 0 warnings" in done.stdout


def test_the_login_cannot_write(migrated_database):
    with login.connect(migrated_database, ttl_hours=168, timeout_s=60) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("partyline_owner",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM trips")


def as_process(code, url, home, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}
    environment |= {"PARTYLINE_DATABASE_URL": url, "HOME": str(home), "TMPDIR": str(home)}
    environment["PYTHONPATH"] = os.getcwd()
    return subprocess.Popen(
        [sys.executable, *code, *arguments],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_opens_no_socket_and_leaves_nothing_behind(migrated_database, tmp_path):
    process = as_process(["-c", LONELY], migrated_database, tmp_path, "check-data")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == len(RULES) + 1
    assert list(tmp_path.rglob("*")) == []


def test_ctrl_c_ends_it_in_one_line(migrated_database, tmp_path):
    with psycopg.connect(migrated_database, autocommit=True) as watcher, watcher.transaction():
        watcher.execute("LOCK TABLE trips IN ACCESS EXCLUSIVE MODE")
        arguments = ("check-data", "--rule", "trip_budgets_are_ordered", "--rule", "ratings_are_in_range")
        process = as_process(["-m", "server.cli"], migrated_database, tmp_path, *arguments)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'partyline check-data' AND wait_event_type = 'Lock'"
        deadline = time.monotonic() + 60
        with psycopg.connect(migrated_database, autocommit=True) as other:
            while other.execute(waits).fetchone() == (0,) and time.monotonic() < deadline:
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "partyline: stopped after 0 of 2 rules\n"


def test_help_and_the_list_do_not_load_it():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom server.cli import app\n"
        "print(CliRunner().invoke(app, sys.argv[1:]).output)\nassert 'great_expectations' not in sys.modules"
    )
    for asked, said in (("--help", "Examples:"), ("--list", "ratings_are_in_range")):
        done = subprocess.run(
            [sys.executable, "-c", code, "check-data", asked], capture_output=True, text=True, check=True
        )
        assert said in done.stdout
